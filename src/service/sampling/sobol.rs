//! Points that fill a space evenly.

/// Dimensions that have numbers of their own; more begin anew, scrambled otherwise.
const DIMENSIONS: u32 = sobol_burley::NUM_DIMENSIONS;
/// Points until they begin anew, scrambled otherwise.
const POINTS: u64 = 1 << 16;

/// One coordinate of a point, above 0 and below 1: Sobol's sequence with Owen's scrambling.
///
/// I. M. Sobol: On the distribution of points in a cube and the approximate evaluation of integrals.
/// USSR Computational Mathematics and Mathematical Physics 7 (1967), 86–112; with the direction numbers
/// of S. Joe and F. Y. Kuo. B. Burley: Practical Hash-based Owen Scrambling. Journal of Computer Graphics
/// Techniques 10 (2020), 1–20.
pub fn unit(seed: u64, point: u64, dimension: usize) -> f64 {
    let dimension = u32::try_from(dimension).unwrap_or(u32::MAX);
    let round = (point / POINTS) ^ (u64::from(dimension / DIMENSIONS) << 32);
    let mixed = blake3::hash(&[seed.to_le_bytes(), round.to_le_bytes()].concat());
    let seed = mixed.as_bytes().first_chunk().copied().unwrap_or_default();
    let point = u32::try_from(point % POINTS).unwrap_or_default();
    let unit = sobol_burley::sample(point, dimension % DIMENSIONS, u32::from_le_bytes(seed));
    // It has 24 bits and may be 0.
    f64::from(unit) + 0.5 / f64::from(1 << 24)
}

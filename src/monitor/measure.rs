//! How far two distributions are from each other.

use std::f64::consts::LN_2;

/// Parts that numbers are divided into, of as many reference values each.
const PARTS: usize = 10;
/// Stands for a part with nothing in it, whose logarithm would be infinite.
const NOTHING: f64 = 1e-4;

/// Parts of a line of numbers: up to the first bound, from bound to bound, above the last. Nothing of
/// the reference is in the first and in the last.
#[derive(Debug)]
pub struct Bins(Vec<f64>);

impl Bins {
    /// Parts by quantiles of sorted numbers; a number that fills a part has it for itself.
    pub fn of(sorted: &[f64]) -> Self {
        let (Some(least), Some(most)) = (sorted.first(), sorted.last()) else {
            return Self(Vec::new());
        };
        let mut bounds = vec![least.next_down()];
        for part in 1..PARTS {
            let bound = sorted[(sorted.len() * part / PARTS).max(1) - 1];
            let below = sorted.partition_point(|value| *value < bound);
            let until = sorted.partition_point(|value| *value <= bound);
            if (until - below) * PARTS >= sorted.len() {
                bounds.push(bound.next_down());
            }
            bounds.push(bound);
        }
        bounds.push(*most);
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        Self(bounds)
    }

    /// How many of the sorted numbers are in each part; a bound is in the part that it ends.
    pub fn counts(&self, sorted: &[f64]) -> Vec<u64> {
        let mut before = 0;
        let ends = self
            .0
            .iter()
            .map(|bound| sorted.partition_point(|value| value <= bound));
        let ends = ends.chain([sorted.len()]);
        ends.map(|end| {
            let count = end - before;
            before = end;
            count as u64
        })
        .collect()
    }
}

/// Shares of the parts: of the reference, and of the data.
#[derive(Debug)]
pub struct Shares(Vec<(f64, f64)>);

impl Shares {
    pub fn of(reference: &[u64], data: &[u64]) -> Self {
        let shares = |counts: &[u64]| -> Vec<f64> {
            let sum: u64 = counts.iter().sum();
            counts
                .iter()
                .map(|count| float(*count) / float(sum.max(1)))
                .collect()
        };
        Self(shares(reference).into_iter().zip(shares(data)).collect())
    }

    /// The population stability index, the sum of `(a − e) · ln(a / e)` over the shares expected and
    /// actual, as in N. Siddiqi, *Credit Risk Scorecards* (2006), chapter 9; it is the symmetric
    /// divergence of H. Jeffreys (1946). Below 0.1 is commonly read as no change, above 0.25 as a large
    /// one. A share of nothing counts as 0.0001.
    pub fn stability_index(&self) -> f64 {
        let part = |(expected, actual): &(f64, f64)| {
            let (expected, actual) = (expected.max(NOTHING), actual.max(NOTHING));
            (actual - expected) * (actual / expected).ln()
        };
        self.0.iter().map(part).sum()
    }

    /// The square root of the Jensen–Shannon divergence in bits, as in J. Lin, *Divergence measures
    /// based on the Shannon entropy* (1991): 0 for the same shares, 1 for those of nothing in common.
    pub fn jensen_shannon(&self) -> f64 {
        let term = |share: f64, mean: f64| match share {
            0.0 => 0.0,
            share => share * (share / mean).ln(),
        };
        let part = |(one, other): &(f64, f64)| {
            let mean = f64::midpoint(*one, *other);
            term(*one, mean) + term(*other, mean)
        };
        let sum: f64 = self.0.iter().map(part).sum();
        (sum / 2.0 / LN_2).max(0.0).sqrt()
    }
}

/// The two-sample test of Kolmogorov and Smirnov of sorted numbers: the largest distance of the two
/// empirical distributions, and its p-value by the limit `2 Σ (−1)^(k−1) exp(−2 k² λ²)` with
/// `λ = D √(n m / (n + m))`, as in N. Smirnov, *Table for estimating the goodness of fit of empirical
/// distributions* (1948). The limit is close from some dozens of values on each side.
pub fn kolmogorov_smirnov(reference: &[f64], data: &[f64]) -> (f64, f64) {
    let (n, m) = (float(reference.len() as u64), float(data.len() as u64));
    let (mut i, mut j, mut largest) = (0, 0, 0.0_f64);
    while i < reference.len() && j < data.len() {
        let value = reference[i].min(data[j]);
        i += reference[i..].partition_point(|other| *other <= value);
        j += data[j..].partition_point(|other| *other <= value);
        largest = largest.max((float(i as u64) / n - float(j as u64) / m).abs());
    }
    (largest, kolmogorov(largest * (n * m / (n + m)).sqrt()))
}

/// The probability that Kolmogorov's distribution is above λ. Where the alternating sum converges
/// slowly, the equal sum `1 − √(2π)/λ · Σ exp(−(2k−1)² π² / (8 λ²))` is taken.
fn kolmogorov(lambda: f64) -> f64 {
    use std::f64::consts::PI;
    if lambda <= 0.0 {
        return 1.0;
    }
    if lambda < 1.0 {
        let factor = -PI * PI / (8.0 * lambda * lambda);
        let sum: f64 = (1..=20)
            .map(|k| (f64::from(2 * k - 1).powi(2) * factor).exp())
            .sum();
        return (1.0 - (2.0 * PI).sqrt() / lambda * sum).clamp(0.0, 1.0);
    }
    let term = |k: i32| {
        let sign = if k % 2 == 1 { 2.0 } else { -2.0 };
        sign * (-2.0 * f64::from(k * k) * lambda * lambda).exp()
    };
    (1..=20).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// The first Wasserstein distance of sorted numbers, the area between the two empirical distributions,
/// as in C. Villani, *Optimal Transport* (2009), remark 6.5, divided by the standard deviation of the
/// reference. None where that is zero.
pub fn normalized_wasserstein(reference: &[f64], data: &[f64]) -> Option<f64> {
    let (n, m) = (float(reference.len() as u64), float(data.len() as u64));
    let mean = reference.iter().sum::<f64>() / n;
    let variance = reference
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / n;
    if variance <= 0.0 {
        return None;
    }
    let (mut i, mut j, mut area) = (0, 0, 0.0);
    let mut before = reference[0].min(data[0]);
    while i < reference.len() || j < data.len() {
        let at = |values: &[f64], nth: usize| values.get(nth).copied().unwrap_or(f64::INFINITY);
        let value = at(reference, i).min(at(data, j));
        let distance = (float(i as u64) / n - float(j as u64) / m).abs();
        area += distance * (value - before);
        before = value;
        i += reference[i..].partition_point(|other| *other <= value);
        j += data[j..].partition_point(|other| *other <= value);
    }
    Some(area / variance.sqrt())
}

/// Pearson's test of whether two samples of categories are of one distribution: the statistic
/// `Σ (observed − expected)² / expected` over the table of two rows, its degrees of freedom, and the
/// p-value, as in K. Pearson, *On the probability that two independent distributions of frequency are
/// really samples from the same population* (1911).
pub fn chi_squared(reference: &[u64], data: &[u64]) -> (f64, u32, f64) {
    let sum = |counts: &[u64]| float(counts.iter().sum());
    let (first, second) = (sum(reference), sum(data));
    let mut statistic = 0.0;
    let mut categories = 0_u32;
    for (one, other) in reference.iter().zip(data) {
        let both = float(one + other);
        if both == 0.0 {
            continue;
        }
        categories += 1;
        for (observed, whole) in [(*one, first), (*other, second)] {
            let expected = both * whole / (first + second);
            statistic += (float(observed) - expected).powi(2) / expected;
        }
    }
    let freedom = categories.saturating_sub(1);
    let p = match freedom {
        0 => 1.0,
        freedom => upper_gamma(f64::from(freedom) / 2.0, statistic / 2.0),
    };
    (statistic, freedom, p)
}

/// The regularised upper incomplete gamma function: by its series (6.5.29) or its continued fraction
/// (6.5.31) in M. Abramowitz and I. Stegun, *Handbook of Mathematical Functions* (1964), the fraction by
/// W. Lentz's way (1976).
#[expect(clippy::many_single_char_names, reason = "as the books call them")]
fn upper_gamma(a: f64, x: f64) -> f64 {
    /// Terms at most; both converge much earlier.
    const TERMS: u32 = 100_000;
    if x <= 0.0 {
        return 1.0;
    }
    let factor = (a * x.ln() - x - libm::lgamma(a)).exp();
    if x < a + 1.0 {
        let mut term = 1.0 / a;
        let mut sum = term;
        for n in 1..TERMS {
            term *= x / (a + f64::from(n));
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        return (1.0 - sum * factor).clamp(0.0, 1.0);
    }
    let tiny = f64::MIN_POSITIVE / f64::EPSILON;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for n in 1..TERMS {
        let n = f64::from(n);
        let an = -n * (n - a);
        b += 2.0;
        let not_zero = |value: f64| if value.abs() < tiny { tiny } else { value };
        d = 1.0 / not_zero(an * d + b);
        c = not_zero(b + an / c);
        let step = d * c;
        fraction *= step;
        if (step - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    (fraction * factor).clamp(0.0, 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_of_as_many_values_and_equal_ones_together() {
        let numbers: Vec<f64> = (1..=100).map(f64::from).collect();
        let counts = Bins::of(&numbers).counts(&numbers);
        assert_eq!(counts[1..11], [10; 10]);
        assert_eq!((counts[0], counts[11], counts.len()), (0, 0, 12));
        let equal = [7.0; 9];
        assert_eq!(Bins::of(&equal).counts(&equal), [0, 9, 0]);
        assert_eq!(Bins::of(&equal).counts(&[100.0]), [0, 0, 1]);
        let few = [1.0, 2.0];
        assert_eq!(Bins::of(&few).counts(&few), [0, 1, 1, 0]);
        assert_eq!(Bins::of(&few).counts(&[0.0, 5.0, 6.0]), [1, 0, 0, 2]);
    }

    #[test]
    fn both_sums_of_kolmogorovs_distribution_meet() {
        let (below, above) = (kolmogorov(1.0 - 1e-9), kolmogorov(1.0));
        assert!((below - above).abs() < 1e-8, "{below} {above}");
        assert_eq!((kolmogorov(0.0), kolmogorov(40.0)), (1.0, 0.0));
    }
}

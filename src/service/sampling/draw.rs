//! Random numbers that depend on nothing but a seed and what they are for.

use blake3::{Hasher, OutputReader};

/// An endless row of numbers.
pub struct Draws(OutputReader);

impl Draws {
    /// The numbers of one trial.
    pub fn of(seed: u64, trial: u64) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(b"sweep trial");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&trial.to_le_bytes());
        Self(hasher.finalize_xof())
    }

    /// The next number, above 0 and below 1.
    pub fn unit(&mut self) -> f64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        // As many bits as such a number holds.
        let number = (u64::from_le_bytes(bytes) >> 11) as f64;
        (number + 0.5) / (1u64 << 53) as f64
    }
}

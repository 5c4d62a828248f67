//! Search spaces and how they are searched: which values a sweep tries next, and which trials it gives
//! up. Pure: the same seed and the same results give the same answers.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of trials and values are small"
)]

mod draw;
mod normal;
mod number;
mod policy;
mod sampler;
mod sobol;
mod space;
#[cfg(test)]
mod tests;
mod tpe;

pub use number::text;
pub use policy::{Logged, Policy};
pub use sampler::{Algorithm, Sampler, Trial};
pub use space::{Dimension, Space};

/// Which values of a metric are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    Minimize,
    Maximize,
}

impl Goal {
    /// The value turned so that less is better; what is no number is worst.
    pub fn loss(self, value: f64) -> f64 {
        match self {
            _ if value.is_nan() => f64::INFINITY,
            Goal::Minimize => value,
            Goal::Maximize => -value,
        }
    }

    /// Whether one value is better than another.
    pub fn is_better(self, value: f64, than: f64) -> bool {
        self.loss(value) < self.loss(than)
    }
}

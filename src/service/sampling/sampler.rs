//! Which point of a search space is tried next.

use serde_json::Value;

use super::{Goal, Space, draw::Draws, sobol, tpe};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Random,
    /// Random, but evenly spread.
    Sobol,
    /// Every point once.
    Grid,
    /// Where earlier trials make it likely to be good: [`tpe`].
    Bayesian,
}

/// Chooses trials. The n-th depends on the seed alone, or with Bayesian sampling on the seed and what
/// is known of the others by then.
#[derive(Debug, Clone)]
pub struct Sampler {
    pub space: Space,
    pub algorithm: Algorithm,
    pub goal: Goal,
    pub seed: u64,
}

/// What is known of a trial.
#[derive(Debug, Clone)]
pub struct Trial {
    pub values: Vec<Value>,
    /// Absent while it goes on; of one that failed it is no number.
    pub metric: Option<f64>,
}

impl Sampler {
    /// How many trials there can be at most; none when there is no end of them.
    pub fn most(&self) -> Option<u64> {
        match self.algorithm {
            Algorithm::Grid => self.space.size(),
            Algorithm::Random | Algorithm::Sobol | Algorithm::Bayesian => None,
        }
    }

    /// The values of the trial of a number, which begin at 0; `known` are all trials so far. None when
    /// there is nothing more to try.
    pub fn trial(&self, number: u64, known: &[Trial]) -> Option<Vec<Value>> {
        match self.algorithm {
            Algorithm::Grid => self.space.grid_point(number),
            Algorithm::Random => Some(self.random(&mut Draws::of(self.seed, number))),
            Algorithm::Sobol => {
                let dimensions = self.space.dimensions.iter().enumerate();
                let at = dimensions
                    .map(|(nth, dimension)| dimension.at(sobol::unit(self.seed, number, nth)));
                Some(at.collect())
            }
            Algorithm::Bayesian => {
                let mut draws = Draws::of(self.seed, number);
                let proposed = tpe::propose(&self.space, self.goal, known, &mut draws);
                Some(proposed.unwrap_or_else(|| self.random(&mut draws)))
            }
        }
    }

    fn random(&self, draws: &mut Draws) -> Vec<Value> {
        let dimensions = self.space.dimensions.iter();
        dimensions
            .map(|dimension| dimension.at(draws.unit()))
            .collect()
    }
}

//! Boosted trees: the sums of their leaves, and what these become.

use super::forest::{Forest, largest, sigmoid, softmax};
use api::{Error, Result};

/// What the sums become.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Plain,
    /// Of the sum times this.
    Sigmoid(f64),
    Softmax,
    /// The number of the largest.
    Largest,
    /// One where it is above zero.
    Step,
    Exponential,
    LogExponential,
    Square,
}

#[derive(Debug)]
pub struct Boosted {
    pub forest: Forest,
    /// What each sum begins with.
    pub base: Vec<f64>,
    /// What the leaves' weights are multiplied with.
    pub scale: f64,
    pub shape: Shape,
    /// Names of the columns, as far as they are known.
    pub names: Vec<String>,
    /// Values are compared in single precision.
    pub narrow: bool,
}

impl Boosted {
    /// The model, when its trees are whole.
    pub fn checked(self) -> Result<Self> {
        if self.forest.roots.is_empty() || !self.forest.is_whole() {
            return Err(Error::invalid("The trees of the model are not whole"));
        }
        Ok(self)
    }

    /// How many numbers it answers for a row.
    pub fn width(&self) -> usize {
        match self.shape {
            Shape::Largest => 1,
            _ => self.forest.outputs,
        }
    }

    /// Scores a row and appends the answer.
    pub fn score(&self, row: &mut [f64], answers: &mut Vec<f64>) {
        if self.narrow {
            for value in row.iter_mut() {
                #[expect(clippy::cast_possible_truncation, reason = "as the model was trained")]
                let single = *value as f32;
                *value = f64::from(single);
            }
        }
        let begin = answers.len();
        answers.resize(begin + self.forest.outputs, 0.0);
        self.forest.add(row, &mut answers[begin..]);
        for (answer, base) in answers[begin..].iter_mut().zip(&self.base) {
            *answer = *answer * self.scale + base;
        }
        match self.shape {
            Shape::Plain => {}
            Shape::Softmax => softmax(&mut answers[begin..]),
            Shape::Largest => {
                let best = largest(&answers[begin..]);
                answers.truncate(begin);
                answers.push(best as f64);
            }
            shape => {
                for answer in &mut answers[begin..] {
                    *answer = shaped(shape, *answer);
                }
            }
        }
    }
}

fn shaped(shape: Shape, sum: f64) -> f64 {
    match shape {
        Shape::Sigmoid(factor) => sigmoid(factor * sum),
        Shape::Step => f64::from(u8::from(sum > 0.0)),
        Shape::Exponential => sum.exp(),
        Shape::LogExponential => sum.exp().ln_1p(),
        Shape::Square => sum.signum() * sum * sum,
        Shape::Plain | Shape::Softmax | Shape::Largest => sum,
    }
}

//! What operators of ONNX's machine learning domain make of their scores at the end.

use std::f64::consts::{PI, SQRT_2};

use tract_onnx::{pb::NodeProto, tract_hir::internal::*};

use super::forest::{sigmoid, softmax};

/// Scores nearer to zero than this count as zero where zeros stay zero.
const ZERO: f64 = 1e-7;

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Post {
    None,
    Logistic,
    Softmax,
    /// Shares of one in which zeros stay zero.
    SoftmaxZero,
    /// The deviation of a normal distribution below which so much of it is.
    Probit,
}

impl Post {
    /// What an operator asks for.
    pub fn of(node: &NodeProto) -> TractResult<Self> {
        Ok(
            match node.get_attr_opt("post_transform")?.unwrap_or("NONE") {
                "NONE" => Self::None,
                "LOGISTIC" => Self::Logistic,
                "SOFTMAX" => Self::Softmax,
                "SOFTMAX_ZERO" => Self::SoftmaxZero,
                "PROBIT" => Self::Probit,
                other => bail!("the post_transform {other} is not known"),
            },
        )
    }

    /// Changes the scores of a row.
    pub fn apply(self, values: &mut [f64]) {
        match self {
            Self::None => {}
            Self::Logistic => values.iter_mut().for_each(|value| *value = sigmoid(*value)),
            Self::Softmax => softmax(values),
            Self::SoftmaxZero => softmax_of_others(values),
            Self::Probit => values.iter_mut().for_each(|value| *value = probit(*value)),
        }
    }
}

fn softmax_of_others(values: &mut [f64]) {
    let is_zero = |value: &f64| value.abs() <= ZERO;
    let mut others: Vec<f64> = values.iter().copied().filter(|v| !is_zero(v)).collect();
    softmax(&mut others);
    let mut others = others.into_iter();
    for value in values {
        *value = if is_zero(value) {
            0.0
        } else {
            others.next().unwrap_or_default()
        };
    }
}

/// By the approximation of the inverse error function that ONNX's reference and its runtime share, so
/// that the same model answers the same.
fn probit(share: f64) -> f64 {
    const A: f64 = 0.147;
    let x = 2.0 * share - 1.0;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (PI * A) + log / 2.0;
    SQRT_2 * ((half * half - log / A).sqrt() - half).sqrt().copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied<const N: usize>(post: Post, mut values: [f64; N]) -> [f64; N] {
        post.apply(&mut values);
        values
    }

    #[test]
    fn scores_become_what_is_asked_for() {
        let near = |found: &[f64], expected: &[f64]| {
            let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f64::max) < 1e-6, "{found:?}");
        };
        let rows = [1.0, 0.0, -2.0];
        near(&applied(Post::None, rows), &rows);
        near(
            &applied(Post::Logistic, rows),
            &[0.731_058_6, 0.5, 0.119_202_9],
        );
        near(
            &applied(Post::Softmax, rows),
            &[0.705_384_5, 0.259_496_5, 0.035_119_0],
        );
        near(
            &applied(Post::SoftmaxZero, rows),
            &[0.952_574_1, 0.0, 0.047_425_9],
        );
        near(&applied(Post::SoftmaxZero, [0.0, 0.0]), &[0.0, 0.0]);
        // The true values are -1.281552, 0 and 1.959964; so near is the approximation.
        let found = applied(Post::Probit, [0.1, 0.5, 0.975]);
        for (found, expected) in found.iter().zip([-1.281_552, 0.0, 1.959_964]) {
            assert!((found - expected).abs() < 5e-3, "{found}");
        }
    }
}

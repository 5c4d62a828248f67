//! Bayesian sampling by tree-structured Parzen estimators.
//!
//! The trials so far are split into the best and the others. A density is laid over each of the two; new
//! points are drawn from that of the best, and the one is tried for which it is largest compared with
//! that of the others. The densities are over all dimensions together, so what belongs together is found.
//! Trials that go on count among the others, so that several at once try different things.
//!
//! J. Bergstra, R. Bardenet, Y. Bengio, B. Kégl: Algorithms for Hyper-Parameter Optimization. Advances in
//! Neural Information Processing Systems 24 (2011). S. Falkner, A. Klein, F. Hutter: BOHB. ICML 2018 (one
//! density over all dimensions). S. Watanabe: Tree-Structured Parzen Estimator: Understanding Its Algorithm
//! Components and Their Roles for Better Empirical Performance. arXiv:2304.11127 (2023).

use serde_json::Value;

use super::{Goal, Space, Trial, draw::Draws, normal};

/// Trials that are random before any density is laid.
const FIRST: usize = 10;
/// The part of the trials that is best, and how many that are at most.
const BEST: f64 = 0.1;
const MOST_BEST: usize = 25;
/// Points that are drawn for each trial.
const DRAWN: usize = 64;
/// How wide the kernel of a single trial is, of a dimension's whole width.
const WIDTH: f64 = 0.2;

/// A point to try; none while too little is known.
pub fn propose(
    space: &Space,
    goal: Goal,
    known: &[Trial],
    draws: &mut Draws,
) -> Option<Vec<Value>> {
    let units = |trial: &Trial| {
        let pairs = space.dimensions.iter().zip(&trial.values);
        pairs
            .map(|(dimension, value)| dimension.unit_of(value))
            .collect::<Vec<_>>()
    };
    let mut ended: Vec<(f64, Vec<f64>)> = known
        .iter()
        .filter_map(|trial| Some((goal.loss(trial.metric?), units(trial))))
        .collect();
    if ended.len() < FIRST {
        return None;
    }
    ended.sort_by(|a, b| a.0.total_cmp(&b.0));
    let best = ((BEST * ended.len() as f64).ceil() as usize).min(MOST_BEST);
    let mut points: Vec<Vec<f64>> = ended.into_iter().map(|(_, units)| units).collect();
    let mut others = points.split_off(best);
    let going_on = known.iter().filter(|trial| trial.metric.is_none());
    others.extend(going_on.map(units));
    let (good, bad) = (Density::over(space, points), Density::over(space, others));
    let candidates = (0..DRAWN).map(|_| {
        let drawn = good.draw(draws);
        let pairs = space.dimensions.iter().zip(&drawn);
        let values: Vec<Value> = pairs.map(|(dimension, unit)| dimension.at(*unit)).collect();
        let pairs = space.dimensions.iter().zip(&values);
        let units: Vec<f64> = pairs
            .map(|(dimension, value)| dimension.unit_of(value))
            .collect();
        let tried = known.iter().any(|trial| trial.values == values);
        let score = good.log_at(&units) - bad.log_at(&units);
        // What was tried is known; it is tried again only when nothing else is drawn.
        (!tried, score, values)
    });
    let best = candidates.reduce(|best, next| {
        let is_better = match next.0.cmp(&best.0) {
            std::cmp::Ordering::Equal => next.1 > best.1,
            order => order.is_gt(),
        };
        if is_better { next } else { best }
    });
    let (is_new, _, values) = best?;
    is_new.then_some(values)
}

/// A mixture of one kernel for each point and one that is the same everywhere.
struct Density {
    points: Vec<Vec<f64>>,
    /// How many values a dimension without order has.
    choices: Vec<Option<f64>>,
    width: f64,
}

impl Density {
    fn over(space: &Space, points: Vec<Vec<f64>>) -> Self {
        let choices = space.dimensions.iter().map(|dimension| {
            let size = dimension.size().filter(|_| dimension.is_choice());
            size.map(|size| size as f64)
        });
        let choices: Vec<_> = choices.collect();
        let count = points.len() as f64;
        let narrowest = 1.0 / (count + 1.0).min(100.0);
        // Scott's rule: more points, narrower kernels.
        let width = WIDTH * count.max(1.0).powf(-1.0 / (choices.len() as f64 + 4.0));
        Self {
            width: width.clamp(narrowest.min(WIDTH), 1.0),
            points,
            choices,
        }
    }

    fn draw(&self, draws: &mut Draws) -> Vec<f64> {
        let nth = (draws.unit() * (self.points.len() + 1) as f64) as usize;
        let point = self.points.get(nth);
        let dimensions = self.choices.iter().enumerate();
        dimensions
            .map(|(dimension, choices)| {
                let unit = draws.unit();
                match (point, choices) {
                    (None, _) => unit,
                    (Some(point), Some(_)) => {
                        let other = draws.unit();
                        if unit < self.width {
                            other
                        } else {
                            point[dimension]
                        }
                    }
                    (Some(point), None) => {
                        let (low, high) = self.cut(point[dimension]);
                        let drawn = normal::quantile(low + unit * (high - low));
                        (point[dimension] + self.width * drawn).clamp(0.0, 1.0)
                    }
                }
            })
            .collect()
    }

    /// The part of a kernel that is below 0 and below 1.
    fn cut(&self, mean: f64) -> (f64, f64) {
        let below = |bound: f64| normal::cdf((bound - mean) / self.width);
        (below(0.0), below(1.0))
    }

    fn log_at(&self, at: &[f64]) -> f64 {
        let logs = self.points.iter().map(|point| {
            let dimensions = self.choices.iter().enumerate();
            let kernel = |(nth, choices): (usize, &Option<f64>)| match choices {
                Some(count) => {
                    let same = (at[nth] - point[nth]).abs() < 0.5 / count;
                    let other = self.width / count;
                    if same {
                        (1.0 - self.width + other).ln()
                    } else {
                        other.ln()
                    }
                }
                None => {
                    let (low, high) = self.cut(point[nth]);
                    let away = (at[nth] - point[nth]) / self.width;
                    -0.5 * away * away - (self.width * (high - low)).ln() - LOG_ROOT_TWO_PI
                }
            };
            dimensions.map(kernel).sum::<f64>()
        });
        // The kernel that is the same everywhere; values without order have a share each.
        let even = self.choices.iter().flatten().map(|count| -count.ln());
        let logs: Vec<f64> = logs.chain([even.sum()]).collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
        largest + sum.ln() - (logs.len() as f64).ln()
    }
}

const LOG_ROOT_TWO_PI: f64 = 0.918_938_533_204_672_8;

//! Which trials are given up before they end.
//!
//! A trial is looked at whenever it has logged the metric often enough: every `interval` values, from
//! the `delay`-th on. Then it is compared with what the others had logged by as many values.

use super::Goal;
use spec::kinds::sweep::EarlyTermination;

#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    rule: Rule,
    interval: usize,
    delay: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum Rule {
    /// Worse than the best by more than this part of it, or by more than this.
    Bandit { factor: f64, amount: f64 },
    /// Its best is worse than the median of the others' means.
    Median,
    /// Among the worst of every hundred.
    Truncation { percent: f64 },
}

impl Policy {
    /// What was written, of which the numbers were looked at.
    pub fn of(written: &EarlyTermination) -> Self {
        let (rule, interval, delay) = match written {
            EarlyTermination::Bandit(bandit) => {
                let rule = Rule::Bandit {
                    factor: bandit.slack_factor.unwrap_or_default(),
                    amount: bandit.slack_amount.unwrap_or_default(),
                };
                (rule, bandit.evaluation_interval, bandit.delay_evaluation)
            }
            EarlyTermination::Median(median) => (
                Rule::Median,
                median.evaluation_interval,
                median.delay_evaluation,
            ),
            EarlyTermination::Truncation(truncation) => {
                let rule = Rule::Truncation {
                    percent: truncation.truncation_percentage as f64,
                };
                (
                    rule,
                    truncation.evaluation_interval,
                    truncation.delay_evaluation,
                )
            }
        };
        let count = |value: Option<i64>| value.unwrap_or_default() as usize;
        Self {
            rule,
            interval: count(interval).max(1),
            delay: count(delay),
        }
    }

    /// Whether a trial is given up at one of the values it has logged after the first `looked_at`;
    /// `others` are the values of all other trials, however they ended.
    pub fn gives_up(
        &self,
        trial: &Logged,
        looked_at: usize,
        others: &[&Logged],
        goal: Goal,
    ) -> bool {
        (looked_at + 1..=trial.size())
            .filter(|count| count % self.interval == 0 && *count >= self.delay)
            .any(|count| self.gives_up_at(count, trial, others, goal))
    }

    fn gives_up_at(&self, count: usize, trial: &Logged, others: &[&Logged], goal: Goal) -> bool {
        let own = trial.best(count);
        let so_far = others.iter().filter(|other| other.size() >= count);
        match self.rule {
            Rule::Bandit { factor, amount } => {
                // One that has logged less counts with what it has.
                let others = others.iter().map(|other| other.best(count));
                let best = others.fold(own, f64::min);
                // Of a loss that is a gain turned round, a part is `gain - gain / (1 + factor)`.
                let part = match goal {
                    Goal::Minimize => best.abs() * factor,
                    Goal::Maximize => best.abs() * (factor / (1.0 + factor)),
                };
                best.is_finite() && own > best + part + amount
            }
            Rule::Median => {
                let mut means: Vec<f64> = so_far.filter_map(|other| other.mean(count)).collect();
                means.sort_by(f64::total_cmp);
                median(&means).is_some_and(|median| own > median)
            }
            Rule::Truncation { percent } => {
                let others: Vec<f64> = so_far.map(|other| other.best(count)).collect();
                let all = others.len() + 1;
                let dropped = (percent / 100.0 * all as f64).floor() as usize;
                let better = others.iter().filter(|other| **other < own).count();
                better >= all - dropped
            }
        }
    }
}

/// What a trial has logged, in order: for each number of values the best of them and their sum, so that
/// a comparison costs the same however many there are. All are losses, of which less is better.
#[derive(Debug, Clone, Default)]
pub struct Logged {
    best: Vec<f64>,
    sums: Vec<f64>,
}

impl Logged {
    /// How many values there are.
    pub fn size(&self) -> usize {
        self.best.len()
    }

    pub fn push(&mut self, loss: f64) {
        let best = self.best.last().map_or(loss, |best| best.min(loss));
        self.best.push(best);
        self.sums.push(self.sums.last().unwrap_or(&0.0) + loss);
    }

    /// The best of the first `count` values, or of all when there are fewer.
    fn best(&self, count: usize) -> f64 {
        let last = count.min(self.size()).checked_sub(1);
        let best = last.and_then(|last| self.best.get(last));
        best.copied().unwrap_or(f64::INFINITY)
    }

    fn mean(&self, count: usize) -> Option<f64> {
        let sum = self.sums.get(count.checked_sub(1)?)?;
        Some(sum / count as f64)
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        count if count % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

//! Samplers and policies: bounds, evenness, reproducibility, and that Bayesian sampling learns.

#![allow(
    clippy::needless_pass_by_value,
    reason = "what is written in place is given away"
)]

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Algorithm, Goal, Logged, Policy, Sampler, Space, Trial, draw::Draws, normal, number::text,
    sobol,
};
use api::Result;
use spec::{
    described::Map,
    kinds::sweep::{EarlyTermination, SearchSpace},
    shape::Described as _,
};

fn space(written: Value) -> Result<Space> {
    let written = Map::<SearchSpace>::read(Some(&written)).unwrap();
    Space::read(&written, std::f64::consts::E)
}

fn sampler(written: Value, algorithm: Algorithm) -> Sampler {
    Sampler {
        space: space(written).unwrap(),
        algorithm,
        goal: Goal::Minimize,
        seed: 7,
    }
}

fn everything() -> Value {
    json!({
        "choice": {"type": "choice", "values": ["a", 1, 0.5, true]},
        "randint": {"type": "randint", "upper": 5},
        "uniform": {"type": "uniform", "min_value": -1, "max_value": 3},
        "loguniform": {"type": "loguniform", "min_value": -5, "max_value": 1},
        "quniform": {"type": "quniform", "min_value": 0.1, "max_value": 1, "q": 0.3},
        "qloguniform": {"type": "qloguniform", "min_value": 0, "max_value": 4, "q": 5},
        "normal": {"type": "normal", "mu": 2, "sigma": 0.5},
        "lognormal": {"type": "lognormal", "mu": 0, "sigma": 1},
        "qnormal": {"type": "qnormal", "mu": 0, "sigma": 10, "q": 4},
        "qlognormal": {"type": "qlognormal", "mu": 1, "sigma": 1, "q": 0.25},
    })
}

#[test]
fn quantiles_are_those_of_the_normal_distribution() {
    let known = [
        (1e-300, -37.047_096_299_361_2),
        (1e-12, -7.034_483_825_301_132),
        (1e-5, -4.264_890_793_922_825_6),
        (0.01, -2.326_347_874_040_840_8),
        (0.075, -1.439_531_470_938_455_7),
        (0.2, -0.841_621_233_572_914_2),
        (0.5, 0.0),
        (0.9, 1.281_551_565_544_600_8),
        (0.999_99, 4.264_890_793_923_84),
    ];
    for (p, x) in known {
        assert!(
            (normal::quantile(p) - x).abs() < 1e-12 * f64::max(1.0, x.abs()),
            "{p}"
        );
        let back = normal::cdf(normal::quantile(p));
        assert!((back / p - 1.0).abs() < 1e-9, "{p} {back}");
    }
}

#[test]
fn values_are_within_their_bounds_and_spread_as_they_should() {
    for algorithm in [Algorithm::Random, Algorithm::Sobol] {
        let sampler = sampler(everything(), algorithm);
        let count = 4096;
        let mut sums = [0.0; 10];
        let mut seen: Vec<BTreeSet<String>> = vec![BTreeSet::new(); 10];
        for number in 0..count {
            let values = sampler.trial(number, &[]).unwrap();
            for (nth, value) in values.iter().enumerate() {
                sums[nth] += value.as_f64().unwrap_or_default();
                seen[nth].insert(text(value));
                // A value is found again at its place.
                let dimension = &sampler.space.dimensions[nth];
                let again = dimension.at(dimension.unit_of(value));
                let (a, b) = (again.as_f64(), value.as_f64());
                let same = a
                    .zip(b)
                    .is_some_and(|(a, b)| (a - b).abs() <= 1e-9 * b.abs());
                assert!(
                    same || again == *value,
                    "{}: {again}, {value}",
                    dimension.name
                );
            }
            let number = |nth: usize| values[nth].as_f64().unwrap();
            assert!((-1.0..=3.0).contains(&number(2)));
            assert!(((-5f64).exp()..=1f64.exp()).contains(&number(3)));
            assert!(number(7) > 0.0);
            assert!((number(8) / 4.0).fract() == 0.0 && values[8].is_i64());
            assert!((number(9) * 4.0).fract() == 0.0);
        }
        let few = |nth: usize| seen[nth].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(few(0), ["0.5", "1", "True", "a"]);
        assert_eq!(few(1), ["0", "1", "2", "3", "4"]);
        assert_eq!(few(4), ["0.3", "0.6", "0.9"]);
        assert_eq!(
            few(5),
            ["10", "15", "20", "25", "30", "35", "40", "45", "5", "50"]
        );
        let mean = |nth: usize| sums[nth] / count as f64;
        assert!((mean(1) - 2.0).abs() < 0.1);
        assert!((mean(2) - 1.0).abs() < 0.1);
        assert!((mean(6) - 2.0).abs() < 0.05);
        assert!((mean(7) - 0.5f64.exp()).abs() < 0.15);
    }
}

#[test]
fn the_same_seed_gives_the_same_trials_whatever_came_before() {
    for algorithm in [Algorithm::Random, Algorithm::Sobol] {
        let one = sampler(everything(), algorithm);
        let other = Sampler {
            seed: 8,
            ..one.clone()
        };
        for number in [5, 0, 3] {
            assert_eq!(one.trial(number, &[]), one.trial(number, &[]));
            assert_ne!(one.trial(number, &[]), other.trial(number, &[]));
            assert_ne!(one.trial(number, &[]), one.trial(number + 1, &[]));
        }
    }
}

#[test]
fn sobol_points_fill_every_part_of_every_dimension() {
    for dimension in 0..40 {
        for seed in 0..3 {
            let parts: BTreeSet<u64> = (0..64)
                .map(|point| (sobol::unit(seed, point, dimension) * 64.0) as u64)
                .collect();
            assert_eq!(parts.len(), 64, "dimension {dimension}");
        }
    }
}

#[test]
fn a_grid_has_every_point_once() {
    let written = json!({
        "a": {"type": "choice", "values": [1, 2, 3]},
        "b": {"type": "randint", "upper": 2},
        "c": {"type": "quniform", "min_value": 0, "max_value": 1, "q": 0.5},
    });
    let grid = sampler(written, Algorithm::Grid);
    assert_eq!(grid.most(), Some(18));
    let points: Vec<_> = (0..18)
        .map(|number| grid.trial(number, &[]).unwrap())
        .collect();
    assert_eq!(points[0], [json!(1), json!(0), json!(0.0)]);
    assert_eq!(points[1], [json!(1), json!(0), json!(0.5)]);
    assert_eq!(points[17], [json!(3), json!(1), json!(1.0)]);
    let all: BTreeSet<String> = points.iter().map(|point| format!("{point:?}")).collect();
    assert_eq!(all.len(), 18);
    assert_eq!(grid.trial(18, &[]), None);
    let endless = space(json!({"x": {"type": "uniform", "min_value": 0, "max_value": 1}}));
    let error = endless.unwrap().check_grid().unwrap_err();
    assert_eq!(error.target.as_deref(), Some("search_space.x"));
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let wrong = [
        (json!({}), "nothing to try"),
        (
            json!({"x": {"type": "choice", "values": []}}),
            "nothing to choose from",
        ),
        (json!({"x": {"type": "randint", "upper": 0}}), "no integer"),
        (
            json!({"x": {"type": "uniform", "min_value": 2, "max_value": 1}}),
            "no number from 2 to 1",
        ),
        (
            json!({"x": {"type": "quniform", "min_value": 1, "max_value": 2, "q": 0}}),
            "above 0",
        ),
        (
            json!({"x": {"type": "quniform", "min_value": 1, "max_value": 2, "q": 5}}),
            "no multiple of 5",
        ),
        (
            json!({"x": {"type": "normal", "mu": 1, "sigma": 0}}),
            "`sigma`",
        ),
        (
            json!({"x": {"type": "loguniform", "min_value": 1, "max_value": 1000}}),
            "too large",
        ),
    ];
    for (written, message) in wrong {
        let error = space(written).unwrap_err();
        assert!(error.message.contains(message), "{error}");
    }
}

/// The best of some trials of a function.
fn best_of(sampler: &Sampler, trials: u64, function: impl Fn(&[Value]) -> f64) -> f64 {
    let mut known = Vec::new();
    for number in 0..trials {
        let values = sampler.trial(number, &known).unwrap();
        let metric = Some(function(&values));
        known.push(Trial { values, metric });
    }
    let metrics = known.iter().filter_map(|trial| trial.metric);
    metrics.fold(f64::INFINITY, f64::min)
}

#[test]
fn bayesian_sampling_finds_what_random_sampling_does_not() {
    let written = json!({
        "x": {"type": "uniform", "min_value": -5, "max_value": 5},
        "y": {"type": "loguniform", "min_value": -9, "max_value": 0},
        "kind": {"type": "choice", "values": ["a", "b", "c", "d"]},
    });
    let function = |values: &[Value]| {
        let number = |nth: usize| values[nth].as_f64().unwrap();
        let kind = if values[2] == "c" { 0.0 } else { 3.0 };
        (number(0) - 1.5).powi(2) + (number(1).ln() + 4.0).powi(2) + kind
    };
    let mean = |algorithm: Algorithm| {
        let best = (0..10).map(|seed| {
            let sampler = Sampler {
                seed,
                ..sampler(written.clone(), algorithm)
            };
            best_of(&sampler, 60, function)
        });
        best.sum::<f64>() / 10.0
    };
    let (bayesian, random) = (mean(Algorithm::Bayesian), mean(Algorithm::Random));
    assert!(bayesian < random / 4.0, "{bayesian} against {random}");
}

#[test]
fn bayesian_sampling_spreads_trials_that_run_at_once_and_ends_what_is_finite() {
    let mut bayesian = sampler(everything(), Algorithm::Bayesian);
    bayesian.goal = Goal::Maximize;
    let mut known: Vec<Trial> = (0..12)
        .map(|number| Trial {
            values: bayesian.trial(number, &[]).unwrap(),
            metric: Some(if number == 3 { f64::NAN } else { number as f64 }),
        })
        .collect();
    let mut at_once = BTreeSet::new();
    for number in 12..20 {
        let values = bayesian.trial(number, &known).unwrap();
        assert_eq!(bayesian.trial(number, &known).as_ref(), Some(&values));
        at_once.insert(format!("{values:?}"));
        known.push(Trial {
            values,
            metric: None,
        });
    }
    assert_eq!(at_once.len(), 8);
    let few = json!({"a": {"type": "randint", "upper": 20}});
    let sampler = sampler(few, Algorithm::Bayesian);
    let best = best_of(&sampler, 40, |values| -values[0].as_f64().unwrap());
    assert!((best + 19.0).abs() < 1e-9);
}

#[test]
fn draws_are_even() {
    let mut draws = Draws::of(1, 2);
    let mean = (0..10_000).map(|_| draws.unit()).sum::<f64>() / 10_000.0;
    assert!((mean - 0.5).abs() < 0.01);
}

#[test]
fn numbers_are_written_as_python_writes_them() {
    let shown = [
        (json!(0.1), "0.1"),
        (json!(1.0), "1.0"),
        (json!(3), "3"),
        (json!(1e-5), "1e-05"),
        (json!(1.25e-7), "1.25e-07"),
        (json!(0.0001), "0.0001"),
        (json!(1e16), "1e+16"),
        (json!(123_456_789_012_345.0), "123456789012345.0"),
        (json!(true), "True"),
        (json!("a b"), "a b"),
    ];
    for (value, expected) in shown {
        assert_eq!(text(&value), expected);
    }
}

/// Whether a trial with these values is given up beside others with those.
fn gives_up(
    policy: &Policy,
    goal: Goal,
    trial: &[f64],
    looked_at: usize,
    others: &[&[f64]],
) -> bool {
    let logged = |values: &[f64]| {
        let mut logged = Logged::default();
        for value in values {
            logged.push(goal.loss(*value));
        }
        logged
    };
    let others: Vec<Logged> = others.iter().map(|values| logged(values)).collect();
    let others: Vec<&Logged> = others.iter().collect();
    policy.gives_up(&logged(trial), looked_at, &others, goal)
}

fn policy(written: Value) -> Policy {
    Policy::of(&EarlyTermination::read(Some(&written)).unwrap())
}

#[test]
fn a_bandit_gives_up_what_is_far_from_the_best() {
    let factor = policy(json!({"type": "bandit", "slack_factor": 0.2}));
    let others: [&[f64]; 2] = [&[0.1, 0.8], &[0.5]];
    // 0.8 / 1.2 is 0.667.
    assert!(gives_up(&factor, Goal::Maximize, &[0.3, 0.66], 1, &others));
    assert!(!gives_up(&factor, Goal::Maximize, &[0.3, 0.67], 1, &others));
    // What was looked at before is not looked at again.
    assert!(gives_up(&factor, Goal::Maximize, &[0.3, 0.67], 0, &others));
    let amount = json!({"type": "bandit", "slack_amount": 1, "evaluation_interval": 2, "delay_evaluation": 3});
    let amount = policy(amount);
    let best: [&[f64]; 1] = [&[0.0; 9]];
    assert!(!gives_up(&amount, Goal::Minimize, &[5.0; 3], 0, &best));
    assert!(gives_up(&amount, Goal::Minimize, &[5.0; 4], 0, &best));
    assert!(!gives_up(&amount, Goal::Minimize, &[5.0; 5], 4, &best));
    assert!(!gives_up(
        &amount,
        Goal::Minimize,
        &[5.0, 5.0, 1.0, 9.0],
        0,
        &best
    ));
    assert!(!gives_up(&amount, Goal::Minimize, &[5.0; 4], 0, &[]));
}

#[test]
fn the_median_and_the_worst_are_given_up() {
    let median = policy(json!({"type": "median_stopping"}));
    let others: [&[f64]; 3] = [&[1.0, 3.0], &[2.0, 4.0], &[9.0, 9.0]];
    // The means are 2, 3 and 9.
    assert!(gives_up(&median, Goal::Minimize, &[4.0, 3.5], 1, &others));
    assert!(!gives_up(&median, Goal::Minimize, &[4.0, 3.0], 1, &others));
    assert!(!gives_up(
        &median,
        Goal::Minimize,
        &[4.0, 5.0, 6.0],
        2,
        &others
    ));
    let worst = policy(json!({"type": "truncation_selection", "truncation_percentage": 50}));
    assert!(gives_up(&worst, Goal::Minimize, &[4.0], 0, &others));
    assert!(!gives_up(&worst, Goal::Minimize, &[1.5], 0, &others));
    assert!(
        !gives_up(&worst, Goal::Minimize, &[4.0], 0, &[]),
        "the only one goes on"
    );
}

//! Samplers on standard test functions: prints, as JSON, the best value that each found by some number of
//! trials, for every seed. `benches/sampling.py` puts it beside Optuna.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::many_single_char_names,
    reason = "formulas as they are written"
)]

use std::f64::consts::{E, PI};

use serde_json::{Value, json};
use service::sampling::{Algorithm, Goal, Sampler, Space, Trial};
use spec::{described::Map, kinds::sweep::SearchSpace, shape::Described};

const TRIALS: u64 = 100;
const SEEDS: u64 = 20;

type Function = fn(&[f64]) -> f64;

fn branin(x: &[f64]) -> f64 {
    let (b, c, t) = (5.1 / (4.0 * PI * PI), 5.0 / PI, 1.0 / (8.0 * PI));
    (x[1] - b * x[0] * x[0] + c * x[0] - 6.0).powi(2) + 10.0 * (1.0 - t) * x[0].cos() + 10.0
}

fn ackley(x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let squares = x.iter().map(|x| x * x).sum::<f64>() / n;
    let waves = x.iter().map(|x| (2.0 * PI * x).cos()).sum::<f64>() / n;
    -20.0 * (-0.2 * squares.sqrt()).exp() - waves.exp() + 20.0 + E
}

fn rosenbrock(x: &[f64]) -> f64 {
    let pairs = x.windows(2);
    pairs
        .map(|x| 100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2))
        .sum()
}

fn hartmann(x: &[f64]) -> f64 {
    const ALPHA: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [1312.0, 1696.0, 5569.0, 124.0, 8283.0, 5886.0],
        [2329.0, 4135.0, 8307.0, 3736.0, 1004.0, 9991.0],
        [2348.0, 1451.0, 3522.0, 2883.0, 3047.0, 6650.0],
        [4047.0, 8828.0, 8732.0, 5743.0, 1091.0, 381.0],
    ];
    let terms = (0..4).map(|i| {
        let inner: f64 = (0..6)
            .map(|j| A[i][j] * (x[j] - P[i][j] * 1e-4).powi(2))
            .sum();
        ALPHA[i] * (-inner).exp()
    });
    -terms.sum::<f64>()
}

/// A learning rate by its logarithm, a depth, and one of four kinds.
fn mixed(x: &[f64]) -> f64 {
    (x[0].ln() + 4.0).powi(2) + 0.1 * (x[1] - 7.0).powi(2) + [2.0, 1.0, 0.0, 3.0][x[2] as usize]
}

fn uniform(low: f64, high: f64, count: usize) -> Value {
    let dimension = json!({"type": "uniform", "min_value": low, "max_value": high});
    (0..count)
        .map(|nth| (format!("x{nth}"), dimension.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn main() {
    let functions: [(&str, Function, Value); 5] = [
        (
            "branin",
            branin,
            json!({"x0": {"type": "uniform", "min_value": -5, "max_value": 10},
                   "x1": {"type": "uniform", "min_value": 0, "max_value": 15}}),
        ),
        ("hartmann6", hartmann, uniform(0.0, 1.0, 6)),
        ("ackley5", ackley, uniform(-5.0, 5.0, 5)),
        ("rosenbrock4", rosenbrock, uniform(-2.0, 2.0, 4)),
        (
            "mixed",
            mixed,
            json!({"x0": {"type": "loguniform", "min_value": -9, "max_value": 0},
                   "x1": {"type": "quniform", "min_value": 1, "max_value": 20, "q": 1},
                   "x2": {"type": "choice", "values": [0, 1, 2, 3]}}),
        ),
    ];
    let algorithms = [
        ("aml random", Algorithm::Random),
        ("aml sobol", Algorithm::Sobol),
        ("aml bayesian", Algorithm::Bayesian),
    ];
    let mut all = serde_json::Map::new();
    for (name, function, written) in functions {
        let written = Map::<SearchSpace>::read(Some(&written)).expect("a search space");
        let space = Space::read(&written, E).expect("a search space");
        for (sampler, algorithm) in algorithms {
            let best = (0..SEEDS).map(|seed| {
                best_of(
                    &Sampler {
                        space: space.clone(),
                        algorithm,
                        goal: Goal::Minimize,
                        seed,
                    },
                    function,
                )
            });
            all.insert(format!("{name}/{sampler}"), json!(best.collect::<Vec<_>>()));
        }
    }
    #[expect(clippy::print_stdout, reason = "it is what this program is for")]
    {
        println!("{}", Value::Object(all));
    }
}

fn best_of(sampler: &Sampler, function: Function) -> f64 {
    let mut known = Vec::new();
    for number in 0..TRIALS {
        let values = sampler.trial(number, &known).expect("a trial");
        let numbers: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
        let metric = Some(function(&numbers));
        known.push(Trial { values, metric });
    }
    let metrics = known.iter().filter_map(|trial| trial.metric);
    metrics.fold(f64::INFINITY, f64::min)
}

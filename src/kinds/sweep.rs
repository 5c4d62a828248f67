//! Sweeps: one command tried with many values.

use serde_json::{Map as Object, Value};

use crate::{
    declare::{choice, record, union, words},
    described::{Literal, Map},
    expression::is_open,
    graph::check_command,
    io::{JobInput, JobOutput},
    job::{Command, JobBase, QueueSettings, Resources},
    shape::{Described as _, Fault, Wrong},
};

record! {
    /// Runs one command with many values and finds the best.
    SweepJob = "sweep job" (rule: Some(check_command), in_parts: true) {
        ..base: JobBase,
        ..settings: SweepSettings,
        r#type: SweepType,
        /// The command; `${{search_space.NAME}}` in it is what varies.
        trial: Command,
        inputs: Map<JobInput>,
        outputs: Map<Option<JobOutput>>,
    }

    /// What is tried and when it ends.
    SweepSettings = "sweep" (rule: Some(check_sweep)) {
        /// The values that are tried, by name.
        search_space: Map<SearchSpace>,
        /// In which order they are tried.
        sampling_algorithm: SamplingAlgorithm = "random",
        objective: Objective,
        /// When a trial is given up.
        early_termination: Option<EarlyTermination>,
        limits: SweepLimits,
        queue_settings: Option<QueueSettings>,
        resources: Option<Resources>,
    }

    /// Which metric decides.
    Objective = "objective" {
        goal: Goal,
        /// The name of a metric that the trials log.
        primary_metric: String,
    }

    SweepLimits = "limits of a sweep" {
        /// How many trials there are.
        max_total_trials: i64,
        /// How many run at the same time.
        max_concurrent_trials: Option<i64>,
        /// Seconds for the whole sweep.
        timeout: Option<i64>,
        /// Seconds for one trial.
        trial_timeout: Option<i64>,
    }

    /// One of some values.
    ChoiceSpace = "choice" {
        r#type: ChoiceType,
        values: Vec<Value>,
    }

    /// Every number between two.
    UniformSpace = "uniform distribution" {
        r#type: UniformType,
        min_value: f64,
        max_value: f64,
    }

    /// Multiples of `q` between two numbers.
    QUniformSpace = "quantised uniform distribution" {
        r#type: QUniformType,
        min_value: f64,
        max_value: f64,
        q: f64,
    }

    NormalSpace = "normal distribution" {
        r#type: NormalType,
        mu: f64,
        sigma: f64,
    }

    QNormalSpace = "quantised normal distribution" {
        r#type: QNormalType,
        mu: f64,
        sigma: f64,
        q: f64,
    }

    /// An integer from 0 to below `upper`.
    RandintSpace = "random integer" {
        r#type: RandintType,
        upper: i64,
    }

    RandomSampling = "random sampling" {
        r#type: RandomType,
        seed: Option<i64>,
        rule: Option<RandomRule>,
        /// `e`, `10` or another base of logarithmic distributions.
        logbase: Option<Literal>,
    }

    GridSampling = "grid sampling" { r#type: GridType, }

    BayesianSampling = "Bayesian sampling" { r#type: BayesianType, }

    /// Gives up trials that are worse than the best by more than the slack.
    Bandit = "bandit policy" {
        r#type: BanditType,
        slack_factor: Option<f64>,
        slack_amount: Option<f64>,
        /// Every how many values of the metric it decides.
        evaluation_interval: Option<i64>,
        /// After how many values of the metric it decides first.
        delay_evaluation: Option<i64>,
    }

    /// Gives up trials that are worse than the median.
    MedianStopping = "median stopping policy" {
        r#type: MedianType,
        evaluation_interval: Option<i64>,
        delay_evaluation: Option<i64>,
    }

    /// Gives up the worst trials.
    TruncationSelection = "truncation selection policy" {
        r#type: TruncationType,
        truncation_percentage: i64,
        evaluation_interval: Option<i64>,
        delay_evaluation: Option<i64>,
    }
}

union! {
    /// The values that are tried.
    SearchSpace = "a search space (a mapping with a `type` such as `choice` or `uniform`)" {
        Choice(ChoiceSpace),
        Uniform(UniformSpace),
        QUniform(QUniformSpace),
        Normal(NormalSpace),
        QNormal(QNormalSpace),
        Randint(RandintSpace),
    }

    SamplingAlgorithm = "a sampling algorithm" {
        Named(SamplingName),
        Random(RandomSampling),
        Grid(GridSampling),
        Bayesian(BayesianSampling),
    }

    EarlyTermination = "an early termination policy" {
        Bandit(Bandit),
        Median(MedianStopping),
        Truncation(TruncationSelection),
    }
}

choice! {
    SamplingName = "a sampling algorithm" {
        Random = "random",
        Grid = "grid",
        Bayesian = "bayesian",
    }

    RandomRule = "a rule" {
        Random = "random",
        Sobol = "sobol",
    }

    Goal = "a goal" {
        Minimize = "minimize",
        Maximize = "maximize",
    }

    UniformType = "a type of search space" {
        Uniform = "uniform",
        LogUniform = "loguniform",
    }

    QUniformType = "a type of search space" {
        QUniform = "quniform",
        QLogUniform = "qloguniform",
    }

    NormalType = "a type of search space" {
        Normal = "normal",
        LogNormal = "lognormal",
    }

    QNormalType = "a type of search space" {
        QNormal = "qnormal",
        QLogNormal = "qlognormal",
    }
}

words! {
    SweepType = "the type of a sweep job" ["sweep"]
    ChoiceType = "a type of search space" ["choice"]
    RandintType = "a type of search space" ["randint"]
    RandomType = "a type of sampling algorithm" ["random"]
    GridType = "a type of sampling algorithm" ["grid"]
    BayesianType = "a type of sampling algorithm" ["bayesian"]
    BanditType = "a type of early termination" ["bandit"]
    MedianType = "a type of early termination" ["median_stopping"]
    TruncationType = "a type of early termination" ["truncation_selection"]
}

/// Trials of one sweep, at most.
pub const MOST_TRIALS: i64 = 10_000;

impl SearchSpace {
    /// Why there is nothing to try in it, and at which of its keys.
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let bounds = |min: f64, max: f64| {
            let good = min.is_finite() && max.is_finite() && min <= max;
            (!good).then(|| {
                (
                    "max_value",
                    format!("There is no number from {min} to {max}"),
                )
            })
        };
        let above_zero = |key: &'static str, value: f64| {
            let good = value.is_finite() && value > 0.0;
            (!good).then(|| (key, format!("`{key}` is a number above 0, not {value}")))
        };
        match self {
            Self::Choice(choice) => choice
                .values
                .is_empty()
                .then(|| ("values", "There is nothing to choose from".to_owned())),
            Self::Randint(randint) => (randint.upper < 1).then(|| {
                let upper = randint.upper;
                (
                    "upper",
                    format!("There is no integer from 0 to below {upper}"),
                )
            }),
            Self::Uniform(space) => bounds(space.min_value, space.max_value),
            Self::QUniform(space) => {
                bounds(space.min_value, space.max_value).or_else(|| above_zero("q", space.q))
            }
            Self::Normal(space) => above_zero("sigma", space.sigma),
            Self::QNormal(space) => {
                above_zero("sigma", space.sigma).or_else(|| above_zero("q", space.q))
            }
        }
    }

    /// Why there is no value where its bounds are; `base` is that of logarithmic distributions.
    pub fn out_of_reach(&self, base: f64) -> Option<(&'static str, String)> {
        let (min, max, log, step) = match self {
            Self::Uniform(space) => (
                space.min_value,
                space.max_value,
                space.r#type == UniformType::LogUniform,
                None,
            ),
            Self::QUniform(space) => (
                space.min_value,
                space.max_value,
                space.r#type == QUniformType::QLogUniform,
                Some(space.q),
            ),
            _ => return None,
        };
        let bound = |number: f64| if log { base.powf(number) } else { number };
        if !bound(max).is_finite() {
            let problem = format!(
                "{base} to the power of {max} is too large: the bounds of a logarithmic distribution are exponents"
            );
            return Some(("max_value", problem));
        }
        let step = step?;
        let (first, last) = multiples(bound(min), bound(max), step);
        (first > last).then(|| {
            (
                "q",
                format!("There is no multiple of {step} between its bounds"),
            )
        })
    }
}

/// How often `step` goes into the first and into the last of its multiples between two numbers.
pub fn multiples(min: f64, max: f64, step: f64) -> (f64, f64) {
    // 0.3 / 0.1 is a little less than 3.
    let near = |number: f64| {
        let whole = number.round();
        if (number - whole).abs() < 1e-9 * whole.abs().max(1.0) {
            whole
        } else {
            number
        }
    };
    (near(min / step).ceil(), near(max / step).floor())
}

/// The base of logarithmic distributions: `e`, or a number above 1.
pub fn log_base(written: Option<&Literal>) -> Result<f64, String> {
    let Some(written) = written else {
        return Ok(std::f64::consts::E);
    };
    let text = written.to_text();
    let base = match text.trim() {
        "e" | "E" => Some(std::f64::consts::E),
        text => text.parse().ok(),
    };
    base.filter(|base: &f64| base.is_finite() && *base > 1.0)
        .ok_or_else(|| format!("`{text}` is neither `e` nor a number above 1"))
}

/// A sweep has something to try, a metric that decides, and limits that let it begin. What is an
/// expression is known later.
pub fn check_sweep(members: &Object<String, Value>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let spaces = members.get("search_space").and_then(Value::as_object);
    if spaces.is_none_or(Object::is_empty) {
        let fault = Fault::new("The sweep has nothing to try: its search space is empty");
        let example = "search_space: {lr: {type: uniform, min_value: 0.01, max_value: 0.1}}";
        let fault = fault.hint(format!("Name what varies: {example}"));
        wrong.push(Wrong::at(["search_space"], fault));
    }
    let base = check_sampling(members, &mut wrong);
    check_policy(members, &mut wrong);
    for (name, space) in spaces.into_iter().flatten() {
        let read = SearchSpace::read(Some(space)).ok();
        let problem = |space: SearchSpace| {
            let far = || base.and_then(|base| space.out_of_reach(base));
            space.problem().or_else(far)
        };
        if let Some((key, problem)) = read.and_then(problem) {
            let path = ["search_space", name, key];
            wrong.push(Wrong::at(path, Fault::new(problem)));
        }
    }
    let within = |key: &str, inner: &str| members.get(key).and_then(|value| value.get(inner));
    let metric = within("objective", "primary_metric").and_then(Value::as_str);
    if metric.is_some_and(|metric| metric.trim().is_empty()) {
        let fault = Fault::new("The sweep has no primary metric")
            .hint("Name one that the trials log: primary_metric: accuracy");
        wrong.push(Wrong::at(["objective", "primary_metric"], fault));
    }
    for key in [
        "max_total_trials",
        "max_concurrent_trials",
        "timeout",
        "trial_timeout",
    ] {
        let most = if key.ends_with("trials") {
            MOST_TRIALS
        } else {
            i64::MAX
        };
        let limit = within("limits", key).and_then(Value::as_i64);
        if let Some(limit) = limit.filter(|limit| !(1..=most).contains(limit)) {
            let fault = match most {
                MOST_TRIALS => format!("`{limit}` is not a number from 1 to {most}"),
                _ => format!("`{limit}` is not a number of seconds above 0"),
            };
            wrong.push(Wrong::at(["limits", key], Fault::new(fault)));
        }
    }
    wrong
}

/// Checks how values are drawn; gives the base of logarithmic distributions where it is known.
fn check_sampling(members: &Object<String, Value>, wrong: &mut Vec<Wrong>) -> Option<f64> {
    let at = |key: &str| members.get("sampling_algorithm").and_then(|m| m.get(key));
    if let Some(seed) = at("seed").and_then(Value::as_i64).filter(|seed| *seed < 0) {
        let fault = Fault::new(format!("`{seed}` is no seed: it is a number from 0"));
        wrong.push(Wrong::at(["sampling_algorithm", "seed"], fault));
    }
    let written = at("logbase").unwrap_or(&Value::Null);
    if written.as_str().is_some_and(is_open) {
        return None;
    }
    let written = Literal::read(Some(written));
    let written = written.ok().filter(|written| !written.0.is_null());
    match log_base(written.as_ref()) {
        Ok(base) => Some(base),
        Err(problem) => {
            let path = ["sampling_algorithm", "logbase"];
            wrong.push(Wrong::at(path, Fault::new(problem)));
            None
        }
    }
}

/// Checks when trials are given up.
fn check_policy(members: &Object<String, Value>, wrong: &mut Vec<Wrong>) {
    let at = |key: &str| members.get("early_termination").and_then(|m| m.get(key));
    let mut refuse = |key: &str, problem: String| {
        wrong.push(Wrong::at(["early_termination", key], Fault::new(problem)));
    };
    for key in ["evaluation_interval", "delay_evaluation"] {
        if let Some(count) = at(key).and_then(Value::as_i64).filter(|count| *count < 0) {
            refuse(key, format!("`{count}` is not a number from 0"));
        }
    }
    let percent = at("truncation_percentage").and_then(Value::as_i64);
    if let Some(percent) = percent.filter(|percent| !(1..=99).contains(percent)) {
        let problem = format!("`{percent}` is not a number from 1 to 99");
        refuse("truncation_percentage", problem);
    }
    for key in ["slack_factor", "slack_amount"] {
        if let Some(slack) = at(key).and_then(Value::as_f64).filter(|slack| *slack < 0.0) {
            refuse(key, format!("`{slack}` is not a number from 0"));
        }
    }
    let bandit = at("type").and_then(Value::as_str) == Some("bandit");
    let slacks = || ["slack_factor", "slack_amount"].into_iter().filter_map(at);
    // Azure's client says both, and of the one that was not given that it is 0.
    let both = slacks().filter(|slack| slack.as_f64() != Some(0.0)).count() == 2;
    if bandit && (both || slacks().next().is_none()) {
        let problem = "A bandit policy has either a `slack_factor` or a `slack_amount`";
        refuse("slack_factor", problem.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check_sweep;
    use crate::shape::places;

    fn said(sweep: &Value) -> Vec<String> {
        places(check_sweep, sweep)
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let sweep = json!({
            "search_space": {
                "a": {"type": "quniform", "min_value": 0.1, "max_value": 0.2, "q": 0.5},
                "b": {"type": "loguniform", "min_value": 0, "max_value": 1000},
                "c": {"type": "uniform", "min_value": 3, "max_value": 1},
            },
            "sampling_algorithm": {"type": "random", "seed": -1},
            "objective": {"goal": "minimize", "primary_metric": "m"},
            "limits": {"max_total_trials": 2},
            "early_termination": {
                "type": "truncation_selection", "truncation_percentage": 150, "evaluation_interval": -1,
            },
        });
        let expected = [
            "sampling_algorithm.seed",
            "early_termination.evaluation_interval",
            "early_termination.truncation_percentage",
            "search_space.a.q",
            "search_space.b.max_value",
            "search_space.c.max_value",
        ];
        assert_eq!(said(&sweep), expected);
        let mut other = sweep.clone();
        other["sampling_algorithm"] = json!({"type": "random", "logbase": -2});
        other["early_termination"] =
            json!({"type": "bandit", "slack_factor": -0.1, "slack_amount": 1});
        let found = said(&other);
        for path in [
            "sampling_algorithm.logbase",
            "early_termination.slack_factor",
        ] {
            assert!(found.iter().any(|found| found == path), "{found:?}");
        }
        for policy in [
            json!({"type": "bandit"}),
            json!({"type": "bandit", "slack_factor": 0.1, "slack_amount": 1}),
            json!({"type": "bandit", "slack_factor": -1}),
            json!({"type": "truncation_selection", "truncation_percentage": 100}),
            json!({"type": "median_stopping", "delay_evaluation": -1}),
        ] {
            other["early_termination"] = policy;
            let found = said(&other);
            assert!(
                found.iter().any(|at| at.starts_with("early_termination.")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn what_is_known_later_or_possible_is_not_refused() {
        let sweep = json!({
            "search_space": {
                "a": {"type": "quniform", "min_value": 0.3, "max_value": 0.3, "q": 0.1},
                // Whether there is a multiple of 0.5 the base says.
                "c": {"type": "qloguniform", "min_value": 0.1, "max_value": 0.2, "q": 0.5},
                "b": {"type": "loguniform", "min_value": -6, "max_value": -1},
            },
            "sampling_algorithm": {"type": "random", "seed": 0, "logbase": "${{parent.inputs.b}}"},
            "objective": {"goal": "minimize", "primary_metric": "m"},
            "limits": {"max_total_trials": "${{parent.inputs.n}}"},
            "early_termination": {
                "type": "bandit", "slack_factor": 0, "evaluation_interval": 0, "delay_evaluation": "${{parent.inputs.n}}",
            },
        });
        assert!(said(&sweep).is_empty(), "{:?}", said(&sweep));
        for (factor, amount) in [(0.1, 0), (0.0, 1), (0.0, 0)] {
            let mut sweep = sweep.clone();
            sweep["early_termination"] =
                json!({"type": "bandit", "slack_factor": factor, "slack_amount": amount});
            assert!(said(&sweep).is_empty(), "{:?}", said(&sweep));
        }
    }
}

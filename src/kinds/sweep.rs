//! Sweeps: one command tried with many values.

use serde_json::{Map as Object, Value};

use crate::{
    declare::{choice, record, union, words},
    described::{Literal, Map},
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
}

/// A sweep has something to try, a metric that decides, and limits that let it begin. What is an
/// expression is known later.
fn check_sweep(members: &Object<String, Value>) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let spaces = members.get("search_space").and_then(Value::as_object);
    if spaces.is_none_or(Object::is_empty) {
        let fault = Fault::new("The sweep has nothing to try: its search space is empty");
        let example = "search_space: {lr: {type: uniform, min_value: 0.01, max_value: 0.1}}";
        let fault = fault.hint(format!("Name what varies: {example}"));
        wrong.push(Wrong::at(["search_space"], fault));
    }
    for (name, space) in spaces.into_iter().flatten() {
        let read = SearchSpace::read(Some(space)).ok();
        if let Some((key, problem)) = read.and_then(|space| space.problem()) {
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

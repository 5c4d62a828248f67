//! What a sweep does: read once from how it was written, and never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::sampling::{Algorithm, Goal, Policy, Sampler, Space};
use api::{Error, Result, runs::Job};
use spec::{
    kinds::sweep::{
        Goal as WrittenGoal, RandomRule, RandomSampling, SamplingAlgorithm, SamplingName,
        SweepSettings, check_sweep, log_base,
    },
    shape::Described as _,
};

/// Trials at once of a Bayesian sweep that does not say how many: all at once would know nothing of
/// each other.
const BAYESIAN_AT_ONCE: u64 = 4;
/// Keys of a sweep that are no job's.
pub const SETTINGS: [&str; 5] = [
    "search_space",
    "sampling_algorithm",
    "objective",
    "early_termination",
    "limits",
];

/// What is stored of a sweep.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// What every trial executes, with its `${{search_space.NAME}}`. Its outputs have no path where
    /// they are kept in a place of their own.
    pub job: Job,
    /// How it is searched, in the words of Azure's YAML.
    pub settings: Map<String, Value>,
    pub seed: u64,
    /// The name of the datastore of outputs that do not say another place.
    pub datastore: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// What is tried are inputs of the trial, too: it is a component.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub as_inputs: bool,
    /// What the first trials try, before the sampler chooses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first: Vec<Vec<Value>>,
    /// With this value of the metric no more is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough: Option<f64>,
    /// Nor when nothing better has been found for a while.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tires: bool,
}

/// What the settings of a sweep mean.
#[derive(Debug, Clone)]
pub struct Search {
    pub sampler: Sampler,
    pub policy: Option<Policy>,
    pub policy_name: String,
    pub metric: String,
    /// Trials in all.
    pub most: u64,
    pub at_once: u64,
    /// Seconds for the whole sweep, and for one trial.
    pub timeout: Option<u64>,
    pub trial_timeout: Option<u64>,
}

impl Search {
    /// Reads settings; `seed` counts when they do not say one.
    pub fn read(settings: &Map<String, Value>, seed: u64) -> Result<Self> {
        let written = SweepSettings::read(Some(&Value::Object(settings.clone())));
        let written = written.map_err(|mismatch| {
            Error::invalid(format!("The sweep is not understood: {mismatch}"))
        })?;
        if let Some(Value::Object(settings)) = written.write()
            && let Some(wrong) = check_sweep(&settings).into_iter().next()
        {
            return Err(wrong.into_error());
        }
        let random = match &written.sampling_algorithm {
            SamplingAlgorithm::Random(random) => Some(random),
            _ => None,
        };
        let sampler = Sampler {
            space: Space::read(&written.search_space, base_of(random)?)?,
            algorithm: algorithm(&written.sampling_algorithm),
            goal: match written.objective.goal {
                WrittenGoal::Minimize => Goal::Minimize,
                WrittenGoal::Maximize => Goal::Maximize,
            },
            seed: random
                .and_then(|random| random.seed)
                .map_or(seed, i64::cast_unsigned),
        };
        if sampler.algorithm == Algorithm::Grid {
            sampler.space.check_grid()?;
        }
        let limits = &written.limits;
        let trials = limits.max_total_trials.cast_unsigned();
        let most = sampler.most().map_or(trials, |most| most.min(trials));
        let at_once = limits.max_concurrent_trials;
        let at_once = match (at_once, sampler.algorithm) {
            (Some(at_once), _) => at_once.cast_unsigned(),
            (None, Algorithm::Bayesian) => BAYESIAN_AT_ONCE,
            (None, _) => most,
        };
        let policy = written.early_termination.as_ref();
        let policy_name = settings.get("early_termination");
        let policy_name = policy_name.and_then(|policy| policy.get("type")?.as_str());
        Ok(Self {
            policy: policy.map(Policy::of),
            policy_name: policy_name.unwrap_or_default().replace('_', " "),
            metric: written.objective.primary_metric.trim().to_owned(),
            most,
            at_once,
            timeout: limits.timeout.map(i64::cast_unsigned),
            trial_timeout: limits.trial_timeout.map(i64::cast_unsigned),
            sampler,
        })
    }
}

/// A seed for sweeps that do not say one: the same for all that ask for the same name again.
pub fn seed_of(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    let bytes = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(bytes) >> 33
}

fn algorithm(written: &SamplingAlgorithm) -> Algorithm {
    match written {
        SamplingAlgorithm::Named(SamplingName::Random) => Algorithm::Random,
        SamplingAlgorithm::Named(SamplingName::Grid) | SamplingAlgorithm::Grid(_) => {
            Algorithm::Grid
        }
        SamplingAlgorithm::Named(SamplingName::Bayesian) | SamplingAlgorithm::Bayesian(_) => {
            Algorithm::Bayesian
        }
        SamplingAlgorithm::Random(random) => match random.rule {
            Some(RandomRule::Sobol) => Algorithm::Sobol,
            Some(RandomRule::Random) | None => Algorithm::Random,
        },
    }
}

fn base_of(random: Option<&RandomSampling>) -> Result<f64> {
    let written = random.and_then(|random| random.logbase.as_ref());
    log_base(written).map_err(|problem| Error::invalid(problem).at("sampling_algorithm.logbase"))
}

//! What a sweep does: read once from how it was written, and never changed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::sampling::{Algorithm, Goal, Policy, Sampler, Space};
use api::{Error, Result, runs::Job};
use spec::{
    kinds::sweep::{
        Goal as WrittenGoal, MOST_TRIALS, RandomRule, RandomSampling, SamplingAlgorithm,
        SamplingName, SweepSettings, log_base,
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
        let metric = written.objective.primary_metric.trim().to_owned();
        if metric.is_empty() {
            let error = Error::invalid("The sweep has no primary metric");
            return Err(error.at("objective.primary_metric"));
        }
        let limits = &written.limits;
        let trials = limit(limits.max_total_trials, MOST_TRIALS, "max_total_trials")?;
        let most = sampler.most().map_or(trials, |most| most.min(trials));
        let at_once = limits.max_concurrent_trials;
        let at_once = match (at_once, sampler.algorithm) {
            (Some(at_once), _) => limit(at_once, MOST_TRIALS, "max_concurrent_trials")?,
            (None, Algorithm::Bayesian) => BAYESIAN_AT_ONCE,
            (None, _) => most,
        };
        let seconds = |value: Option<i64>, key| {
            let value = value.map(|value| limit(value, i64::MAX, key));
            value.transpose()
        };
        let policy = written.early_termination.as_ref();
        let policy_name = settings.get("early_termination");
        let policy_name = policy_name.and_then(|policy| policy.get("type")?.as_str());
        Ok(Self {
            policy: policy.map(Policy::read).transpose()?,
            policy_name: policy_name.unwrap_or_default().replace('_', " "),
            metric,
            most,
            at_once,
            timeout: seconds(limits.timeout, "timeout")?,
            trial_timeout: seconds(limits.trial_timeout, "trial_timeout")?,
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

fn limit(value: i64, most: i64, key: &str) -> Result<u64> {
    let value = Some(value).filter(|value| (1..=most).contains(value));
    let value = value.and_then(|value| u64::try_from(value).ok());
    value.ok_or_else(|| {
        let problem = match most {
            i64::MAX => "It is a number above 0".to_owned(),
            most => format!("It is a number from 1 to {most}"),
        };
        Error::invalid(problem).at(format!("limits.{key}"))
    })
}

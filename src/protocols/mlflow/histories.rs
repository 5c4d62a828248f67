//! What charts of several runs ask for: histories of a metric, whole or sampled; and the datasets
//! that runs read.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    call::Call,
    error::Failure,
    experiments,
    fields::missing,
    wire::{self, Answer, answer},
};
use api::{
    logged_models::{DatasetSummary, ListDatasets},
    metrics::{GetMetricHistories, RunPoint, SampleMetricHistories},
};

const RUNS: usize = 100;
const BULK_POINTS: u32 = 25_000;
/// Steps in a sample, and points of each run in it.
const SAMPLES: u32 = 2500;
const EXPERIMENTS: usize = 20;
const DATASETS: u32 = 1000;

/// A point with its run, and a list of them.
#[derive(Serialize)]
struct PointOfRun {
    #[serde(flatten)]
    point: wire::Metric,
    run_id: String,
}

impl From<RunPoint> for PointOfRun {
    fn from(RunPoint { run, point }: RunPoint) -> Self {
        Self {
            point: point.into(),
            run_id: run,
        }
    }
}

fn points(points: Vec<RunPoint>) -> Vec<PointOfRun> {
    points.into_iter().map(Into::into).collect()
}

/// Unlike other lists, this one is there when it is empty.
pub async fn bulk(call: Call) -> Answer {
    let fields = &call.fields;
    let request = "GetMetricHistoryBulk request";
    let mut runs = fields.texts("run_id")?;
    runs.sort_unstable();
    if runs.is_empty() {
        return Err(Failure::invalid(format!(
            "{request} must specify at least one run_id."
        )));
    }
    if runs.len() > RUNS {
        return Err(Failure::invalid(format!(
            "{request} cannot specify more than {RUNS} run_ids. Received {} run_ids.",
            runs.len()
        )));
    }
    let key = fields.text("metric_key")?;
    let key =
        key.ok_or_else(|| Failure::invalid(format!("{request} must specify a metric_key.")))?;
    let limit = match fields.integer("max_results")? {
        None => BULK_POINTS,
        Some(_) => fields.max_results(1, i64::from(u32::MAX))?.min(BULK_POINTS),
    };
    let get = GetMetricHistories {
        workspace: call.workspace.clone(),
        runs,
        key,
        limit,
    };
    let found = points(call.perform(get).await?);
    answer(&serde_json::json!({"metrics": found}))
}

/// What a sample is asked for, from whichever protocol it comes.
pub struct Sample {
    pub runs: Vec<String>,
    pub key: String,
    pub steps: (Option<i64>, Option<i64>),
    pub most: Option<i64>,
}

impl Sample {
    pub fn into_operation(self, workspace: String) -> Result<SampleMetricHistories, Failure> {
        if self.runs.is_empty() {
            return Err(missing("run_ids"));
        }
        if self.runs.len() > RUNS {
            return Err(Failure::invalid(format!(
                "GetMetricHistoryBulkInterval request must specify at most {RUNS} run_ids. \
                 Received {} run_ids.",
                self.runs.len()
            )));
        }
        let samples = match self.most {
            None => SAMPLES,
            Some(most) => u32::try_from(most)
                .ok()
                .filter(|most| (1..=SAMPLES).contains(most))
                .ok_or_else(|| {
                    Failure::invalid(format!("max_results must be between 1 and {SAMPLES}."))
                })?,
        };
        let steps = match self.steps {
            (None, None) => None,
            (Some(start), Some(end)) if start > end => {
                return Err(Failure::invalid(format!(
                    "end_step must be greater than start_step. Found start_step={start} and \
                     end_step={end}."
                )));
            }
            (Some(start), Some(end)) => Some((start, end)),
            _ => {
                return Err(Failure::invalid(
                    "If either start step or end step are specified, both must be specified.",
                ));
            }
        };
        Ok(SampleMetricHistories {
            workspace,
            runs: self.runs,
            key: self.key,
            steps,
            samples,
            limit: SAMPLES,
        })
    }
}

pub async fn interval(call: Call) -> Answer {
    let fields = &call.fields;
    let sample = Sample {
        runs: fields.texts("run_ids")?,
        key: fields.required("metric_key")?,
        steps: (fields.integer("start_step")?, fields.integer("end_step")?),
        most: fields.integer("max_results")?,
    };
    let sample = sample.into_operation(call.workspace.clone())?;
    wire::page("metrics", &points(call.perform(sample).await?), None)
}

/// The datasets that runs of some experiments read, under the ids that clients know.
pub async fn datasets_of(
    call: &super::call::Place,
    experiment_ids: &[String],
) -> Result<Vec<DatasetSummary>, Failure> {
    let request = "SearchDatasets request";
    if experiment_ids.is_empty() {
        return Err(Failure::invalid(format!(
            "{request} must specify at least one experiment_id."
        )));
    }
    if experiment_ids.len() > EXPERIMENTS {
        return Err(Failure::invalid(format!(
            "{request} cannot specify more than {EXPERIMENTS} experiment_ids. Received {} \
             experiment_ids.",
            experiment_ids.len()
        )));
    }
    let mut known = BTreeMap::new();
    for id in experiment_ids {
        for ours in experiments::ids(call, std::slice::from_ref(id)).await? {
            known.insert(ours, id.clone());
        }
    }
    let list = ListDatasets {
        workspace: call.workspace.clone(),
        experiment_ids: known.keys().cloned().collect(),
        limit: DATASETS,
    };
    let mut found = call.perform(list).await?;
    for dataset in &mut found {
        if let Some(id) = known.get(&dataset.experiment_id) {
            dataset.experiment_id.clone_from(id);
        }
    }
    Ok(found)
}

pub async fn search_datasets(call: Call) -> Answer {
    let found = datasets_of(&call, &call.fields.texts("experiment_ids")?).await?;
    wire::page("dataset_summaries", &found, None)
}

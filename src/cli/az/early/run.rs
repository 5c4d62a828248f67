//! `az ml run` and `az ml experiment`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{COMMON, METADATA, answer, attached, folder, pipeline, submit, sweep, tensorboard};
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{Flag, Group, flag, switch, verb},
        ids,
    },
    job::{JobArg, stream},
};
use api::{
    Error, Result,
    experiments::{Experiment, ListExperiments},
    metrics::LogBatch,
    runs::{CancelRun, GetRun, ListRuns, Run, RunStatus},
};

const THE_RUN: &[Flag] = &[
    flag("run", "Id of the run").short('r').required(),
    flag("experiment-name", "Experiment of the run").short('e'),
];
const SCRIPT: &[Flag] = &[
    flag("run-configuration-name", "Name of a .runconfig file").short('c'),
    flag("experiment-name", "Experiment of the run").short('e'),
    flag("target", "Compute to run on").alias(&["ct"]),
    flag("conda-dependencies", "Conda file of the environment").short('d'),
    flag("source-directory", "Folder of the code"),
    switch("async", "Do not follow the run"),
    flag("script", "The script and its arguments").script(),
];

pub const EXPERIMENTS: Group = Group {
    path: "ml experiment",
    about: "Experiments",
    verbs: &[verb!(
        "list",
        "List the experiments",
        [COMMON, METADATA],
        experiments
    )],
};

pub const GROUP: Group = Group {
    path: "ml run",
    about: "Runs, as the commands of 2020 know them",
    verbs: &[
        verb!(
            "submit-script",
            "Run a script with its folder",
            [COMMON, METADATA, SCRIPT],
            submit::submit
        ),
        verb!(
            "submit-hyperdrive",
            "Run a script with many values of its arguments",
            [
                COMMON,
                METADATA,
                SCRIPT,
                &[flag(
                    "hyperdrive-configuration-name",
                    "File with the values and how they are tried"
                )
                .required()]
            ],
            sweep::submit
        ),
        verb!(
            "submit-pipeline",
            "Run a pipeline as it was written in 2020",
            [
                COMMON,
                METADATA,
                &[
                    flag("pipeline-yaml", "File of the pipeline").short('y'),
                    flag("pipeline-id", "Not here: a pipeline is its file").short('i'),
                    flag("experiment-name", "Experiment of the run").short('n'),
                    flag("parameters", "Values of parameters, as NAME=VALUE")
                        .short('p')
                        .many(),
                    flag("datapaths", "Places of data, as NAME=DATASTORE/PATH")
                        .short('d')
                        .many(),
                    flag("output_file", "File to write the answer to").short('f'),
                ]
            ],
            pipeline::submit
        ),
        verb!(
            "list",
            "List runs, newest first",
            [
                COMMON,
                METADATA,
                &[
                    flag("experiment-name", "Of one experiment").short('e'),
                    flag("last", "At most so many"),
                    flag("status", "With this status"),
                    flag("tags", "With this tag, as KEY=VALUE").many(),
                    flag("parent-run-id", "Children of this run"),
                    flag("pipeline-run-id", "Steps of this pipeline's run"),
                    flag("compute-target-name", "On this compute"),
                    switch("minimal", "Fewer keys"),
                ]
            ],
            list
        ),
        verb!("show", "Show a run", [COMMON, METADATA, THE_RUN], show),
        verb!("cancel", "Stop a run", [COMMON, METADATA, THE_RUN], cancel),
        verb!(
            "update",
            "Add tags to a run",
            [
                COMMON,
                METADATA,
                THE_RUN,
                &[flag("add-tag", "Tag, as KEY=VALUE").repeated()]
            ],
            update
        ),
        verb!(
            "download-logs",
            "Download the logs of a run",
            [
                COMMON,
                METADATA,
                THE_RUN,
                &[flag("output-dir", "Folder to write to")
                    .short('d')
                    .required()]
            ],
            download
        ),
        verb!(
            "monitor-logs",
            "Follow the log of a run to its end",
            [COMMON, THE_RUN],
            monitor
        ),
        verb!(
            "monitor-tensorboard",
            "Show what a run logs for TensorBoard",
            [
                COMMON,
                THE_RUN,
                &[flag("local-directory", "Folder to write it to")]
            ],
            tensorboard::monitor
        ),
    ],
};

/// A run with the keys of that time.
pub fn shown(run: &Run) -> Value {
    let metrics = run.metrics.iter();
    let metrics: Map<String, Value> = metrics
        .map(|(name, metric)| (name.clone(), json!(metric.last)))
        .collect();
    // Those that say what other keys say are left out.
    let tags = run.tags.iter();
    let tags = tags.filter(|(key, _)| !key.starts_with("mlflow.") && !key.starts_with("aml."));
    json!({
        "displayName": run.display_name,
        "endTimeUtc": run.ended_at.map(ids::time),
        "error": run.reason.as_ref().map(|reason| json!({"message": reason})),
        "experimentName": run.experiment,
        "metrics": metrics,
        "parameters": run.params,
        "parentRunId": run.parent,
        "properties": {},
        "runId": run.name,
        "startTimeUtc": run.started_at.map(ids::time),
        "status": run.status.name(),
        "tags": tags.collect::<BTreeMap<_, _>>(),
        "target": target(run),
    })
}

/// The compute that a run's job names.
fn target(run: &Run) -> String {
    let described = run.job.as_ref().and_then(|job| job.described.as_ref());
    let compute = described.and_then(|job| job.definition.get("compute")?.as_str());
    let compute = compute.unwrap_or("local");
    let compute = compute.strip_prefix("azureml:").unwrap_or(compute);
    compute.to_owned()
}

async fn experiments(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let request = ListExperiments {
        workspace: workspace.name.clone(),
        include_deleted: false,
    };
    let all = az.call(&request).await?;
    let one = |experiment: &Experiment| {
        json!({
            "createdTime": ids::time(experiment.created_at),
            "id": experiment.id,
            "name": experiment.name,
            "resourceGroup": workspace.resource_group,
            "workspaceName": workspace.name,
        })
    };
    answer(az, given, all.iter().map(one).collect())
}

/// The experiment of the command line, else the folder's.
pub fn experiment(az: &Az, given: &Given) -> Option<String> {
    let named = given.owned("experiment-name");
    named.or_else(|| attached(&folder(az, given), "experiment_name"))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let status = given.text("status").map(|name| {
        let known = |status: &RunStatus| status.name().eq_ignore_ascii_case(name);
        RunStatus::ALL
            .into_iter()
            .find(known)
            .ok_or_else(|| Error::invalid(format!("`{name}` is no status of a run")).at("--status"))
    });
    let parent = given
        .text("parent-run-id")
        .or(given.text("pipeline-run-id"));
    let parent = parent.map(|parent| {
        let parent = parent.replace('\'', "''");
        format!("tags.`mlflow.parentRunId` = '{parent}'")
    });
    let last = given.number("last")?.unwrap_or(10);
    let compute = given.text("compute-target-name");
    let mut request = ListRuns {
        workspace: az.here().await?,
        experiment: experiment(az, given),
        filter: parent,
        status: status.transpose()?,
        tags: given.pairs("tags"),
        limit: Some(if compute.is_some() { 1000 } else { last }),
        ..ListRuns::default()
    };
    let mut runs: Vec<Run> = Vec::new();
    // What a run ran on is no condition of a search.
    loop {
        let mut page = az.call(&request).await?;
        page.items
            .retain(|run| compute.is_none_or(|name| target(run).eq_ignore_ascii_case(name)));
        runs.append(&mut page.items);
        request.page = page.next;
        if request.page.is_none() || runs.len() >= last as usize {
            break;
        }
    }
    runs.truncate(last as usize);
    let minimal = given.switch("minimal");
    let one = |run: &Run| {
        let mut all = ids::fields(shown(run));
        all.retain(|key, _| {
            !minimal || ["runId", "status", "startTimeUtc", "target"].contains(&key.as_str())
        });
        Value::Object(all)
    };
    answer(az, given, runs.iter().map(one).collect())
}

pub async fn get(az: &Az, given: &Given) -> Result<Run> {
    let get = GetRun {
        workspace: az.here().await?,
        run: given.required("run")?.to_owned(),
    };
    let run = az.call(&get).await?;
    match given.text("experiment-name") {
        Some(experiment) if experiment != run.experiment => {
            let (name, own) = (&run.name, &run.experiment);
            let message = format!("No run `{name}` in the experiment `{experiment}`");
            Err(Error::not_found(message).hint(format!("It is in `{own}`")))
        }
        _ => Ok(run),
    }
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let run = get(az, given).await?;
    answer(az, given, shown(&run))
}

async fn cancel(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let run = get(az, given).await?;
    let cancel = CancelRun {
        workspace: az.here().await?,
        run: run.name,
    };
    answer(az, given, shown(&az.call(&cancel).await?))
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let run = get(az, given).await?;
    let log = LogBatch {
        workspace: az.here().await?,
        run: run.name,
        tags: given.pairs("add-tag"),
        ..LogBatch::default()
    };
    az.call(&log).await?;
    show(az, given).await
}

async fn download(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let run = get(az, given).await?;
    let to = az.ctx.folder.join(given.required("output-dir")?);
    let client = az.ctx.client().await?;
    let (report, workspace) = (az.ctx.ui.report(), az.here().await?);
    let mut paths: Vec<Value> = Vec::new();
    for logs in ["user_logs", "logs", "system_logs"] {
        let files = client.download_artifacts(&workspace, &run.name, logs, &to, Some(&report));
        let files = az.ctx.ui.download_until_ctrl_c(to.display(), files).await;
        match files {
            Ok(files) => paths.extend(files.iter().map(|file| json!(to.join(&file.path)))),
            // Not every run has all of them.
            Err(error) if error.code == api::Code::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    answer(az, given, json!({"downloadedFiles": paths}))
}

async fn monitor(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let run = get(az, given).await?;
    let job = JobArg::named(&run.name);
    stream::stream(&az.ctx, stream::StreamArgs { job }).await?;
    Ok(Value::Null)
}

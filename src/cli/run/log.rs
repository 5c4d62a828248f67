//! `aml run log`

use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::{args::parse_pairs, context::Context};
use api::{
    Error, Operation, Result, Time,
    metrics::{LogBatch, MetricPoint, Value},
    runs::GetRun,
};
use client::Client;

/// How long the process of a run waits for a worker, and how often it asks.
const WORKER_GONE: Duration = Duration::from_mins(1);
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Log metrics, params and tags to a run, from any language
///
/// Called by the process of a run, it logs to that run; nothing needs to be named.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// Run to log to [default: the one that calls]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Metric to log; may be repeated
    #[arg(
        short,
        long = "metric",
        value_name = "KEY=NUMBER",
        allow_hyphen_values = true
    )]
    metrics: Vec<String>,
    /// Step the metrics belong to
    #[arg(
        short,
        long,
        value_name = "NUMBER",
        default_value = "0",
        allow_hyphen_values = true
    )]
    step: i64,
    /// Param to log; may be repeated
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// Tag to set; may be repeated
    #[arg(short, long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
}

pub async fn log(ctx: &Context, args: LogArgs) -> anyhow::Result<()> {
    if args.metrics.is_empty() && args.params.is_empty() && args.tags.is_empty() {
        return Err(Error::invalid("There is nothing to log")
            .hint("Say what: aml run log --metric loss=0.1 --param C=1 --tag team=x")
            .into());
    }
    // A run outlives its worker, and what it logs while the next one comes up shall not be lost.
    let patience = match args.name {
        Some(_) => Duration::ZERO,
        None => WORKER_GONE,
    };
    let metrics = args
        .metrics
        .iter()
        .map(|pair| point(pair, args.step, ctx.wiring.now()))
        .collect::<Result<Vec<_>>>()?;
    let (client, workspace, run) = destination(ctx, args.name).await?;
    let batch = LogBatch {
        workspace,
        run,
        metrics,
        params: parse_pairs("--param", &args.params)?,
        tags: parse_pairs("--tag", &args.tags)?,
        ..LogBatch::default()
    };
    patiently(&client, &batch, patience).await?;
    if !ctx.ui.answers_alone() {
        return Ok(());
    }
    // Who hears of an error here would log the same again.
    let LogBatch { workspace, run, .. } = batch;
    let run = patiently(&client, &GetRun { workspace, run }, patience).await?;
    ctx.ui.show(&run)
}

/// Tries again while the server cannot be reached. Points have their time already, so that one whose
/// answer was lost is not logged twice.
async fn patiently<O: Operation>(
    client: &Client,
    operation: &O,
    patience: Duration,
) -> Result<O::Output> {
    let until = Instant::now() + patience;
    loop {
        match client.call(operation).await {
            Err(error) if error.code.retryable() && Instant::now() < until => {
                tokio::time::sleep(RETRY_AFTER).await;
            }
            answered => return answered,
        }
    }
}

/// The run that is named, else the one whose process calls.
async fn destination(ctx: &Context, name: Option<String>) -> Result<(Client, String, String)> {
    if let Some(name) = name {
        return Ok((ctx.client().await?.clone(), ctx.workspace().await?, name));
    }
    let Some(inside) = &ctx.config.inside_run else {
        return Err(Error::invalid("Which run? This is not the process of one")
            .hint("Name it: aml run log NAME --metric loss=0.1"));
    };
    let client = super::inside(ctx, inside).await?;
    Ok((client, inside.workspace.clone(), inside.run.clone()))
}

fn point(pair: &str, step: i64, now: Time) -> Result<MetricPoint> {
    let parsed = pair
        .rsplit_once('=')
        .and_then(|(key, value)| Some((key, Value::parse(value)?)));
    match parsed {
        Some((key, value)) => Ok(MetricPoint {
            key: key.to_owned(),
            value,
            step,
            timestamp: Some(now.0),
        }),
        None => Err(Error::invalid(format!("`{pair}` is not KEY=NUMBER")).at("--metric")),
    }
}

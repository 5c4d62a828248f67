//! `aml batch jobs`

use std::collections::BTreeMap;

use clap::Args;

use crate::{context::Context, views::RunTable};
use api::{
    Result,
    batch::{DEPLOYMENT_TAG, ENDPOINT_TAG, GetBatchDeployment},
    runs::{ListRuns, Run},
};

/// Jobs that are listed.
const MOST: usize = 1000;

/// List the jobs that a batch endpoint has started, newest first
#[derive(Debug, Args)]
pub struct JobsArgs {
    /// Batch endpoint whose jobs to list
    name: String,
    /// Only those of this deployment
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
}

pub async fn jobs(ctx: &Context, args: JobsArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let found = super::get(ctx, &workspace, &args.name).await?;
    let deployment = match args.deployment {
        None => None,
        Some(name) => {
            let get = GetBatchDeployment {
                workspace: workspace.clone(),
                endpoint: found.name.clone(),
                name,
            };
            Some(ctx.client().await?.call(&get).await?.name)
        }
    };
    ctx.ui.show(&RunTable {
        runs: jobs_of(ctx, &workspace, &found.name, deployment.as_deref()).await?,
        width: ctx.ui.width(),
        now: ctx.wiring.now(),
    })
}

/// The jobs that an endpoint, or one of its deployments, has started; newest first.
pub async fn jobs_of(
    ctx: &Context,
    workspace: &str,
    endpoint: &str,
    deployment: Option<&str>,
) -> Result<Vec<Run>> {
    let mut tags = BTreeMap::from([(ENDPOINT_TAG.to_owned(), endpoint.to_owned())]);
    if let Some(deployment) = deployment {
        tags.insert(DEPLOYMENT_TAG.to_owned(), deployment.to_owned());
    }
    let request = ListRuns {
        workspace: workspace.to_owned(),
        tags,
        ..ListRuns::default()
    };
    Ok(ctx.client().await?.runs(request, MOST).await?.items)
}

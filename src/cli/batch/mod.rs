//! `aml batch`

mod create;
mod delete;
pub mod deploy;
mod deployments;
pub mod invoke;
pub mod jobs;
mod list;
mod show;
pub mod uploads;

use clap::Subcommand;

use super::{
    context::Context,
    views::{Show, View, list as columns, pairs, record, time},
};
use api::{
    Result,
    batch::{BatchDeployment, BatchEndpoint, GetBatchEndpoint},
};
use serde_json::Value;

/// Score folders of data with batch endpoints
#[derive(Debug, Subcommand)]
pub enum BatchCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Create(create::CreateArgs),
    Deploy(deploy::DeployArgs),
    Deployments(deployments::DeploymentsArgs),
    Invoke(Box<invoke::InvokeArgs>),
    Jobs(jobs::JobsArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: BatchCommand) -> anyhow::Result<()> {
    match command {
        BatchCommand::List(args) => list::list(ctx, args).await,
        BatchCommand::Show(args) => show::show(ctx, args).await,
        BatchCommand::Create(args) => create::create(ctx, args).await,
        BatchCommand::Deploy(args) => deploy::deploy(ctx, args).await,
        BatchCommand::Deployments(args) => deployments::deployments(ctx, args).await,
        BatchCommand::Invoke(args) => invoke::invoke(ctx, *args).await,
        BatchCommand::Jobs(args) => jobs::jobs(ctx, args).await,
        BatchCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}

/// A batch endpoint, which must be there.
async fn get(ctx: &Context, workspace: &str, name: &str) -> Result<BatchEndpoint> {
    let get = GetBatchEndpoint {
        workspace: workspace.to_owned(),
        name: name.to_owned(),
    };
    ctx.client().await?.call(&get).await
}

impl Show for BatchEndpoint {
    fn view(&self) -> View {
        record([
            ("Name", self.name.clone()),
            ("Description", self.description.clone()),
            ("Tags", pairs(&self.tags)),
            ("Deployments", self.deployments.join(", ")),
            (
                "Default",
                self.default_deployment.clone().unwrap_or_default(),
            ),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<BatchEndpoint> {
    fn view(&self) -> View {
        columns(
            ["name", "default", "deployments", "updated", "description"],
            self.iter().map(|one| {
                [
                    one.name.clone(),
                    one.default_deployment.clone().unwrap_or_default(),
                    one.deployments.join(", "),
                    time(one.updated_at),
                    one.description.clone(),
                ]
            }),
        )
    }
}

/// A text of a deployment's description.
fn said(deployment: &BatchDeployment, path: &[&str]) -> String {
    let mut found = deployment.definition.get(path[0]);
    for key in &path[1..] {
        found = found.and_then(|value| value.get(*key));
    }
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// What runs: a model or a pipeline component.
fn what(deployment: &BatchDeployment) -> String {
    let model = said(deployment, &["model"]);
    if model.is_empty() {
        said(deployment, &["component"])
    } else {
        model
    }
}

impl Show for BatchDeployment {
    fn view(&self) -> View {
        let script = ["code_configuration", "scoring_script"];
        record([
            ("Name", self.name.clone()),
            ("Endpoint", self.endpoint.clone()),
            ("Type", said(self, &["type"])),
            ("Model", said(self, &["model"])),
            ("Component", said(self, &["component"])),
            ("Script", said(self, &script)),
            ("Compute", said(self, &["compute"])),
            ("Instances", said(self, &["resources", "instance_count"])),
            ("Mini-batch", said(self, &["settings", "mini_batch_size"])),
            ("Output", said(self, &["settings", "output_action"])),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<BatchDeployment> {
    fn view(&self) -> View {
        columns(
            ["name", "type", "model or component", "compute", "updated"],
            self.iter().map(|one| {
                [
                    one.name.clone(),
                    said(one, &["type"]),
                    what(one),
                    said(one, &["compute"]),
                    time(one.updated_at),
                ]
            }),
        )
    }
}

//! `aml deployment`

mod create;
mod delete;
pub mod described;
mod list;
mod show;
mod update;

use clap::{Args, Subcommand};

use super::context::Context;
use api::deployments::{Deployed, GetDeployment};

/// Manage what is deployed behind endpoints
///
/// An endpoint can have several deployments, which share its requests (`aml endpoint traffic`). A
/// deployment is described by a YAML file as in Azure ML; `aml deploy` makes one from flags.
#[derive(Debug, Subcommand)]
pub enum DeploymentCommand {
    Create(create::CreateArgs),
    Update(update::UpdateArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: DeploymentCommand) -> anyhow::Result<()> {
    match command {
        DeploymentCommand::Create(args) => create::create(ctx, args).await,
        DeploymentCommand::Update(args) => update::update(ctx, args).await,
        DeploymentCommand::List(args) => list::list(ctx, args).await,
        DeploymentCommand::Show(args) => show::show(ctx, args).await,
        DeploymentCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}

/// Which deployment a command is about.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Endpoint it is behind
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
    /// Name of the deployment
    #[arg(value_name = "DEPLOYMENT")]
    deployment: String,
}

impl TargetArgs {
    async fn get(&self, ctx: &Context) -> anyhow::Result<Deployed> {
        let request = GetDeployment {
            workspace: ctx.workspace().await?,
            endpoint: self.endpoint.clone(),
            name: self.deployment.clone(),
        };
        Ok(ctx.client().await?.call(&request).await?)
    }
}

//! `aml pipeline`

pub mod convert;
pub mod plan;

use clap::Subcommand;

use super::context::Context;

/// Look ahead at pipelines
///
/// A pipeline is a job: `aml job create` runs it, `aml job show` draws it.
#[derive(Debug, Subcommand)]
pub enum PipelineCommand {
    Plan(plan::PlanArgs),
    Convert(convert::ConvertArgs),
}

pub async fn run(ctx: &Context, command: PipelineCommand) -> anyhow::Result<()> {
    match command {
        PipelineCommand::Plan(args) => plan::plan(ctx, args).await,
        PipelineCommand::Convert(args) => convert::convert(ctx, &args),
    }
}

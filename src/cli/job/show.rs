//! `aml job show`

use clap::Args;

use super::{
    JobArg,
    entity::{Entity, is_pipeline},
    workspace,
};
use crate::context::Context;
use api::pipelines::ListSteps;

/// Show a job in the layout of Azure ML
///
/// On a terminal the steps of a pipeline are drawn, with where they stand and how long they took.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub job: JobArg,
    /// Say where its page is, too
    #[arg(short = 'e', long)]
    pub web: bool,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let run = args.job.get(ctx).await?;
    let mut entity = Entity::new(&run, &workspace(ctx).await?);
    if is_pipeline(&run) {
        let list = ListSteps {
            workspace: ctx.workspace().await?,
            run: run.name,
        };
        entity.draw(&ctx.client().await?.call(&list).await?);
    }
    if args.web {
        ctx.ui.status(&entity.web_view());
    }
    ctx.ui.show(&entity)
}

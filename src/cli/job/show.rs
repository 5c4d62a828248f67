//! `aml job show`

use clap::Args;

use super::{JobArg, entity::Entity, workspace};
use crate::cli::context::Context;

/// Show a job in the layout of Azure ML
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
    let entity = Entity::new(&run, &workspace(ctx).await?);
    if args.web {
        ctx.ui.status(&format!("Web View: {}", entity.page()));
    }
    ctx.ui.show(&entity)
}

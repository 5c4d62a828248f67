//! `aml schedule delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::schedules::DeleteSchedule;

/// Delete a schedule; the jobs it created stay
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Schedule to delete
    #[arg(short, long)]
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let name = args.name;
    ctx.ui
        .confirm(args.yes, &format!("Delete the schedule {name}?"))?;
    let request = DeleteSchedule {
        workspace: ctx.workspace().await?,
        name: name.clone(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Deleted the schedule {name}."),
        &Named::new(name.as_str()),
    )
}

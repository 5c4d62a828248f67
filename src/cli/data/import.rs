//! `aml data import`

use clap::Args;

use crate::{
    context::Context,
    document::{Draft, edits},
    job::{self, entity::Entity, imported, stream},
};
use spec::overrides::Values;

/// Copy data from a database or file system and register it
///
/// The file says where it comes from, which connection leads there and what it becomes. A job copies it;
/// it goes on when this command ends.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// YAML file that describes the import
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: String,
    /// Name of the data, instead of the file's
    #[arg(short, long)]
    name: Option<String>,
    /// Value to change first, as KEY=VALUE; several can follow
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// Follow the job to its end; the exit code tells how it ended
    #[arg(short, long)]
    stream: bool,
}

pub async fn import(ctx: &Context, args: ImportArgs) -> anyhow::Result<()> {
    let mut draft = Draft::open(Some(&args.file), &ctx.folder)?;
    if let Some(name) = args.name {
        draft.put("name", name, "--name");
    }
    draft.edit(&edits(&args.set)?, Values::Strings)?;
    let job = imported::job_of(ctx, &draft.check("data-import")?)?;
    let workspace = job::workspace(ctx).await?;
    let run = job::create::started(ctx, None, job).await?;
    if args.stream {
        return stream::to_the_end_and_show(ctx, &run).await;
    }
    ctx.ui.show(&Entity::new(&run, &workspace))
}

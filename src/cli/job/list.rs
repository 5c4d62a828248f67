//! `aml job list`

use clap::Args;

use super::{entity::Entity, workspace};
use crate::{
    context::Context,
    views::{self, Show},
};
use api::runs::{ListRuns, View};

/// Jobs shown when no number is named.
const DEFAULT_LIMIT: u32 = 50;

/// List jobs, newest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only the children of this job [default: jobs that are no one's children]
    #[arg(short, long, value_name = "NAME")]
    pub parent_job_name: Option<String>,
    /// At most so many
    #[arg(short = 'r', long, value_name = "N", default_value_t = DEFAULT_LIMIT)]
    pub max_results: u32,
    /// All of them
    #[arg(long, conflicts_with = "max_results")]
    pub all_results: bool,
    /// List archived ones too
    #[arg(long)]
    pub include_archived: bool,
    /// List archived ones alone
    #[arg(long, conflicts_with = "include_archived")]
    pub archived_only: bool,
}

pub async fn list(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let filter = match &args.parent_job_name {
        Some(parent) => {
            let parent = parent.replace('\'', "''");
            format!("tags.`mlflow.parentRunId` = '{parent}'")
        }
        None => "tags.`mlflow.parentRunId` IS NULL".to_owned(),
    };
    let request = ListRuns {
        workspace: ctx.workspace().await?,
        filter: Some(filter),
        view: view(args.include_archived, args.archived_only),
        ..ListRuns::default()
    };
    let client = ctx.client().await?;
    let wanted = if args.all_results {
        usize::MAX
    } else {
        args.max_results as usize
    };
    let mut page = client.runs(request, wanted).await?;
    page.items.truncate(wanted);
    if page.next.is_some() {
        let shown = page.items.len();
        ctx.ui.status(&format!(
            "Displaying top {shown} results from the list command."
        ));
    }
    let workspace = workspace(ctx).await?;
    let shown = page.items.iter().map(|run| Entity::new(run, &workspace));
    ctx.ui.show(&shown.collect::<Vec<_>>())
}

/// Which jobs are listed.
pub fn view(include_archived: bool, archived_only: bool) -> View {
    match (include_archived, archived_only) {
        (_, true) => View::Deleted,
        (true, _) => View::All,
        _ => View::Active,
    }
}

impl Show for Vec<Entity> {
    fn view(&self) -> views::View {
        let columns = ["NAME", "DISPLAY NAME", "EXPERIMENT", "TYPE", "STATUS"];
        views::list(columns, self.iter().map(Entity::row))
    }
}

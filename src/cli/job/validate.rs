//! `aml job validate`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{context::Context, error::Exit};

/// Check the file of a job without running it
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// YAML file of the job
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// Value to change first, such as inputs.rate=0.1
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    pub set: Vec<String>,
}

pub fn validate(ctx: &Context, args: &ValidateArgs) -> anyhow::Result<()> {
    let document = super::create::opened(ctx, &args.file, &args.set)?;
    let (value, mut report) = super::create::checked(&document)?;
    document.note_what_is_left(value.as_ref(), &mut report);
    ctx.ui.excerpts(&report);
    let errors: Vec<_> = report
        .errors()
        .map(|issue| {
            json!({
                "location": report.sources.place(issue.span),
                "message": issue.message,
            })
        })
        .collect();
    let failed = value.is_none();
    let result = if failed { "Failed" } else { "Succeeded" };
    ctx.ui
        .show_value(json!({"errors": errors, "result": result}))?;
    if failed { Err(Exit(1).into()) } else { Ok(()) }
}

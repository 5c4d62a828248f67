//! `aml secret set`

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;

use crate::{
    args::{Hidden, read_stdin},
    context::Context,
    hidden::ask_hidden,
};
use api::secrets::SetSecret;
use spec::reference::unreadable;

/// Create or replace a secret
///
/// The value is asked for on a terminal and else read from stdin, without its last line break.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Name of the secret
    name: String,
    /// The value; other users of the machine can see it in the list of processes
    #[arg(long, conflicts_with = "file")]
    value: Option<Hidden>,
    /// File with the value, taken as it is
    #[arg(long)]
    file: Option<PathBuf>,
}

pub async fn set(ctx: &Context, args: SetArgs) -> anyhow::Result<()> {
    let request = SetSecret {
        workspace: ctx.workspace().await?,
        name: args.name,
        value: value(ctx, args.value, args.file)?,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

fn value(ctx: &Context, given: Option<Hidden>, file: Option<PathBuf>) -> anyhow::Result<String> {
    if let Some(Hidden(value)) = given {
        ctx.ui.warn(
            "A value on the command line can be seen in the list of processes and in the shell's \
             history; give it on stdin or by --file.",
        );
        return Ok(value);
    }
    if let Some(file) = file {
        return std::fs::read_to_string(&file).map_err(|e| {
            let shown = file.display().to_string();
            unreadable("file", &shown, &file, &e).at("--file").into()
        });
    }
    if io::stdin().is_terminal() {
        return ask_hidden("Value: ");
    }
    let text = read_stdin()?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

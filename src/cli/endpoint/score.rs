//! `aml endpoint score`

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use clap::Args;

use super::ask::ask;
use crate::context::Context;
use api::Error;
use spec::reference::unreadable;

/// Send a document to an endpoint and print the answer
///
/// One that is just coming up is asked again for some seconds.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Endpoint to ask
    name: String,
    /// Document to send, such as '{"data": [[5.1, 3.5, 1.4, 0.2]]}'; @FILE reads a file, @- standard input
    #[arg(short, long, value_name = "JSON")]
    data: Option<String>,
    /// File to send; - is standard input
    #[arg(short, long, alias = "request-file", conflicts_with = "data")]
    file: Option<PathBuf>,
    /// Deployment that shall answer [default: whose turn it is]
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
}

pub async fn score(ctx: &Context, args: ScoreArgs) -> anyhow::Result<()> {
    let document = match (args.data, args.file) {
        (Some(data), _) => match data.strip_prefix('@') {
            Some(file) => read(ctx, Path::new(file)).map_err(|error| error.at("--data"))?,
            None => {
                check_json(&data)?;
                data.into_bytes()
            }
        },
        (None, Some(file)) => read(ctx, &file)?,
        (None, None) => {
            return Err(Error::invalid("There is nothing to send")
                .hint("Give a document: --data JSON")
                .hint("Or a file with one: --file FILE, or --file - for stdin")
                .into());
        }
    };
    let workspace = ctx.workspace().await?;
    let deployment = args.deployment.as_deref();
    let mut answer = ask(ctx, &workspace, &args.name, deployment, document).await?;
    if ctx.ui.shapes_answers() {
        match serde_json::from_slice::<serde_json::Value>(&answer) {
            Ok(document) => return ctx.ui.show_value(document),
            Err(_) => ctx.ui.warn(
                "The answer is no JSON, in which there is no NaN either: it is printed as it came.",
            ),
        }
    }
    if answer.last().is_some_and(|last| *last != b'\n') {
        answer.push(b'\n');
    }
    ctx.ui.print_bytes(&answer)
}

/// Refuses a document with a slip in it, before the script stumbles over it.
fn check_json(data: &str) -> Result<(), Error> {
    match serde_json::from_str::<serde::de::IgnoredAny>(data) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::invalid(format!(
            "This is no JSON: it goes wrong at line {}, column {}",
            e.line(),
            e.column()
        ))
        .at("--data")
        .hint("What is no JSON is sent from a file: --file FILE, or --file - for stdin")),
    }
}

pub fn read(ctx: &Context, file: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let path = ctx.folder.join(file);
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(&path)
    };
    let shown = file.display().to_string();
    read.map_err(|e| unreadable("file", &shown, &path, &e).at("--file"))
}

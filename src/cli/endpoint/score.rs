//! `aml endpoint score`

use std::{io::Read, path::PathBuf};

use clap::Args;

use crate::cli::context::Context;
use api::{
    Code, Error,
    endpoints::{Endpoint, EndpointState, GetEndpoint, GetEndpointKeys},
};
use client::Client;

/// Send a document to an endpoint and print the answer
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Endpoint to ask
    name: String,
    /// Document to send, such as '{"data": [[5.1, 3.5, 1.4, 0.2]]}'
    #[arg(short, long, value_name = "JSON")]
    data: Option<String>,
    /// File to send; - is standard input
    #[arg(short, long, alias = "request-file", conflicts_with = "data")]
    file: Option<PathBuf>,
}

pub async fn score(ctx: &Context, args: ScoreArgs) -> anyhow::Result<()> {
    let document = match (args.data, args.file) {
        (Some(data), _) => data.into_bytes(),
        (None, Some(file)) => read(ctx, &file)?,
        (None, None) => {
            return Err(Error::invalid("There is nothing to send")
                .hint("Give a document: --data JSON")
                .hint("Or a file with one: --file FILE, or --file - for stdin")
                .into());
        }
    };
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let request = GetEndpointKeys {
        workspace: workspace.clone(),
        name: args.name.clone(),
    };
    let key = client.call(&request).await?.primary;
    let mut answer = match client.score(&workspace, &args.name, &key, document).await {
        Err(error) if error.code == Code::Unavailable => {
            return Err(explained(client, workspace, args.name, error).await.into());
        }
        answer => answer?,
    };
    if ctx.ui.shapes_answers()
        && let Ok(document) = serde_json::from_slice::<serde_json::Value>(&answer)
    {
        return ctx.ui.show_value(document);
    }
    if answer.last().is_some_and(|last| *last != b'\n') {
        answer.push(b'\n');
    }
    ctx.ui.print_bytes(&answer)
}

/// Adds why the endpoint does not answer, when it has failed.
async fn explained(client: &Client, workspace: String, name: String, error: Error) -> Error {
    match client.call(&GetEndpoint { workspace, name }).await {
        Ok(Endpoint {
            state: EndpointState::Failed,
            message: Some(reason),
            ..
        }) => Error {
            message: format!("{}. It failed: {reason}", error.message),
            ..error
        },
        _ => error,
    }
}

fn read(ctx: &Context, file: &std::path::Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(ctx.folder.join(file))
    };
    read.map_err(|e| Error::invalid(format!("Cannot read `{}`: {e}", file.display())).at("--file"))
}

//! `aml endpoint logs`

use std::time::Duration;

use clap::Args;

use crate::context::Context;
use api::{
    Error, Result,
    endpoints::{Endpoint, GetEndpoint, GetEndpointLog},
};

/// How often a followed log is read on.
const LOOK: Duration = Duration::from_millis(300);

/// Print what an endpoint's scoring process and front have written
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Endpoint whose log to print
    name: String,
    /// Deployment whose log to print [default: the only one; with several the front's own log]
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
    /// Print the access log: a line of JSON for each request to the endpoint
    #[arg(long, conflicts_with = "deployment")]
    access: bool,
    /// Print what is added, until ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Begin with the last so many lines [default: all, or 20 with --follow]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u32>,
}

pub async fn logs(ctx: &Context, args: LogsArgs) -> anyhow::Result<()> {
    let client = ctx.client().await?;
    let workspace = ctx.workspace().await?;
    let several = match (&args.deployment, args.access) {
        (None, false) => of_several(ctx, &workspace, &args.name).await?,
        _ => None,
    };
    if let Some(endpoint) = several.as_ref().filter(|_| args.follow) {
        hint(ctx, endpoint);
    }
    let mut request = GetEndpointLog {
        workspace,
        name: args.name,
        deployment: args.deployment,
        access: args.access,
        lines: args.lines.or(args.follow.then_some(20)),
        offset: 0,
    };
    // With a format named the text is one value.
    let mut whole = (ctx.ui.answers_alone() && !args.follow).then(String::new);
    let mut empty = true;
    loop {
        let part = client.call(&request).await?;
        empty &= part.text.is_empty();
        match &mut whole {
            Some(whole) => whole.push_str(&part.text),
            None => ctx.ui.print(&part.text)?,
        }
        let more = request.lines.take().is_none() && !part.text.is_empty();
        request.offset = part.offset;
        match (more, args.follow) {
            (true, _) => {}
            (false, true) => tokio::time::sleep(LOOK).await,
            (false, false) => break,
        }
    }
    match &several {
        Some(endpoint) if empty => return Err(not_said(endpoint).into()),
        Some(endpoint) => hint(ctx, endpoint),
        None => {}
    }
    whole.map_or(Ok(()), |text| ctx.ui.show_text(text.as_bytes()))
}

/// The endpoint, when it has several deployments: its own log has little then of what is looked for.
async fn of_several(ctx: &Context, workspace: &str, name: &str) -> Result<Option<Endpoint>> {
    let get = GetEndpoint {
        workspace: workspace.to_owned(),
        name: name.to_owned(),
    };
    let found = ctx.client().await?.call(&get).await?;
    Ok((found.deployments.len() > 1).then_some(found))
}

fn hint(ctx: &Context, endpoint: &Endpoint) {
    ctx.ui.hint(&format!(
        "That is the log of the endpoint itself. {}",
        named(endpoint)
    ));
}

fn not_said(endpoint: &Endpoint) -> Error {
    let many = endpoint.deployments.len();
    Error::invalid(format!(
        "`{}` has {many} deployments, each with a log of its own",
        endpoint.name
    ))
    .at("--deployment")
    .hint(named(endpoint))
}

/// The deployments, and how the log of one is printed.
fn named(endpoint: &Endpoint) -> String {
    let (name, all) = (&endpoint.name, &endpoint.deployments);
    let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    // Most ask for that which answers most.
    let most = all.iter().max_by_key(|one| one.traffic);
    let most = most.map_or("NAME", |one| one.name.as_str());
    format!(
        "Its deployments are {}; name one: aml endpoint logs {name} --deployment {most}",
        names.join(", ")
    )
}

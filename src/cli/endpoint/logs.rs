//! `aml endpoint logs`

use std::time::Duration;

use clap::Args;

use crate::context::Context;
use api::endpoints::GetEndpointLog;

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
    let mut request = GetEndpointLog {
        workspace: ctx.workspace().await?,
        name: args.name,
        deployment: args.deployment,
        access: args.access,
        lines: args.lines.or(args.follow.then_some(20)),
        offset: 0,
    };
    // With a format named the text is one value.
    let mut whole = (ctx.ui.answers_alone() && !args.follow).then(String::new);
    loop {
        let part = client.call(&request).await?;
        match &mut whole {
            Some(whole) => whole.push_str(&part.text),
            None => ctx.ui.print(&part.text)?,
        }
        let more = request.lines.take().is_none() && !part.text.is_empty();
        request.offset = part.offset;
        match (more, args.follow) {
            (true, _) => {}
            (false, true) => tokio::time::sleep(LOOK).await,
            (false, false) => {
                return whole.map_or(Ok(()), |text| ctx.ui.show_text(text.as_bytes()));
            }
        }
    }
}

//! `aml serve`

use std::path::PathBuf;

use clap::Args;

use api::Error;

use super::{context::Context, ui::Ui, worker::settings as worker_settings};
use crate::wiring::{ServeSettings, Served, Tls, Verbosity};

/// Serve the workspaces of this machine over HTTP
///
/// On loopback a caller without a token is the owner until the first user is created; on any other
/// address a token is needed. Stops on ctrl-C or SIGTERM; runs and endpoints go on.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port to listen on; 0 takes any free one
    #[arg(long, default_value_t = 5000)]
    port: u16,
    /// Address that clients use, when a proxy stands before the server
    #[arg(long)]
    url: Option<String>,
    /// Where MLflow's clients write the artifacts of new experiments by themselves, such as
    /// `s3://bucket/path`; the server keeps them otherwise
    #[arg(long, value_name = "URI")]
    artifact_root: Option<String>,
    /// Need a token on loopback too
    #[arg(long)]
    require_token: bool,
    /// Certificate to show, with its chain, in PEM format
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate, in PEM format
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Make a certificate; clients trust it by `aml login --ca-file`
    #[arg(long, conflicts_with = "tls_cert")]
    tls_self_signed: bool,
    /// Execute no runs here; workers elsewhere do (see `aml worker`)
    #[arg(long)]
    no_worker: bool,
    /// Runs to execute at once [default: the number of cores]
    #[arg(long, value_name = "NUMBER", conflicts_with = "no_worker",
          value_parser = clap::value_parser!(u32).range(1..))]
    slots: Option<u32>,
    /// Detach from the terminal and leave when nobody has asked for long
    #[arg(long, hide = true)]
    background: bool,
    /// Requests to write a line about on stderr
    #[arg(long, value_enum, default_value = "changes")]
    log: Verbosity,
}

/// Refuses a profile on the line of a server, which is about this machine.
pub fn check_profile(profile: Option<&str>) -> Result<(), Error> {
    match profile {
        None | Some("local") => Ok(()),
        Some(profile) => Err(Error::invalid(format!(
            "A server serves this machine's state directory, not `{profile}`"
        ))
        .at("--profile")
        .hint("Leave the profile out, or choose a state directory: set AML_HOME")),
    }
}

pub async fn serve(ctx: &Context, args: ServeArgs) -> anyhow::Result<()> {
    if args.background {
        return Ok(ctx
            .wiring
            .serve_in_background(ctx.config.home.clone())
            .await?);
    }
    if let Some(profile) = ctx.profile() {
        ctx.ui.warn(&format!(
            "Serving the state directory `{}`; the profile `{profile}`, which {} says to use, is for \
             other commands.",
            ctx.config.home.display(),
            ctx.named_by()
        ));
    }
    let settings = ServeSettings {
        home: ctx.config.home.clone(),
        host: args.host,
        port: args.port,
        url: args.url.map(|url| url.trim_end_matches('/').to_owned()),
        artifact_root: args
            .artifact_root
            .map(|root| root.trim_end_matches('/').to_owned()),
        folder: ctx.folder.clone(),
        require_token: args.require_token,
        tls: match (args.tls_cert, args.tls_key) {
            (Some(certificate), Some(key)) => Tls::Files { certificate, key },
            _ if args.tls_self_signed => Tls::SelfSigned,
            _ => Tls::Off,
        },
        verbosity: args.log,
        worker: (!args.no_worker).then(|| worker_settings(ctx, args.slots)),
    };
    let announce = Box::new(|served: &Served| announce(&ctx.ui, served));
    ctx.wiring.serve(settings, announce).await?;
    ctx.ui.status("Stopped.");
    Ok(())
}

fn announce(ui: &Ui, served: &Served) {
    if let Some(other) = &served.other {
        ui.warn(&format!(
            "Another server has this state directory open: {other}."
        ));
    }
    if served.exposed {
        ui.warn(
            "Tokens and data travel in the clear; turn on TLS by --tls-self-signed or --tls-cert.",
        );
    }
    if let Some(file) = &served.authority {
        ui.hint(&format!(
            "Log in by: aml login {} --ca-file {}",
            served.url,
            file.display()
        ));
    }
    ui.status(&format!("Listening on {}", served.url));
}

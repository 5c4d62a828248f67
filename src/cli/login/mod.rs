//! `aml login`

mod address;

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;

use address::{in_the_clear, profile_name};

use super::{
    args::{Hidden, read_stdin},
    context::{Context, read_ca},
    hidden::ask_hidden,
};
use crate::{
    config::{Profile, check_url},
    wiring::Target,
};
use api::{
    Code, Error,
    access::{Identity, WhoAmI},
};
use client::Remote;

/// Log in to a server and remember it as a profile
///
/// The token is asked for on a terminal and else read from stdin; `AML_TOKEN` is taken when set. Use
/// the server by `--profile NAME`, by `AML_PROFILE`, or always after `aml profile use NAME`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Address of the server, such as `https://ml.example.com:5000`
    url: String,
    /// Token to log in with; `-` reads it from stdin
    #[arg(long)]
    token: Option<Hidden>,
    /// Certificate to trust, as `aml serve --tls-self-signed` made it
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Use this server from now on when no profile is named
    #[arg(long)]
    default: bool,
}

pub async fn login(ctx: &Context, args: LoginArgs) -> anyhow::Result<()> {
    let url = check_url(&args.url)?;
    let name = match &ctx.named_profile {
        Some(name) if name == "local" => return Err(local_is_taken().into()),
        Some(name) => name.clone(),
        None => profile_name(&url, &ctx.config.settings.profiles),
    };
    let ca_file = args
        .ca_file
        .map(|file| std::path::absolute(ctx.folder.join(&file)).unwrap_or(file));
    let remote = Remote {
        ca: ca_file.as_deref().map(read_ca).transpose()?,
        token: token(ctx, args.token.as_ref())?,
        url: url.clone(),
        slow: Some(ctx.ui.teller()),
    };
    if in_the_clear(&url) {
        ctx.ui.warn(
            "The token travels in the clear to this address; others on the network can read it.",
        );
    }
    let identity = verify(ctx, &remote).await?;
    ctx.config.replace_token(&name, &url, remote.token)?;
    ctx.config.change(|settings| {
        let known = settings
            .profiles
            .get(&name)
            .filter(|known| known.url == url);
        let profile = Profile {
            workspace: known.and_then(|known| known.workspace.clone()),
            url,
            ca_file,
        };
        settings.profiles.insert(name.clone(), profile);
        if args.default {
            settings.profile = Some(name.clone());
        }
    })?;
    ctx.ui.show(&identity)?;
    let kept = format!("Logged in as {}; the profile is `{name}`.", identity.name);
    ctx.ui.status(&kept);
    if !args.default {
        ctx.ui.hint(&format!(
            "Use it for one command by --profile {name}, always by: aml profile use {name}"
        ));
    }
    Ok(())
}

/// Asks the server who the token belongs to.
pub async fn verify(ctx: &Context, remote: &Remote) -> Result<Identity, Error> {
    let client = ctx
        .wiring
        .open_client(&Target::Remote(remote.clone()))
        .await?;
    client.call(&WhoAmI {}).await.map_err(|e| match e.code {
        Code::NotFound | Code::Invalid | Code::Internal => Error::unavailable(format!(
            "`{}` answers, but not as an AMLite server: {}",
            remote.url, e.message
        ))
        .hint("Check the address and the port; the server prints them when it starts"),
        // It was tried just now.
        Code::Unauthenticated => {
            let mut hints = e.hints;
            hints.retain(|hint| !hint.contains("aml login"));
            if remote.token.is_none() {
                let ways = "Give one when you are asked, on stdin, or in AML_TOKEN";
                hints.insert(0, ways.to_owned());
            }
            Error { hints, ..e }
        }
        _ => e,
    })
}

/// The token given, else the environment's, else asked for; none when there is none.
fn token(ctx: &Context, given: Option<&Hidden>) -> anyhow::Result<Option<String>> {
    let token = match given.map(|token| token.0.as_str()) {
        Some("-") => read_stdin()?,
        Some(token) => {
            ctx.ui.warn(
                "A token on the command line can be seen in the list of processes and in the shell's \
                 history; give it on stdin with `--token -`, or set AML_TOKEN.",
            );
            token.to_owned()
        }
        None => match &ctx.config.token {
            Some(token) => token.clone(),
            None if io::stdin().is_terminal() => {
                ask_hidden("Token (empty if the server needs none): ")?
            }
            None => read_stdin()?,
        },
    };
    let token = token.trim();
    if token.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(Error::invalid("The token has blanks or line breaks within").into());
    }
    Ok((!token.is_empty()).then(|| token.to_owned()))
}

fn local_is_taken() -> Error {
    Error::invalid("The profile `local` is this machine")
        .at("--profile")
        .hint("Choose another name for the server")
}

//! `aml login`

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;

use super::{
    args::{Hidden, ask_hidden, read_stdin},
    context::Context,
};
use crate::{
    api::{
        Code, Error,
        access::{Identity, WhoAmI},
    },
    client::Remote,
    config::Profile,
    wiring::{self, Target},
};

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
        ca: ca_file
            .as_deref()
            .map(super::context::read_ca)
            .transpose()?,
        token: token(ctx, args.token.as_ref())?,
        url: url.clone(),
    };
    let identity = verify(&remote).await?;
    ctx.config.store_token(&name, remote.token)?;
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
async fn verify(remote: &Remote) -> Result<Identity, Error> {
    let client = wiring::open_client(&Target::Remote(remote.clone())).await?;
    client.call(&WhoAmI {}).await.map_err(|e| match e.code {
        Code::NotFound | Code::Invalid | Code::Internal => Error::unavailable(format!(
            "`{}` answers, but not as an AMLite server: {}",
            remote.url, e.message
        ))
        .hint("Check the address and the port; the server prints them when it starts"),
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

/// Accepts `http` and `https` addresses without secrets in them, and drops the last slash.
fn check_url(text: &str) -> Result<String, Error> {
    if !text.contains("://") {
        return Err(
            Error::invalid(format!("`{text}` does not say http or https"))
                .at("URL")
                .hint(format!("With TLS: aml login https://{text}"))
                .hint(format!("Without: aml login http://{text}")),
        );
    }
    let wrong =
        |why: &str| Error::invalid(format!("`{text}` is no address of a server: {why}")).at("URL");
    let url = reqwest::Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it begins neither with http:// nor with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid("The address has a user or password in it")
            .at("URL")
            .hint("Leave it out; the token goes to stdin"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a query or a fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn local_is_taken() -> Error {
    Error::invalid("The profile `local` is this machine")
        .at("--profile")
        .hint("Choose another name for the server")
}

/// A profile is named after the host when no name is given, and after its port too when the host
/// has another one.
fn profile_name(url: &str, known: &BTreeMap<String, Profile>) -> String {
    let Ok(parsed) = reqwest::Url::parse(url) else {
        return "server".to_owned();
    };
    let host = parsed
        .host_str()
        .unwrap_or("server")
        .trim_matches(['[', ']']);
    let name = if host == "local" { "server" } else { host };
    match known.get(name) {
        Some(other) if other.url != url => match parsed.port() {
            Some(port) => format!("{name}-{port}"),
            None => format!("{name}-{}", parsed.scheme()),
        },
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{check_url, profile_name};
    use crate::config::Profile;

    #[test]
    fn addresses_are_cleaned_and_wrong_ones_say_why() {
        let check = |text: &str| check_url(text).map_err(|e| e.message);
        assert_eq!(
            check("http://127.0.0.1:5000/").unwrap(),
            "http://127.0.0.1:5000"
        );
        assert_eq!(
            check("https://ml.example.com/aml/").unwrap(),
            "https://ml.example.com/aml"
        );
        assert_eq!(
            check("ml.example.com:5000").unwrap_err(),
            "`ml.example.com:5000` does not say http or https"
        );
        assert_eq!(
            check("ftp://ml.example.com").unwrap_err(),
            "`ftp://ml.example.com` is no address of a server: it begins neither with http:// nor with https://"
        );
        assert_eq!(
            check("http://ann:secret@host").unwrap_err(),
            "The address has a user or password in it"
        );
        assert_eq!(
            check("http://host:99999").unwrap_err(),
            "`http://host:99999` is no address of a server: invalid port number"
        );
    }

    #[test]
    fn a_profile_is_named_after_its_host_and_never_replaces_another() {
        let mut known = BTreeMap::new();
        assert_eq!(
            profile_name("https://ml.example.com:5000", &known),
            "ml.example.com"
        );
        assert_eq!(profile_name("http://local:1", &known), "server");
        assert_eq!(profile_name("http://[::1]:5000", &known), "::1");
        let profile = Profile {
            url: "https://ml.example.com:5000".to_owned(),
            workspace: None,
            ca_file: None,
        };
        known.insert("ml.example.com".to_owned(), profile);
        assert_eq!(
            profile_name("https://ml.example.com:5000", &known),
            "ml.example.com"
        );
        assert_eq!(
            profile_name("https://ml.example.com:6000", &known),
            "ml.example.com-6000"
        );
        assert_eq!(
            profile_name("https://ml.example.com", &known),
            "ml.example.com-https"
        );
    }
}

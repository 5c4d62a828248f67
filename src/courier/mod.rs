//! Delivers to webhooks: which addresses may be sent to, and how a letter gets there.
//!
//! It decides nothing about what is sent or when; that is the service's.

mod guard;

use std::{error::Error as _, sync::OnceLock, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use reqwest::{Client, Response, redirect};
use url::{Host, Url};

use api::{Error, Result};
use protocols::mlflow;
use service::{Courier, Parcel, Sent};

/// How long a receiver may take for its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long finding an address may take.
const RESOLVING: Duration = Duration::from_secs(5);
/// How much of an answer is kept.
const ANSWER: usize = 16 << 10;

/// Where a server may send to.
#[derive(Debug, Clone)]
pub struct Rules {
    pub schemes: Vec<String>,
    /// Also to addresses of this machine and of private networks.
    pub private: bool,
}

/// The post of a server.
pub struct Post {
    /// Asked when something is to be sent.
    rules: fn() -> Result<Rules>,
    /// Made when first needed: it reads the system's certificates.
    http: OnceLock<Client>,
}

impl Post {
    pub fn new(rules: fn() -> Result<Rules>) -> Self {
        Self {
            rules,
            http: OnceLock::new(),
        }
    }

    fn http(&self, rules: &Rules) -> Result<&Client> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        let builder = Client::builder()
            .timeout(PATIENCE)
            // Behind a proxy nobody could tell whom the letter reaches.
            .no_proxy()
            // A receiver could send the letter on to where it may not go.
            .redirect(redirect::Policy::none())
            .user_agent(concat!("aml/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(guard::Resolver {
                private: rules.private,
            });
        let http = builder
            .build()
            .map_err(|e| Error::internal(format!("Cannot set up the HTTP client: {e}")))?;
        Ok(self.http.get_or_init(|| http))
    }

    async fn check_address(rules: &Rules, url: &str) -> Result<()> {
        let url = parse(rules, url)?;
        let Some(host) = url.host() else {
            return Err(Error::invalid("Webhook URL must include a hostname").at("url"));
        };
        if rules.private {
            return Ok(());
        }
        let addresses = match host {
            Host::Ipv4(ip) => vec![ip.into()],
            Host::Ipv6(ip) => vec![ip.into()],
            Host::Domain(name) => {
                let found = tokio::time::timeout(RESOLVING, guard::resolve(name)).await;
                let why = |why: &dyn std::fmt::Display| {
                    Error::invalid(format!(
                        "Cannot resolve Webhook URL hostname '{name}': {why}"
                    ))
                    .at("url")
                };
                found
                    .map_err(|_| why(&"it took too long"))?
                    .map_err(|e| why(&e))?
            }
        };
        match addresses.into_iter().find(|ip| !guard::is_public(*ip)) {
            None => Ok(()),
            Some(ip) => Err(Error::invalid(format!(
                "Webhook URL must not resolve to a non-public IP address. '{host}' resolves to {ip}."
            ))
            .at("url")
            .hint(
                "Whoever runs the server can allow it: [webhooks] allow_private = true in config.toml, or \
                 MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true",
            )),
        }
    }

    async fn post(&self, parcel: Parcel) -> Result<Sent> {
        let rules = (self.rules)()?;
        Self::check_address(&rules, &parcel.url).await?;
        let letter = mlflow::letter(&parcel);
        let mut request = self.http(&rules)?.post(&parcel.url).body(letter.body);
        for (name, value) in letter.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|e| failed(&e.without_url()))?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        Ok(Sent {
            status: Some(status),
            body: beginning(response).await,
            error: None,
            retry_after,
        })
    }
}

impl Courier for Post {
    fn check<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<()>> {
        async move { Self::check_address(&(self.rules)()?, url).await }.boxed()
    }

    fn send(&self, parcel: Parcel) -> BoxFuture<'_, Sent> {
        let sent = self.post(parcel).map(|sent| match sent {
            Ok(sent) => sent,
            Err(error) => Sent {
                error: Some(error.message),
                ..Sent::default()
            },
        });
        sent.boxed()
    }
}

/// The address is not repeated in errors: it may be as good as a secret.
fn parse(rules: &Rules, url: &str) -> Result<Url> {
    if url.trim().is_empty() {
        return Err(Error::invalid(format!(
            "Webhook URL cannot be empty or just whitespace: '{url}'"
        ))
        .at("url"));
    }
    let parsed = Url::parse(url)
        .map_err(|e| Error::invalid(format!("Invalid webhook URL: {e}")).at("url"))?;
    let scheme = parsed.scheme();
    if rules.schemes.iter().any(|allowed| allowed == scheme) {
        return Ok(parsed);
    }
    Err(Error::invalid(format!(
        "Invalid webhook URL scheme: '{scheme}'. Allowed schemes are: {}.",
        rules.schemes.join(", ")
    ))
    .at("url")
    .hint(
        "Whoever runs the server can allow others: [webhooks] schemes = [\"https\", \"http\"] in \
         config.toml, or MLFLOW_WEBHOOK_ALLOWED_SCHEMES=https,http",
    ))
}

/// Why there is no answer, down to the cause.
fn failed(error: &reqwest::Error) -> Error {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        message = format!("{message}: {next}");
        cause = next.source();
    }
    Error::unavailable(message)
}

async fn beginning(response: Response) -> String {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        body.extend_from_slice(&chunk);
        if body.len() >= ANSWER {
            body.truncate(ANSWER);
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Post, Rules};

    async fn refused(schemes: &[&str], private: bool, url: &str) -> String {
        let rules = Rules {
            schemes: schemes.iter().map(ToString::to_string).collect(),
            private,
        };
        match Post::check_address(&rules, url).await {
            Ok(()) => "fine".to_owned(),
            Err(error) => error.message,
        }
    }

    #[tokio::test]
    async fn only_public_addresses_of_allowed_schemes_are_sent_to() {
        let https = ["https"];
        for url in [
            "https://127.0.0.1/x",
            "https://127.1/x",
            "https://0x7f000001/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest",
            "https://localhost:5000",
        ] {
            let message = refused(&https, false, url).await;
            assert!(
                message.contains("non-public IP address"),
                "{url}: {message}"
            );
            assert_eq!(refused(&https, true, url).await, "fine", "{url}");
        }
        assert_eq!(refused(&https, false, "https://1.1.1.1/x").await, "fine");
        for (url, message) in [
            (
                "http://1.1.1.1",
                "Invalid webhook URL scheme: 'http'. Allowed schemes are: https.",
            ),
            ("  ", "Webhook URL cannot be empty or just whitespace: '  '"),
            ("https://[bad", "Invalid webhook URL: invalid IPv6 address"),
            ("https://", "Invalid webhook URL: empty host"),
            ("x/y", "Invalid webhook URL: relative URL without a base"),
        ] {
            assert_eq!(refused(&https, false, url).await, message, "{url}");
        }
        assert_eq!(
            refused(&["https", "http"], true, "http://localhost").await,
            "fine"
        );
    }
}

//! Who is calling: turns the request's token into a [`Caller`].

use axum::{
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Method,
        header::{AUTHORIZATION, HOST, ORIGIN},
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Failure, batch, log::CallerName, page};
use api::{Code, Error, Result, access::NO_TOKEN, paths::percent_decode};
use protocols::mlflow;
use service::{Caller, Service};

/// What a caller without a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The owner: the router is called in process.
    Owner,
    /// The owner until the first user exists: a server on loopback.
    OwnerUntilUsers,
    /// Nobody; who has the token of this hash is the owner.
    OwnerBy(blake3::Hash),
    /// Nobody.
    Nobody,
}

#[derive(Clone)]
pub struct Gate {
    pub service: Service,
    pub trust: Trust,
}

/// Puts the caller into the request's extensions, or answers 401.
pub async fn authenticate(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().map(str::to_owned);
    let known = match signer(&gate, &method, &path, query.as_deref()).await {
        Ok(Some(signer)) => Ok(signer),
        Ok(None) => caller(&gate, &method, request.headers()).await,
        Err(error) => Err(error),
    };
    match known {
        Ok(caller) => {
            let name = CallerName(caller.name().to_owned());
            request.extensions_mut().insert(caller);
            let mut response = next.run(request).await;
            response.extensions_mut().insert(name);
            response
        }
        Err(error) if mlflow::owns(&path) && !page::owns(&path) && !batch::owns(&path) => {
            mlflow::failure(error)
        }
        Err(error) => Failure(error).into_response(),
    }
}

/// Who signed the request's address; what the owner signed is good while there is an owner.
async fn signer(
    gate: &Gate,
    method: &Method,
    path: &str,
    query: Option<&str>,
) -> Result<Option<Caller>> {
    let Some(query) = query else {
        return Ok(None);
    };
    let path = percent_decode(path);
    let signer = gate.service.signer(method.as_str(), &path, query).await?;
    if signer != Some(Caller::Owner) {
        return Ok(signer);
    }
    let owner_is_known = match gate.trust {
        Trust::Owner | Trust::OwnerBy(_) => true,
        Trust::OwnerUntilUsers => !gate.service.has_users().await?,
        Trust::Nobody => false,
    };
    if owner_is_known {
        Ok(signer)
    } else {
        Err(unauthenticated("This server needs a token"))
    }
}

async fn caller(gate: &Gate, method: &Method, headers: &HeaderMap) -> Result<Caller> {
    let is_token = |header: &&HeaderValue| {
        header.as_bytes().strip_prefix(b"Bearer ") != Some(NO_TOKEN.as_bytes())
    };
    let Some(header) = headers.get(AUTHORIZATION).filter(is_token) else {
        return match gate.trust {
            Trust::Owner => Ok(Caller::Owner),
            Trust::OwnerUntilUsers if !gate.service.has_users().await? => {
                from_this_machine(headers).map(|()| Caller::Owner)
            }
            Trust::OwnerUntilUsers | Trust::OwnerBy(_) | Trust::Nobody => {
                Err(unauthenticated("This server needs a token"))
            }
        };
    };
    let credentials = header.to_str().ok().and_then(Credentials::parse);
    let Some(credentials) = credentials else {
        return Err(unauthenticated(
            "The Authorization header is neither `Bearer TOKEN` nor `Basic` with a user and a token",
        ));
    };
    // A browser that was logged in once sends the password with what any page asks it to send.
    if credentials.user.is_some() && !method.is_safe() && of_another_site(headers) {
        return Err(Error::new(
            Code::Denied,
            "A page of another site made this request, and a password alone does not tell that it was meant",
        )
        .hint("Programs send the token as `Authorization: Bearer TOKEN`"));
    }
    if let Trust::OwnerBy(hash) = gate.trust
        && blake3::hash(credentials.token.as_bytes()) == hash
    {
        return Ok(Caller::Owner);
    }
    match gate.service.authenticate(&credentials.token).await? {
        Some(caller) if credentials.name_fits(&caller) => Ok(caller),
        _ => Err(
            Error::new(Code::Unauthenticated, "The token is not valid here")
                .hint("An admin makes a new one: aml user rotate-token NAME")
                .hint(LOG_IN),
        ),
    }
}

/// What an Authorization header says.
struct Credentials {
    /// The user a `Basic` header names.
    user: Option<String>,
    token: String,
}

impl Credentials {
    fn parse(header: &str) -> Option<Self> {
        let (scheme, value) = header.split_once(' ')?;
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self {
                user: None,
                token: value.to_owned(),
            });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64_STANDARD.decode(value).ok()?).ok()?;
        let (user, token) = decoded.split_once(':')?;
        Some(Self {
            user: Some(user.to_owned()),
            token: token.to_owned(),
        })
    }

    /// A token proves who calls; a name beside it must be the same. A run has none.
    fn name_fits(&self, caller: &Caller) -> bool {
        match (&self.user, caller) {
            (Some(user), Caller::User { name, .. }) => user.eq_ignore_ascii_case(name),
            _ => true,
        }
    }
}

/// Refuses what only seems to come from the owner's own programs: a page in the owner's browser
/// can send requests to loopback, and so can a proxy for others.
fn from_this_machine(headers: &HeaderMap) -> Result<()> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(HOST.as_str()).unwrap_or_default();
    let problem = if !is_loopback_name(host) {
        Some(format!(
            "it was sent to `{host}`, which is not a name of loopback"
        ))
    } else if text("forwarded").or(text("x-forwarded-for")).is_some() {
        Some("a proxy passed it on".to_owned())
    } else if of_another_site(headers) {
        Some("a page of another site made it".to_owned())
    } else {
        None
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(unauthenticated(format!(
            "Without a token only this machine's own programs are trusted, and this request is not one of theirs: {problem}"
        ))),
    }
}

/// Whether a browser says that a page from elsewhere made the request. Programs say nothing of it.
fn of_another_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(HOST.as_str());
    let from = text("sec-fetch-site");
    let origin = text(ORIGIN.as_str());
    let origin = origin.map(|origin| origin.split_once("://").map(|(_, host)| host));
    from.is_some_and(|site| site != "same-origin" && site != "none")
        || origin.is_some_and(|origin| origin != host)
}

/// Whether a Host header can only mean this machine.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

const LOG_IN: &str = "Log in: aml login URL";

fn unauthenticated(message: impl Into<String>) -> Error {
    Error::new(Code::Unauthenticated, message)
        .hint(LOG_IN)
        .hint("An admin makes tokens: aml user create NAME")
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Credentials, from_this_machine, of_another_site};

    fn trusted(headers: &[(&'static str, &'static str)]) -> bool {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        from_this_machine(&headers).is_ok()
    }

    #[test]
    fn only_programs_of_this_machine_are_the_owner() {
        for host in [
            "127.0.0.1:5000",
            "localhost:5000",
            "localhost",
            "[::1]:5000",
            "127.3.2.1",
        ] {
            assert!(trusted(&[("host", host)]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example:5000",
            "10.0.0.1:5000",
        ] {
            assert!(!trusted(&[("host", host)]), "{host}");
        }
        let host = ("host", "127.0.0.1:5000");
        assert!(trusted(&[host, ("origin", "http://127.0.0.1:5000")]));
        assert!(trusted(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(!trusted(&[host, ("origin", "http://evil.example")]));
        assert!(!trusted(&[host, ("origin", "null")]));
        assert!(!trusted(&[host, ("sec-fetch-site", "cross-site")]));
        assert!(!trusted(&[host, ("x-forwarded-for", "10.0.0.1")]));
    }

    #[test]
    fn a_page_of_another_site_is_known() {
        let other = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("ml.example:5000"));
            headers.insert(name, HeaderValue::from_static(value));
            of_another_site(&headers)
        };
        assert!(other("origin", "https://evil.example"));
        assert!(other("origin", "null"));
        assert!(other("sec-fetch-site", "cross-site"));
        assert!(other("sec-fetch-site", "same-site"));
        assert!(!other("origin", "https://ml.example:5000"));
        assert!(!other("sec-fetch-site", "same-origin"));
        assert!(!other("accept", "*/*"));
    }

    #[test]
    fn tokens_come_as_bearer_or_as_password() {
        let parse = |header| Credentials::parse(header).map(|c| (c.user, c.token));
        assert_eq!(parse("Bearer t1"), Some((None, "t1".to_owned())));
        assert_eq!(parse("bearer  t1 "), Some((None, "t1".to_owned())));
        assert_eq!(
            parse("Basic YW5uOnQx"),
            Some((Some("ann".to_owned()), "t1".to_owned()))
        );
        assert_eq!(parse("Basic !"), None);
        assert_eq!(parse("Digest x"), None);
        assert_eq!(parse("t1"), None);
    }
}

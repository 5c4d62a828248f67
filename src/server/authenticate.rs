//! Who is calling: turns the request's token into a [`Caller`].

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header::AUTHORIZATION},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::Failure;
use crate::{
    api::{Error, Result},
    service::{Caller, Service},
};

/// What a caller without a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The owner: the router is called in process.
    Owner,
    /// The owner until the first user exists: a server on loopback.
    OwnerUntilUsers,
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
    let header = request.headers().get(AUTHORIZATION).cloned();
    match caller(&gate, header.as_ref()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => Failure(error).into_response(),
    }
}

async fn caller(gate: &Gate, header: Option<&HeaderValue>) -> Result<Caller> {
    let Some(header) = header.and_then(|value| value.to_str().ok()) else {
        let owner = match gate.trust {
            Trust::Owner => true,
            Trust::OwnerUntilUsers => !gate.service.has_users().await?,
            Trust::Nobody => false,
        };
        return if owner {
            Ok(Caller::Owner)
        } else {
            Err(unauthenticated("This server needs a token"))
        };
    };
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => {
            return Err(unauthenticated(
                "The Authorization header is not `Bearer TOKEN`",
            ));
        }
    };
    match gate.service.authenticate(token).await? {
        Some(caller) => Ok(caller),
        None => Err(unauthenticated("The token is not valid here")),
    }
}

fn unauthenticated(message: &str) -> Error {
    Error::new(crate::api::Code::Unauthenticated, message)
        .hint("Log in: aml login URL --token TOKEN")
        .hint("An admin makes tokens: aml user create NAME")
}

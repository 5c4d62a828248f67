//! The error envelope of our own API.

use axum::{
    Json,
    http::{
        HeaderValue, StatusCode,
        header::{RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::{IntoResponse, Response},
};

use api::{Code, Error, error::Envelope};

/// An error on its way out.
pub struct Failure(pub Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(Envelope { error: &self.0 })).into_response();
        if self.0.code == Code::Unauthenticated {
            let ways = HeaderValue::from_static(r#"Bearer realm="aml", Basic realm="aml""#);
            response.headers_mut().insert(WWW_AUTHENTICATE, ways);
        }
        if self.0.code == Code::Unavailable {
            let soon = HeaderValue::from_static("1");
            response.headers_mut().insert(RETRY_AFTER, soon);
        }
        // For the server's log.
        response.extensions_mut().insert(self.0);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_soon_says_so() {
        let retry = |error| {
            let response = Failure(error).into_response();
            response.headers().contains_key(RETRY_AFTER)
        };
        assert!(retry(Error::unavailable("Its host is starting")));
        assert!(!retry(Error::conflict("It is stopped")));
    }
}

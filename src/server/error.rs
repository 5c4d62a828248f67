//! The error envelope of our own API.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::api::{Error, error::Envelope};

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
        (status, Json(Envelope { error: self.0 })).into_response()
    }
}

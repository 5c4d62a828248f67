//! Errors as MLflow's clients expect them: `{"error_code", "message"}` and a status.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use api::{Code, Error};

/// MLflow's names of errors, as far as we answer them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    InvalidParameterValue,
    BadRequest,
    AlreadyExists,
    Unauthenticated,
    PermissionDenied,
    DoesNotExist,
    EndpointNotFound,
    MethodNotAllowed,
    NotImplemented,
    TemporarilyUnavailable,
    Internal,
}

impl ErrorCode {
    fn name(self) -> &'static str {
        match self {
            ErrorCode::InvalidParameterValue => "INVALID_PARAMETER_VALUE",
            ErrorCode::BadRequest => "BAD_REQUEST",
            ErrorCode::AlreadyExists => "RESOURCE_ALREADY_EXISTS",
            ErrorCode::Unauthenticated => "UNAUTHENTICATED",
            ErrorCode::PermissionDenied => "PERMISSION_DENIED",
            ErrorCode::DoesNotExist => "RESOURCE_DOES_NOT_EXIST",
            ErrorCode::EndpointNotFound | ErrorCode::MethodNotAllowed => "ENDPOINT_NOT_FOUND",
            ErrorCode::NotImplemented => "NOT_IMPLEMENTED",
            ErrorCode::TemporarilyUnavailable => "TEMPORARILY_UNAVAILABLE",
            ErrorCode::Internal => "INTERNAL_ERROR",
        }
    }

    /// Clients repeat a call for minutes on a status of 500 and more: no bad request gets one.
    fn status(self) -> StatusCode {
        match self {
            ErrorCode::InvalidParameterValue | ErrorCode::BadRequest | ErrorCode::AlreadyExists => {
                StatusCode::BAD_REQUEST
            }
            ErrorCode::Unauthenticated => StatusCode::UNAUTHORIZED,
            ErrorCode::PermissionDenied => StatusCode::FORBIDDEN,
            ErrorCode::DoesNotExist | ErrorCode::EndpointNotFound => StatusCode::NOT_FOUND,
            ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An error on its way to an MLflow client.
#[derive(Debug)]
pub struct Failure {
    pub code: ErrorCode,
    pub message: String,
}

impl Failure {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameterValue, message)
    }

    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::DoesNotExist, message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.code {
            Code::Invalid | Code::Conflict | Code::Unsupported => ErrorCode::InvalidParameterValue,
            Code::Unauthenticated => ErrorCode::Unauthenticated,
            Code::Denied => ErrorCode::PermissionDenied,
            Code::NotFound => ErrorCode::DoesNotExist,
            Code::Unavailable | Code::Full => ErrorCode::TemporarilyUnavailable,
            Code::Internal => ErrorCode::Internal,
        };
        let mut message = error.message;
        for hint in &error.hints {
            message.push_str("\nHint: ");
            message.push_str(hint);
        }
        Self { code, message }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = json!({"error_code": self.code.name(), "message": self.message});
        let mut response = (self.code.status(), Json(body)).into_response();
        // For the server's log.
        let error = Error::invalid(self.message);
        response.extensions_mut().insert(error);
        response
    }
}

/// Answers an error of the gate in MLflow's shape.
pub fn failure(mut error: Error) -> Response {
    if error.code == Code::Unauthenticated {
        error.hints = vec![
            "Set MLFLOW_TRACKING_TOKEN to your token; an admin makes it: aml user create NAME"
                .to_owned(),
        ];
    }
    Failure::from(error).into_response()
}

/// Answers a call that is not of the protocol, or of a part of it that is not there.
pub fn no_such_call(method: &str, path: &str) -> Response {
    Failure::new(
        ErrorCode::EndpointNotFound,
        format!("There is no call {method} {path}"),
    )
    .into_response()
}

/// Answers a call that is there with another method only.
pub fn no_such_method(method: &str, path: &str) -> Response {
    Failure::new(
        ErrorCode::MethodNotAllowed,
        format!("There is no call {method} {path}, but one with another method"),
    )
    .into_response()
}

//! Scoring: a request through the server to an endpoint.

use axum::{
    body::Body,
    http::{Method, Request, header},
};

use super::{Client, address::below, collect};
use api::{Error, Result, error::Envelope};

/// What a scoring script, or the server it runs in, answers.
#[derive(Debug)]
pub enum Scored {
    Answered(Vec<u8>),
    /// Nothing can take the document now; the same may be asked again soon.
    NotNow(Error),
    Refused(Refusal),
}

/// An answer of the script with a status of 400 or more: it raised, or does not take the document.
#[derive(Debug)]
pub struct Refusal {
    pub status: u16,
    pub said: String,
    /// What names the request in the endpoint's log.
    pub request: Option<String>,
    /// Who answered.
    pub deployment: Option<String>,
}

/// Names the deployment that shall answer; in answers the one that has.
const DEPLOYMENT: &str = "azureml-model-deployment";
const REQUEST_ID: &str = "x-request-id";

impl Client {
    /// Sends a document to an endpoint and answers what the scoring script does. The one that is named
    /// answers, else the deployment whose turn it is.
    pub async fn score(
        &self,
        workspace: &str,
        endpoint: &str,
        deployment: Option<&str>,
        key: &str,
        document: Vec<u8>,
    ) -> Result<Scored> {
        let uri = below("/ws", &[workspace, "endpoints", endpoint, "score"], &[]);
        let mut request = Request::builder().method(Method::POST).uri(uri);
        if let Some(deployment) = deployment {
            request = request.header(DEPLOYMENT, deployment);
        }
        let request = request
            .header(header::AUTHORIZATION, format!("Bearer {key}"))
            .header(header::CONTENT_TYPE, "application/json")
            // Not every program takes a body in chunks.
            .header(header::CONTENT_LENGTH, document.len())
            .body(Body::from(document))
            .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))?;
        let response = self.transport.send(request).await?;
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = collect(response.into_body()).await?;
        if status.is_success() {
            return Ok(Scored::Answered(bytes.into()));
        }
        if let Ok(envelope) = serde_json::from_slice::<Envelope>(&bytes) {
            return if headers.contains_key(header::RETRY_AFTER) {
                Ok(Scored::NotNow(envelope.error))
            } else {
                Err(envelope.error)
            };
        }
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        Ok(Scored::Refused(Refusal {
            status: status.as_u16(),
            said: said(&bytes),
            request: text(REQUEST_ID),
            deployment: text(DEPLOYMENT),
        }))
    }
}

/// What an answer says: its message, if it is the scoring server's, else the text of it.
fn said(bytes: &[u8]) -> String {
    let document: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
    let message = document.as_ref().and_then(|document| match document {
        serde_json::Value::String(text) => Some(text.as_str()),
        other => other["message"].as_str(),
    });
    match message {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(bytes).trim().to_owned(),
    }
}

//! Addresses that need no other credentials: for a while, whoever has one may read or write a file.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{
    artifacts,
    call::{Call, Place},
    error::Failure,
    runs,
    wire::{Answer, answer},
};
use crate::said;
use api::{Time, logged_models::GetLoggedModel};

/// What stands for itself in a path.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How long an address lasts whose caller did not say, to read and to write; and the longest.
const READ_SECONDS: i64 = 300;
const WRITE_SECONDS: i64 = 900;
const LONGEST_SECONDS: i64 = 7 * 24 * 60 * 60;

/// An address for one request at a path below the workspace's, as the caller, until then. It begins
/// as the caller's own request did.
pub async fn address(
    place: &Place,
    headers: &HeaderMap,
    method: &str,
    path: &str,
    until: Time,
) -> Result<String, Failure> {
    let path = format!("/ws/{}{path}", place.workspace.to_lowercase());
    let sign = place.service.sign(&place.caller, method, &path, until);
    let query = sign.await?;
    let base = base(place.service.base_url(), headers);
    let path = utf8_percent_encode(&path, ESCAPED);
    Ok(format!("{base}{path}?{query}"))
}

/// Where the caller found us: what a proxy in between says, else what the request says; below the path
/// that `--url` names.
fn base(own: &str, headers: &HeaderMap) -> String {
    let (scheme, own) = own.split_once("://").unwrap_or(("http", own));
    let (host, below) = own.split_at(own.find('/').unwrap_or(own.len()));
    let scheme = match said(headers, "x-forwarded-proto") {
        Some(known @ ("http" | "https")) => known,
        _ => scheme,
    };
    let host = crate::host(headers).unwrap_or(host);
    format!("{scheme}://{host}{below}")
}

/// The path of a file of the proxy.
fn of_file(address: &str) -> String {
    format!("/api/2.0/mlflow-artifacts/artifacts/{address}")
}

#[derive(Serialize)]
struct Download {
    url: String,
    headers: BTreeMap<String, String>,
    file_size: u64,
}

/// An address to read a file of the proxy.
pub async fn download(headers: HeaderMap, place: Place) -> Answer {
    let path = place.path.get("path").map_or("", String::as_str);
    let (content, _) = artifacts::open(&place, path).await?;
    let until = place.service.now().plus_ms(READ_SECONDS * 1000);
    answer(&Download {
        url: address(&place, &headers, "GET", &of_file(path), until).await?,
        headers: BTreeMap::new(),
        file_size: content.size,
    })
}

#[expect(clippy::struct_field_names, reason = "MLflow's name")]
#[derive(Serialize)]
struct Presigned {
    presigned_url: String,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
}

/// An address to write a file of a run or of a logged model.
pub async fn upload_url(headers: HeaderMap, call: Call) -> Answer {
    let path = file_of_call(&call).await?;
    let until = until(&call, WRITE_SECONDS)?;
    answer(&Presigned {
        presigned_url: address(&call, &headers, "PUT", &of_file(&path), until).await?,
        headers: BTreeMap::new(),
        file_size: None,
    })
}

/// An address to read a file of a run or of a logged model.
pub async fn download_url(headers: HeaderMap, call: Call) -> Answer {
    let path = file_of_call(&call).await?;
    let until = until(&call, READ_SECONDS)?;
    let (content, _) = artifacts::open(&call, &path).await?;
    answer(&Presigned {
        presigned_url: address(&call, &headers, "GET", &of_file(&path), until).await?,
        headers: BTreeMap::new(),
        file_size: Some(content.size),
    })
}

fn until(call: &Call, absent: i64) -> Result<Time, Failure> {
    let seconds = call.fields.integer("expiration")?.unwrap_or(absent);
    if !(1..=LONGEST_SECONDS).contains(&seconds) {
        return Err(Failure::invalid(format!(
            "expiration must be between 1 and {LONGEST_SECONDS} seconds (got {seconds})."
        )));
    }
    Ok(call.service.now().plus_ms(seconds * 1000))
}

/// Where the proxy has the file that a call names by its run or logged model.
async fn file_of_call(call: &Call) -> Result<String, Failure> {
    let run = call.fields.some_text("run_id")?;
    let model = call.fields.some_text("model_id")?;
    let path = call.fields.required("path")?;
    artifacts::check_plain(&path)?;
    let root = match (run, model) {
        (Some(run), None) => runs::find(call, &run).await?.artifact_uri,
        (None, Some(id)) => {
            let get = GetLoggedModel {
                workspace: call.workspace.clone(),
                id,
                include_deleted: false,
            };
            call.perform(get).await?.artifact_uri
        }
        _ => {
            return Err(Failure::invalid(
                "Exactly one of run_id and model_id must be provided.",
            ));
        }
    };
    match root.strip_prefix("mlflow-artifacts:/") {
        Some(kept) => Ok(format!("{}/{path}", kept.trim_matches('/'))),
        None => Err(Failure::invalid(format!(
            "The files below {root} are not kept by this server, which can sign no addresses there."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::base;

    fn found(own: &str, headers: &[(&'static str, &'static str)]) -> String {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        base(own, &headers)
    }

    #[test]
    fn addresses_begin_as_the_callers_own() {
        let own = "https://machine:5000";
        assert_eq!(found(own, &[]), own);
        assert_eq!(
            found(own, &[("host", "10.0.0.7:5000")]),
            "https://10.0.0.7:5000"
        );
        let proxied = [
            ("host", "127.0.0.1:5000"),
            ("x-forwarded-host", "ml.example.com, inner"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(
            found("http://127.0.0.1:5000", &proxied),
            "https://ml.example.com"
        );
        assert_eq!(
            found("https://ml.example.com/aml", &proxied),
            "https://ml.example.com/aml"
        );
        let odd = [("host", "h"), ("x-forwarded-proto", "file")];
        assert_eq!(found("http://127.0.0.1:5000", &odd), "http://h");
    }
}

//! The server's log: one line a request on stderr, with identifiers and never with secrets.

use std::{
    fmt::Write as _,
    io::Write as _,
    time::{Duration, Instant},
};

use axum::{
    body::Bytes,
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};

use super::Asked;
use api::{Error, Time};

/// Which requests get a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Those that met a defect or a missing resource.
    Errors,
    /// Also those that change something or read a secret, and those that were refused.
    Changes,
    /// All.
    Requests,
}

#[derive(Clone)]
pub struct Log {
    pub verbosity: Verbosity,
    pub clock: fn() -> Time,
    /// Told of each request.
    pub asked: Asked,
}

/// Put on an answer by whoever knows it, for the log.
#[derive(Debug, Clone)]
pub struct CallerName(pub String);

/// Put on an answer, for the log: what was asked, which is read when a line is written of it.
#[derive(Clone)]
pub struct RequestBody(Bytes);

impl RequestBody {
    /// A large one is not kept and read a second time.
    pub fn of(body: &Bytes) -> Self {
        let short = body.len() <= 64 << 10;
        Self(if short { body.clone() } else { Bytes::new() })
    }

    fn workspace(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Named {
            workspace: Option<String>,
        }
        serde_json::from_slice::<Named>(&self.0).ok()?.workspace
    }
}

/// Writes the line of one request when it has been answered.
pub async fn log(State(log): State<Log>, request: Request, next: Next) -> Response {
    log.asked.once_more();
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    if log.verbosity >= needed(&method, &path, response.status().as_u16()) {
        let line = line((log.clock)(), &method, &path, &response, begun.elapsed());
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
    response
}

/// Names of operations that only read begin so.
const READS: [&str; 3] = ["get", "list", "search"];

/// Those of them that may answer secrets.
const SECRETS: [&str; 4] = [
    "connections.get",
    "connections.list",
    "secrets.get",
    "workspaces.list_keys",
];

/// Last parts of addresses that read, or that a busy run calls many times.
const QUIET: &[&str] = &[
    "artifacts.add",
    "blobs",
    "blobs.missing",
    "batch.get_deployment",
    "batch.get_endpoint",
    "batch.list_deployments",
    "batch.list_endpoints",
    "endpoints.log",
    "log-batch",
    "log-inputs",
    "log-metric",
    "log-parameter",
    "runs.best",
    "runs.log",
    "runs.metric_history",
    "score",
    "set-tag",
    "trees.create",
    "trees.find",
    "users.whoami",
    "workers.report",
    "workers.sync",
];

fn needed(method: &Method, path: &str, status: u16) -> Verbosity {
    let last = path.rsplit('/').next().unwrap_or_default();
    let what = last.rsplit('.').next().unwrap_or_default();
    match status {
        500.. => Verbosity::Errors,
        401 | 403 => Verbosity::Changes,
        _ if method == Method::GET || method == Method::HEAD => Verbosity::Requests,
        _ if SECRETS.contains(&last) => Verbosity::Changes,
        _ if QUIET.contains(&last) || READS.iter().any(|verb| what.starts_with(verb)) => {
            Verbosity::Requests
        }
        _ if path.contains("/mlflow-artifacts/") => Verbosity::Requests,
        _ => Verbosity::Changes,
    }
}

fn line(now: Time, method: &Method, path: &str, response: &Response, took: Duration) -> String {
    let mut line = format!("{now} ");
    match path.strip_prefix("/api/v1/") {
        Some(operation) if !operation.contains('/') => line.push_str(operation),
        _ => {
            let _ = write!(line, "{method} {path}");
        }
    }
    let known = response.extensions();
    let caller = known.get::<CallerName>().map_or("-", |caller| &caller.0);
    let _ = write!(line, " caller={}", quoted(caller));
    let told = known.get::<RequestBody>().and_then(RequestBody::workspace);
    if let Some(workspace) = told.as_deref().or_else(|| workspace_in(path)) {
        let _ = write!(line, " workspace={}", quoted(workspace));
    }
    let _ = write!(
        line,
        " status={} ms={}",
        response.status().as_u16(),
        took.as_millis()
    );
    if let Some(error) = known.get::<Error>() {
        let _ = write!(line, " error={}", quoted(&error.message));
    }
    line.push('\n');
    line
}

/// The workspace that an address is of.
fn workspace_in(path: &str) -> Option<&str> {
    let (workspace, _) = path.strip_prefix("/ws/")?.split_once('/')?;
    Some(workspace)
}

/// One word as it is, anything else in quotes, so that nobody can forge a line.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@/:`".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{body::Bytes, http::Method, response::IntoResponse};

    use super::{CallerName, RequestBody, Verbosity, line, needed};
    use crate::Failure;
    use api::{Error, Time};

    #[test]
    fn changes_and_refusals_are_logged_and_reads_are_not() {
        let post = |path: &str, status| needed(&Method::POST, path, status);
        assert_eq!(post("/api/v1/runs.submit", 200), Verbosity::Changes);
        assert_eq!(post("/api/v1/secrets.get", 200), Verbosity::Changes);
        assert_eq!(post("/api/v1/runs.list", 200), Verbosity::Requests);
        assert_eq!(post("/api/v1/runs.list", 403), Verbosity::Changes);
        let files = "/api/v1/datastores.list_files";
        assert_eq!(post(files, 200), Verbosity::Requests);
        assert_eq!(post("/api/v1/secrets.get", 200), Verbosity::Changes);
        assert_eq!(post("/api/v1/runs.list", 503), Verbosity::Errors);
        assert_eq!(
            post("/ws/a/api/2.0/mlflow-artifacts/artifacts/1/x.txt", 200),
            Verbosity::Requests
        );
        assert_eq!(needed(&Method::GET, "/health", 200), Verbosity::Requests);
    }

    #[test]
    fn a_line_has_identifiers_and_cannot_be_forged() {
        let error = Error::denied("`eve` may not\n1970 runs.submit");
        let mut response = Failure(error).into_response();
        response
            .extensions_mut()
            .insert(CallerName("eve".to_owned()));
        let body = Bytes::from_static(br#"{"workspace": "a b", "job": {}}"#);
        response.extensions_mut().insert(RequestBody::of(&body));
        let line = line(
            Time(0),
            &Method::POST,
            "/api/v1/runs.submit",
            &response,
            Duration::from_millis(7),
        );
        assert_eq!(
            line,
            "1970-01-01T00:00:00.000Z runs.submit caller=eve workspace=\"a b\" status=403 ms=7 \
             error=\"`eve` may not\\n1970 runs.submit\"\n"
        );
    }

    #[test]
    fn a_line_has_the_workspace_that_its_address_is_of() {
        let response = ().into_response();
        let path = "/ws/w/batch-endpoints/scores/jobs";
        let line = line(Time(0), &Method::POST, path, &response, Duration::ZERO);
        assert!(line.contains(" workspace=w status=200 "), "{line}");
    }
}

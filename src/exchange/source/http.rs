//! A running server, of MLflow or of anything else that speaks its protocol.

use std::{collections::HashMap, sync::Mutex};

use axum::{
    body::Body,
    http::{HeaderValue, Method, Request, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value as Json, json};

use super::{Cursor, Options, Points, answers};
use crate::record::{Experiment, File, Model, Owner, Registered, Run, Version};
use api::{Error, Page, Result, metrics::MetricPoint, paths::percent_decode};
use client::{Client, Remote, below, collect};

pub(super) const API: &str = "/api/2.0/mlflow";
/// Several calls exist only where MLflow's pages look for them.
pub(super) const PAGES: &str = "/ajax-api/2.0/mlflow";
/// Files that the server passes on.
const PROXY: &str = "/api/2.0/mlflow-artifacts";
/// Runs that one call for the points of a metric may name, and points that it answers at most.
const BULK_RUNS: usize = 100;
const BULK_POINTS: usize = 25_000;
/// Calls at once.
pub(super) const CALLS: usize = 8;
const TRIES: u32 = 4;

/// How to be let in, as MLflow's clients know it.
#[derive(Default)]
pub struct Credentials {
    pub token: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    /// Certificate to trust, PEM.
    pub ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

pub struct Http {
    client: Client,
    authorization: Option<HeaderValue>,
    workspace: Option<HeaderValue>,
    /// The runs that traces were said to belong to, by the ids of the traces, as far as it was asked.
    pub(super) links: Mutex<HashMap<String, Vec<String>>>,
}

impl Http {
    pub fn open(url: &str, options: Options) -> Result<Self> {
        let mut credentials = options.credentials;
        let (url, inside) = split_user(url);
        if let Some((user, password)) = inside {
            (credentials.user, credentials.password) = (Some(user), Some(password));
        }
        let basic = credentials.user.zip(credentials.password);
        let basic = basic.map(|(user, password)| {
            format!(
                "Basic {}",
                BASE64_STANDARD.encode(format!("{user}:{password}"))
            )
        });
        let bearer = credentials.token.map(|token| format!("Bearer {token}"));
        let header = |text: String, what: &str| {
            let mut value = HeaderValue::try_from(text)
                .map_err(|_| Error::invalid(format!("The {what} cannot be sent")))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let authorization = basic.or(bearer).map(|text| header(text, "token"));
        let workspace = options.workspace.map(|text| header(text, "workspace"));
        Ok(Self {
            client: Client::remote(Remote {
                url: url.trim_end_matches('/').to_owned(),
                token: None,
                ca: credentials.ca,
                ..Remote::default()
            })?,
            authorization: authorization.transpose()?,
            workspace: workspace.transpose()?,
            links: Mutex::default(),
        })
    }

    pub(super) async fn send(
        &self,
        method: &Method,
        address: &str,
        body: Option<&Json>,
    ) -> Result<Body> {
        let text = body.map(ToString::to_string).unwrap_or_default();
        let mut tried = 1;
        loop {
            let mut request = Request::builder()
                .method(method)
                .uri(address)
                .header(header::CONTENT_TYPE, "application/json")
                // MLflow's own server takes a body of unknown length for none.
                .header(header::CONTENT_LENGTH, text.len());
            if let Some(authorization) = &self.authorization {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            if let Some(workspace) = &self.workspace {
                request = request.header("x-mlflow-workspace", workspace);
            }
            let request = request
                .body(Body::from(text.clone()))
                .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))?;
            match self.client.send(request).await {
                Err(error) if error.code.retryable() && tried < TRIES => {
                    tokio::time::sleep(std::time::Duration::from_millis(250 << tried)).await;
                    tried += 1;
                }
                Err(error) => return Err(answers::explain(error)),
                answer => return answer,
            }
        }
    }

    pub(super) async fn ask(
        &self,
        method: &Method,
        address: &str,
        body: Option<&Json>,
    ) -> Result<Json> {
        let bytes = collect(self.send(method, address, body).await?).await?;
        serde_json::from_slice(&bytes).map_err(|e| {
            Error::unavailable(format!("The server's answer is not JSON: {e}"))
                .hint("Is it the address of an MLflow server?")
        })
    }

    pub(super) async fn get(
        &self,
        root: &str,
        call: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Json> {
        self.ask(&Method::GET, &below(root, call, query), None)
            .await
    }

    pub(super) async fn post(&self, call: &[&str], body: &Json) -> Result<Json> {
        self.ask(&Method::POST, &below(API, call, &[]), Some(body))
            .await
    }

    pub async fn experiments(&self) -> Result<Vec<Experiment>> {
        let mut all = Vec::new();
        let mut body = json!({"max_results": 1000, "view_type": "ALL"});
        loop {
            let page = self.post(&["experiments", "search"], &body).await?;
            all.extend(
                answers::list(&page, "experiments")
                    .iter()
                    .map(answers::experiment),
            );
            match answers::next(&page) {
                Some(token) => body["page_token"] = token.into(),
                None => break,
            }
        }
        // Numbers as texts, in the order in which they were made.
        all.sort_by_key(|experiment: &Experiment| (experiment.id.len(), experiment.id.clone()));
        Ok(all)
    }

    pub async fn runs(&self, experiment: &Experiment, page: Option<String>) -> Result<Page<Run>> {
        let body = json!({
            "experiment_ids": [experiment.id],
            "run_view_type": "ALL",
            "max_results": super::RUNS,
            "order_by": ["attributes.start_time ASC", "attributes.run_id ASC"],
            "page_token": page.unwrap_or_default(),
        });
        let page = self.post(&["runs", "search"], &body).await?;
        Ok(Page {
            items: answers::list(&page, "runs")
                .iter()
                .map(answers::run)
                .collect(),
            next: answers::next(&page),
        })
    }

    /// Metric by metric, of many runs at once.
    pub async fn points(&self, runs: &[Run], cursor: &mut Cursor) -> Result<Points> {
        while let Some(group) = runs.chunks(BULK_RUNS).nth(cursor.run) {
            let mut keys: Vec<&str> = group
                .iter()
                .flat_map(|run| &run.latest)
                .map(|m| m.key.as_str())
                .collect();
            keys.sort_unstable();
            keys.dedup();
            let some: Vec<&str> = keys
                .iter()
                .skip(cursor.metric)
                .take(CALLS)
                .copied()
                .collect();
            if some.is_empty() {
                cursor.run += 1;
                cursor.metric = 0;
                continue;
            }
            cursor.metric += some.len();
            let found = stream::iter(some).map(|key| self.points_of(group, key));
            let found: Vec<Vec<_>> = found.buffered(CALLS).try_collect().await?;
            return Ok(Some(found.concat()));
        }
        Ok(None)
    }

    async fn points_of(&self, runs: &[Run], key: &str) -> Result<Vec<(String, MetricPoint)>> {
        let have = |run: &&Run| run.latest.iter().any(|point| point.key == key);
        let runs: Vec<&str> = runs
            .iter()
            .filter(have)
            .map(|run| run.id.as_str())
            .collect();
        let limit = BULK_POINTS.to_string();
        let mut query = vec![("metric_key", key), ("max_results", limit.as_str())];
        query.extend(runs.iter().map(|run| ("run_id", *run)));
        let bulk = self
            .get(PAGES, &["metrics", "get-history-bulk"], &query)
            .await;
        if let Ok(bulk) = bulk {
            let points = answers::list(&bulk, "metrics");
            let is_all = points.len() < BULK_POINTS;
            if is_all {
                let point = |json: &Json| (answers::text(&json["run_id"]), answers::point(json));
                return Ok(points.iter().map(point).collect());
            }
        }
        let mut all = Vec::new();
        for run in runs {
            self.history(run, key, &mut all).await?;
        }
        Ok(all)
    }

    /// All points of one metric of one run, page by page where the server has pages.
    async fn history(
        &self,
        run: &str,
        key: &str,
        all: &mut Vec<(String, MetricPoint)>,
    ) -> Result<()> {
        let limit = BULK_POINTS.to_string();
        let mut token = String::new();
        loop {
            let query = [
                ("run_id", run),
                ("metric_key", key),
                ("max_results", &limit),
                ("page_token", &token),
            ];
            let query = if token.is_empty() {
                &query[..3]
            } else {
                &query[..]
            };
            let page = self.get(API, &["metrics", "get-history"], query).await?;
            let points = answers::list(&page, "metrics");
            all.extend(
                points
                    .iter()
                    .map(|json| (run.to_owned(), answers::point(json))),
            );
            match answers::next(&page) {
                Some(next) => token = next,
                None => return Ok(()),
            }
        }
    }

    /// Servers of 2.x have none.
    pub async fn models(&self, experiment: &Experiment) -> Result<Vec<Model>> {
        let mut all = Vec::new();
        let mut body = json!({"experiment_ids": [experiment.id], "max_results": 50});
        loop {
            let page = match self.post(&["logged-models", "search"], &body).await {
                Err(error) if answers::is_no_call(&error) => return Ok(all),
                page => page?,
            };
            all.extend(answers::list(&page, "models").iter().map(answers::model));
            match answers::next(&page) {
                Some(token) => body["page_token"] = token.into(),
                None => return Ok(all),
            }
        }
    }

    /// Prompts are found only when they are asked for.
    pub async fn registered(&self) -> Result<Vec<Registered>> {
        let prompt = "tags.`mlflow.prompt.is_prompt` = 'true'";
        let mut all = Vec::new();
        for filter in ["", prompt] {
            let found = self
                .pages(
                    &["registered-models", "search"],
                    filter,
                    "registered_models",
                )
                .await;
            let found = match found {
                // A server may have no registry, and older ones know no prompts.
                Err(error) if answers::is_no_call(&error) || !filter.is_empty() => Vec::new(),
                found => found?,
            };
            for json in found {
                let mut model = answers::registered(&json);
                let name = model.name.replace('\'', "''");
                let mut of_model = format!("name = '{name}'");
                if !filter.is_empty() {
                    of_model = format!("{of_model} AND {filter}");
                }
                let versions = self
                    .pages(&["model-versions", "search"], &of_model, "model_versions")
                    .await?;
                model.versions = versions.iter().map(answers::version).collect();
                model.versions.sort_by_key(|version| version.number);
                for version in &mut model.versions {
                    self.locate(&model.name, version).await;
                }
                all.push(model);
            }
        }
        Ok(all)
    }

    async fn pages(&self, call: &[&str], filter: &str, list: &str) -> Result<Vec<Json>> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = vec![("max_results", "200")];
            if !filter.is_empty() {
                query.push(("filter", filter));
            }
            if !token.is_empty() {
                query.push(("page_token", &token));
            }
            let page = self.get(API, call, &query).await?;
            all.extend(answers::list(&page, list).iter().cloned());
            match answers::next(&page) {
                Some(next) => token = next,
                None => return Ok(all),
            }
        }
    }

    /// Asks where the files of a version are; where nobody knows, it stays where it was said to be.
    async fn locate(&self, name: &str, version: &mut Version) {
        let number = version.number.to_string();
        let query = [("name", name), ("version", &number)];
        let asked = self
            .get(API, &["model-versions", "get-download-uri"], &query)
            .await;
        if let Ok(answer) = asked
            && let Some(uri) = answer["artifact_uri"].as_str()
        {
            uri.clone_into(&mut version.location);
        }
    }

    pub async fn files(&self, owner: Owner<'_>) -> Result<Option<Vec<File>>> {
        let location = match owner {
            Owner::Version(version) => Some(&version.location),
            Owner::Trace(trace) => Some(&trace.artifact_uri),
            Owner::Run(_) | Owner::Model(_) => None,
        };
        if let Some(location) = location
            && served(location).is_err()
        {
            return Ok(None);
        }
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let page = self.list(owner, &folder).await?;
            for json in answers::list(&page, "files") {
                let path = answers::text(&json["path"]);
                match json["is_dir"].as_bool() {
                    // A folder that is listed as in itself would never end.
                    Some(true) if path.len() > folder.len() => folders.push(path),
                    Some(true) => {}
                    _ => files.push(File {
                        path,
                        size: json["file_size"].as_u64().unwrap_or_default(),
                        disk: None,
                    }),
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Some(files))
    }

    async fn list(&self, owner: Owner<'_>, folder: &str) -> Result<Json> {
        match owner {
            Owner::Run(run) => {
                let query = [("run_id", run.id.as_str()), ("path", folder)];
                let query = if folder.is_empty() {
                    &query[..1]
                } else {
                    &query
                };
                self.get(API, &["artifacts", "list"], query).await
            }
            Owner::Model(model) => {
                let call = ["logged-models", &model.id, "artifacts", "directories"];
                let query = [("artifact_directory_path", folder)];
                let query = if folder.is_empty() { &[] } else { &query[..] };
                self.get(API, &call, query).await
            }
            Owner::Version(_) | Owner::Trace(_) => {
                let above = served(owner.artifact_uri())?;
                let path = match folder {
                    "" => above.to_owned(),
                    folder => format!("{above}/{folder}"),
                };
                let listed = self.get(PROXY, &["artifacts"], &[("path", &path)]).await?;
                Ok(answers::below_folder(listed, folder))
            }
        }
    }

    pub async fn read(&self, owner: Owner<'_>, file: &File) -> Result<Body> {
        let address = match owner {
            Owner::Run(run) => below(
                "",
                &["get-artifact"],
                &[("run_id", &run.id), ("path", &file.path)],
            ),
            Owner::Version(_) | Owner::Trace(_) => {
                let path = format!("{}/{}", served(owner.artifact_uri())?, file.path);
                let parts: Vec<&str> = ["artifacts"].into_iter().chain(path.split('/')).collect();
                below(PROXY, &parts, &[])
            }
            Owner::Model(model) => below(
                PAGES,
                &["logged-models", &model.id, "artifacts", "files"],
                &[("artifact_file_path", &file.path)],
            ),
        };
        self.send(&Method::GET, &address, None).await
    }
}

/// The path of a place among the files that the server passes on.
fn served(location: &str) -> Result<&str> {
    let path = location.strip_prefix("mlflow-artifacts:");
    path.map(|path| path.trim_matches('/'))
        .ok_or_else(|| Error::not_found(format!("The server does not pass on `{location}`")))
}

/// Takes `user:password@` out of an address.
fn split_user(url: &str) -> (String, Option<(String, String)>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), None);
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((user, host)) = authority.rsplit_once('@') else {
        return (url.to_owned(), None);
    };
    let path = &rest[authority.len()..];
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let inside = (percent_decode(user), percent_decode(password));
    (format!("{scheme}://{host}{path}"), Some(inside))
}

#[cfg(test)]
mod tests {
    use super::split_user;

    #[test]
    fn a_user_in_an_address_is_taken_out() {
        assert_eq!(
            split_user("https://ann:p%40ss@host:5000/ws/x"),
            (
                "https://host:5000/ws/x".to_owned(),
                Some(("ann".to_owned(), "p@ss".to_owned()))
            )
        );
        assert_eq!(
            split_user("http://host/a@b"),
            ("http://host/a@b".to_owned(), None)
        );
    }
}

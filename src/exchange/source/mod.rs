//! Reading a tracking store of MLflow: a server, a database file, or an `mlruns` folder.

mod answers;
mod database;
mod database_models;
mod database_registry;
mod database_traces;
mod folder;
mod folder_models;
mod folder_registry;
mod folder_traces;
mod http;
mod http_traces;
mod place;
mod trace_answers;

use std::path::Path;

use axum::body::Body;

use super::{
    record::{Experiment, File, Model, Owner, Registered, Run, Trace},
    target::STAMP,
};
use api::{Error, Page, Result, metrics::MetricPoint, paths::percent_decode, traces::Span};

pub use database::Database;
pub use folder::Folder;
pub use http::{Credentials, Http};

/// Points answered at once, about.
pub const POINTS: usize = 50_000;
/// Runs answered at once.
pub const RUNS: usize = 200;

/// Where something is imported from.
pub enum Source {
    Database(Database),
    Folder(Folder),
    Http(Http),
}

/// How a store is read.
#[derive(Debug, Default)]
pub struct Options {
    /// Folder of a server's artifacts, for URIs of the scheme `mlflow-artifacts`.
    pub artifacts: Option<std::path::PathBuf>,
    /// One of the workspaces of a newer server.
    pub workspace: Option<String>,
    pub credentials: Credentials,
}

/// How far the points of some runs were read: which run, which of its metrics, and where in them.
#[derive(Debug, Default)]
pub struct Cursor {
    pub run: usize,
    pub metric: usize,
    pub after: i64,
}

/// Points with the ids of their runs; none are left after none.
pub type Points = Option<Vec<(String, MetricPoint)>>;

impl Source {
    /// Opens what `from` names: an address, a URI of SQLite, a database file or a folder.
    pub fn open(from: &str, base: &Path, options: Options) -> Result<Self> {
        if from.starts_with("http://") || from.starts_with("https://") {
            return Http::open(from, options).map(Source::Http);
        }
        let path = match from.split_once("://") {
            None => from.strip_prefix("file:").unwrap_or(from).to_owned(),
            Some(("file", path)) => percent_decode(path),
            // Three slashes before a relative path, four before an absolute one.
            Some(("sqlite", path)) => path.strip_prefix('/').unwrap_or(path).to_owned(),
            Some((scheme, _)) => return Err(unreadable(scheme, from)),
        };
        let path = base.join(path);
        if path.is_dir() {
            return Folder::open(&path, options).map(Source::Folder);
        }
        Database::open(&path, options).map(Source::Database)
    }

    /// How many runs and traces there are, when that is known.
    pub fn count(&self) -> Result<Option<u64>> {
        match self {
            Source::Database(database) => database.count().map(Some),
            Source::Folder(folder) => folder.count().map(Some),
            Source::Http(_) => Ok(None),
        }
    }

    /// All experiments, also the deleted ones.
    pub async fn experiments(&self) -> Result<Vec<Experiment>> {
        match self {
            Source::Database(database) => database.experiments(),
            Source::Folder(folder) => folder.experiments(),
            Source::Http(http) => http.experiments().await,
        }
    }

    /// The runs of an experiment, also the deleted ones, oldest first.
    pub async fn runs(&self, experiment: &Experiment, page: Option<String>) -> Result<Page<Run>> {
        let mut runs = match self {
            Source::Database(database) => database.runs(experiment, page.as_deref()),
            Source::Folder(folder) => folder.runs(experiment, page.as_deref()),
            Source::Http(http) => http.runs(experiment, page).await,
        }?;
        for run in &mut runs.items {
            run.tags.remove(STAMP);
        }
        Ok(runs)
    }

    /// More of the points of the runs; none after the last.
    pub async fn points(&self, runs: &[Run], cursor: &mut Cursor) -> Result<Points> {
        match self {
            Source::Database(database) => database.points(runs, cursor),
            Source::Folder(folder) => folder.points(runs, cursor),
            Source::Http(http) => http.points(runs, cursor).await,
        }
    }

    /// The logged models of an experiment.
    pub async fn models(&self, experiment: &Experiment) -> Result<Vec<Model>> {
        let mut models = match self {
            Source::Database(database) => database.models(experiment),
            Source::Folder(folder) => folder.models(experiment),
            Source::Http(http) => http.models(experiment).await,
        }?;
        for model in &mut models {
            model.tags.remove(STAMP);
        }
        Ok(models)
    }

    /// The traces of an experiment, without their spans.
    pub async fn traces(
        &self,
        experiment: &Experiment,
        page: Option<String>,
    ) -> Result<Page<Trace>> {
        let mut traces = match self {
            Source::Database(database) => database.traces(experiment, page.as_deref()),
            Source::Folder(folder) => folder.traces(experiment, page.as_deref()),
            Source::Http(http) => http.traces(experiment, page).await,
        }?;
        for trace in &mut traces.items {
            let tags = &mut trace.record.tags;
            tags.remove(STAMP);
            trace.archived = tags
                .remove(Trace::SPANS_TAG)
                .is_some_and(|place| place == "ARCHIVE_REPO");
            trace.artifact_uri = tags.remove(Trace::PLACE_TAG).unwrap_or_default();
            let own = trace.folder.join("artifacts");
            if trace.folder.is_absolute() && own.is_dir() {
                trace.artifact_uri = own.display().to_string();
            }
        }
        Ok(traces)
    }

    /// The spans of a trace; none when they are out of reach.
    pub async fn spans(&self, trace: &Trace) -> Result<Option<Vec<Span>>> {
        match self {
            Source::Database(database) => database.spans(trace),
            Source::Folder(folder) => folder.spans(trace),
            Source::Http(http) => http.spans(trace).await,
        }
    }

    /// The registered models and prompts.
    pub async fn registered(&self) -> Result<Vec<Registered>> {
        match self {
            Source::Database(database) => database.registered(),
            Source::Folder(folder) => folder.registered(),
            Source::Http(http) => http.registered().await,
        }
    }

    /// The files of a run or model; none when they are out of reach.
    pub async fn files(&self, owner: Owner<'_>) -> Result<Option<Vec<File>>> {
        match self {
            Source::Database(database) => database.files(owner),
            Source::Folder(folder) => folder.files(owner),
            Source::Http(http) => http.files(owner).await,
        }
    }

    /// The content of a file that does not lie on this machine.
    pub async fn read(&self, owner: Owner<'_>, file: &File) -> Result<Body> {
        match self {
            Source::Http(http) => http.read(owner, file).await,
            Source::Database(_) | Source::Folder(_) => Err(Error::internal(format!(
                "`{}` has no place on this machine",
                file.path
            ))),
        }
    }
}

fn unreadable(scheme: &str, from: &str) -> Error {
    let error = Error::invalid(format!("`{scheme}` cannot be read directly")).at("--from");
    let from = from.split_once('@').map_or(from.to_owned(), |(_, place)| {
        format!("{scheme}://USER:PASSWORD@{place}")
    });
    error.hint(format!(
        "Start MLflow's server on it, and import from its address: mlflow server --backend-store-uri {from}"
    ))
}

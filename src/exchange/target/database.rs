//! A SQLite database for MLflow's server of 3.3 or newer, and the folder of its artifacts.
//!
//! A new one has the format of 3.3, which newer servers turn into their own; one that is there is
//! written in the format it has.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::STAMP;
use crate::record::{Experiment, Model, Pairs, Run};
use api::{
    Error, Result, Time,
    files::{Hash, check_path},
    imports::Outcome,
    logged_models::{DatasetUse, LoggedModelStatus},
    metrics::MetricPoint,
};

const SCHEMA: &str = include_str!("database.sql");
const PATIENCE: Duration = Duration::from_secs(30);

/// A database that is open for writing.
pub struct Database {
    connection: Connection,
    /// The folder of the server's artifacts.
    artifacts: PathBuf,
    /// The experiments written to, from the ids they come with to those they have there.
    experiments: HashMap<String, String>,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function in `map_err`"
)]
fn db_error(error: rusqlite::Error) -> Error {
    Error::unavailable(format!("The database cannot be written: {error}")).at("--to")
}

impl Database {
    /// Opens a database of MLflow's, or makes one.
    pub fn open(path: &Path, artifacts: PathBuf) -> Result<Self> {
        let cannot = |error: rusqlite::Error| {
            Error::invalid(format!("Cannot write `{}`: {error}", path.display())).at("--to")
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|e| {
            Error::invalid(format!("Cannot make `{}`: {e}", folder.display())).at("--to")
        })?;
        let connection = Connection::open(path).map_err(cannot)?;
        connection.busy_timeout(PATIENCE).map_err(cannot)?;
        let database = Self {
            connection,
            artifacts,
            experiments: HashMap::new(),
        };
        database.prepare(path)?;
        Ok(database)
    }

    fn prepare(&self, path: &Path) -> Result<()> {
        let tables = "SELECT COUNT(*) FROM sqlite_master";
        let has =
            "SELECT COUNT(*) FROM sqlite_master WHERE name IN ('latest_metrics', 'logged_models')";
        let count = |sql: &str| {
            self.connection
                .query_row(sql, [], |row| row.get::<_, i64>(0))
        };
        let unusable = |what: String| Error::invalid(what).at("--to");
        match (count(tables), count(has)) {
            (Ok(0), _) => {
                let make = format!("BEGIN IMMEDIATE;{SCHEMA}COMMIT");
                self.connection.execute_batch(&make).map_err(db_error)?;
                self.insert_experiment("0", &default_experiment())
            }
            (Ok(_), Ok(2)) => Ok(()),
            (Ok(_), Ok(1)) => Err(unusable(format!(
                "`{}` is a database of MLflow's before 3.0",
                path.display()
            ))
            .hint(format!(
                "Let MLflow bring it up to date: mlflow db upgrade sqlite:///{}",
                path.display()
            ))),
            _ => Err(unusable(format!(
                "`{}` is not a database of MLflow's tracking server",
                path.display()
            ))
            .hint("Name a file that is not there; it is made")),
        }
    }

    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map_err(db_error)
    }

    pub(super) fn one<T: rusqlite::types::FromSql>(
        &self,
        sql: &str,
        params: impl Params,
    ) -> Result<Option<T>> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(params, |row| row.get(0)).optional())
            .map_err(db_error)
    }

    /// Writes all of `work` or nothing.
    pub async fn at_once<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.execute("BEGIN IMMEDIATE", [])?;
        let result = work(self).await;
        let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.execute(end, [])?;
        result
    }

    pub(super) fn pairs(&self, table: &str, of: (&str, &str), pairs: &Pairs) -> Result<()> {
        let (column, id) = of;
        self.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), [id])?;
        let insert = format!("INSERT INTO {table}(key, value, {column}) VALUES (?1, ?2, ?3)");
        for (key, value) in pairs {
            self.execute(&insert, params![key, value, id])?;
        }
        Ok(())
    }

    /// Finds the experiment by its name, or makes it with its own id if that is free.
    pub fn experiment(&mut self, experiment: &Experiment) -> Result<Outcome> {
        let find = "SELECT CAST(experiment_id AS TEXT) FROM experiments WHERE name = ?1";
        let found: Option<String> = self.one(find, [&experiment.name])?;
        let outcome = match found {
            Some(id) => {
                self.experiments.insert(experiment.id.clone(), id);
                Outcome::Unchanged
            }
            None => {
                let taken = "SELECT 1 FROM experiments WHERE experiment_id = ?1";
                let next = "SELECT CAST(max(experiment_id) + 1 AS TEXT) FROM experiments";
                let is_free = experiment.id.parse::<i64>().is_ok()
                    && self.one::<i64>(taken, [&experiment.id])?.is_none();
                let id = if is_free {
                    experiment.id.clone()
                } else {
                    self.one(next, [])?.unwrap_or_else(|| "1".to_owned())
                };
                self.insert_experiment(&id, experiment)?;
                self.experiments.insert(experiment.id.clone(), id);
                Outcome::New
            }
        };
        let id = self.experiment_id(&experiment.id)?;
        let changed = "INSERT INTO experiment_tags(key, value, experiment_id) VALUES (?1, ?2, ?3) \
                       ON CONFLICT(key, experiment_id) DO UPDATE SET value = excluded.value \
                       WHERE value IS NOT excluded.value";
        let mut changes = 0;
        for (key, value) in &experiment.tags {
            changes += self.execute(changed, params![key, value, id])?;
        }
        Ok(match outcome {
            Outcome::Unchanged if changes > 0 => Outcome::Updated,
            outcome => outcome,
        })
    }

    fn insert_experiment(&self, id: &str, experiment: &Experiment) -> Result<()> {
        self.execute(
            "INSERT INTO experiments(experiment_id, name, artifact_location, lifecycle_stage, \
             creation_time, last_update_time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                id,
                experiment.name,
                format!("mlflow-artifacts:/{id}"),
                stage(experiment.deleted),
                experiment.created_at.0,
                experiment.updated_at.0
            ],
        )
        .map(drop)
    }

    /// What an experiment that was written is called there.
    pub fn experiment_id(&self, id: &str) -> Result<&str> {
        let found = self.experiments.get(id).map(String::as_str);
        found.ok_or_else(|| Error::internal(format!("The experiment {id} was not written")))
    }

    /// The state of a run or logged model that was written before.
    pub fn stamp(&self, id: &str) -> Result<Option<String>> {
        let of_run = "SELECT value FROM tags WHERE run_uuid = ?1 AND key = ?2";
        let of_model =
            "SELECT tag_value FROM logged_model_tags WHERE model_id = ?1 AND tag_key = ?2";
        let sql = if id.starts_with("m-") {
            of_model
        } else {
            of_run
        };
        self.one(sql, [id, STAMP])
    }

    pub fn has_run(&self, id: &str) -> Result<bool> {
        let found: Option<i64> = self.one("SELECT 1 FROM runs WHERE run_uuid = ?1", [id])?;
        Ok(found.is_some())
    }

    /// Writes a run without its points; answers whether it was there before.
    pub fn run(&self, experiment: &str, run: &Run, stamp: &str) -> Result<Outcome> {
        let id = self.experiment_id(experiment)?.to_owned();
        let known = self.one::<i64>("SELECT 1 FROM runs WHERE run_uuid = ?1", [&run.id])?;
        let deleted_at = run
            .deleted
            .then(|| run.ended_at.or(run.started_at).unwrap_or(Time(0)).0);
        self.execute(
            "INSERT INTO runs(run_uuid, name, source_type, source_name, entry_point_name, user_id, status, \
             start_time, end_time, deleted_time, source_version, lifecycle_stage, artifact_uri, experiment_id) \
             VALUES (?1, ?2, 'UNKNOWN', '', '', ?3, ?4, ?5, ?6, ?7, '', ?8, ?9, ?10) \
             ON CONFLICT(run_uuid) DO UPDATE SET name = ?2, user_id = ?3, status = ?4, start_time = ?5, \
             end_time = ?6, deleted_time = ?7, lifecycle_stage = ?8, artifact_uri = ?9, experiment_id = ?10",
            params![
                run.id,
                run.name,
                run.user,
                run.status.mlflow_name(),
                run.started_at.map(|at| at.0),
                run.ended_at.map(|at| at.0),
                deleted_at,
                stage(run.deleted),
                format!("mlflow-artifacts:/{id}/{}/artifacts", run.id),
                id
            ],
        )?;
        let mut tags = run.tags.clone();
        tags.insert(STAMP.to_owned(), stamp.to_owned());
        self.pairs("tags", ("run_uuid", &run.id), &tags)?;
        self.pairs("params", ("run_uuid", &run.id), &run.params)?;
        self.latest(run)?;
        self.links(&id, run)?;
        Ok(match known {
            Some(_) => Outcome::Updated,
            None => Outcome::New,
        })
    }

    fn latest(&self, run: &Run) -> Result<()> {
        self.execute("DELETE FROM latest_metrics WHERE run_uuid = ?1", [&run.id])?;
        for point in &run.latest {
            let (value, nan) = number(point);
            self.execute(
                "INSERT INTO latest_metrics(key, value, timestamp, step, is_nan, run_uuid) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    point.key,
                    value,
                    point.timestamp.unwrap_or_default(),
                    point.step,
                    nan,
                    run.id
                ],
            )?;
        }
        Ok(())
    }

    /// Adds a point to a run; answers whether it was not there.
    pub fn point(&self, run: &str, point: &MetricPoint) -> Result<bool> {
        let (value, nan) = number(point);
        let added = self.execute(
            "INSERT INTO metrics(key, value, timestamp, step, is_nan, run_uuid) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            params![
                point.key,
                value,
                point.timestamp.unwrap_or_default(),
                point.step,
                nan,
                run
            ],
        )?;
        Ok(added > 0)
    }

    fn links(&self, experiment: &str, run: &Run) -> Result<()> {
        for input in self.inputs(&run.id)? {
            self.execute("DELETE FROM input_tags WHERE input_uuid = ?1", [&input])?;
            self.execute("DELETE FROM inputs WHERE input_uuid = ?1", [&input])?;
        }
        for dataset in &run.links.datasets {
            let source = self.dataset(experiment, dataset)?;
            let input = self.input(("DATASET", &source), ("RUN", &run.id), 0)?;
            for (name, value) in &dataset.tags {
                self.execute(
                    "INSERT INTO input_tags(input_uuid, name, value) VALUES (?1, ?2, ?3)",
                    [&input, name, value],
                )?;
            }
        }
        for model in &run.links.model_inputs {
            self.input(("RUN_INPUT", &run.id), ("MODEL_INPUT", model), 0)?;
        }
        for output in &run.links.model_outputs {
            self.input(
                ("RUN_OUTPUT", &run.id),
                ("MODEL_OUTPUT", &output.model),
                output.step,
            )?;
        }
        Ok(())
    }

    fn inputs(&self, run: &str) -> Result<Vec<String>> {
        let sql = "SELECT input_uuid FROM inputs WHERE (destination_type = 'RUN' AND destination_id = ?1) \
                   OR (source_type IN ('RUN_INPUT', 'RUN_OUTPUT') AND source_id = ?1)";
        let mut statement = self.connection.prepare_cached(sql).map_err(db_error)?;
        let rows = statement
            .query_map([run], |row| row.get(0))
            .map_err(db_error)?;
        rows.collect::<rusqlite::Result<_>>().map_err(db_error)
    }

    fn input(&self, from: (&str, &str), to: (&str, &str), step: i64) -> Result<String> {
        let id = name_for(&[from.0, from.1, to.0, to.1]);
        self.execute(
            "INSERT INTO inputs(input_uuid, source_type, source_id, destination_type, destination_id, step) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
            params![id, from.0, from.1, to.0, to.1, step],
        )?;
        Ok(id)
    }

    fn dataset(&self, experiment: &str, dataset: &DatasetUse) -> Result<String> {
        self.execute(
            "INSERT INTO datasets(dataset_uuid, experiment_id, name, digest, dataset_source_type, \
             dataset_source, dataset_schema, dataset_profile) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT DO NOTHING",
            params![
                name_for(&[experiment, &dataset.name, &dataset.digest]),
                experiment,
                dataset.name,
                dataset.digest,
                dataset.source_type,
                dataset.source,
                dataset.schema,
                dataset.profile
            ],
        )?;
        let find = "SELECT dataset_uuid FROM datasets WHERE experiment_id = ?1 AND name = ?2 AND digest = ?3";
        let found = self.one(find, [experiment, &dataset.name, &dataset.digest])?;
        found.ok_or_else(|| Error::internal("A dataset was not written"))
    }

    /// Writes a logged model, whose run was written before.
    pub fn model(&self, experiment: &str, model: &Model, stamp: &str) -> Result<Outcome> {
        let id = self.experiment_id(experiment)?.to_owned();
        let gone = self.execute("DELETE FROM logged_models WHERE model_id = ?1", [&model.id])?;
        for table in ["params", "tags", "metrics"] {
            let sql = format!("DELETE FROM logged_model_{table} WHERE model_id = ?1");
            self.execute(&sql, [&model.id])?;
        }
        self.execute(
            "INSERT INTO logged_models(model_id, experiment_id, name, artifact_location, \
             creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage, model_type, \
             source_run_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                model.id,
                id,
                model.name,
                format!("mlflow-artifacts:/{id}/models/{}/artifacts", model.id),
                model.created_at.0,
                model.updated_at.0,
                status(model.status),
                stage(model.deleted),
                model.kind,
                model.run
            ],
        )?;
        let mut tags = model.tags.clone();
        tags.insert(STAMP.to_owned(), stamp.to_owned());
        for (table, kind, pairs) in [("params", "param", &model.params), ("tags", "tag", &tags)] {
            let sql = format!(
                "INSERT INTO logged_model_{table}(model_id, experiment_id, {kind}_key, {kind}_value) \
                 VALUES (?1, ?2, ?3, ?4)"
            );
            for (key, value) in pairs {
                self.execute(&sql, [&model.id, &id, key, value])?;
            }
        }
        for (run, metric) in &model.metrics {
            let (value, nan) = number(&metric.point);
            if nan {
                // MLflow's server has no place for it there and would not answer any more.
                continue;
            }
            self.execute(
                "INSERT INTO logged_model_metrics(model_id, metric_name, metric_timestamp_ms, metric_step, \
                 metric_value, experiment_id, run_id, dataset_name, dataset_digest) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
                params![
                    model.id,
                    metric.point.key,
                    metric.point.timestamp.unwrap_or_default(),
                    metric.point.step,
                    value,
                    id,
                    run,
                    metric.dataset_name,
                    metric.dataset_digest
                ],
            )?;
        }
        Ok(if gone > 0 {
            Outcome::Updated
        } else {
            Outcome::New
        })
    }

    /// Where a file lies for the server, in the folder of a run (`EXPERIMENT/RUN/artifacts`) or the like.
    pub fn place(&self, folder: &str, path: &str) -> Result<PathBuf> {
        let below = format!("{folder}/{path}");
        check_path(&below)?;
        Ok(self.artifacts.join(below))
    }
}

fn default_experiment() -> Experiment {
    Experiment {
        id: "0".to_owned(),
        name: "Default".to_owned(),
        deleted: false,
        tags: Pairs::new(),
        created_at: Time(0),
        updated_at: Time(0),
    }
}

pub(super) fn stage(deleted: bool) -> &'static str {
    if deleted { "deleted" } else { "active" }
}

fn status(status: LoggedModelStatus) -> i64 {
    match status {
        LoggedModelStatus::Pending => 1,
        LoggedModelStatus::Ready => 2,
        LoggedModelStatus::Failed => 3,
    }
}

/// NaN is kept beside the number, the infinities as the largest numbers there are.
fn number(point: &MetricPoint) -> (f64, bool) {
    let value = point.value.0;
    if value.is_nan() {
        (0.0, true)
    } else {
        (value.clamp(f64::MIN, f64::MAX), false)
    }
}

/// An id that is the same each time.
pub(super) fn name_for(parts: &[&str]) -> String {
    Hash::of(parts.join("\0").as_bytes()).hex()[..32].to_owned()
}

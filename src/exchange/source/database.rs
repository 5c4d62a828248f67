//! MLflow's SQLite databases, of 1.x to 3.x, read as they are.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags, Row, params, types::Value as Sql};

use super::{
    Cursor, Options, POINTS, Points, RUNS, database_models, database_registry, database_traces,
    place::{Places, cannot_read, files_in},
};
use crate::record::{Experiment, File, Model, Owner, Pairs, Registered, Run, Trace, status, value};
use api::{
    Error, Page, Result, Time,
    logged_models::{DatasetUse, ModelOutput, RunLinks},
    metrics::MetricPoint,
    traces::Span,
};

/// Newer servers keep several workspaces in one database; this one is there always.
const DEFAULT_WORKSPACE: &str = "default";

/// A database that is open for reading.
pub struct Database {
    pub(super) connection: Connection,
    pub(super) places: Places,
    /// `table.column` of all there are.
    columns: HashSet<String>,
    pub(super) workspace: String,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function in `map_err`"
)]
fn db_error(error: rusqlite::Error) -> Error {
    Error::unavailable(format!("The database cannot be read: {error}")).at("--from")
}

impl Database {
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection =
            Connection::open_with_flags(path, flags).map_err(|e| cannot_read(path, &e))?;
        let columns = columns(&connection).map_err(|e| cannot_read(path, &e))?;
        if !columns.contains("latest_metrics.run_uuid") {
            return Err(Error::invalid(format!(
                "`{}` is not a database of MLflow's tracking server",
                path.display()
            ))
            .at("--from"));
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        Ok(Self {
            connection,
            places: Places {
                base: folder.to_owned(),
                artifacts: options.artifacts,
            },
            columns,
            workspace: options
                .workspace
                .unwrap_or_else(|| DEFAULT_WORKSPACE.to_owned()),
        })
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.contains(column)
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(db_error)?;
        let rows = statement.query_map(params, read).map_err(db_error)?;
        rows.collect::<rusqlite::Result<Vec<T>>>().map_err(db_error)
    }

    /// A condition on the experiment `e`: that it is of the workspace.
    fn of_workspace(&self) -> &'static str {
        if self.has("experiments.workspace") {
            "e.workspace = ?1"
        } else {
            "?1 = ?1"
        }
    }

    /// How many runs and traces there are.
    pub fn count(&self) -> Result<u64> {
        let mut count = 0;
        for table in ["runs", "trace_info"] {
            if !self.has(&format!("{table}.experiment_id")) {
                continue;
            }
            let sql = format!(
                "SELECT COUNT(*) FROM {table} r JOIN experiments e ON e.experiment_id = r.experiment_id \
                 WHERE {}",
                self.of_workspace()
            );
            let counts: Vec<u64> = self.all(&sql, params![self.workspace], |row| row.get(0))?;
            count += counts.iter().sum::<u64>();
        }
        Ok(count)
    }

    pub fn experiments(&self) -> Result<Vec<Experiment>> {
        let times = if self.has("experiments.creation_time") {
            "e.creation_time, e.last_update_time"
        } else {
            "NULL, NULL"
        };
        let sql = format!(
            "SELECT e.experiment_id, e.name, e.lifecycle_stage, {times} FROM experiments e \
             WHERE {} ORDER BY e.experiment_id",
            self.of_workspace()
        );
        let mut experiments = self.all(&sql, params![self.workspace], |row| {
            let created_at: i64 = row.get::<_, Option<_>>(3)?.unwrap_or_default();
            Ok(Experiment {
                id: text(row, 0)?,
                name: text(row, 1)?,
                deleted: text(row, 2)? == "deleted",
                tags: Pairs::new(),
                created_at: Time(created_at),
                updated_at: Time(row.get::<_, Option<_>>(4)?.unwrap_or(created_at)),
            })
        })?;
        for experiment in &mut experiments {
            experiment.tags = self.pairs(
                "SELECT key, value FROM experiment_tags WHERE experiment_id = ?1",
                &experiment.id,
            )?;
        }
        Ok(experiments)
    }

    pub(super) fn pairs(&self, sql: &str, id: &str) -> Result<Pairs> {
        let pairs = self.all(sql, params![id], |row| Ok((text(row, 0)?, text(row, 1)?)))?;
        Ok(pairs.into_iter().collect())
    }

    /// The page is the number of the row that the last one ended with; rows are in the order in which
    /// runs were made.
    pub fn runs(&self, experiment: &Experiment, page: Option<&str>) -> Result<Page<Run>> {
        let after: i64 = page.and_then(|page| page.parse().ok()).unwrap_or(0);
        let mut rows = self.all(
            "SELECT run_uuid, name, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri, \
             rowid FROM runs WHERE experiment_id = ?1 AND rowid > ?2 ORDER BY rowid LIMIT ?3",
            params![experiment.id, after, RUNS],
            |row| Ok((run(row)?, row.get::<_, i64>(8)?)),
        )?;
        for (run, _) in &mut rows {
            self.complete(run)?;
        }
        let last = rows.last().filter(|_| rows.len() == RUNS);
        Ok(Page {
            next: last.map(|(_, row)| row.to_string()),
            items: rows.into_iter().map(|(run, _)| run).collect(),
        })
    }

    fn complete(&self, run: &mut Run) -> Result<()> {
        let id = run.id.clone();
        run.params = self.pairs("SELECT key, value FROM params WHERE run_uuid = ?1", &id)?;
        run.tags = self.pairs("SELECT key, value FROM tags WHERE run_uuid = ?1", &id)?;
        if run.name.is_empty() {
            run.name = run
                .tags
                .get("mlflow.runName")
                .cloned()
                .unwrap_or(id.clone());
        }
        run.latest = self.all(
            "SELECT key, value, is_nan, timestamp, step FROM latest_metrics WHERE run_uuid = ?1 ORDER BY key",
            params![id],
            |row| {
                Ok(MetricPoint {
                    key: text(row, 0)?,
                    value: value(row.get(1)?, row.get(2)?),
                    timestamp: row.get(3)?,
                    step: row.get(4)?,
                })
            },
        )?;
        if self.has("inputs.source_type") {
            run.links = self.links(&id)?;
        }
        Ok(())
    }

    fn links(&self, run: &str) -> Result<RunLinks> {
        let datasets = self.all(
            "SELECT d.name, d.digest, d.dataset_source_type, d.dataset_source, d.dataset_schema, \
             d.dataset_profile, i.input_uuid FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id \
             WHERE i.destination_type = 'RUN' AND i.destination_id = ?1 AND i.source_type = 'DATASET'",
            params![run],
            |row| {
                let dataset = DatasetUse {
                    name: text(row, 0)?,
                    digest: text(row, 1)?,
                    source_type: text(row, 2)?,
                    source: text(row, 3)?,
                    schema: row.get(4)?,
                    profile: row.get(5)?,
                    tags: Pairs::new(),
                };
                Ok((dataset, text(row, 6)?))
            },
        )?;
        let mut links = RunLinks::default();
        for (mut dataset, input) in datasets {
            let tags = "SELECT name, value FROM input_tags WHERE input_uuid = ?1";
            dataset.tags = self.pairs(tags, &input)?;
            links.datasets.push(dataset);
        }
        if self.has("inputs.step") {
            let sql = "SELECT destination_id, step FROM inputs WHERE source_id = ?1 AND source_type = ?2 \
                       ORDER BY step, destination_id";
            let models = |kind: &str| {
                self.all(sql, params![run, kind], |row| {
                    Ok(ModelOutput {
                        model: text(row, 0)?,
                        step: row.get(1)?,
                    })
                })
            };
            links.model_inputs = models("RUN_INPUT")?.into_iter().map(|m| m.model).collect();
            links.model_outputs = models("RUN_OUTPUT")?;
        }
        Ok(links)
    }

    /// Run by run, in the order of their rows.
    pub fn points(&self, runs: &[Run], cursor: &mut Cursor) -> Result<Points> {
        let mut points = Vec::new();
        while let Some(run) = runs.get(cursor.run) {
            let room = POINTS - points.len();
            let found = self.all(
                "SELECT key, value, is_nan, timestamp, step, rowid FROM metrics \
                 WHERE run_uuid = ?1 AND rowid > ?2 ORDER BY rowid LIMIT ?3",
                params![run.id, cursor.after, room],
                |row| {
                    let point = MetricPoint {
                        key: text(row, 0)?,
                        value: value(row.get(1)?, row.get(2)?),
                        timestamp: row.get(3)?,
                        step: row.get(4)?,
                    };
                    Ok((point, row.get::<_, i64>(5)?))
                },
            )?;
            let full = found.len() == room;
            cursor.after = found.last().map_or(0, |(_, row)| *row);
            points.extend(found.into_iter().map(|(point, _)| (run.id.clone(), point)));
            if full {
                return Ok(Some(points));
            }
            cursor.run += 1;
            cursor.after = 0;
        }
        Ok(Some(points).filter(|points| !points.is_empty()))
    }

    pub fn models(&self, experiment: &Experiment) -> Result<Vec<Model>> {
        database_models::models(self, experiment)
    }

    pub fn traces(&self, experiment: &Experiment, page: Option<&str>) -> Result<Page<Trace>> {
        database_traces::traces(self, experiment, page)
    }

    pub fn spans(&self, trace: &Trace) -> Result<Option<Vec<Span>>> {
        database_traces::spans(self, trace)
    }

    pub fn registered(&self) -> Result<Vec<Registered>> {
        database_registry::registered(self)
    }

    pub fn files(&self, owner: Owner<'_>) -> Result<Option<Vec<File>>> {
        match self.places.find(owner) {
            Some(folder) => files_in(&folder).map(Some),
            None => Ok(None),
        }
    }
}

fn columns(connection: &Connection) -> rusqlite::Result<HashSet<String>> {
    let sql = "SELECT m.name || '.' || c.name FROM sqlite_master m, pragma_table_info(m.name) c \
               WHERE m.type = 'table'";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([], |row| row.get(0))?;
    names.collect()
}

/// A column as text, whatever it was stored as.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(match row.get(column)? {
        Sql::Text(text) => text,
        Sql::Integer(number) => number.to_string(),
        Sql::Real(number) => number.to_string(),
        Sql::Blob(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Sql::Null => String::new(),
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        id: text(row, 0)?,
        name: text(row, 1)?,
        user: text(row, 2)?,
        status: status(&text(row, 3)?),
        started_at: row.get::<_, Option<i64>>(4)?.map(Time),
        ended_at: row.get::<_, Option<i64>>(5)?.map(Time),
        deleted: text(row, 6)? == "deleted",
        params: Pairs::new(),
        tags: Pairs::new(),
        latest: Vec::new(),
        links: RunLinks::default(),
        artifact_uri: text(row, 7)?,
        folder: PathBuf::new(),
    })
}

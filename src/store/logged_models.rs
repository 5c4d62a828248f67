//! Logged models as stored.

use std::collections::{BTreeMap, HashMap};

use super::{
    Store,
    db::{Row, RowResult, Tx, json, params, to_json},
    imports,
    metrics::{order_bits, value_of},
};
use api::{
    Error, Result, Time,
    files::Hash,
    imports::ImportedModel,
    logged_models::{
        LoggedModel, LoggedModelStatus, MeasuredMetric, ModelMetric, UpdateLoggedModel,
    },
    metrics::{MetricPoint, Value},
};

/// What a new logged model starts with.
#[derive(Debug, Clone)]
pub struct NewLoggedModel {
    pub workspace: i64,
    pub experiment: i64,
    pub run: Option<i64>,
    /// The name of a run, which may not be one of ours.
    pub made_by: Option<String>,
    pub id: String,
    pub name: String,
    pub kind: String,
    pub params: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub now: Time,
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct LoggedModelChange {
    pub status: Option<LoggedModelStatus>,
    pub params: BTreeMap<String, String>,
    pub set_tags: BTreeMap<String, String>,
    pub remove_tags: Vec<String>,
    pub run: Option<i64>,
    pub deleted: bool,
}

impl LoggedModelChange {
    /// The change that an operation asks for.
    pub fn of(update: UpdateLoggedModel, run: Option<i64>) -> Self {
        Self {
            status: update.status,
            params: update.params,
            set_tags: update.set_tags,
            remove_tags: update.remove_tags,
            run,
            deleted: update.deleted,
        }
    }
}

fn select(rest: &str) -> String {
    format!(
        "SELECT m.id, m.name, m.display_name, m.kind, m.status, e.name, m.experiment_id, COALESCE(r.name, m.made_by), \
         e.artifact_location || '/models/' || m.name || '/artifacts', m.params, m.tags, m.deleted, \
         m.created_at, m.updated_at FROM logged_models m JOIN experiments e ON e.id = m.experiment_id \
         LEFT JOIN runs r ON r.id = m.run_id {rest}"
    )
}

fn model(row: &Row<'_>) -> RowResult<(i64, LoggedModel)> {
    let status = row.get_ref(4)?.as_str()?;
    let status = LoggedModelStatus::ALL
        .into_iter()
        .find(|known| known.name() == status);
    let model = LoggedModel {
        id: row.get(1)?,
        name: row.get(2)?,
        kind: row.get(3)?,
        status: status.unwrap_or(LoggedModelStatus::Failed),
        experiment: row.get(5)?,
        experiment_id: row.get::<i64>(6)?.to_string(),
        run: row.get(7)?,
        artifact_uri: row.get(8)?,
        params: json(row, 9)?,
        tags: json(row, 10)?,
        metrics: Vec::new(),
        deleted: row.get(11)?,
        created_at: row.get(12)?,
        updated_at: row.get(13)?,
    };
    Ok((row.get(0)?, model))
}

/// Adds the metrics to all models with one query.
fn complete(tx: &Tx<'_>, rows: Vec<(i64, LoggedModel)>) -> Result<Vec<LoggedModel>> {
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let place: HashMap<i64, usize> = ids.iter().copied().zip(0..).collect();
    let mut models: Vec<LoggedModel> = rows.into_iter().map(|(_, model)| model).collect();
    // In this order the last of each group is its latest.
    tx.all(
        "SELECT x.model_id, x.key, x.step, x.timestamp, x.order_bits, x.dataset_name, x.dataset_digest, \
         r.name FROM logged_model_metrics x JOIN runs r ON r.id = x.run_id \
         WHERE x.model_id IN (SELECT value FROM json_each(?1)) \
         ORDER BY x.model_id, x.key, x.run_id, x.dataset_name, x.dataset_digest, x.step, x.timestamp, x.order_bits",
        params![to_json(&ids)?],
        |row| {
            let model = &mut models[place[&row.get(0)?]];
            let found = MeasuredMetric {
                run: row.get(7)?,
                metric: ModelMetric {
                    model: model.id.clone(),
                    point: MetricPoint {
                        key: row.get(1)?,
                        step: row.get(2)?,
                        timestamp: Some(row.get(3)?),
                        value: Value(value_of(row.get(4)?)),
                    },
                    dataset_name: row.get(5)?,
                    dataset_digest: row.get(6)?,
                },
            };
            match model.metrics.last_mut() {
                Some(last) if same_series(last, &found) => *last = found,
                _ => model.metrics.push(found),
            }
            Ok(())
        },
    )?;
    Ok(models)
}

fn same_series(a: &MeasuredMetric, b: &MeasuredMetric) -> bool {
    a.run == b.run
        && a.metric.point.key == b.metric.point.key
        && a.metric.dataset_name == b.metric.dataset_name
        && a.metric.dataset_digest == b.metric.dataset_digest
}

/// The number of a logged model that is not deleted.
pub(super) fn id_of(tx: &Tx<'_>, name: &str) -> Result<i64> {
    let found = tx.one(
        "SELECT id FROM logged_models WHERE name = ?1 AND deleted = 0",
        params![name],
        |row| row.get(0),
    )?;
    found.ok_or_else(|| Error::not_found(format!("No logged model `{name}`")))
}

/// The id that a model which was brought over has in a workspace, if it is there.
pub(super) fn imported_as(tx: &Tx<'_>, workspace: i64, origin: &str) -> Result<Option<String>> {
    let sql = "SELECT name FROM logged_models WHERE workspace_id = ?1 AND name IN (?2, ?3)";
    let other = other_id(workspace, origin);
    tx.one(sql, params![workspace, origin, other], |row| row.get(0))
}

/// Ids are unique in the server; one that another workspace has is replaced, always by the same.
fn other_id(workspace: i64, origin: &str) -> String {
    let hash = Hash::of(format!("{workspace}/{origin}").as_bytes()).hex();
    format!("m-{}", &hash[..32])
}

/// Makes a logged model as it was recorded elsewhere, or completes the one that is there; its id.
pub(super) fn import(
    tx: &Tx<'_>,
    workspace: i64,
    experiment: i64,
    new: &ImportedModel,
) -> Result<String> {
    let id = match imported_as(tx, workspace, &new.origin)? {
        Some(id) => id,
        None => {
            let taken = tx.one(
                "SELECT 1 FROM logged_models WHERE name = ?1",
                params![new.origin],
                |_| Ok(()),
            )?;
            let id = match taken {
                Some(()) => other_id(workspace, &new.origin),
                None => new.origin.clone(),
            };
            tx.execute(
                "INSERT INTO logged_models(name, workspace_id, experiment_id, made_by, display_name, \
                 kind, status, params, tags, created_at, updated_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '{}', '{}', ?8, ?9)",
                params![
                    id,
                    workspace,
                    experiment,
                    new.run,
                    new.name,
                    new.kind,
                    new.status.name(),
                    new.created_at,
                    new.updated_at
                ],
            )?;
            id
        }
    };
    complete_import(tx, workspace, &id, new)?;
    Ok(id)
}

fn complete_import(tx: &Tx<'_>, workspace: i64, id: &str, new: &ImportedModel) -> Result<()> {
    let run_id = |name: &String| {
        tx.one(
            "SELECT id FROM runs WHERE workspace_id = ?1 AND name = ?2",
            params![workspace, name],
            |row| row.get::<i64>(0),
        )
    };
    let run = new.run.as_ref().map(run_id).transpose()?.flatten();
    let Some(mut found) = by_name(tx, workspace, id)? else {
        return Err(Error::internal("A logged model vanished"));
    };
    found.params.extend(new.params.clone());
    found.tags.extend(new.tags.clone());
    tx.execute(
        "UPDATE logged_models SET status = ?2, params = ?3, tags = ?4, updated_at = ?5, \
         run_id = COALESCE(?6, run_id), deleted = deleted OR ?7 WHERE name = ?1",
        params![
            id,
            new.status.name(),
            to_json(&found.params)?,
            to_json(&found.tags)?,
            new.updated_at,
            run,
            new.deleted
        ],
    )?;
    if let Some(run) = run {
        imports::note(tx, workspace, &new.origin, run, new.stamp.as_deref())?;
    }
    if found.deleted || new.deleted {
        return Ok(());
    }
    for (run, metric) in &new.metrics {
        if let Some(run) = run_id(run)? {
            let mut metric = metric.clone();
            id.clone_into(&mut metric.model);
            log_points(tx, run, &[metric])?;
        }
    }
    Ok(())
}

/// Keeps the points of a run that measure logged models.
pub(super) fn log_points(tx: &Tx<'_>, run: i64, points: &[ModelMetric]) -> Result<()> {
    for ModelMetric {
        model,
        point,
        dataset_name,
        dataset_digest,
    } in points
    {
        tx.execute(
            "INSERT INTO logged_model_metrics(model_id, run_id, key, step, timestamp, order_bits, \
             dataset_name, dataset_digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            params![
                id_of(tx, model)?,
                run,
                point.key,
                point.step,
                point.timestamp.unwrap_or_default(),
                order_bits(point.value.0),
                dataset_name,
                dataset_digest
            ],
        )?;
    }
    Ok(())
}

impl Store {
    /// Adds a logged model; none when the id is taken.
    pub async fn create_logged_model(&self, new: NewLoggedModel) -> Result<Option<LoggedModel>> {
        self.db
            .write(move |tx| {
                let added = tx.execute(
                    "INSERT INTO logged_models(name, workspace_id, experiment_id, run_id, display_name, \
                     kind, status, params, tags, created_at, updated_at, made_by) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11) ON CONFLICT DO NOTHING",
                    params![
                        new.id,
                        new.workspace,
                        new.experiment,
                        new.run,
                        new.name,
                        new.kind,
                        LoggedModelStatus::Pending.name(),
                        to_json(&new.params)?,
                        to_json(&new.tags)?,
                        new.now,
                        new.made_by
                    ],
                )?;
                match added {
                    0 => Ok(None),
                    _ => by_name(tx, new.workspace, &new.id),
                }
            })
            .await
    }

    pub async fn logged_model(&self, workspace: i64, id: &str) -> Result<Option<LoggedModel>> {
        let id = id.to_owned();
        self.db.read(move |tx| by_name(tx, workspace, &id)).await
    }

    /// The id that a model which was brought over has in a workspace, if it is there.
    pub async fn imported_logged_model(
        &self,
        workspace: i64,
        origin: &str,
    ) -> Result<Option<String>> {
        let origin = origin.to_owned();
        self.db
            .read(move |tx| imported_as(tx, workspace, &origin))
            .await
    }

    /// The logged models of a workspace or of one of its runs, newest first; not the deleted ones.
    pub async fn list_logged_models(
        &self,
        workspace: i64,
        run: Option<i64>,
    ) -> Result<Vec<LoggedModel>> {
        self.db
            .read(move |tx| {
                let rows = tx.all(
                    &select(
                        "WHERE m.workspace_id = ?1 AND (?2 IS NULL OR m.run_id = ?2) AND m.deleted = 0 \
                         ORDER BY m.created_at DESC, m.id DESC",
                    ),
                    params![workspace, run],
                    model,
                )?;
                complete(tx, rows)
            })
            .await
    }

    /// Changes a logged model. A param that is there already is invalid.
    pub async fn update_logged_model(
        &self,
        workspace: i64,
        id: String,
        change: LoggedModelChange,
        now: Time,
    ) -> Result<Option<LoggedModel>> {
        self.db
            .write(move |tx| {
                let Some(mut found) = by_name(tx, workspace, &id)? else {
                    return Ok(None);
                };
                for (key, value) in change.params {
                    if found.params.insert(key.clone(), value).is_some() {
                        return Err(Error::invalid(format!(
                            "The logged model has the param `{key}` already"
                        ))
                        .at("params"));
                    }
                }
                found.tags.extend(change.set_tags);
                found.tags.retain(|key, _| !change.remove_tags.contains(key));
                tx.execute(
                    "UPDATE logged_models SET status = ?2, params = ?3, tags = ?4, updated_at = ?5, \
                     run_id = COALESCE(?6, run_id), deleted = deleted OR ?7 WHERE name = ?1",
                    params![
                        id,
                        change.status.unwrap_or(found.status).name(),
                        to_json(&found.params)?,
                        to_json(&found.tags)?,
                        now,
                        change.run,
                        change.deleted
                    ],
                )?;
                by_name(tx, workspace, &id)
            })
            .await
    }
}

fn by_name(tx: &Tx<'_>, workspace: i64, name: &str) -> Result<Option<LoggedModel>> {
    let row = tx.one(
        &select("WHERE m.workspace_id = ?1 AND m.name = ?2"),
        params![workspace, name],
        model,
    )?;
    Ok(complete(tx, row.into_iter().collect())?.pop())
}

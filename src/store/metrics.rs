//! Metrics, params and tags as stored.
//!
//! A metric's points are a set: the whole point is the key (see `history`). What lists and searches
//! need, the latest point and the extremes, is kept beside them, so that neither ever reads history.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use super::{
    Store,
    db::{Row, RowResult, Tx, count, optional_json, params},
    driven, history, logged_models,
    points::Place,
    runs::{NAME_TAG, set_display_name},
};
use api::{
    Error, Result, Time,
    logged_models::ModelMetric,
    metrics::{MetricSummary, Value},
};

/// One point as it is logged.
#[derive(Debug, Clone)]
pub struct Point {
    pub key: String,
    pub value: f64,
    pub step: i64,
    pub timestamp: i64,
}

/// What one call logs to a run.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub points: Vec<Point>,
    pub params: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub remove_tags: Vec<String>,
    pub model_points: Vec<ModelMetric>,
}

/// A value as an integer that sorts as the number does. Every number, infinity and the one NaN
/// (above them all) has its own and comes back from it.
pub fn order_bits(value: f64) -> i64 {
    let value = if value.is_nan() {
        f64::NAN.abs()
    } else {
        value
    };
    flip(value.to_bits().cast_signed())
}

/// The value that [`order_bits`] was given.
pub fn value_of(order_bits: i64) -> f64 {
    f64::from_bits(flip(order_bits).cast_unsigned())
}

/// Negative numbers sort backwards by their bits; turning all but the sign round puts them right.
fn flip(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

/// The latest point of a metric and its extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Latest {
    step: i64,
    timestamp: i64,
    order_bits: i64,
    min: Option<f64>,
    max: Option<f64>,
    count: i64,
}

impl Latest {
    fn of(place: &Place) -> Self {
        let number = Some(place.value()).filter(|value| !value.is_nan());
        Self {
            step: place.step,
            timestamp: place.timestamp,
            order_bits: place.order_bits,
            min: number,
            max: number,
            count: 1,
        }
    }

    /// Takes one more point into account; the order in which points come does not matter.
    fn add(&mut self, other: &Self) {
        if other.rank() > self.rank() {
            self.step = other.step;
            self.timestamp = other.timestamp;
            self.order_bits = other.order_bits;
        }
        let extreme = |a: Option<f64>, b: Option<f64>, choose: fn(f64, f64) -> f64| match (a, b) {
            (Some(a), Some(b)) => Some(choose(a, b)),
            (a, b) => a.or(b),
        };
        self.min = extreme(self.min, other.min, f64::min);
        self.max = extreme(self.max, other.max, f64::max);
        self.count += other.count;
    }

    /// The latest point is the greatest by step, time and value, where NaN counts as 0.
    fn rank(&self) -> (i64, i64, i64, bool) {
        let nan = value_of(self.order_bits).is_nan();
        let bits = if nan {
            order_bits(0.0)
        } else {
            self.order_bits
        };
        (self.step, self.timestamp, bits, nan)
    }
}

impl Store {
    /// Logs a batch to a run, all or nothing; none when the run is gone. Answers whether a driven run
    /// waits for what was logged.
    pub async fn log_batch(&self, run: i64, batch: Batch) -> Result<Option<bool>> {
        self.db
            .write(move |tx| {
                let found = tx.one(
                    "SELECT name, deleted, experiment_id, driver IS NOT NULL FROM runs WHERE id = ?1",
                    params![run],
                    |row| Ok((row.get::<String>(0)?, row.get(1)?, (row.get(2)?, row.get(3)?))),
                )?;
                let (experiment, has_driver): (i64, bool) = match found {
                    None => return Ok(None),
                    Some((name, true, _)) => {
                        return Err(Error::conflict(format!("Run `{name}` is deleted")));
                    }
                    Some((_, false, found)) => found,
                };
                for (key, value) in &batch.params {
                    set_param(tx, run, key, value)?;
                }
                for (key, value) in &batch.tags {
                    set_tag(tx, run, key, value)?;
                    if key == NAME_TAG {
                        set_display_name(tx, run, value)?;
                    }
                }
                for key in &batch.remove_tags {
                    remove_tag(tx, run, key)?;
                }
                log_points(tx, (experiment, run), &batch.points)?;
                logged_models::log_points(tx, run, &batch.model_points)?;
                let keys = batch.points.iter().map(|point| point.key.as_str());
                Ok(Some(has_driver && driven::wake_watcher(tx, run, keys)?))
            })
            .await
    }
}

/// Adds points to a run of an experiment.
pub(super) fn log_points(
    tx: &Tx<'_>,
    (experiment, run): (i64, i64),
    points: &[Point],
) -> Result<()> {
    for (key, mut places) in by_key(points) {
        let key = key_id(tx, key)?;
        let mut latest: Option<Latest> = None;
        for place in &places {
            let one = Latest::of(place);
            match &mut latest {
                Some(known) => known.add(&one),
                None => latest = Some(one),
            }
        }
        places.sort_unstable();
        places.dedup();
        let new = history::add(tx, run, key, &places)?;
        if let Some(mut latest) = latest
            && new > 0
        {
            latest.count = new;
            keep_latest(tx, (experiment, run, key), latest)?;
        }
    }
    Ok(())
}

/// The points of each key; a batch has few keys, and most often the one that came a few before.
fn by_key(points: &[Point]) -> Vec<(&str, Vec<Place>)> {
    let mut keys: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(&str, Vec<Place>)> = Vec::new();
    for point in points {
        let place = Place::new(point.step, point.timestamp, point.value);
        match keys.entry(&point.key) {
            Entry::Occupied(known) => groups[*known.get()].1.push(place),
            Entry::Vacant(new) => {
                new.insert(groups.len());
                groups.push((&point.key, vec![place]));
            }
        }
    }
    groups
}

fn key_id(tx: &Tx<'_>, key: &str) -> Result<i64> {
    let select = "SELECT id FROM metric_keys WHERE key = ?1";
    if let Some(id) = tx.one(select, params![key], |row| row.get(0))? {
        return Ok(id);
    }
    let insert = "INSERT INTO metric_keys(key) VALUES (?1) RETURNING id";
    match tx.one(insert, params![key], |row| row.get(0))? {
        Some(id) => Ok(id),
        None => Err(Error::internal("A metric's key was not stored")),
    }
}

/// Takes new points into account, of which `latest` tells.
fn keep_latest(
    tx: &Tx<'_>,
    (experiment, run, key): (i64, i64, i64),
    mut latest: Latest,
) -> Result<()> {
    let known = tx.one(
        "SELECT step, timestamp, order_bits, min, max, count FROM metric_latest \
         WHERE run_id = ?1 AND key_id = ?2",
        params![run, key],
        |row| {
            Ok(Latest {
                step: row.get(0)?,
                timestamp: row.get(1)?,
                order_bits: row.get(2)?,
                min: row.get(3)?,
                max: row.get(4)?,
                count: row.get(5)?,
            })
        },
    )?;
    let sql = match &known {
        Some(known) => {
            latest.add(known);
            "UPDATE metric_latest SET step = ?4, timestamp = ?5, order_bits = ?6, value = ?7, min = ?8, \
             max = ?9, count = ?10 WHERE run_id = ?1 AND key_id = ?2 AND experiment_id = ?3"
        }
        None => {
            "INSERT INTO metric_latest(run_id, key_id, experiment_id, step, timestamp, order_bits, value, \
             min, max, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        }
    };
    let value = Some(value_of(latest.order_bits)).filter(|value| !value.is_nan());
    tx.execute(
        sql,
        params![
            run,
            key,
            experiment,
            latest.step,
            latest.timestamp,
            latest.order_bits,
            value,
            latest.min,
            latest.max,
            latest.count
        ],
    )?;
    Ok(())
}

/// The summaries of all metrics of the runs whose ids are in a JSON array.
pub(super) fn summaries(tx: &Tx<'_>, ids: &str) -> Result<Vec<(i64, String, MetricSummary)>> {
    tx.all(
        "SELECT m.run_id, k.key, m.step, m.timestamp, m.order_bits, m.min, m.max, m.count \
         FROM metric_latest m CROSS JOIN metric_keys k ON k.id = m.key_id \
         WHERE m.run_id IN (SELECT value FROM json_each(?1))",
        params![ids],
        |row| Ok((row.get(0)?, row.get(1)?, summary(row)?)),
    )
}

fn summary(row: &Row<'_>) -> RowResult<MetricSummary> {
    Ok(MetricSummary {
        last: Value(value_of(row.get(4)?)),
        step: row.get(2)?,
        timestamp: Time(row.get(3)?),
        min: row.get::<Option<f64>>(5)?.map(Value),
        max: row.get::<Option<f64>>(6)?.map(Value),
        count: count(row, 7)?,
    })
}

/// Sets a param once; the same value again is fine, another is not.
pub(super) fn set_param(tx: &Tx<'_>, run: i64, key: &str, value: &str) -> Result<()> {
    let new = tx.execute(
        "INSERT INTO params(run_id, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        params![run, key, value],
    )?;
    if new > 0 {
        return Ok(());
    }
    let known: Option<String> = tx.one(
        "SELECT value FROM params WHERE run_id = ?1 AND key = ?2",
        params![run, key],
        |row| row.get(0),
    )?;
    match known {
        // What the job said can be said once more by its script, in its own way.
        Some(known) if known != value && job_says(tx, run, key, &known)? => {
            tx.execute(
                "UPDATE params SET value = ?3 WHERE run_id = ?1 AND key = ?2",
                params![run, key, value],
            )?;
            Ok(())
        }
        Some(known) if known != value => Err(Error::invalid(format!(
            "The param `{key}` is `{known}` already and cannot change to `{value}`"
        ))
        .at("params")),
        _ => Ok(()),
    }
}

/// Whether the value of a param is the one that the job of a run, which has not ended, came with.
fn job_says(tx: &Tx<'_>, run: i64, key: &str, value: &str) -> Result<bool> {
    let says: Option<BTreeMap<String, String>> = tx
        .one(
            "SELECT json_extract(job, '$.params') FROM runs WHERE id = ?1 AND ended_at IS NULL",
            params![run],
            |row| optional_json(row, 0),
        )?
        .flatten();
    Ok(says.is_some_and(|says| says.get(key).is_some_and(|said| said == value)))
}

pub(super) fn set_tag(tx: &Tx<'_>, run: i64, key: &str, value: &str) -> Result<()> {
    tx.execute(
        "INSERT INTO tags(run_id, key, value) VALUES (?1, ?2, ?3) \
         ON CONFLICT(run_id, key) DO UPDATE SET value = ?3",
        params![run, key, value],
    )?;
    Ok(())
}

fn remove_tag(tx: &Tx<'_>, run: i64, key: &str) -> Result<()> {
    let removed = tx.execute(
        "DELETE FROM tags WHERE run_id = ?1 AND key = ?2",
        params![run, key],
    )?;
    match removed {
        0 => Err(Error::not_found(format!("The run has no tag `{key}`")).at("remove_tags")),
        _ => Ok(()),
    }
}

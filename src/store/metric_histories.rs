//! The history of one metric in several runs, whole or sampled. Nothing is read that is not needed:
//! a sample of a long history seeks from step to step.

use std::collections::BTreeSet;

use super::{
    Store,
    db::{Tx, params, to_json},
    history,
    points::Place,
};
use api::{Result, metrics::RunPoint};

/// Histories of so many points together are read as a whole to choose steps from: that costs less
/// than seeking.
const SHORT: i64 = 20_000;

/// A metric of a run.
struct Series {
    run: i64,
    name: String,
    key: i64,
    points: i64,
}

/// What a run has logged of a metric.
#[derive(Debug, Clone, Default)]
pub struct Logged {
    /// The extremes of all values that are numbers.
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// How many points there are in all.
    pub count: i64,
    /// Those that were asked for, in order.
    pub points: Vec<Place>,
}

impl Store {
    /// What a run has logged of a metric, with at most `limit` of the points behind a place.
    pub async fn logged_behind(
        &self,
        run: i64,
        key: &str,
        behind: Option<Place>,
        limit: usize,
    ) -> Result<Logged> {
        let key = key.to_owned();
        self.db
            .read(move |tx| logged_behind(tx, run, &key, behind, limit))
            .await
    }

    /// The points of a metric in runs of these names, in the order of the names, then by step,
    /// timestamp and value.
    pub async fn metric_histories(
        &self,
        workspace: i64,
        runs: Vec<String>,
        key: String,
        limit: u32,
    ) -> Result<Vec<RunPoint>> {
        self.db
            .read(move |tx| {
                let mut found = Vec::new();
                for series in all_series(tx, workspace, &runs, &key)? {
                    let room = limit as usize - found.len();
                    if room == 0 {
                        break;
                    }
                    found.extend(points(tx, &series, &key, (i64::MIN, i64::MAX), room)?);
                }
                Ok(found)
            })
            .await
    }

    /// The points of a metric in runs of these names at about `samples` steps within a range, at most
    /// `limit` of each run.
    pub async fn sampled_histories(
        &self,
        workspace: i64,
        runs: Vec<String>,
        key: String,
        range: (i64, i64),
        (samples, limit): (u32, u32),
    ) -> Result<Vec<RunPoint>> {
        self.db
            .read(move |tx| {
                let all = all_series(tx, workspace, &runs, &key)?;
                let steps = sample(tx, &all, range, samples)?;
                let mut found = Vec::new();
                for series in &all {
                    let mut room = limit as usize;
                    for step in &steps {
                        let at_step = points(tx, series, &key, (*step, *step), room)?;
                        room -= at_step.len();
                        found.extend(at_step);
                        if room == 0 {
                            break;
                        }
                    }
                }
                Ok(found)
            })
            .await
    }
}

fn logged_behind(
    tx: &Tx<'_>,
    run: i64,
    key: &str,
    behind: Option<Place>,
    limit: usize,
) -> Result<Logged> {
    let found = tx.one(
        "SELECT key_id, min, max, count FROM metric_latest WHERE run_id = ?1 \
         AND key_id = (SELECT id FROM metric_keys WHERE key = ?2)",
        params![run, key],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    let Some((key, min, max, count)) = found else {
        return Ok(Logged::default());
    };
    let mut points = Vec::new();
    if limit > 0 {
        history::walk(tx, run, key, behind.unwrap_or(Place::FIRST), |place| {
            if Some(place) != behind {
                points.push(place);
            }
            points.len() < limit
        })?;
    }
    Ok(Logged {
        min,
        max,
        count,
        points,
    })
}

/// The runs of these names that have the metric, in the order of the names.
fn all_series(tx: &Tx<'_>, workspace: i64, runs: &[String], key: &str) -> Result<Vec<Series>> {
    tx.all(
        "SELECT r.id, r.name, l.key_id, l.count FROM json_each(?2) j \
         JOIN runs r ON r.workspace_id = ?1 AND r.name = j.value \
         JOIN metric_latest l ON l.run_id = r.id \
         AND l.key_id = (SELECT id FROM metric_keys WHERE key = ?3) ORDER BY j.key",
        params![workspace, to_json(&runs)?, key],
        |row| {
            Ok(Series {
                run: row.get(0)?,
                name: row.get(1)?,
                key: row.get(2)?,
                points: row.get(3)?,
            })
        },
    )
}

/// The points of a series in a range of steps, at most `limit`.
fn points(
    tx: &Tx<'_>,
    series: &Series,
    key: &str,
    (first, last): (i64, i64),
    limit: usize,
) -> Result<Vec<RunPoint>> {
    let mut found = Vec::new();
    history::walk(tx, series.run, series.key, Place::before(first), |place| {
        let fits = place.step <= last && found.len() < limit;
        if fits {
            found.push(RunPoint {
                run: series.name.clone(),
                point: place.named(key),
            });
        }
        fits
    })?;
    Ok(found)
}

/// The steps of a sample: evenly spread over the steps that any of the runs has in the range, and the
/// first and last of each run.
fn sample(
    tx: &Tx<'_>,
    all: &[Series],
    (first, last): (i64, i64),
    samples: u32,
) -> Result<BTreeSet<i64>> {
    let mut ends = BTreeSet::new();
    for series in all {
        let begin = seek(tx, series, first)?;
        ends.extend(begin.filter(|step| *step <= last));
        let end = history::last(tx, series.run, series.key, Place::after(last))?;
        ends.extend(end.map(|place| place.step).filter(|step| *step >= first));
    }
    let (Some(low), Some(high)) = (ends.first().copied(), ends.last().copied()) else {
        return Ok(ends);
    };
    let long = all.iter().map(|series| series.points).sum::<i64>() > SHORT;
    let mut steps = BTreeSet::new();
    if long {
        steps = seek_steps(tx, all, (low, high), samples)?;
    }
    // Steps that lie in heaps are counted instead.
    if steps.len() < samples as usize / 2 {
        steps = every_nth(&all_steps(tx, all, (low, high))?, samples);
    }
    steps.append(&mut ends);
    Ok(steps)
}

/// The first step of a series at or after `from`.
fn seek(tx: &Tx<'_>, series: &Series, from: i64) -> Result<Option<i64>> {
    let mut found = None;
    history::walk(tx, series.run, series.key, Place::before(from), |place| {
        found = Some(place.step);
        false
    })?;
    Ok(found)
}

/// The first step at or after each of evenly spaced ones.
fn seek_steps(
    tx: &Tx<'_>,
    all: &[Series],
    (low, high): (i64, i64),
    samples: u32,
) -> Result<BTreeSet<i64>> {
    let mut steps = BTreeSet::new();
    let width = i128::from(high) - i128::from(low) + 1;
    for index in 0..samples {
        let offset = width * i128::from(index) / i128::from(samples);
        let target = i64::try_from(i128::from(low) + offset).unwrap_or(high);
        if steps.last().is_some_and(|step| *step >= target) {
            continue;
        }
        let mut next = None;
        for series in all {
            let found = seek(tx, series, target)?;
            next = [next, found].into_iter().flatten().min();
        }
        steps.extend(next.filter(|step| *step <= high));
    }
    Ok(steps)
}

fn all_steps(tx: &Tx<'_>, all: &[Series], (low, high): (i64, i64)) -> Result<BTreeSet<i64>> {
    let mut steps = BTreeSet::new();
    for series in all {
        history::walk(tx, series.run, series.key, Place::before(low), |place| {
            let fits = place.step <= high;
            // In order, so that most are the last one again.
            if fits && steps.last() != Some(&place.step) {
                steps.insert(place.step);
            }
            fits
        })?;
    }
    Ok(steps)
}

fn every_nth(all: &BTreeSet<i64>, samples: u32) -> BTreeSet<i64> {
    let samples = samples as usize;
    if all.len() <= samples {
        return all.clone();
    }
    let all: Vec<i64> = all.iter().copied().collect();
    let chosen = (0..samples).filter_map(|index| all.get(index * all.len() / samples));
    chosen.copied().collect()
}

//! The history of a metric: its points in chunks (see `points`), which do not overlap.

use super::{
    Store,
    db::{Row, RowResult, Tx, params},
    points::{Chunk, Packer, Place},
};
use api::{Result, metrics::MetricPoint};

const COLUMNS: &str = "step, timestamp, order_bits, points";

impl Store {
    /// The points of a metric after `after`, at most `limit`.
    pub async fn metric_history(
        &self,
        run: i64,
        key: String,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Vec<MetricPoint>> {
        self.db
            .read(move |tx| {
                let find = "SELECT id FROM metric_keys WHERE key = ?1";
                let Some(id) = tx.one(find, params![key], |row| row.get(0))? else {
                    return Ok(Vec::new());
                };
                let mut points = Vec::new();
                walk(tx, run, id, after.unwrap_or(Place::FIRST), |place| {
                    if after.is_none_or(|after| place > after) && points.len() < limit {
                        points.push(place.named(&key));
                    }
                    points.len() < limit
                })?;
                Ok(points)
            })
            .await
    }
}

/// Shows the points of a metric from a place on, in order, until `take` answers no.
pub(super) fn walk(
    tx: &Tx<'_>,
    run: i64,
    key: i64,
    from: Place,
    mut take: impl FnMut(Place) -> bool,
) -> Result<()> {
    let begin = at_or_before(tx, run, key, from)?.map_or(Place::FIRST, |chunk| chunk.first);
    tx.each(
        &select(
            "AND (step, timestamp, order_bits) >= (?3, ?4, ?5) \
             ORDER BY step, timestamp, order_bits",
        ),
        params![run, key, begin.step, begin.timestamp, begin.order_bits],
        |row| {
            let chunk = chunk(row)?;
            Ok(chunk.points().filter(|place| *place >= from).all(&mut take))
        },
    )
}

/// The last point of a metric at a place or before it.
pub(super) fn last(tx: &Tx<'_>, run: i64, key: i64, place: Place) -> Result<Option<Place>> {
    let chunk = at_or_before(tx, run, key, place)?;
    let points = |chunk: Chunk| chunk.points().filter(|point| *point <= place).last();
    Ok(chunk.and_then(points))
}

/// Adds points, which are in order and all different, to a metric; answers how many were new.
pub(super) fn add(tx: &Tx<'_>, run: i64, key: i64, points: &[Place]) -> Result<i64> {
    let mut left = points;
    let mut added = 0;
    while let Some(first) = left.first() {
        let newest = tx.one(&select(NEWEST), params![run, key], chunk)?;
        let Some(newest) = newest else {
            insert(tx, run, key, &pack(left))?;
            added += left.len();
            break;
        };
        // Most often a metric goes on where it ended.
        let (target, end) = if newest.first <= *first {
            (newest, None)
        } else {
            let before = at_or_before(tx, run, key, *first)?;
            let target = match before {
                Some(chunk) => Some(chunk),
                None => after(tx, run, key, Place::FIRST)?,
            };
            let target = target.unwrap_or(newest);
            let next = after(tx, run, key, target.first)?;
            (target, next.map(|chunk| chunk.first))
        };
        let here = end.map_or(left.len(), |end| left.partition_point(|point| *point < end));
        let (here, later) = left.split_at(here);
        added += merge(tx, run, key, target, here)?;
        left = later;
    }
    Ok(i64::try_from(added).unwrap_or(i64::MAX))
}

/// Adds points to a chunk, which may become several; answers how many were new.
fn merge(tx: &Tx<'_>, run: i64, key: i64, old: Chunk, new: &[Place]) -> Result<usize> {
    let known: Vec<Place> = old.points().collect();
    let (Some(last), Some(first)) = (known.last(), new.first()) else {
        return Ok(0);
    };
    let place = old.first;
    if first > last {
        let before = old.rest.len();
        let mut packer = Packer::behind(old, *last);
        packer.push_all(new);
        let chunks = packer.finish();
        if chunks[0].rest.len() > before {
            update(tx, run, key, &chunks[0])?;
        }
        insert(tx, run, key, &chunks[1..])?;
        return Ok(new.len());
    }
    let before = known.len();
    let mut all = known;
    all.extend_from_slice(new);
    all.sort_unstable();
    all.dedup();
    let added = all.len() - before;
    if added == 0 {
        return Ok(0);
    }
    let mut chunks = pack(&all);
    if let [_, _] = chunks.as_slice() {
        // Room on both sides, so that the next point between these need not split again.
        let (left, right) = all.split_at(all.len() / 2);
        chunks = [pack(left), pack(right)].concat();
    }
    if chunks[0].first == place {
        update(tx, run, key, &chunks[0])?;
        insert(tx, run, key, &chunks[1..])?;
    } else {
        tx.execute(
            &format!("DELETE FROM metric_chunks {KEY}"),
            params![run, key, place.step, place.timestamp, place.order_bits],
        )?;
        insert(tx, run, key, &chunks)?;
    }
    Ok(added)
}

fn pack(points: &[Place]) -> Vec<Chunk> {
    let Some((first, rest)) = points.split_first() else {
        return Vec::new();
    };
    let mut packer = Packer::new(*first);
    packer.push_all(rest);
    packer.finish()
}

const KEY: &str =
    "WHERE run_id = ?1 AND key_id = ?2 AND step = ?3 AND timestamp = ?4 AND order_bits = ?5";
const NEWEST: &str = "ORDER BY step DESC, timestamp DESC, order_bits DESC LIMIT 1";

/// A query for [`chunk`] of the metric `?2` of the run `?1`.
fn select(rest: &str) -> String {
    format!("SELECT {COLUMNS} FROM metric_chunks WHERE run_id = ?1 AND key_id = ?2 {rest}")
}

fn chunk(row: &Row<'_>) -> RowResult<Chunk> {
    Ok(Chunk {
        first: Place {
            step: row.get(0)?,
            timestamp: row.get(1)?,
            order_bits: row.get(2)?,
        },
        rest: row.get_ref(3)?.as_blob()?.to_vec(),
    })
}

/// The last chunk that begins at a place or before it.
fn at_or_before(tx: &Tx<'_>, run: i64, key: i64, place: Place) -> Result<Option<Chunk>> {
    let before = format!("AND (step, timestamp, order_bits) <= (?3, ?4, ?5) {NEWEST}");
    tx.one(
        &select(&before),
        params![run, key, place.step, place.timestamp, place.order_bits],
        chunk,
    )
}

/// The first chunk that begins after a place.
fn after(tx: &Tx<'_>, run: i64, key: i64, place: Place) -> Result<Option<Chunk>> {
    let after = "AND (step, timestamp, order_bits) > (?3, ?4, ?5) \
                 ORDER BY step, timestamp, order_bits LIMIT 1";
    tx.one(
        &select(after),
        params![run, key, place.step, place.timestamp, place.order_bits],
        chunk,
    )
}

fn insert(tx: &Tx<'_>, run: i64, key: i64, chunks: &[Chunk]) -> Result<()> {
    for Chunk { first, rest } in chunks {
        tx.execute(
            "INSERT INTO metric_chunks(run_id, key_id, step, timestamp, order_bits, points) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                run,
                key,
                first.step,
                first.timestamp,
                first.order_bits,
                rest
            ],
        )?;
    }
    Ok(())
}

fn update(tx: &Tx<'_>, run: i64, key: i64, chunk: &Chunk) -> Result<()> {
    let first = chunk.first;
    tx.execute(
        &format!("UPDATE metric_chunks SET points = ?6 {KEY}"),
        params![
            run,
            key,
            first.step,
            first.timestamp,
            first.order_bits,
            chunk.rest
        ],
    )?;
    Ok(())
}

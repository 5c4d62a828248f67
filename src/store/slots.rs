//! Which queued runs can begin: those whose compute has a slot for them.

use super::db::{Tx, params};
use api::Result;

/// Queued runs that wait for a worker.
const QUEUED: &str =
    "r.job IS NOT NULL AND r.ended_at IS NULL AND r.worker IS NULL AND r.driven = 0";
/// How many runs a compute executes at once: a cluster its instances, a compute instance that runs
/// one; there is no limit for others.
const LIMITED: &str = "SELECT c.workspace_id, c.name, \
                       CASE c.kind WHEN 'amlcompute' THEN coalesce(json_extract(c.spec, '$.max_instances'), 4) \
                       ELSE c.state = 'Running' END \
                       FROM computes c WHERE c.kind IN ('amlcompute', 'computeinstance')";

/// The oldest runs that can begin, at most so many.
pub(super) fn queued(tx: &Tx<'_>, most: u32) -> Result<Vec<i64>> {
    let mut found: Vec<i64> = tx.all(
        &format!(
            "SELECT r.id FROM runs r WHERE {QUEUED} AND (r.compute IS NULL OR NOT EXISTS \
             (SELECT 1 FROM computes c WHERE c.workspace_id = r.workspace_id AND c.name = r.compute \
             AND c.kind IN ('amlcompute', 'computeinstance'))) ORDER BY r.id LIMIT ?1"
        ),
        params![most],
        |row| row.get(0),
    )?;
    let limited: Vec<(i64, String, i64)> = tx.all(LIMITED, &[], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    for (workspace, name, slots) in limited {
        let taken = tx.one(
            "SELECT count(*) FROM runs r WHERE r.workspace_id = ?1 AND r.compute = ?2 \
             AND r.job IS NOT NULL AND r.ended_at IS NULL AND r.worker IS NOT NULL",
            params![workspace, name],
            |row| row.get::<i64>(0),
        )?;
        let free = (slots - taken.unwrap_or(0)).clamp(0, i64::from(most));
        if free > 0 {
            found.extend(tx.all(
                &format!(
                    "SELECT r.id FROM runs r WHERE r.workspace_id = ?1 AND r.compute = ?2 AND {QUEUED} \
                     ORDER BY r.id LIMIT ?3"
                ),
                params![workspace, name, free],
                |row| row.get::<i64>(0),
            )?);
        }
    }
    found.sort_unstable();
    found.truncate(most as usize);
    Ok(found)
}

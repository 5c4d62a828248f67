//! Which queued runs can begin: those whose compute has a slot for them.

use super::db::{Tx, params};
use api::Result;

/// Runs that have not ended, by workspace and compute.
const OPEN: &str =
    "runs INDEXED BY runs_open_by_compute WHERE job IS NOT NULL AND ended_at IS NULL";
/// Those that wait for a worker. All that is asked of them is in the index.
const QUEUED: &str = "runs INDEXED BY runs_queued WHERE job IS NOT NULL AND ended_at IS NULL \
                      AND worker IS NULL AND driven = 0";
/// How many runs a compute executes at once: a cluster its instances, a compute instance that runs
/// one; there is no limit for others.
const LIMIT: &str = "SELECT CASE kind WHEN 'amlcompute' \
                     THEN coalesce(json_extract(spec, '$.max_instances'), 4) ELSE state = 'Running' END \
                     FROM computes WHERE workspace_id = ?1 AND name = ?2 \
                     AND kind IN ('amlcompute', 'computeinstance')";

/// The oldest runs that can begin, at most so many. Costs as much as there are computes, however many
/// runs wait for each.
pub(super) fn queued(tx: &Tx<'_>, most: u32) -> Result<Vec<i64>> {
    let mut found = Vec::new();
    for (workspace, compute) in computes(tx)? {
        let free = free(tx, workspace, compute.as_deref(), most)?;
        if free > 0 {
            found.extend(tx.all(
                &format!(
                    "SELECT id FROM {QUEUED} AND workspace_id = ?1 AND compute IS ?2 \
                     ORDER BY id LIMIT ?3"
                ),
                params![workspace, compute, free],
                |row| row.get::<i64>(0),
            )?);
        }
    }
    found.sort_unstable();
    found.truncate(most as usize);
    Ok(found)
}

/// The computes of queued runs, also none, each found by its first entry in the index.
fn computes(tx: &Tx<'_>) -> Result<Vec<(i64, Option<String>)>> {
    let workspace_after = format!(
        "SELECT workspace_id FROM {QUEUED} AND workspace_id > ?1 ORDER BY workspace_id LIMIT 1"
    );
    let compute_after = format!(
        "SELECT compute FROM {QUEUED} AND workspace_id = ?1 AND compute > ?2 ORDER BY compute LIMIT 1"
    );
    let mut found = Vec::new();
    let mut workspace = 0_i64;
    while let Some(next) = tx.one(&workspace_after, params![workspace], |row| row.get(0))? {
        workspace = next;
        found.push((workspace, None));
        let mut compute = String::new();
        while let Some(next) = tx.one(&compute_after, params![workspace, compute], |row| {
            row.get::<String>(0)
        })? {
            compute.clone_from(&next);
            found.push((workspace, Some(next)));
        }
    }
    Ok(found)
}

/// How many more runs a compute may execute, of so many.
fn free(tx: &Tx<'_>, workspace: i64, compute: Option<&str>, most: u32) -> Result<i64> {
    let most = i64::from(most);
    let slots = tx.one(LIMIT, params![workspace, compute], |row| row.get::<i64>(0))?;
    let Some(slots) = slots else {
        return Ok(most);
    };
    let taken = tx.one(
        &format!(
            "SELECT count(*) FROM {OPEN} AND workspace_id = ?1 AND compute = ?2 AND worker IS NOT NULL"
        ),
        params![workspace, compute],
        |row| row.get::<i64>(0),
    )?;
    Ok((slots - taken.unwrap_or(0)).clamp(0, most))
}

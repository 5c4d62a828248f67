//! What there may be to say to a worker that waits, seen in one look.

use super::{
    Store,
    db::{Tx, count, params},
    driven, slots,
    work::OPEN,
};
use api::{Result, Time};

/// What a worker holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    pub runs: u64,
    /// Of these, how many it has to cancel and was not told.
    pub cancels: u64,
    /// How many it has to cancel, told or not.
    pub cancelled: u64,
    /// When the first of its leases runs out.
    pub lease_until: Option<Time>,
}

/// Who has what of the open work.
#[derive(Debug, Clone, Default)]
pub struct Glance {
    /// By the worker that asks.
    pub held: Held,
    /// Driven runs to which something has happened, or whose time has come.
    pub due: Vec<i64>,
    /// The workers that hold open runs; none among them when a queued run waits for any worker and its
    /// compute has a slot for it.
    pub holders: Vec<Option<String>>,
    /// Some lease on an open run has lapsed.
    pub lapsed: bool,
}

impl Store {
    /// Looks at the open work for a worker. Leases that ran out before `lapsed` have lapsed.
    pub async fn glance(&self, worker: &str, now: Time, lapsed: Time) -> Result<Glance> {
        self.db
            .look(|tx| {
                Ok(Glance {
                    held: held_by(tx, worker)?,
                    due: driven::due(tx, now)?,
                    holders: holders(tx)?,
                    lapsed: any_lapsed(tx, lapsed)?,
                })
            })
            .await
    }

    /// Whether the lease on some open run ran out before.
    pub async fn has_lapsed(&self, before: Time) -> Result<bool> {
        self.db.look(|tx| any_lapsed(tx, before)).await
    }
}

fn holders(tx: &Tx<'_>) -> Result<Vec<Option<String>>> {
    let mut holders: Vec<Option<String>> = tx.all(
        &format!("SELECT DISTINCT worker FROM runs WHERE {OPEN} AND worker IS NOT NULL"),
        &[],
        |row| row.get(0),
    )?;
    if !slots::queued(tx, 1)?.is_empty() {
        holders.push(None);
    }
    Ok(holders)
}

fn held_by(tx: &Tx<'_>, worker: &str) -> Result<Held> {
    let held = tx.one(
        &format!(
            "SELECT COUNT(*), COUNT(CASE cancel WHEN 1 THEN 1 END), COUNT(NULLIF(cancel, 0)), \
             MIN(lease_until) FROM runs WHERE {OPEN} AND worker = ?1"
        ),
        params![worker],
        |row| {
            Ok(Held {
                runs: count(row, 0)?,
                cancels: count(row, 1)?,
                cancelled: count(row, 2)?,
                lease_until: row.get(3)?,
            })
        },
    )?;
    Ok(held.unwrap_or_default())
}

fn any_lapsed(tx: &Tx<'_>, before: Time) -> Result<bool> {
    let found = tx.one(
        &format!(
            "SELECT 1 FROM runs WHERE {OPEN} AND worker IS NOT NULL AND lease_until < ?1 LIMIT 1"
        ),
        params![before],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

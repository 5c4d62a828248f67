//! Reports of monitors as stored.

use super::{
    Store,
    db::{Row, RowResult, json, params, to_json},
    webhooks::{Occurred, announce},
};
use api::{Result, monitors::MonitorReport};

/// Reports of a monitor that are kept.
const KEPT: u32 = 100;

const COLUMNS: &str = "monitor, run, created_at, report";

fn report(row: &Row<'_>) -> RowResult<MonitorReport> {
    Ok(MonitorReport {
        monitor: row.get(0)?,
        run: row.get(1)?,
        created_at: row.get(2)?,
        report: json(row, 3)?,
    })
}

impl Store {
    /// Keeps a report, with what is to be told of it.
    pub async fn add_monitor_report(
        &self,
        workspace: i64,
        new: MonitorReport,
        occurred: Vec<Occurred>,
    ) -> Result<()> {
        self.db
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO monitor_reports(workspace_id, monitor, run, created_at, report) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![
                        workspace,
                        new.monitor,
                        new.run,
                        new.created_at,
                        to_json(&new.report)?
                    ],
                )?;
                tx.execute(
                    "DELETE FROM monitor_reports WHERE workspace_id = ?1 AND monitor = ?2 AND id NOT IN \
                     (SELECT id FROM monitor_reports WHERE workspace_id = ?1 AND monitor = ?2 \
                      ORDER BY id DESC LIMIT ?3)",
                    params![workspace, new.monitor, KEPT],
                )?;
                announce(tx, workspace, &occurred, new.created_at)
            })
            .await
    }

    /// The reports of a monitor, or the last one of each, newest first, at most as many as `limit`.
    pub async fn monitor_reports(
        &self,
        workspace: i64,
        monitor: Option<String>,
        limit: Option<u32>,
    ) -> Result<Vec<MonitorReport>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT {COLUMNS} FROM monitor_reports WHERE workspace_id = ?1 \
                         AND CASE WHEN ?2 IS NULL THEN id IN (SELECT MAX(id) FROM monitor_reports \
                         WHERE workspace_id = ?1 GROUP BY monitor) ELSE monitor = ?2 END \
                         ORDER BY id DESC LIMIT ?3"
                    ),
                    params![workspace, monitor, limit.map_or(-1, i64::from)],
                    report,
                )
            })
            .await
    }
}

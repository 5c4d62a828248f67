-- What monitors have found: the last reports of each.
CREATE TABLE monitor_reports(
  id INTEGER PRIMARY KEY,
  workspace_id INTEGER NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
  monitor TEXT NOT NULL COLLATE NOCASE,
  run TEXT,
  report TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX monitor_reports_by_monitor ON monitor_reports(workspace_id, monitor, id);

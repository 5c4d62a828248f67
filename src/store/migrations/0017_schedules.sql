CREATE TABLE schedules(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  -- What it says, as JSON.
  spec TEXT NOT NULL,
  enabled INTEGER NOT NULL,
  -- When it is due; never when absent.
  next_at INTEGER,
  created_by TEXT NOT NULL,
  -- With whose rights jobs are created; the owner's when absent.
  created_by_id INTEGER,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);
CREATE INDEX schedules_due ON schedules(next_at) WHERE next_at IS NOT NULL;

-- What became of a time at which a schedule was due or triggered.
CREATE TABLE schedule_firings(
  schedule_id INTEGER NOT NULL REFERENCES schedules ON DELETE CASCADE,
  job TEXT NOT NULL,
  due_at INTEGER NOT NULL,
  error TEXT,
  done_at INTEGER,
  -- Until when whoever claimed it creates its job.
  leased_until INTEGER NOT NULL,
  PRIMARY KEY(schedule_id, job)
) WITHOUT ROWID;
CREATE INDEX schedule_firings_by_time ON schedule_firings(schedule_id, due_at);
CREATE INDEX schedule_firings_open ON schedule_firings(leased_until) WHERE done_at IS NULL;

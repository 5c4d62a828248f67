-- Runs that no worker executes: what comes next in them is decided when something of them happens.
ALTER TABLE runs ADD COLUMN driven INTEGER NOT NULL DEFAULT 0;
-- The driven run that made this one, and which of its parts this one is.
ALTER TABLE runs ADD COLUMN driver INTEGER REFERENCES runs ON DELETE SET NULL;
ALTER TABLE runs ADD COLUMN place INTEGER;
-- The run whose outputs this one has because nothing had changed, and what says that nothing has.
ALTER TABLE runs ADD COLUMN reuses TEXT COLLATE NOCASE;
ALTER TABLE runs ADD COLUMN reuse_key BLOB;
CREATE INDEX runs_by_reuse_key ON runs(workspace_id, reuse_key) WHERE reuse_key IS NOT NULL;
CREATE INDEX runs_by_driver ON runs(driver, place) WHERE driver IS NOT NULL;

CREATE TABLE driven(
  run_id INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
  kind TEXT NOT NULL,
  plan TEXT NOT NULL,
  state TEXT NOT NULL,
  revision INTEGER NOT NULL DEFAULT 0,
  wake_at INTEGER
);
CREATE INDEX driven_by_time ON driven(wake_at) WHERE wake_at IS NOT NULL;

-- What has happened and is not looked at yet: `run` has ended, or is to be looked at for another reason.
CREATE TABLE wakes(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  driver INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  run INTEGER NOT NULL
);
CREATE INDEX wakes_by_driver ON wakes(driver, id);

CREATE TABLE users(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL COLLATE NOCASE UNIQUE,
  admin INTEGER NOT NULL,
  token_hash BLOB NOT NULL UNIQUE,
  created_at INTEGER NOT NULL
);

CREATE TABLE workspaces(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL COLLATE NOCASE UNIQUE,
  edition TEXT NOT NULL,
  description TEXT NOT NULL,
  display_name TEXT NOT NULL,
  location TEXT NOT NULL,
  resource_group TEXT NOT NULL,
  subscription TEXT NOT NULL,
  tags TEXT NOT NULL,
  resources TEXT NOT NULL,
  sealed_keys BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);

CREATE TABLE role_assignments(
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
  role TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY(workspace_id, user_id)
);

CREATE TABLE secrets(
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  sealed_value BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY(workspace_id, name)
);

CREATE TABLE experiments(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  artifact_location TEXT NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0,
  tags TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);

-- status: the name of the run's status. job: absent when a client logs to the run by itself.
-- worker, lease_until, handle: see api/work.rs. cancel: 1 asked for, 2 told to the worker.
CREATE TABLE runs(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  experiment_id INTEGER NOT NULL REFERENCES experiments ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  display_name TEXT NOT NULL,
  status TEXT NOT NULL,
  reason TEXT,
  exit_code INTEGER,
  job TEXT,
  snapshot BLOB,
  user TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  cpu_seconds REAL,
  peak_memory INTEGER,
  node TEXT,
  deleted INTEGER NOT NULL DEFAULT 0,
  worker TEXT,
  lease_until INTEGER,
  handle TEXT,
  cancel INTEGER NOT NULL DEFAULT 0,
  UNIQUE(workspace_id, name)
);
CREATE INDEX runs_by_experiment ON runs(experiment_id, deleted, created_at DESC, id DESC);
CREATE INDEX runs_by_time ON runs(workspace_id, deleted, created_at DESC, id DESC);
CREATE INDEX runs_open ON runs(worker, id) WHERE job IS NOT NULL AND ended_at IS NULL;
CREATE INDEX runs_by_snapshot ON runs(snapshot) WHERE snapshot IS NOT NULL;

CREATE TABLE run_history(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  position INTEGER NOT NULL,
  status TEXT NOT NULL,
  at INTEGER NOT NULL,
  reason TEXT,
  PRIMARY KEY(run_id, position)
) WITHOUT ROWID;

CREATE TABLE params(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY(run_id, key)
) WITHOUT ROWID;

CREATE TABLE tags(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY(run_id, key)
) WITHOUT ROWID;

CREATE TABLE metric_keys(
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE
);

-- order_bits: the value as an integer that sorts as the number does and keeps NaN and the
-- infinities (see store/metrics.rs). The whole row is the key: a point logged twice is one point.
CREATE TABLE metric_points(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  key_id INTEGER NOT NULL,
  step INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  order_bits INTEGER NOT NULL,
  PRIMARY KEY(run_id, key_id, step, timestamp, order_bits)
) WITHOUT ROWID;

-- The latest point of each metric and its extremes, so that no list or search scans history.
-- value is NULL for NaN.
CREATE TABLE metric_latest(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  key_id INTEGER NOT NULL,
  step INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  order_bits INTEGER NOT NULL,
  value REAL,
  min REAL,
  max REAL,
  count INTEGER NOT NULL,
  PRIMARY KEY(run_id, key_id)
) WITHOUT ROWID;
CREATE INDEX metric_latest_by_value ON metric_latest(key_id, value, run_id);

-- A blob is a slice of a pack file; large ones have one of their own.
CREATE TABLE blobs(
  hash BLOB PRIMARY KEY,
  size INTEGER NOT NULL,
  pack TEXT NOT NULL,
  start INTEGER NOT NULL,
  touched_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX blobs_by_pack ON blobs(pack);

-- A tree's entries are a blob under the same hash.
CREATE TABLE trees(
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  hash BLOB NOT NULL,
  files INTEGER NOT NULL,
  size INTEGER NOT NULL,
  touched_at INTEGER NOT NULL,
  PRIMARY KEY(workspace_id, hash)
) WITHOUT ROWID;

CREATE TABLE artifacts(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  path TEXT NOT NULL,
  hash BLOB NOT NULL,
  size INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY(run_id, path)
) WITHOUT ROWID;
CREATE INDEX artifacts_by_hash ON artifacts(hash);

CREATE TABLE models(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  last_version INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);

CREATE TABLE model_versions(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model_id INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
  version INTEGER NOT NULL,
  kind TEXT NOT NULL,
  description TEXT NOT NULL,
  tags TEXT NOT NULL,
  tree BLOB NOT NULL,
  lineage TEXT NOT NULL,
  archived INTEGER NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(model_id, version)
);
CREATE INDEX model_versions_by_tree ON model_versions(tree);

-- desired: running or stopped. state, message, port: what the host said last; true only while the
-- host holds its lock.
CREATE TABLE endpoints(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  deployment TEXT NOT NULL,
  model_version_id INTEGER NOT NULL REFERENCES model_versions,
  generation INTEGER NOT NULL,
  desired TEXT NOT NULL,
  state TEXT NOT NULL,
  state_generation INTEGER NOT NULL DEFAULT 0,
  message TEXT,
  port INTEGER,
  sealed_keys BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);
CREATE INDEX endpoints_by_model ON endpoints(model_version_id);

CREATE TABLE workers(
  name TEXT PRIMARY KEY,
  seen_at INTEGER NOT NULL
);

-- What runs read: dataset is the whole record as JSON, the other columns are what is searched.
CREATE TABLE run_datasets(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  name TEXT NOT NULL,
  digest TEXT NOT NULL,
  context TEXT,
  dataset TEXT NOT NULL,
  PRIMARY KEY(run_id, name, digest)
);

-- Models that scripts log in the course of a run, before anybody registers them. Their files are
-- artifacts of the run. made_by: the name given for the run. status: pending, ready or failed.
CREATE TABLE logged_models(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  experiment_id INTEGER NOT NULL REFERENCES experiments ON DELETE CASCADE,
  run_id INTEGER REFERENCES runs ON DELETE CASCADE,
  made_by TEXT,
  display_name TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  params TEXT NOT NULL,
  tags TEXT NOT NULL,
  deleted INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
CREATE INDEX logged_models_by_experiment ON logged_models(experiment_id, created_at DESC);
CREATE INDEX logged_models_by_run ON logged_models(run_id);

-- The points of runs' metrics that say which logged model they measure.
CREATE TABLE logged_model_metrics(
  model_id INTEGER NOT NULL REFERENCES logged_models ON DELETE CASCADE,
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  key TEXT NOT NULL,
  step INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  order_bits INTEGER NOT NULL,
  dataset_name TEXT,
  dataset_digest TEXT,
  PRIMARY KEY(model_id, key, run_id, step, timestamp, order_bits)
) WITHOUT ROWID;

-- Logged models that runs read or made. direction: input or output.
CREATE TABLE run_models(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  model_id INTEGER NOT NULL REFERENCES logged_models ON DELETE CASCADE,
  direction TEXT NOT NULL,
  step INTEGER NOT NULL,
  PRIMARY KEY(run_id, direction, model_id)
) WITHOUT ROWID;

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
, spec TEXT NOT NULL DEFAULT '{}');
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
  updated_at INTEGER NOT NULL, runs INTEGER NOT NULL DEFAULT 0,
  UNIQUE(workspace_id, name)
);
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
  cancel INTEGER NOT NULL DEFAULT 0, driven INTEGER NOT NULL DEFAULT 0, driver INTEGER REFERENCES runs ON DELETE SET NULL, place INTEGER, reuses TEXT COLLATE NOCASE, reuse_key BLOB, compute TEXT COLLATE NOCASE,
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
CREATE TABLE metric_latest(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  key_id INTEGER NOT NULL,
  step INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  order_bits INTEGER NOT NULL,
  value REAL,
  min REAL,
  max REAL,
  count INTEGER NOT NULL, experiment_id INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(run_id, key_id)
) WITHOUT ROWID;
CREATE TABLE blobs(
  hash BLOB PRIMARY KEY,
  size INTEGER NOT NULL,
  pack TEXT NOT NULL,
  start INTEGER NOT NULL,
  touched_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX blobs_by_pack ON blobs(pack);
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
  created_at INTEGER NOT NULL, description TEXT NOT NULL DEFAULT '', tags TEXT NOT NULL DEFAULT '{}', updated_at INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0,
  UNIQUE(workspace_id, name)
);
CREATE TABLE workers(
  name TEXT PRIMARY KEY,
  seen_at INTEGER NOT NULL
);
CREATE TABLE run_datasets(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  name TEXT NOT NULL,
  digest TEXT NOT NULL,
  context TEXT,
  dataset TEXT NOT NULL,
  PRIMARY KEY(run_id, name, digest)
);
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
CREATE TABLE run_models(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  model_id INTEGER NOT NULL REFERENCES logged_models ON DELETE CASCADE,
  direction TEXT NOT NULL,
  step INTEGER NOT NULL,
  PRIMARY KEY(run_id, direction, model_id)
) WITHOUT ROWID;
CREATE TABLE "model_versions"(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model_id INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
  version INTEGER NOT NULL,
  kind TEXT NOT NULL,
  description TEXT NOT NULL,
  tags TEXT NOT NULL,
  stage TEXT NOT NULL DEFAULT 'None',
  tree BLOB,
  source TEXT,
  location TEXT,
  lineage TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, version_name TEXT COLLATE NOCASE, properties TEXT NOT NULL DEFAULT '{}', flavors TEXT NOT NULL DEFAULT '{}',
  UNIQUE(model_id, version)
);
CREATE INDEX model_versions_by_tree ON model_versions(tree);
CREATE INDEX model_versions_by_run ON model_versions(json_extract(lineage, '$.run'));
CREATE TABLE model_aliases(
  model_id INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
  alias TEXT NOT NULL COLLATE NOCASE,
  version_id INTEGER NOT NULL REFERENCES model_versions ON DELETE CASCADE,
  PRIMARY KEY(model_id, alias)
) WITHOUT ROWID;
CREATE INDEX model_aliases_by_version ON model_aliases(version_id);
CREATE TABLE registries(
  workspace_id INTEGER PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
  spec TEXT NOT NULL
);
CREATE TABLE assets(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  kind TEXT NOT NULL,
  name TEXT NOT NULL COLLATE NOCASE,
  anonymous INTEGER NOT NULL,
  archived INTEGER NOT NULL DEFAULT 0,
  last_number INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  UNIQUE(workspace_id, kind, name)
);
CREATE TABLE asset_versions(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  asset_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
  version TEXT NOT NULL COLLATE NOCASE,
  digest BLOB NOT NULL,
  spec TEXT NOT NULL,
  tree BLOB,
  description TEXT NOT NULL,
  tags TEXT NOT NULL,
  properties TEXT NOT NULL,
  archived INTEGER NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(asset_id, version)
);
CREATE INDEX asset_versions_in_order ON asset_versions(asset_id, archived, id DESC);
CREATE INDEX asset_versions_by_tree ON asset_versions(tree) WHERE tree IS NOT NULL;
CREATE TABLE asset_labels(
  asset_id INTEGER NOT NULL REFERENCES assets ON DELETE CASCADE,
  label TEXT NOT NULL COLLATE NOCASE,
  version_id INTEGER NOT NULL REFERENCES asset_versions ON DELETE CASCADE,
  PRIMARY KEY(asset_id, label)
) WITHOUT ROWID;
CREATE INDEX asset_labels_by_version ON asset_labels(version_id);
CREATE TABLE metric_chunks(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  key_id INTEGER NOT NULL,
  step INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  order_bits INTEGER NOT NULL,
  points BLOB NOT NULL,
  PRIMARY KEY(run_id, key_id, step, timestamp, order_bits)
) WITHOUT ROWID;
CREATE INDEX metric_latest_by_value ON metric_latest(experiment_id, key_id, value, run_id);
CREATE INDEX runs_by_start ON runs(
  experiment_id, deleted, IFNULL(started_at, created_at) DESC, name COLLATE BINARY
);
CREATE INDEX tags_by_parent ON tags(value) WHERE key = 'mlflow.parentRunId';
CREATE TABLE datastores(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  kind TEXT NOT NULL,
  spec TEXT NOT NULL,
  description TEXT NOT NULL,
  tags TEXT NOT NULL,
  credential_type TEXT NOT NULL,
  sealed_credentials BLOB,
  is_default INTEGER NOT NULL DEFAULT 0,
  built_in INTEGER NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);
CREATE TABLE imports(
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  origin TEXT NOT NULL,
  run_id INTEGER REFERENCES runs ON DELETE SET NULL,
  stamp TEXT, trace_id INTEGER REFERENCES traces ON DELETE SET NULL,
  PRIMARY KEY(workspace_id, origin)
) WITHOUT ROWID;
CREATE INDEX imports_by_run ON imports(run_id);
CREATE TABLE traces(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  experiment_id INTEGER NOT NULL REFERENCES experiments ON DELETE CASCADE,
  run_id INTEGER REFERENCES runs ON DELETE SET NULL,
  name TEXT NOT NULL,
  client_request_id TEXT,
  request_preview TEXT,
  response_preview TEXT,
  started_at INTEGER NOT NULL,
  duration INTEGER,
  state TEXT NOT NULL,
  complete INTEGER NOT NULL DEFAULT 0,
  UNIQUE(workspace_id, name)
);
CREATE INDEX traces_by_time ON traces(experiment_id, started_at DESC, id DESC);
CREATE INDEX traces_by_name ON traces(name);
CREATE INDEX traces_by_run ON traces(run_id) WHERE run_id IS NOT NULL;
CREATE TABLE trace_metadata(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY(trace_id, key)
) WITHOUT ROWID;
CREATE TABLE trace_tags(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY(trace_id, key)
) WITHOUT ROWID;
CREATE TABLE spans(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  span_id TEXT NOT NULL,
  parent TEXT,
  name TEXT NOT NULL,
  kind TEXT,
  status TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  content TEXT NOT NULL,
  PRIMARY KEY(trace_id, span_id)
);
CREATE TABLE assessments(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  assessment_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  text TEXT NOT NULL,
  number REAL,
  session TEXT,
  valid INTEGER NOT NULL,
  assessment TEXT NOT NULL,
  UNIQUE(trace_id, assessment_id)
);
CREATE INDEX assessments_by_session ON assessments(session, name) WHERE session IS NOT NULL;
CREATE TABLE trace_runs(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  trace TEXT NOT NULL,
  PRIMARY KEY(run_id, trace)
) WITHOUT ROWID;
CREATE INDEX trace_runs_by_trace ON trace_runs(trace);
CREATE TABLE trace_prompts(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  PRIMARY KEY(trace_id, name, version)
) WITHOUT ROWID;
CREATE TABLE trace_artifacts(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  path TEXT NOT NULL,
  hash BLOB NOT NULL,
  size INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY(trace_id, path)
) WITHOUT ROWID;
CREATE INDEX trace_artifacts_by_hash ON trace_artifacts(hash);
CREATE TABLE webhooks(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL UNIQUE,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL,
  url TEXT NOT NULL,
  description TEXT NOT NULL,
  events TEXT NOT NULL,
  status TEXT NOT NULL,
  sealed_secret BLOB,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
);
CREATE INDEX webhooks_by_workspace ON webhooks(workspace_id, id);
CREATE TABLE webhook_deliveries(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL,
  webhook_id INTEGER NOT NULL REFERENCES webhooks ON DELETE CASCADE,
  event TEXT NOT NULL,
  data TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER,
  leased_until INTEGER NOT NULL DEFAULT 0,
  delivered INTEGER NOT NULL DEFAULT 0,
  status INTEGER,
  error TEXT,
  ended_at INTEGER
, sender TEXT);
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries(webhook_id, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries(next_at) WHERE next_at IS NOT NULL;
CREATE TABLE resource_groups(
  name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
  location TEXT NOT NULL,
  tags TEXT NOT NULL
);
CREATE TABLE computes(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  kind TEXT NOT NULL,
  location TEXT NOT NULL,
  spec TEXT NOT NULL,
  sealed_secrets BLOB,
  description TEXT NOT NULL,
  tags TEXT NOT NULL,
  state TEXT NOT NULL,
  last_operation TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);
CREATE TABLE connections(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  kind TEXT NOT NULL,
  target TEXT NOT NULL,
  spec TEXT NOT NULL,
  credential_type TEXT NOT NULL,
  sealed_credentials BLOB,
  description TEXT NOT NULL,
  tags TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);
CREATE TABLE lineage(
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  run TEXT NOT NULL COLLATE NOCASE,
  is_input INTEGER NOT NULL,
  name TEXT NOT NULL COLLATE NOCASE,
  kind TEXT NOT NULL,
  node TEXT NOT NULL COLLATE NOCASE,
  version TEXT,
  uri TEXT,
  type TEXT,
  created_at INTEGER NOT NULL,
  PRIMARY KEY(workspace_id, run, is_input, name)
) WITHOUT ROWID;
CREATE INDEX lineage_by_node ON lineage(workspace_id, kind, node, version);
CREATE TABLE uploads(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL UNIQUE,
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  path TEXT NOT NULL,
  parts INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
);
CREATE INDEX uploads_by_run ON uploads(run_id);
CREATE INDEX uploads_by_expiry ON uploads(expires_at);
CREATE TABLE upload_parts(
  upload_id INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
  number INTEGER NOT NULL,
  hash BLOB NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY(upload_id, number)
) WITHOUT ROWID;
CREATE INDEX upload_parts_by_hash ON upload_parts(hash);
CREATE TRIGGER run_made AFTER INSERT ON runs WHEN NEW.deleted = 0 BEGIN
  UPDATE experiments SET runs = runs + 1 WHERE id = NEW.experiment_id;
END;
CREATE TRIGGER run_removed AFTER DELETE ON runs WHEN OLD.deleted = 0 BEGIN
  UPDATE experiments SET runs = runs - 1 WHERE id = OLD.experiment_id;
END;
CREATE TRIGGER run_changed AFTER UPDATE OF deleted, experiment_id ON runs
  WHEN OLD.deleted <> NEW.deleted OR OLD.experiment_id <> NEW.experiment_id BEGIN
  UPDATE experiments SET runs = runs - (OLD.deleted = 0) WHERE id = OLD.experiment_id;
  UPDATE experiments SET runs = runs + (NEW.deleted = 0) WHERE id = NEW.experiment_id;
END;
CREATE TABLE identities(
  name TEXT NOT NULL COLLATE NOCASE,
  resource_group TEXT NOT NULL COLLATE NOCASE,
  location TEXT NOT NULL,
  tags TEXT NOT NULL,
  principal_id TEXT NOT NULL,
  client_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY(resource_group, name)
);
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
CREATE TABLE schedule_firings(
  schedule_id INTEGER NOT NULL REFERENCES schedules ON DELETE CASCADE,
  job TEXT NOT NULL,
  due_at INTEGER NOT NULL,
  error TEXT,
  done_at INTEGER,
  -- Until when whoever claimed it creates its job.
  leased_until INTEGER NOT NULL, by_hand INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(schedule_id, job)
) WITHOUT ROWID;
CREATE INDEX schedule_firings_by_time ON schedule_firings(schedule_id, due_at);
CREATE INDEX schedule_firings_open ON schedule_firings(leased_until) WHERE done_at IS NULL;
CREATE INDEX runs_by_reuse_key ON runs(workspace_id, reuse_key) WHERE reuse_key IS NOT NULL;
CREATE INDEX runs_by_driver ON runs(driver, place) WHERE driver IS NOT NULL;
CREATE TABLE driven(
  run_id INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  revision INTEGER NOT NULL DEFAULT 0,
  wake_at INTEGER
, watches TEXT);
CREATE INDEX driven_by_time ON driven(wake_at) WHERE wake_at IS NOT NULL;
CREATE TABLE wakes(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  driver INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  run INTEGER NOT NULL
);
CREATE INDEX wakes_by_driver ON wakes(driver, id);
CREATE INDEX imports_by_trace ON imports(trace_id) WHERE trace_id IS NOT NULL;
CREATE TABLE deployments(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint_id INTEGER NOT NULL REFERENCES endpoints ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  spec TEXT NOT NULL,
  model_version_id INTEGER REFERENCES model_versions,
  generation INTEGER NOT NULL,
  generations INTEGER NOT NULL,
  state TEXT NOT NULL,
  state_generation INTEGER NOT NULL DEFAULT 0,
  message TEXT,
  good_generation INTEGER,
  good_spec TEXT,
  good_model_version_id INTEGER REFERENCES model_versions,
  failed_update TEXT,
  takes_traffic INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL, autoscale TEXT,
  UNIQUE(endpoint_id, name)
);
CREATE INDEX deployments_by_model ON deployments(model_version_id);
CREATE INDEX deployments_by_good_model ON deployments(good_model_version_id);
CREATE TABLE "endpoints"(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  auth_mode TEXT NOT NULL DEFAULT 'key',
  traffic TEXT NOT NULL DEFAULT '{}',
  mirror_traffic TEXT NOT NULL DEFAULT '{}',
  description TEXT NOT NULL DEFAULT '',
  tags TEXT NOT NULL DEFAULT '{}',
  properties TEXT NOT NULL DEFAULT '{}',
  desired TEXT NOT NULL,
  orders INTEGER NOT NULL DEFAULT 1,
  seen INTEGER NOT NULL DEFAULT 0,
  message TEXT,
  port INTEGER,
  pinned_port INTEGER,
  sealed_keys BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);
CREATE TABLE batch_endpoints(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  description TEXT NOT NULL DEFAULT '',
  tags TEXT NOT NULL DEFAULT '{}',
  properties TEXT NOT NULL DEFAULT '{}',
  default_deployment TEXT,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(workspace_id, name)
);
CREATE TABLE batch_deployments(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint_id INTEGER NOT NULL REFERENCES batch_endpoints ON DELETE CASCADE,
  name TEXT NOT NULL COLLATE NOCASE,
  definition TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  UNIQUE(endpoint_id, name)
);
CREATE UNIQUE INDEX model_versions_by_name ON model_versions(model_id, version_name)
  WHERE version_name IS NOT NULL;
CREATE TABLE monitor_reports(
  id INTEGER PRIMARY KEY,
  workspace_id INTEGER NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
  monitor TEXT NOT NULL COLLATE NOCASE,
  run TEXT,
  report TEXT NOT NULL,
  created_at INTEGER NOT NULL
);
CREATE INDEX monitor_reports_by_monitor ON monitor_reports(workspace_id, monitor, id);
CREATE TABLE driven_plans(
  run_id INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
  plan TEXT NOT NULL
);
CREATE INDEX runs_open_by_compute ON runs(workspace_id, compute, id)
  WHERE job IS NOT NULL AND ended_at IS NULL;
CREATE INDEX runs_ended_by_compute ON runs(workspace_id, compute, ended_at)
  WHERE job IS NOT NULL AND ended_at IS NOT NULL;
CREATE INDEX runs_queued ON runs(workspace_id, compute, id)
  WHERE job IS NOT NULL AND ended_at IS NULL AND worker IS NULL AND driven = 0;

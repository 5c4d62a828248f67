-- An endpoint has deployments, each with what it serves, its state and its share of the requests.
-- What was served until now becomes the deployment `default`, which gets all of them.
-- orders counts the changes that the host is to heed, seen is the last of them that it has read.
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
  updated_at INTEGER NOT NULL,
  UNIQUE(endpoint_id, name)
);
INSERT INTO deployments(endpoint_id, name, spec, model_version_id, generation, generations, state,
    state_generation, message, good_generation, good_spec, good_model_version_id, failed_update,
    created_at, updated_at)
  SELECT id, 'default', deployment, model_version_id, generation, deployments, state,
    state_generation, message, good_generation, good_deployment, good_model_version_id,
    failed_update, created_at, updated_at
  FROM endpoints;
CREATE INDEX deployments_by_model ON deployments(model_version_id);
CREATE INDEX deployments_by_good_model ON deployments(good_model_version_id);

CREATE TABLE new_endpoints(
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
-- The numbers of deleted endpoints are not given again.
INSERT INTO sqlite_sequence(name, seq)
  SELECT 'new_endpoints', seq FROM sqlite_sequence WHERE name = 'endpoints';
INSERT INTO new_endpoints(id, workspace_id, name, traffic, desired, port, pinned_port, sealed_keys,
    created_at, updated_at)
  SELECT id, workspace_id, name, '{"default":100}', desired, port,
    json_extract(deployment, '$.port'), sealed_keys, created_at, updated_at
  FROM endpoints;
DROP TABLE endpoints;
ALTER TABLE new_endpoints RENAME TO endpoints;

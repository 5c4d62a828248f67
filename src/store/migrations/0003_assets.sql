-- A registry is a workspace whose name begins with `registries/`; spec is what it says beyond that.
CREATE TABLE registries(
  workspace_id INTEGER PRIMARY KEY REFERENCES workspaces ON DELETE CASCADE,
  spec TEXT NOT NULL
);

-- last_number: the highest version that is a number, deleted ones included.
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

-- digest: hash of spec and tree. spec: in the words of Azure's YAML.
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

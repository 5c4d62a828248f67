-- spec: the rest of what a workspace says, in the words of Azure's YAML, as JSON.
ALTER TABLE workspaces ADD COLUMN spec TEXT NOT NULL DEFAULT '{}';

CREATE TABLE resource_groups(
  name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
  location TEXT NOT NULL,
  tags TEXT NOT NULL
);

-- kind: as Azure's YAML names the type. spec: the rest of it as JSON, without secrets, which are
-- sealed. state: Running, Stopped or empty where it has none.
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

-- What runs used and made. It stays when a run or an asset is deleted.
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

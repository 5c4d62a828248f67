-- A model is a name with versions, a description, tags and aliases. deleted: its row is kept for
-- last_version only, so that numbers are not used again.
ALTER TABLE models ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE models ADD COLUMN tags TEXT NOT NULL DEFAULT '{}';
ALTER TABLE models ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE models ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
UPDATE models SET
  updated_at = COALESCE((SELECT max(v.updated_at) FROM model_versions v WHERE v.model_id = models.id), created_at),
  deleted = NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.model_id = models.id);

-- A version may have no files here (tree), but a place elsewhere (location). source: what whoever
-- registered it called the place of its files.
CREATE TABLE model_versions_with_stages(
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
  updated_at INTEGER NOT NULL,
  UNIQUE(model_id, version)
);
INSERT INTO model_versions_with_stages(id, model_id, version, kind, description, tags, stage, tree, lineage,
  created_by, created_at, updated_at)
  SELECT id, model_id, version, kind, description, tags, CASE archived WHEN 1 THEN 'Archived' ELSE 'None' END,
  tree, lineage, created_by, created_at, updated_at FROM model_versions;
DROP TABLE model_versions;
ALTER TABLE model_versions_with_stages RENAME TO model_versions;
CREATE INDEX model_versions_by_tree ON model_versions(tree);
CREATE INDEX model_versions_by_run ON model_versions(json_extract(lineage, '$.run'));

CREATE TABLE model_aliases(
  model_id INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
  alias TEXT NOT NULL COLLATE NOCASE,
  version_id INTEGER NOT NULL REFERENCES model_versions ON DELETE CASCADE,
  PRIMARY KEY(model_id, alias)
) WITHOUT ROWID;
CREATE INDEX model_aliases_by_version ON model_aliases(version_id);

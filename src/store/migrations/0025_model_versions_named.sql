-- What a version of a model is called beside its number, what is known of it and how it may be loaded.
ALTER TABLE model_versions ADD COLUMN version_name TEXT COLLATE NOCASE;
ALTER TABLE model_versions ADD COLUMN properties TEXT NOT NULL DEFAULT '{}';
ALTER TABLE model_versions ADD COLUMN flavors TEXT NOT NULL DEFAULT '{}';
CREATE UNIQUE INDEX model_versions_by_name ON model_versions(model_id, version_name)
  WHERE version_name IS NOT NULL;

-- When the last run on a compute instance ended tells how long it has been idle.
CREATE INDEX runs_ended_by_compute ON runs(workspace_id, compute, ended_at)
  WHERE job IS NOT NULL AND ended_at IS NOT NULL;

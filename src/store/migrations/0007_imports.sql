-- Runs and logged models that were brought over, by the ids they have where they come from. run_id: the
-- run, or the one that holds the model's files; none once that was deleted here for good, so that it is not brought over again. stamp: see api/imports.rs.
CREATE TABLE imports(
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  origin TEXT NOT NULL,
  run_id INTEGER REFERENCES runs ON DELETE SET NULL,
  stamp TEXT,
  PRIMARY KEY(workspace_id, origin)
) WITHOUT ROWID;
CREATE INDEX imports_by_run ON imports(run_id);

-- compute: kept, for what is worked out from a job is worked out from the whole of it whenever anything of
-- its run is written.
DROP INDEX runs_open_by_compute;
DROP INDEX runs_ended_by_compute;
DROP INDEX runs_queued;
ALTER TABLE runs DROP COLUMN compute;
ALTER TABLE runs ADD COLUMN compute TEXT COLLATE NOCASE;
UPDATE runs SET compute = replace(json_extract(job, '$.described.definition.compute'), 'azureml:', '')
  WHERE job IS NOT NULL;
CREATE INDEX runs_open_by_compute ON runs(workspace_id, compute, id)
  WHERE job IS NOT NULL AND ended_at IS NULL;
CREATE INDEX runs_ended_by_compute ON runs(workspace_id, compute, ended_at)
  WHERE job IS NOT NULL AND ended_at IS NOT NULL;
CREATE INDEX runs_queued ON runs(workspace_id, compute, id)
  WHERE job IS NOT NULL AND ended_at IS NULL AND worker IS NULL AND driven = 0;

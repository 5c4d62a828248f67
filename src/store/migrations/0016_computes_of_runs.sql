-- compute: what the description of a run's job names, if it does.
ALTER TABLE runs ADD COLUMN compute TEXT COLLATE NOCASE GENERATED ALWAYS AS
  (replace(json_extract(job, '$.described.definition.compute'), 'azureml:', '')) VIRTUAL;
CREATE INDEX runs_open_by_compute ON runs(workspace_id, compute, id)
  WHERE job IS NOT NULL AND ended_at IS NULL;

-- What never changes of a driven run, apart from what changes with each step of it: a row is written
-- whole, and what comes behind something long is found by reading all of that.
CREATE TABLE driven_plans(
  run_id INTEGER PRIMARY KEY REFERENCES runs ON DELETE CASCADE,
  plan TEXT NOT NULL
);
INSERT INTO driven_plans(run_id, plan) SELECT run_id, plan FROM driven;
ALTER TABLE driven DROP COLUMN plan;

-- The runs that wait for a worker, for the same reason: a driven run is open as long as they are.
CREATE INDEX runs_queued ON runs(workspace_id, compute, id)
  WHERE job IS NOT NULL AND ended_at IS NULL AND worker IS NULL AND driven = 0;

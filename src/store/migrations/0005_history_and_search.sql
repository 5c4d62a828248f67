-- The points of a metric, many in a row (see store/points.rs): step, timestamp and order_bits are the
-- first point, points holds those after it. Chunks of a metric do not overlap.
CREATE TABLE metric_chunks(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  key_id INTEGER NOT NULL,
  step INTEGER NOT NULL,
  timestamp INTEGER NOT NULL,
  order_bits INTEGER NOT NULL,
  points BLOB NOT NULL,
  PRIMARY KEY(run_id, key_id, step, timestamp, order_bits)
) WITHOUT ROWID;
INSERT INTO metric_chunks SELECT run_id, key_id, step, timestamp, order_bits, x'' FROM metric_points;
DROP TABLE metric_points;

-- Searches go through the values of a metric in one experiment.
ALTER TABLE metric_latest ADD COLUMN experiment_id INTEGER NOT NULL DEFAULT 0;
UPDATE metric_latest SET experiment_id = (SELECT experiment_id FROM runs WHERE id = run_id);
DROP INDEX metric_latest_by_value;
CREATE INDEX metric_latest_by_value ON metric_latest(experiment_id, key_id, value, run_id);

-- The order in which clients see runs: by start, else by when they were made.
CREATE INDEX runs_by_start ON runs(
  experiment_id, deleted, IFNULL(started_at, created_at) DESC, name COLLATE BINARY
);

CREATE INDEX tags_by_parent ON tags(value) WHERE key = 'mlflow.parentRunId';

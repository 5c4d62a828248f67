-- Traces of requests. name: the id that clients know. state: as api/traces.rs names it. complete: a
-- client has said all of it, and later spans do not change it. run_id: the run whose process made it.
CREATE TABLE traces(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  workspace_id INTEGER NOT NULL REFERENCES workspaces ON DELETE CASCADE,
  experiment_id INTEGER NOT NULL REFERENCES experiments ON DELETE CASCADE,
  run_id INTEGER REFERENCES runs ON DELETE SET NULL,
  name TEXT NOT NULL,
  client_request_id TEXT,
  request_preview TEXT,
  response_preview TEXT,
  started_at INTEGER NOT NULL,
  duration INTEGER,
  state TEXT NOT NULL,
  complete INTEGER NOT NULL DEFAULT 0,
  UNIQUE(workspace_id, name)
);
CREATE INDEX traces_by_time ON traces(experiment_id, started_at DESC, id DESC);
CREATE INDEX traces_by_name ON traces(name);
CREATE INDEX traces_by_run ON traces(run_id) WHERE run_id IS NOT NULL;

CREATE TABLE trace_metadata(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY(trace_id, key)
) WITHOUT ROWID;

CREATE TABLE trace_tags(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY(trace_id, key)
) WITHOUT ROWID;

-- content is the whole span as JSON, the other columns are what is searched. Times in nanoseconds.
CREATE TABLE spans(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  span_id TEXT NOT NULL,
  parent TEXT,
  name TEXT NOT NULL,
  kind TEXT,
  status TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER,
  content TEXT NOT NULL,
  PRIMARY KEY(trace_id, span_id)
);

-- assessment is the whole assessment as JSON, the other columns are what is searched. text: the value,
-- a number: as one too. session: what it is about besides its trace.
CREATE TABLE assessments(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  assessment_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  name TEXT NOT NULL,
  text TEXT NOT NULL,
  number REAL,
  session TEXT,
  valid INTEGER NOT NULL,
  assessment TEXT NOT NULL,
  UNIQUE(trace_id, assessment_id)
);
CREATE INDEX assessments_by_session ON assessments(session, name) WHERE session IS NOT NULL;

-- Runs that traces were said to belong to, by the id that clients know: it may be said before the
-- trace arrives.
CREATE TABLE trace_runs(
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  trace TEXT NOT NULL,
  PRIMARY KEY(run_id, trace)
) WITHOUT ROWID;
CREATE INDEX trace_runs_by_trace ON trace_runs(trace);

CREATE TABLE trace_prompts(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  PRIMARY KEY(trace_id, name, version)
) WITHOUT ROWID;

CREATE TABLE trace_artifacts(
  trace_id INTEGER NOT NULL REFERENCES traces ON DELETE CASCADE,
  path TEXT NOT NULL,
  hash BLOB NOT NULL,
  size INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY(trace_id, path)
) WITHOUT ROWID;
CREATE INDEX trace_artifacts_by_hash ON trace_artifacts(hash);

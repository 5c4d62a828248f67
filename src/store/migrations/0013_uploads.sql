-- A file that arrives in parts, until it is completed, aborted or expired.
CREATE TABLE uploads(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  uuid TEXT NOT NULL UNIQUE,
  run_id INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  path TEXT NOT NULL,
  parts INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
);
CREATE INDEX uploads_by_run ON uploads(run_id);
CREATE INDEX uploads_by_expiry ON uploads(expires_at);

CREATE TABLE upload_parts(
  upload_id INTEGER NOT NULL REFERENCES uploads ON DELETE CASCADE,
  number INTEGER NOT NULL,
  hash BLOB NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY(upload_id, number)
) WITHOUT ROWID;
CREATE INDEX upload_parts_by_hash ON upload_parts(hash);

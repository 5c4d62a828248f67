-- trace_id: what an import of a trace is here, as run_id for runs.
ALTER TABLE imports ADD COLUMN trace_id INTEGER REFERENCES traces ON DELETE SET NULL;
CREATE INDEX imports_by_trace ON imports(trace_id) WHERE trace_id IS NOT NULL;

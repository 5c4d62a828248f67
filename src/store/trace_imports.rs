//! Traces that were brought over from elsewhere, as stored.

use super::{
    NewTrace, Store,
    artifacts::{Holder, obstacle, put},
    blobs::first_missing,
    db::{Tx, params},
    imports::name_of,
    runs::by_name,
    spans, traces,
    trees::Stored,
};
use api::{
    Result, Time,
    files::{Artifact, Hash},
    imports::ImportedTrace,
    traces::keys,
};

impl Store {
    /// Makes or completes traces, all of them or none.
    pub async fn import_traces(
        &self,
        workspace: i64,
        experiment: i64,
        traces: Vec<ImportedTrace>,
        now: Time,
    ) -> Result<Stored<()>> {
        let files = traces.iter().flat_map(|trace| &trace.artifacts);
        let blobs: Vec<(Hash, u64)> = files.map(|file| (file.hash, file.size)).collect();
        self.db
            .write(move |tx| {
                if let Some(missing) = first_missing(tx, blobs)? {
                    return Ok(Stored::Missing(missing));
                }
                for trace in &traces {
                    import(tx, (workspace, experiment), trace, now)?;
                }
                Ok(Stored::Done(()))
            })
            .await
    }
}

fn import(
    tx: &Tx<'_>,
    (workspace, experiment): (i64, i64),
    trace: &ImportedTrace,
    now: Time,
) -> Result<()> {
    let mut metadata = trace.metadata.clone();
    if let Some(run) = metadata.get_mut(keys::RUN) {
        *run = name_of(tx, workspace, run)?;
    }
    let new = NewTrace {
        workspace,
        experiment,
        run: None,
        name: trace.origin.clone(),
        client_request_id: trace.client_request_id.clone(),
        request_preview: trace.request_preview.clone(),
        response_preview: trace.response_preview.clone(),
        started_at: trace.started_at,
        duration_ms: trace.duration_ms,
        state: trace.state,
        metadata,
        tags: trace.tags.clone(),
        assessments: trace.assessments.clone(),
    };
    let id = traces::start(tx, &new)?;
    for span in &trace.spans {
        spans::put(tx, id, span)?;
    }
    for file in &trace.artifacts {
        if let Some(conflict) = obstacle(tx, Holder::Trace(id), &file.path)? {
            return Err(conflict);
        }
        let artifact = Artifact {
            path: file.path.clone(),
            size: file.size,
            hash: file.hash,
            updated_at: now,
        };
        put(tx, Holder::Trace(id), &artifact)?;
    }
    for run in &trace.runs {
        let run = name_of(tx, workspace, run)?;
        if let Some(run) = by_name(tx, workspace, &run)? {
            traces::link(tx, run.id, &[&trace.origin])?;
        }
    }
    tx.execute(
        "INSERT INTO imports(workspace_id, origin, trace_id, stamp) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT(workspace_id, origin) DO UPDATE SET trace_id = ?3, stamp = ?4",
        params![workspace, trace.origin, id, trace.stamp],
    )?;
    Ok(())
}

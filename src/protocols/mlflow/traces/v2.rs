//! Traces in the form of version 2, which clients of 2.x speak.

use serde_json::json;
use uuid::Uuid;

use super::{change, find, found, state, wire};
use crate::mlflow::{
    call::Call,
    error::Failure,
    experiments,
    fields::missing,
    wire::{Answer, answer, page},
};
use api::{
    Time,
    traces::{StartTrace, TraceState},
};

type Pairs = std::collections::BTreeMap<String, String>;

fn pairs(call: &Call, name: &str) -> Result<Pairs, Failure> {
    let mut pairs: Pairs = call.fields.pairs(name)?.into_iter().collect();
    pairs.retain(|key, _| key != wire::PLACE_TAG && key != wire::SPANS_TAG);
    Ok(pairs)
}

pub async fn start(call: Call) -> Answer {
    let fields = &call.fields;
    let experiment = experiments::find(&call, &fields.required("experiment_id")?).await?;
    let time = fields.integer("timestamp_ms")?;
    let start = StartTrace {
        workspace: call.workspace.clone(),
        id: Uuid::new_v4().simple().to_string(),
        experiment_id: experiment.id,
        client_request_id: None,
        request_preview: None,
        response_preview: None,
        started_at: time.map_or_else(|| call.service.now(), Time),
        duration_ms: None,
        state: TraceState::InProgress,
        metadata: pairs(&call, "request_metadata")?,
        tags: pairs(&call, "tags")?,
        assessments: Vec::new(),
    };
    let trace = call.perform(start).await?;
    answer(&json!({"trace_info": wire::InfoV2::from(trace)}))
}

pub async fn end(call: Call) -> Answer {
    let fields = &call.fields;
    let ended_at = fields.integer("timestamp_ms")?;
    let trace = change(&call, |update| {
        update.ended_at = ended_at.map(Time);
        if fields.has("status") {
            update.state = Some(state(fields, "status")?);
        }
        update.set_metadata = pairs(&call, "request_metadata")?;
        update.set_tags = pairs(&call, "tags")?;
        Ok(())
    })
    .await?;
    answer(&json!({"trace_info": wire::InfoV2::from(trace)}))
}

pub async fn get_info(call: Call) -> Answer {
    let trace = find(&call, false).await?.trace;
    answer(&json!({"trace_info": wire::InfoV2::from(trace)}))
}

pub async fn search(call: Call) -> Answer {
    let ids = call.fields.texts("experiment_ids")?;
    if ids.is_empty() {
        return Err(missing("experiment_ids"));
    }
    let (infos, next) = found::<wire::InfoV2>(&call, &ids).await?;
    page("traces", &infos, next)
}

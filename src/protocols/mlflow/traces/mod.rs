//! Traces in the form of version 3, which clients of 3.x speak.

mod assessments;
mod measures;
mod messages;
pub mod otlp;
mod v2;
mod wire;

use axum::{
    Extension,
    http::{
        HeaderMap,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::IntoResponse,
};
use serde_json::{Value, json};

use super::{
    SendFile,
    address::{Owner, Target},
    artifacts::{check_plain, send_file},
    call::Call,
    error::{ErrorCode, Failure},
    experiments,
    fields::{Fields, missing},
    limits,
    routes::{Routes, table},
    runs::run_error,
    wire::{Answer, answer, done, page},
};
use api::{
    Error, span_files,
    traces::{
        DeleteTraces, GetTraces, LinkPrompts, LinkTraces, PromptVersion, SearchTraces, StartTrace,
        Trace, TraceState, UpdateTrace, WholeTrace,
    },
};

const LINKS: usize = 100;
const SEARCH_RESULTS: i64 = 500;
/// The file in which clients of 2.x and the first of 3.x keep spans.
const FILE: &str = "traces.json";
/// What a client says of a trace's size is how it is known that all spans are there.
const SIZE: &str = "mlflow.trace.sizeStats";

pub const CALLS: Routes = table! {
    "/get-trace-artifact": GET get_file;
    "/traces": GET v2::search, POST start;
    "/traces/search": POST search;
    "/traces/get": GET get_whole;
    "/traces/batchGet": GET batch_get;
    "/traces/batchGetInfos": POST batch_get_infos;
    "/traces/delete-traces": POST delete_traces;
    "/traces/link-to-run": POST link_to_run;
    "/traces/link-prompts": POST link_prompts;
    "/traces/metrics": POST measures::measure;
    "/traces/calculate-filter-correlation": POST measures::correlate;
    "/traces/{trace_id}": GET get_info, PATCH v2::end;
    "/traces/{trace_id}/info": GET v2::get_info;
    "/traces/{trace_id}/tags": PATCH set_tag, DELETE delete_tag;
    "/traces/{trace_id}/assessments": POST assessments::create;
    "/traces/{trace_id}/assessments/{assessment_id}":
        GET assessments::get,
        PATCH assessments::update,
        DELETE assessments::delete;
};

/// MLflow's sentence for a trace that is missing; other errors stay.
fn trace_error(id: &str, error: Error) -> Failure {
    experiments::not_found(error, format!("Trace with ID '{id}' not found."))
}

fn state(fields: &Fields, name: &str) -> Result<TraceState, Failure> {
    let text = match fields.integer(name) {
        Ok(number) => number.map(|number| number.to_string()),
        Err(_) => fields.text(name)?,
    };
    Ok(match text.as_deref() {
        Some("OK" | "1") => TraceState::Ok,
        Some("ERROR" | "2") => TraceState::Error,
        Some("IN_PROGRESS" | "3") => TraceState::InProgress,
        _ => TraceState::StateUnspecified,
    })
}

/// What clients of either version post to make a trace.
async fn start(call: Call) -> Answer {
    if !call.fields.has("trace") {
        return v2::start(call).await;
    }
    let trace = call.fields.object("trace")?.unwrap_or_default();
    let info = trace.object("trace_info")?;
    let info = info.ok_or_else(|| missing("trace.trace_info"))?;
    let location = info.object("trace_location")?.unwrap_or_default();
    let location = location.object("mlflow_experiment")?.unwrap_or_default();
    let experiment = experiments::find(&call, &location.required("experiment_id")?).await?;
    let id = info.required("trace_id")?;
    let time = info.text("request_time")?;
    let mut tags = info.text_map("tags")?;
    tags.retain(|key, _| key != wire::PLACE_TAG && key != wire::SPANS_TAG);
    let assessments = info.objects("assessments")?;
    let assessments = assessments
        .iter()
        .map(|fields| assessments::read(fields, call.service.now()));
    let start = StartTrace {
        workspace: call.workspace.clone(),
        experiment_id: experiment.id,
        client_request_id: info.text("client_request_id")?,
        request_preview: info.text("request_preview")?,
        response_preview: info.text("response_preview")?,
        started_at: match time.as_deref() {
            Some(time) => wire::read_time(time)?,
            None => call.service.now(),
        },
        duration_ms: match info.text("execution_duration")?.as_deref() {
            Some(duration) => Some(wire::read_duration(duration)?),
            None => None,
        },
        state: state(&info, "state")?,
        metadata: info.text_map("trace_metadata")?,
        tags,
        assessments: assessments.collect::<Result<_, _>>()?,
        id,
    };
    let trace = call.perform(start).await?;
    answer(&json!({"trace": {"trace_info": wire::Info::from(trace)}}))
}

/// Reads traces, in the order of their ids.
async fn find_all(call: &Call, ids: Vec<String>, spans: bool) -> Result<Vec<WholeTrace>, Failure> {
    let get = GetTraces {
        workspace: call.workspace.clone(),
        ids,
        spans,
    };
    Ok(call.perform(get).await?)
}

async fn find(call: &Call, spans: bool) -> Result<WholeTrace, Failure> {
    let id = call.fields.required("trace_id")?;
    let found = find_all(call, vec![id.clone()], spans).await?.pop();
    found.ok_or_else(|| Failure::missing(format!("Trace with ID '{id}' not found.")))
}

async fn get_info(call: Call) -> Answer {
    let trace = find(&call, false).await?.trace;
    answer(&json!({"trace": {"trace_info": wire::Info::from(trace)}}))
}

/// Whether all spans are there that its client speaks of.
fn is_whole(found: &WholeTrace) -> bool {
    let said = || {
        let stats: Value = serde_json::from_str(found.trace.metadata.get(SIZE)?).ok()?;
        stats.get("num_spans")?.as_u64()
    };
    !found.spans.is_empty() && said().is_none_or(|said| found.spans.len() as u64 >= said)
}

async fn get_whole(call: Call) -> Answer {
    let partial = call.fields.flag("allow_partial")?;
    let found = find(&call, true).await?;
    if !partial && !is_whole(&found) {
        return Err(Failure::missing(format!(
            "Trace with ID {} is not fully exported yet, please try again later.",
            found.trace.id
        )));
    }
    answer(&json!({"trace": wire::whole(found)}))
}

/// Only those that are whole: clients look for the others in the files.
async fn batch_get(call: Call) -> Answer {
    let ids = trace_ids(&call)?;
    let mut found = find_all(&call, ids, true).await?;
    found.retain(is_whole);
    let found: Vec<Value> = found.into_iter().map(wire::whole).collect();
    page("traces", &found, None)
}

async fn batch_get_infos(call: Call) -> Answer {
    let ids = trace_ids(&call)?;
    let found = find_all(&call, ids, false).await?.into_iter();
    let infos: Vec<wire::Info> = found.map(|found| found.trace.into()).collect();
    page("trace_infos", &infos, None)
}

fn trace_ids(call: &Call) -> Result<Vec<String>, Failure> {
    match call.fields.texts("trace_ids")? {
        ids if ids.is_empty() => Err(missing("trace_ids")),
        ids => Ok(ids),
    }
}

async fn search(call: Call) -> Answer {
    let mut ids = Vec::new();
    let locations = call.fields.objects("locations")?;
    if locations.is_empty() {
        return Err(missing("locations"));
    }
    for location in locations {
        if let Some(experiment) = location.object("mlflow_experiment")? {
            ids.push(experiment.required("experiment_id")?);
        }
    }
    let (infos, next) = found::<wire::Info>(&call, &ids).await?;
    page("traces", &infos, next)
}

/// What a search finds in experiments of these ids, in the form of a version.
async fn found<T: From<Trace>>(
    call: &Call,
    ids: &[String],
) -> Result<(Vec<T>, Option<String>), Failure> {
    let fields = &call.fields;
    let limit = fields.max_results(100, SEARCH_RESULTS)?;
    let search = SearchTraces {
        workspace: call.workspace.clone(),
        experiment_ids: experiments::ids(call, ids).await?,
        filter: fields.some_text("filter")?,
        order_by: fields.texts("order_by")?,
        limit,
        page: fields.some_text("page_token")?,
    };
    let found = call.perform(search).await?;
    Ok((found.items.into_iter().map(T::from).collect(), found.next))
}

async fn change(
    call: &Call,
    change: impl FnOnce(&mut UpdateTrace) -> Result<(), Failure>,
) -> Result<Trace, Failure> {
    let id = call.fields.required("trace_id")?;
    let mut update = UpdateTrace {
        workspace: call.workspace.clone(),
        id: id.clone(),
        ..UpdateTrace::default()
    };
    change(&mut update)?;
    call.perform(update)
        .await
        .map_err(|error| match error.target.as_deref() {
            Some("remove_tags") => Failure::missing(error.message),
            _ => trace_error(&id, error),
        })
}

/// The key of a tag that clients may change.
fn tag_key(call: &Call) -> Result<String, Failure> {
    let key = call.fields.required("key")?;
    limits::check_length("key", limits::KEY, &key)?;
    if key == wire::PLACE_TAG || key == wire::SPANS_TAG {
        return Err(Failure::invalid(format!(
            "The tag '{key}' says where the trace is kept and cannot be changed"
        )));
    }
    Ok(key)
}

async fn set_tag(call: Call) -> Answer {
    let key = tag_key(&call)?;
    let value = call.fields.text("value")?.unwrap_or_default();
    change(&call, |update| {
        update.set_tags.insert(key, value);
        Ok(())
    })
    .await?;
    done()
}

async fn delete_tag(call: Call) -> Answer {
    let key = tag_key(&call)?;
    change(&call, |update| {
        update.remove_tags.push(key);
        Ok(())
    })
    .await?;
    done()
}

async fn delete_traces(call: Call) -> Answer {
    let fields = &call.fields;
    let experiment = fields.required("experiment_id")?;
    let until = fields.integer("max_timestamp_millis")?;
    let most = fields.integer("max_traces")?;
    let ids = Some(fields.texts("request_ids")?).filter(|ids| !ids.is_empty());
    if until.is_some() == ids.is_some() {
        return Err(Failure::invalid(
            "Either `max_timestamp_millis` or `trace_ids` must be specified, but not both.",
        ));
    }
    if most.is_some_and(|most| most < 1) {
        return Err(Failure::invalid(format!(
            "`max_traces` must be a positive integer, received {}.",
            most.unwrap_or_default()
        )));
    }
    let experiment = experiments::find(&call, &experiment).await?;
    let delete = DeleteTraces {
        workspace: call.workspace.clone(),
        experiment_id: experiment.id,
        ids,
        until: until.map(api::Time),
        limit: most.map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
    };
    let deleted = call.perform(delete).await?;
    answer(&json!({"traces_deleted": deleted}))
}

async fn link_to_run(call: Call) -> Answer {
    let ids = trace_ids(&call)?;
    if ids.len() > LINKS {
        return Err(Failure::invalid(format!(
            "Cannot link more than {LINKS} traces to a run in a single request. Provided {} traces.",
            ids.len()
        )));
    }
    let run = call.fields.run_id()?;
    let link = LinkTraces {
        workspace: call.workspace.clone(),
        run: run.clone(),
        ids,
    };
    call.perform(link)
        .await
        .map_err(|error| run_error(&run, error))?;
    done()
}

async fn link_prompts(call: Call) -> Answer {
    let id = call.fields.required("trace_id")?;
    let mut prompts = Vec::new();
    for prompt in call.fields.objects("prompt_versions")? {
        prompts.push(PromptVersion {
            name: prompt.required("name")?,
            version: prompt.required("version")?,
        });
    }
    if prompts.is_empty() {
        return Err(missing("prompt_versions"));
    }
    let link = LinkPrompts {
        workspace: call.workspace.clone(),
        id: id.clone(),
        prompts,
    };
    call.perform(link)
        .await
        .map_err(|error| trace_error(&id, error))?;
    done()
}

/// A trace's spans as the file that older clients keep them in, or a file that is kept beside them.
async fn get_file(Extension(send): Extension<SendFile>, headers: HeaderMap, call: Call) -> Answer {
    let id = call.fields.some_text("request_id")?.ok_or_else(|| {
        Failure::new(
            ErrorCode::BadRequest,
            "Request must include the \"request_id\" query parameter.",
        )
    })?;
    let mut target = Target {
        owner: Owner::Trace(id.clone()),
        path: FILE.to_owned(),
    };
    if let Some(path) = call.fields.some_text("path")? {
        check_plain(&path)?;
        target.path = format!("attachments/{path}");
        return send_file(&call, send, &headers, &target).await;
    }
    let found = find_all(&call, vec![id.clone()], true).await?.pop();
    let found =
        found.ok_or_else(|| Failure::missing(format!("Trace with ID '{id}' not found.")))?;
    if found.spans.is_empty()
        && let Ok(file) = send_file(&call, send, &headers, &target).await
    {
        return Ok(file);
    }
    let headers = [
        (CONTENT_TYPE, "text/plain".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename={FILE}")),
    ];
    Ok((headers, span_files::file(&found.spans)).into_response())
}

//! Traces: kept from spans and from what clients say, searched, assessed, measured and removed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    support::{Bench, wait_seconds},
    trace_search::three,
};
use crate::{Caller, Perform};
use api::{
    Code, Error, Result, Time, experiments::CreateExperiment, files::CollectGarbage, traces::*,
};

const SECOND: i64 = 1_000_000_000;

pub(super) async fn experiment(bench: &Bench) -> String {
    let create = CreateExperiment {
        workspace: "ws".to_owned(),
        name: "chat".to_owned(),
        artifact_location: None,
        tags: BTreeMap::new(),
    };
    bench.ask(create).await.unwrap().id
}

/// A span from `start` to `start + 1` seconds; the root when it has no parent.
pub(super) fn span(
    trace: &str,
    id: &str,
    parent: Option<&str>,
    start: i64,
    attributes: &Value,
) -> Span {
    Span {
        trace: trace.to_owned(),
        id: id.to_owned(),
        parent: parent.map(str::to_owned),
        name: id.to_owned(),
        started_ns: start * SECOND,
        ended_ns: Some((start + 1) * SECOND),
        status: SpanStatus::Ok,
        attributes: attributes.as_object().cloned().unwrap_or_default(),
        ..Span::default()
    }
}

pub(super) fn log(experiment: &str, spans: Vec<Span>) -> LogSpans {
    LogSpans {
        workspace: "ws".to_owned(),
        experiment_id: experiment.to_owned(),
        spans,
    }
}

pub(super) fn start(experiment: &str, id: &str) -> StartTrace {
    StartTrace {
        workspace: "ws".to_owned(),
        id: id.to_owned(),
        experiment_id: experiment.to_owned(),
        client_request_id: None,
        request_preview: None,
        response_preview: None,
        started_at: Time(5000),
        duration_ms: Some(7),
        state: TraceState::Ok,
        metadata: BTreeMap::new(),
        tags: BTreeMap::new(),
        assessments: Vec::new(),
    }
}

async fn get(bench: &Bench, id: &str) -> WholeTrace {
    let get = GetTraces {
        workspace: "ws".to_owned(),
        ids: vec![id.to_owned()],
        spans: true,
    };
    bench.ask(get).await.unwrap().pop().unwrap()
}

pub(super) async fn search(bench: &Bench, experiment: &str, filter: &str) -> Result<Vec<String>> {
    search_in_order(bench, experiment, filter, &[]).await
}

pub(super) async fn search_in_order(
    bench: &Bench,
    experiment: &str,
    filter: &str,
    order_by: &[&str],
) -> Result<Vec<String>> {
    let search = SearchTraces {
        workspace: "ws".to_owned(),
        experiment_ids: vec![experiment.to_owned()],
        filter: Some(filter.to_owned()),
        order_by: order_by.iter().map(ToString::to_string).collect(),
        limit: 100,
        page: None,
    };
    let found = bench.ask(search).await?.items;
    Ok(found.into_iter().map(|trace| trace.id).collect())
}

pub(super) fn assessment(name: &str, kind: AssessmentKind, value: Value) -> Assessment {
    Assessment {
        id: String::new(),
        name: name.to_owned(),
        kind,
        value,
        error: None,
        span: None,
        source: "HUMAN".to_owned(),
        source_id: "ann".to_owned(),
        rationale: None,
        metadata: BTreeMap::new(),
        overrides: None,
        valid: true,
        created_at: Time(1),
        updated_at: Time(1),
    }
}

pub(super) async fn assess(bench: &Bench, trace: &str, assessment: Assessment) -> Assessment {
    let create = CreateAssessment {
        workspace: "ws".to_owned(),
        trace: trace.to_owned(),
        assessment,
    };
    bench.ask(create).await.unwrap()
}

#[tokio::test]
async fn spans_make_their_trace_until_a_client_has_said_all() {
    let bench = Bench::new().await;
    let exp = experiment(&bench).await;
    let usage = json!({"mlflow.chat.tokenUsage": {"input_tokens": 3, "output_tokens": 1}});
    bench
        .ask(log(&exp, vec![span("tr-1", "b", Some("a"), 12, &usage)]))
        .await
        .unwrap();
    let trace = get(&bench, "tr-1").await.trace;
    assert_eq!(trace.state, TraceState::InProgress);
    assert_eq!(
        (trace.started_at, trace.duration_ms),
        (Time(12_000), Some(1000))
    );
    let root = json!({
        "mlflow.spanInputs": {"messages": [{"role": "user", "content": "why?"}]},
        "mlflow.spanOutputs": "so",
        "session.id": "s1",
        "mlflow.traceTag.env": "prod",
    });
    let more = vec![
        span("tr-1", "a", None, 10, &root),
        // What is above it has counted it already.
        span("tr-1", "c", Some("b"), 12, &usage),
        span("tr-1", "d", Some("a"), 20, &usage),
    ];
    bench.ask(log(&exp, more)).await.unwrap();
    let found = get(&bench, "tr-1").await;
    let trace = found.trace;
    assert_eq!(trace.state, TraceState::Ok);
    assert_eq!(
        (trace.started_at, trace.duration_ms),
        (Time(10_000), Some(11_000))
    );
    assert_eq!(trace.request_preview.as_deref(), Some("why?"));
    assert_eq!(trace.response_preview.as_deref(), Some("so"));
    assert_eq!(trace.tags["mlflow.traceName"], "a");
    assert_eq!(trace.tags["env"], "prod");
    assert_eq!(trace.metadata["mlflow.trace.session"], "s1");
    let used: Value = serde_json::from_str(&trace.metadata["mlflow.trace.tokenUsage"]).unwrap();
    assert_eq!(used, json!({"input_tokens": 6, "output_tokens": 2}));
    let order: Vec<&str> = found.spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(order, ["a", "b", "c", "d"]);

    let mut said = start(&exp, "tr-1");
    said.tags
        .insert("mlflow.traceName".to_owned(), "asked".to_owned());
    bench.ask(said).await.unwrap();
    bench
        .ask(log(&exp, vec![span("tr-1", "z", None, 1, &json!({}))]))
        .await
        .unwrap();
    let trace = get(&bench, "tr-1").await.trace;
    assert_eq!((trace.started_at, trace.duration_ms), (Time(5000), Some(7)));
    assert_eq!(trace.tags["mlflow.traceName"], "asked");
    assert_eq!(trace.request_preview.as_deref(), Some("why?"));
    assert_eq!(trace.spans, 5);
}

#[tokio::test]
async fn spans_that_lead_in_a_circle_do_no_harm() {
    let bench = Bench::new().await;
    let exp = experiment(&bench).await;
    let usage = json!({"mlflow.chat.tokenUsage": {"input_tokens": 3}});
    let spans = vec![
        span("tr-1", "a", Some("b"), 1, &usage),
        span("tr-1", "b", Some("a"), 1, &usage),
    ];
    bench.ask(log(&exp, spans)).await.unwrap();
    assert_eq!(get(&bench, "tr-1").await.spans.len(), 2);
}

#[tokio::test]
async fn an_assessment_can_be_overridden_and_come_back() {
    let bench = Bench::new().await;
    let exp = experiment(&bench).await;
    bench.ask(start(&exp, "tr-1")).await.unwrap();
    let first = assess(
        &bench,
        "tr-1",
        assessment("good", AssessmentKind::Feedback, json!(4)),
    )
    .await;
    let mut better = assessment("good", AssessmentKind::Feedback, json!(2));
    better.overrides = Some(first.id.clone());
    let better = assess(&bench, "tr-1", better).await;
    let get = |id: &str| GetAssessment {
        workspace: "ws".to_owned(),
        trace: "tr-1".to_owned(),
        id: id.to_owned(),
    };
    assert!(!bench.ask(get(&first.id)).await.unwrap().valid);
    assert_eq!(
        search(&bench, &exp, "feedback.good = '4'").await.unwrap(),
        Vec::<String>::new()
    );
    let delete = DeleteAssessment {
        workspace: "ws".to_owned(),
        trace: "tr-1".to_owned(),
        id: better.id.clone(),
    };
    bench.ask(delete.clone()).await.unwrap();
    bench.ask(delete).await.unwrap();
    assert_eq!(
        bench.ask(get(&better.id)).await.unwrap_err().code,
        Code::NotFound
    );
    assert!(bench.ask(get(&first.id)).await.unwrap().valid);
    let update = UpdateAssessment {
        workspace: "ws".to_owned(),
        trace: "tr-1".to_owned(),
        id: first.id.clone(),
        name: Some("fine".to_owned()),
        value: Some(AssessedValue {
            kind: AssessmentKind::Feedback,
            value: json!(5),
            error: None,
        }),
        rationale: Some("on reflection".to_owned()),
        metadata: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        valid: None,
    };
    let changed = bench.ask(update.clone()).await.unwrap();
    assert_eq!((changed.name.as_str(), &changed.value), ("fine", &json!(5)));
    assert_eq!(
        search(&bench, &exp, "feedback.fine > 4").await.unwrap(),
        ["tr-1"]
    );
    let mut other_kind = update.clone();
    other_kind.value = Some(AssessedValue {
        kind: AssessmentKind::Expectation,
        value: json!(5),
        error: None,
    });
    assert_eq!(bench.ask(other_kind).await.unwrap_err().code, Code::Invalid);
    let mut of_nothing = assessment("x", AssessmentKind::Feedback, json!(1));
    of_nothing.overrides = Some("a-none".to_owned());
    let create = CreateAssessment {
        workspace: "ws".to_owned(),
        trace: "tr-1".to_owned(),
        assessment: of_nothing,
    };
    assert_eq!(
        bench.ask(create).await.unwrap_err().target.as_deref(),
        Some("overrides")
    );
    assert_eq!(get_assessments(&bench).await, 1);
}

async fn get_assessments(bench: &Bench) -> usize {
    get(bench, "tr-1").await.trace.assessments.len()
}

#[tokio::test]
async fn a_traces_files_are_kept_until_it_is_deleted() {
    let bench = Bench::new().await;
    let exp = experiment(&bench).await;
    bench.ask(start(&exp, "tr-1")).await.unwrap();
    let body = || futures_util::stream::iter([Ok::<_, Error>(bytes::Bytes::from_static(b"spans"))]);
    let write = |path: &'static str| {
        bench
            .service
            .write_trace_file(&Caller::Owner, "ws", "tr-1", path, body())
    };
    write("traces.json").await.unwrap();
    write("attachments/a.png").await.unwrap();
    assert_eq!(write("../x").await.unwrap_err().code, Code::Invalid);
    assert_eq!(
        write("traces.json/x").await.unwrap_err().code,
        Code::Conflict
    );
    let list = ListTraceFiles {
        workspace: "ws".to_owned(),
        trace: "tr-1".to_owned(),
        path: String::new(),
    };
    let files = bench.ask(list.clone()).await.unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["attachments/a.png", "traces.json"]);
    let remove = RemoveTraceFiles {
        workspace: "ws".to_owned(),
        trace: "tr-1".to_owned(),
        path: "attachments".to_owned(),
    };
    assert_eq!(bench.ask(remove).await.unwrap(), 1);
    let collect = async || {
        wait_seconds(7200);
        let collect = CollectGarbage {
            dry_run: false,
            grace_seconds: 3600,
            environments_unused_seconds: None,
        };
        bench.ask(collect).await.unwrap().blobs
    };
    assert_eq!(collect().await, 0);
    let content = bench
        .service
        .read_trace_file(&Caller::Owner, "ws", "tr-1", "traces.json")
        .await;
    assert_eq!(content.unwrap().size, 5);
    let delete = DeleteTraces {
        workspace: "ws".to_owned(),
        experiment_id: exp,
        ids: Some(vec!["tr-1".to_owned(), "tr-none".to_owned()]),
        ..DeleteTraces::default()
    };
    assert_eq!(bench.ask(delete).await.unwrap(), 1);
    assert_eq!(collect().await, 1);
    let error = bench.ask(list).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
}

#[tokio::test]
async fn the_oldest_traces_are_deleted_first_and_never_all_by_mistake() {
    let bench = Bench::new().await;
    let exp = three(&bench).await;
    let delete = |until: Option<i64>, limit| DeleteTraces {
        workspace: "ws".to_owned(),
        experiment_id: exp.clone(),
        ids: None,
        until: until.map(Time),
        limit,
    };
    assert_eq!(
        bench.ask(delete(None, None)).await.unwrap_err().code,
        Code::Invalid
    );
    assert_eq!(bench.ask(delete(Some(2500), Some(1))).await.unwrap(), 1);
    assert_eq!(search(&bench, &exp, "").await.unwrap(), ["tr-3", "tr-2"]);
    assert_eq!(bench.ask(delete(Some(2500), None)).await.unwrap(), 1);
    assert_eq!(search(&bench, &exp, "").await.unwrap(), ["tr-3"]);
}

#[tokio::test]
async fn a_runs_process_writes_to_the_traces_that_it_made() {
    let bench = Bench::new().await;
    let exp = experiment(&bench).await;
    bench.submit("a").await;
    bench.submit("b").await;
    let caller = |run| Caller::Run { workspace: 1, run };
    let by = async |run, id: &str| start(&exp, id).perform(&bench.service, &caller(run)).await;
    by(1, "tr-1").await.unwrap();
    bench.ask(start(&exp, "tr-owner")).await.unwrap();
    for (run, id, allowed) in [
        (1, "tr-1", true),
        (2, "tr-1", false),
        (1, "tr-owner", false),
    ] {
        let code = by(run, id).await.err().map(|error| error.code);
        assert_eq!(code, (!allowed).then_some(Code::Denied), "{run} {id}");
        let spans = log(&exp, vec![span(id, "x", None, 1, &json!({}))]);
        let code = spans.perform(&bench.service, &caller(run)).await.err();
        assert_eq!(
            code.map(|error| error.code),
            (!allowed).then_some(Code::Denied)
        );
        let tag = UpdateTrace {
            workspace: "ws".to_owned(),
            id: id.to_owned(),
            set_tags: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            ..UpdateTrace::default()
        };
        assert_eq!(
            tag.perform(&bench.service, &caller(run)).await.is_ok(),
            allowed
        );
    }
}

#[tokio::test]
async fn what_is_no_trace_is_refused_whole() {
    let bench = Bench::new().await;
    let exp = experiment(&bench).await;
    for id in ["", "a/b", "..", "a b", &"x".repeat(201)] {
        let error = bench.ask(start(&exp, id)).await.unwrap_err();
        assert_eq!(error.code, Code::Invalid, "{id}");
    }
    let mut long = start(&exp, "tr-1");
    long.tags.insert("k".repeat(251), String::new());
    assert_eq!(bench.ask(long).await.unwrap_err().code, Code::Invalid);
    assert_eq!(
        bench.ask(start("77", "tr-1")).await.unwrap_err().code,
        Code::NotFound
    );
    let spans = vec![
        span("tr-1", "a", None, 1, &json!({})),
        span("tr/2", "b", None, 1, &json!({})),
    ];
    assert_eq!(
        bench.ask(log(&exp, spans)).await.unwrap_err().code,
        Code::Invalid
    );
    assert_eq!(
        search(&bench, &exp, "").await.unwrap(),
        Vec::<String>::new()
    );
    // Values have no limit, and keep what they are.
    let large = "ü".repeat(1 << 20);
    let mut new = start(&exp, "tr-1");
    new.metadata.insert("large".to_owned(), large.clone());
    assert_eq!(bench.ask(new).await.unwrap().metadata["large"], large);
    let mut deep = json!(1);
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let attributes = json!({"deep": deep, "": null, "q\"uote": 1});
    bench
        .ask(log(&exp, vec![span("tr-1", "a", None, 1, &attributes)]))
        .await
        .unwrap();
    let kept: Map<String, Value> = get(&bench, "tr-1").await.spans[0].attributes.clone();
    assert_eq!(Value::from(kept), attributes);
}

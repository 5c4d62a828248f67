//! Traces found by what is known of them, and figures about many.

use serde_json::json;

use super::{
    support::Bench,
    traces::{assess, assessment, experiment, log, search, search_in_order, span, start},
};
use api::{
    Code, Time,
    trace_measures::{Aggregation, CorrelateTraces, Figure, MeasureTraces, Measured},
    traces::*,
};

/// Three traces that differ in everything that can be asked.
pub(super) async fn three(bench: &Bench) -> String {
    let exp = experiment(bench).await;
    for (id, at, state, env) in [
        ("tr-1", 1000, TraceState::Ok, "prod"),
        ("tr-2", 2000, TraceState::Error, "dev"),
        ("tr-3", 3000, TraceState::InProgress, "dev"),
    ] {
        let mut new = start(&exp, id);
        new.started_at = Time(at);
        new.state = state;
        new.duration_ms = (state != TraceState::InProgress).then_some(at / 10);
        new.client_request_id = (id == "tr-1").then(|| "mine".to_owned());
        new.tags.insert("env".to_owned(), env.to_owned());
        new.tags
            .insert("mlflow.traceName".to_owned(), format!("ask-{id}"));
        new.metadata
            .insert("mlflow.sourceRun".to_owned(), format!("run-{id}"));
        if id != "tr-3" {
            new.metadata
                .insert("mlflow.trace.session".to_owned(), "s".to_owned());
        }
        bench.ask(new).await.unwrap();
    }
    let spans = vec![
        span(
            "tr-1",
            "search",
            None,
            1,
            &json!({"mlflow.spanType": "TOOL", "k": 5, "hit": true}),
        ),
        span(
            "tr-1",
            "answer",
            Some("search"),
            1,
            &json!({"mlflow.spanType": "LLM", "model": "gpt-4"}),
        ),
        span(
            "tr-2",
            "search",
            None,
            1,
            &json!({"mlflow.spanType": "LLM", "said": "I like it"}),
        ),
    ];
    bench.ask(log(&exp, spans)).await.unwrap();
    let feedback = |value| assessment("good", AssessmentKind::Feedback, value);
    assess(bench, "tr-1", feedback(json!(0.75))).await;
    assess(bench, "tr-2", feedback(json!("no"))).await;
    assess(
        bench,
        "tr-2",
        assessment("right", AssessmentKind::Expectation, json!(true)),
    )
    .await;
    assess(
        bench,
        "tr-2",
        assessment("is-7", AssessmentKind::Issue, json!("slow")),
    )
    .await;
    let mut about_session = assessment("polite", AssessmentKind::Feedback, json!("yes"));
    about_session
        .metadata
        .insert("mlflow.trace.session".to_owned(), "s".to_owned());
    assess(bench, "tr-1", about_session).await;
    exp
}

#[tokio::test]
async fn traces_are_found_by_all_that_is_known_of_them() {
    let bench = Bench::new().await;
    let exp = three(&bench).await;
    let run = bench.submit("later").await;
    let link = LinkTraces {
        workspace: "ws".to_owned(),
        run: run.name,
        ids: vec!["tr-3".to_owned(), "tr-later".to_owned()],
    };
    bench.ask(link).await.unwrap();
    let prompts = LinkPrompts {
        workspace: "ws".to_owned(),
        id: "tr-1".to_owned(),
        prompts: vec![PromptVersion {
            name: "qa".to_owned(),
            version: "2".to_owned(),
        }],
    };
    bench.ask(prompts).await.unwrap();
    let checks: &[(&str, &[&str])] = &[
        ("", &["tr-3", "tr-2", "tr-1"]),
        ("status = 'OK'", &["tr-1"]),
        ("trace.status IN ('ok', 'ERROR')", &["tr-2", "tr-1"]),
        ("status != 'OK'", &["tr-3", "tr-2"]),
        ("timestamp_ms >= 2000 AND timestamp < 3000", &["tr-2"]),
        ("execution_time_ms > 100", &["tr-2"]),
        ("end_time > 1099 AND end_time <= 2200", &["tr-2", "tr-1"]),
        ("request_id = 'tr-1'", &["tr-1"]),
        ("client_request_id LIKE 'mi%'", &["tr-1"]),
        ("name RLIKE '^ask-tr-[12]$'", &["tr-2", "tr-1"]),
        ("tags.env = 'dev'", &["tr-3", "tr-2"]),
        ("tag.env IS NULL", &[]),
        ("tags.`env` != 'dev'", &["tr-1"]),
        (
            "metadata.`mlflow.trace.session` IS NOT NULL",
            &["tr-2", "tr-1"],
        ),
        ("run_id = 'run-tr-2'", &["tr-2"]),
        ("attribute.run_id = 'later'", &["tr-3"]),
        ("request_metadata.`mlflow.sourceRun` = 'later'", &["tr-3"]),
        ("prompt = 'qa/2'", &["tr-1"]),
        ("prompt = 'qa/1'", &[]),
        ("trace.text LIKE '%I like it%'", &["tr-2"]),
        ("trace.text ILIKE '%GPT-4%'", &["tr-1"]),
        ("span.name = 'search'", &["tr-2", "tr-1"]),
        // Of one and the same span.
        ("span.name = 'search' AND span.type = 'LLM'", &["tr-2"]),
        (
            "span.name = 'search' AND (span.type = 'LLM' OR span.status = 'ERROR')",
            &["tr-2", "tr-1"],
        ),
        (
            "span.type IN ('LLM') AND span.status = 'OK' AND tags.env = 'prod'",
            &["tr-1"],
        ),
        ("span.attributes.model LIKE 'gpt%'", &["tr-1"]),
        ("span.attributes.`model` RLIKE '-[0-9]'", &["tr-1"]),
        ("span.attributes.k > 4", &["tr-1"]),
        ("span.attributes.hit = 'true'", &["tr-1"]),
        ("span.attributes.k IS NULL", &["tr-3", "tr-2"]),
        ("feedback.good = 'no'", &["tr-2"]),
        ("feedback.good = '0.75'", &["tr-1"]),
        ("feedback.good >= 0.5", &["tr-1"]),
        ("feedback.good IS NULL", &["tr-3"]),
        ("feedback.polite = 'yes'", &["tr-2", "tr-1"]),
        ("expectation.right = 'true'", &["tr-2"]),
        ("feedback.right IS NOT NULL", &[]),
        ("issue.id = 'is-7'", &["tr-2"]),
        ("NOT (status = 'OK' OR tags.env = 'dev')", &[]),
        ("NOT status = 'OK' AND NOT span.name = 'search'", &["tr-3"]),
    ];
    for (filter, expected) in checks {
        let found = search(&bench, &exp, filter).await;
        assert_eq!(
            found.as_deref(),
            Ok(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
            "{filter}"
        );
    }
    for wrong in [
        "params.x = 'a'",
        "color = 'red'",
        "status > 'OK'",
        "timestamp = 'now'",
        "span.color = 'red'",
        "span.attributes. = 'x'",
        "span.attributes.`a\"b` = 'x'",
        "name RLIKE '('",
        "prompt LIKE 'qa/%'",
        "prompt = 'qa'",
        "issue.name = 'x'",
    ] {
        let error = search(&bench, &exp, wrong).await.unwrap_err();
        assert_eq!(error.code, Code::Invalid, "{wrong}: {error}");
    }
}

#[tokio::test]
async fn traces_come_in_the_order_asked_for_and_in_pages() {
    let bench = Bench::new().await;
    let exp = three(&bench).await;
    let order = async |keys: &[&str]| search_in_order(&bench, &exp, "", keys).await.unwrap();
    assert_eq!(order(&["timestamp ASC"]).await, ["tr-1", "tr-2", "tr-3"]);
    assert_eq!(
        order(&["execution_time DESC"]).await,
        ["tr-2", "tr-1", "tr-3"]
    );
    assert_eq!(order(&["execution_time"]).await, ["tr-1", "tr-2", "tr-3"]);
    assert_eq!(
        order(&["tags.env DESC", "timestamp"]).await,
        ["tr-1", "tr-2", "tr-3"]
    );
    assert_eq!(order(&["name DESC"]).await, ["tr-3", "tr-2", "tr-1"]);
    for order_by in [vec![], vec!["timestamp DESC".to_owned()]] {
        let mut search = SearchTraces {
            workspace: "ws".to_owned(),
            experiment_ids: vec![exp.clone()],
            order_by,
            limit: 2,
            ..SearchTraces::default()
        };
        let first = bench.ask(search.clone()).await.unwrap();
        assert_eq!(first.items.len(), 2);
        search.page = first.next;
        assert!(search.page.is_some());
        let second = bench.ask(search.clone()).await.unwrap();
        assert_eq!((second.items[0].id.as_str(), second.next), ("tr-1", None));
        search.page = Some("x".to_owned());
        assert_eq!(bench.ask(search).await.unwrap_err().code, Code::Invalid);
    }
}

fn measure(exp: &str, of: Measured, metric: &str, groups: &[&str]) -> MeasureTraces {
    MeasureTraces {
        workspace: "ws".to_owned(),
        experiment_ids: vec![exp.to_owned()],
        of,
        metric: metric.to_owned(),
        aggregations: vec![Aggregation::Count],
        groups: groups.iter().map(ToString::to_string).collect(),
        filters: Vec::new(),
        from: None,
        until: None,
        interval_seconds: None,
        limit: 100,
        page: None,
    }
}

fn told(figures: &[Figure]) -> String {
    let told = figures.iter().map(|figure| {
        let group: Vec<&str> = figure.group.values().map(String::as_str).collect();
        let values: Vec<f64> = figure.values.iter().flatten().copied().collect();
        let begins = figure.begins_at.map(|time| format!("@{}", time.0));
        format!(
            "{}{} {values:?}",
            group.join("/"),
            begins.unwrap_or_default()
        )
    });
    told.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn figures_are_made_of_groups() {
    let bench = Bench::new().await;
    let exp = three(&bench).await;
    let ask = async |measure: MeasureTraces| told(&bench.ask(measure).await.unwrap().items);
    let states = measure(&exp, Measured::Traces, "trace_count", &["trace_status"]);
    assert_eq!(
        ask(states.clone()).await,
        "ERROR [1.0], IN_PROGRESS [1.0], OK [1.0]"
    );
    let mut some = states.clone();
    some.filters = vec![
        "trace.tag.env = 'dev'".to_owned(),
        "trace.status != 'OK'".to_owned(),
    ];
    assert_eq!(ask(some).await, "ERROR [1.0], IN_PROGRESS [1.0]");
    let mut by_time = measure(&exp, Measured::Traces, "trace_count", &[]);
    by_time.interval_seconds = Some(2);
    by_time.until = Some(Time(2999));
    assert_eq!(ask(by_time).await, "@0 [1.0], @2000 [1.0]");
    let mut latency = measure(&exp, Measured::Traces, "latency", &[]);
    latency.aggregations = vec![
        Aggregation::Min,
        Aggregation::Average,
        Aggregation::Percentile(50.0),
        Aggregation::Max,
    ];
    assert_eq!(ask(latency).await, " [100.0, 150.0, 150.0, 200.0]");
    let sessions = measure(&exp, Measured::Traces, "session_count", &[]);
    assert_eq!(ask(sessions).await, " [1.0]");
    let spans = measure(
        &exp,
        Measured::Spans,
        "span_count",
        &["span_type", "span_name"],
    );
    assert_eq!(
        ask(spans).await,
        "answer/LLM [1.0], search/LLM [1.0], search/TOOL [1.0]"
    );
    let assessed = measure(
        &exp,
        Measured::Assessments,
        "assessment_count",
        &["assessment_name"],
    );
    assert_eq!(
        ask(assessed).await,
        "good [2.0], is-7 [1.0], polite [1.0], right [1.0]"
    );
    let mut page = states;
    page.limit = 2;
    let first = bench.ask(page.clone()).await.unwrap();
    page.page = first.next;
    assert_eq!(ask(page).await, "OK [1.0]");
    for wrong in [
        measure(&exp, Measured::Traces, "color", &[]),
        measure(&exp, Measured::Traces, "latency", &[]),
        measure(&exp, Measured::Traces, "trace_count", &["span_name"]),
    ] {
        assert_eq!(bench.ask(wrong).await.unwrap_err().code, Code::Invalid);
    }
}

#[tokio::test]
async fn two_conditions_are_counted_together() {
    let bench = Bench::new().await;
    let exp = three(&bench).await;
    let correlate = |first: &str, second: &str| CorrelateTraces {
        workspace: "ws".to_owned(),
        experiment_ids: vec![exp.clone()],
        first: first.to_owned(),
        second: second.to_owned(),
        among: Some("timestamp < 9000".to_owned()),
    };
    let found = bench
        .ask(correlate("tags.env = 'dev'", "span.name = 'search'"))
        .await
        .unwrap();
    assert_eq!(
        (found.total, found.first, found.second, found.both),
        (3, 2, 2, 1)
    );
    let found = bench
        .ask(correlate("tags.env = 'none'", "status = 'OK'"))
        .await
        .unwrap();
    assert_eq!((found.first, found.npmi), (0, None));
    let found = bench
        .ask(correlate("tags.env = 'prod'", "status = 'ERROR'"))
        .await
        .unwrap();
    assert_eq!(found.npmi, Some(-1.0));
}

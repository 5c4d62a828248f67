//! What is brought over: once, under its own name, and not against what was done here.

use super::support::{Bench, point};
use crate::{Caller, Perform};
use api::{
    Code, Time,
    experiments::Experiment,
    files::{Hash, TreeEntry},
    imports::{
        FindImported, ImportExperiments, ImportModels, ImportRegisteredModel, ImportRuns,
        ImportTraces, ImportedExperiment, ImportedModel, ImportedRun, ImportedTrace,
        ImportedVersion,
    },
    logged_models::{GetRunLinks, LoggedModelStatus, ModelOutput},
    metrics::GetMetricHistory,
    models::{GetModel, ModelSource, Stage},
    runs::{DeleteRun, RunStatus, UpdateRun},
    traces::{DeleteTraces, GetTraces, Span, TraceState, keys},
};

async fn experiment(bench: &Bench, name: &str) -> Experiment {
    let import = ImportExperiments {
        workspace: "ws".to_owned(),
        experiments: vec![ImportedExperiment {
            name: name.to_owned(),
            tags: [("team".to_owned(), "blue".to_owned())].into(),
            deleted: false,
            created_at: Time(1),
            updated_at: Time(2),
        }],
    };
    bench.ask(import).await.unwrap().remove(0)
}

fn run(origin: &str) -> ImportedRun {
    ImportedRun {
        origin: origin.to_owned(),
        display_name: "shown".to_owned(),
        user: "ann".to_owned(),
        status: RunStatus::Completed,
        started_at: Some(Time(1000)),
        ended_at: Some(Time(2000)),
        params: [("lr".to_owned(), "0.1".to_owned())].into(),
        metrics: vec![point("loss", f64::NAN, 1, 5), point("loss", 2.0, 0, 4)],
        stamp: Some("s1".to_owned()),
        ..ImportedRun::default()
    }
}

fn runs(experiment: &Experiment, runs: Vec<ImportedRun>) -> ImportRuns {
    ImportRuns {
        workspace: "ws".to_owned(),
        experiment_id: experiment.id.clone(),
        runs,
    }
}

fn find(origin: &str) -> FindImported {
    FindImported {
        workspace: "ws".to_owned(),
        origins: vec![origin.to_owned()],
    }
}

async fn points(bench: &Bench, run: &str) -> usize {
    let history = GetMetricHistory {
        workspace: "ws".to_owned(),
        run: run.to_owned(),
        key: "loss".to_owned(),
        limit: None,
        page: None,
    };
    bench.ask(history).await.unwrap().items.len()
}

#[tokio::test]
async fn a_run_comes_over_as_it_was_and_only_once() {
    let bench = Bench::new().await;
    let exp = experiment(&bench, "exp").await;
    assert_eq!((exp.created_at, exp.updated_at), (Time(1), Time(2)));
    for _ in 0..2 {
        let names = bench.ask(runs(&exp, vec![run("r1")])).await.unwrap();
        assert_eq!(names, ["r1"]);
    }
    let found = bench.run("r1").await;
    assert_eq!(
        found.created_at,
        Time(1000),
        "lists are in the order of starting"
    );
    assert_eq!(found.duration_ms(), Some(1000));
    assert_eq!(
        (found.user.as_str(), found.display_name.as_str()),
        ("ann", "shown")
    );
    assert_eq!(points(&bench, "r1").await, 2);
    let known = bench.ask(find("r1")).await.unwrap();
    assert_eq!(known["r1"].stamp.as_deref(), Some("s1"));
    let more = ImportedRun {
        metrics: vec![point("loss", 1.0, 2, 6)],
        params: [("lr".to_owned(), "other".to_owned())].into(),
        stamp: None,
        ..run("r1")
    };
    bench.ask(runs(&exp, vec![more])).await.unwrap();
    assert_eq!(points(&bench, "r1").await, 3);
    assert_eq!(bench.run("r1").await.params["lr"], "0.1");
    assert_eq!(bench.ask(find("r1")).await.unwrap()["r1"].stamp, None);
}

#[tokio::test]
async fn a_taken_name_gets_a_number_and_children_follow() {
    let bench = Bench::new().await;
    let exp = experiment(&bench, "exp").await;
    bench.submit("r1").await;
    let parent = ("mlflow.parentRunId".to_owned(), "r1".to_owned());
    let child = ImportedRun {
        tags: [parent].into(),
        ..run("child")
    };
    let names = bench.ask(runs(&exp, vec![run("r1"), child])).await.unwrap();
    assert_eq!(names, ["r1-2", "child"]);
    assert_eq!(bench.run("child").await.parent.as_deref(), Some("r1-2"));
    let odd = bench.ask(runs(&exp, vec![run("über/run")])).await.unwrap();
    assert_eq!(odd, ["__ber_run"]);
    // A run that was taken elsewhere from here and comes back is the same.
    let own = bench.run("child").await;
    let back = ImportedRun {
        started_at: own.started_at,
        ..run("child")
    };
    assert_eq!(bench.ask(runs(&exp, vec![back])).await.unwrap(), ["child"]);
}

#[tokio::test]
async fn what_was_deleted_here_is_known_as_such() {
    let bench = Bench::new().await;
    let exp = experiment(&bench, "exp").await;
    bench
        .ask(runs(&exp, vec![run("soft"), run("hard")]))
        .await
        .unwrap();
    let delete = UpdateRun {
        workspace: "ws".to_owned(),
        run: "soft".to_owned(),
        deleted: Some(true),
        ..UpdateRun::default()
    };
    bench.ask(delete).await.unwrap();
    let delete = DeleteRun {
        workspace: "ws".to_owned(),
        run: "hard".to_owned(),
    };
    bench.ask(delete).await.unwrap();
    bench.ask(runs(&exp, vec![run("soft")])).await.unwrap();
    assert!(bench.run("soft").await.deleted);
    assert_eq!(bench.ask(find("hard")).await.unwrap()["hard"].run, None);
    bench.ask(runs(&exp, vec![run("hard")])).await.unwrap();
    assert_eq!(bench.run("hard").await.status, RunStatus::Completed);
}

#[tokio::test]
async fn models_come_with_their_runs_and_links() {
    let bench = Bench::new().await;
    bench.workspace("other").await;
    let exp = experiment(&bench, "exp").await;
    let linked = || {
        let mut linked = run("r1");
        linked.links.model_outputs = vec![ModelOutput {
            model: "m-1".to_owned(),
            step: 3,
        }];
        linked
    };
    bench.ask(runs(&exp, vec![linked()])).await.unwrap();
    let model = ImportedModel {
        origin: "m-1".to_owned(),
        name: "model".to_owned(),
        kind: String::new(),
        status: LoggedModelStatus::Ready,
        run: Some("r1".to_owned()),
        params: [].into(),
        tags: [].into(),
        metrics: Vec::new(),
        deleted: false,
        created_at: Time(1),
        updated_at: Time(2),
        stamp: Some("s".to_owned()),
    };
    let import = ImportModels {
        workspace: "ws".to_owned(),
        experiment_id: exp.id.clone(),
        models: vec![model],
    };
    assert_eq!(bench.ask(import.clone()).await.unwrap(), ["m-1"]);
    bench.ask(runs(&exp, vec![linked()])).await.unwrap();
    let links = GetRunLinks {
        workspace: "ws".to_owned(),
        runs: vec!["r1".to_owned()],
    };
    let links = bench.ask(links).await.unwrap();
    assert_eq!(links["r1"].model_outputs[0].model, "m-1");
    // Ids of models are unique in the server: another workspace gets another one, always the same.
    let elsewhere = ImportExperiments {
        workspace: "other".to_owned(),
        experiments: vec![ImportedExperiment {
            name: "exp".to_owned(),
            tags: [].into(),
            deleted: false,
            created_at: Time(1),
            updated_at: Time(2),
        }],
    };
    let exp = bench.ask(elsewhere).await.unwrap().remove(0);
    let import = ImportModels {
        workspace: "other".to_owned(),
        experiment_id: exp.id,
        ..import
    };
    let first = bench.ask(import.clone()).await.unwrap();
    assert_ne!(first, ["m-1"]);
    assert_eq!(bench.ask(import).await.unwrap(), first);
    // Versions name models as they were called there.
    for (workspace, id) in [("ws", "m-1"), ("other", first[0].as_str())] {
        bench.ask(registered(workspace)).await.unwrap();
        let get = GetModel {
            workspace: workspace.to_owned(),
            name: "Iris".to_owned(),
            version: Some(1),
            version_name: None,
            alias: None,
        };
        let model = bench.ask(get).await.unwrap();
        assert_eq!(model.lineage.logged_model.as_deref(), Some(id));
    }
}

/// A registered model of which the version is the logged model `m-1`.
fn registered(workspace: &str) -> ImportRegisteredModel {
    ImportRegisteredModel {
        workspace: workspace.to_owned(),
        name: "Iris".to_owned(),
        description: String::new(),
        tags: [].into(),
        aliases: [].into(),
        created_at: Time(1),
        updated_at: Time(2),
        versions: vec![ImportedVersion {
            version: 1,
            source: ModelSource::LoggedModel {
                id: "m-1".to_owned(),
                path: String::new(),
            },
            uri: None,
            run: None,
            logged_model: Some("m-1".to_owned()),
            run_link: None,
            description: String::new(),
            tags: [].into(),
            stage: Stage::None,
            created_by: String::new(),
            created_at: Time(1),
            updated_at: Time(2),
        }],
        again: false,
    }
}

#[tokio::test]
async fn nothing_half_comes_over() {
    let bench = Bench::new().await;
    let exp = experiment(&bench, "exp").await;
    let file = TreeEntry {
        path: "a".to_owned(),
        hash: Hash::of(b"not stored"),
        size: 10,
        executable: false,
        symlink: false,
    };
    let missing = ImportedRun {
        artifacts: vec![file],
        ..run("r2")
    };
    let error = bench
        .ask(runs(&exp, vec![run("r1"), missing]))
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    let wrong = ImportedRun {
        params: [("a//b".to_owned(), String::new())].into(),
        ..run("r2")
    };
    let error = bench
        .ask(runs(&exp, vec![run("r1"), wrong]))
        .await
        .unwrap_err();
    assert!(error.message.ends_with("(run `r2`)"), "{error}");
    assert!(bench.ask(find("r1")).await.unwrap().is_empty());
    let token = Caller::Run {
        workspace: 1,
        run: 1,
    };
    let error = runs(&exp, vec![run("r1")])
        .perform(&bench.service, &token)
        .await;
    assert_eq!(error.unwrap_err().code, Code::Denied);
}

#[tokio::test]
async fn a_trace_comes_over_whole_and_once() {
    let bench = Bench::new().await;
    let exp = experiment(&bench, "exp").await;
    bench.submit("r1").await;
    bench.ask(runs(&exp, vec![run("r1")])).await.unwrap();
    let span = Span {
        id: "0000000000000001".to_owned(),
        name: "ask".to_owned(),
        ..Span::default()
    };
    let trace = ImportedTrace {
        origin: "tr-1".to_owned(),
        client_request_id: None,
        request_preview: None,
        response_preview: Some("2".to_owned()),
        started_at: Time(5),
        duration_ms: Some(7),
        state: TraceState::Ok,
        metadata: [(keys::RUN.to_owned(), "r1".to_owned())].into(),
        tags: [("team".to_owned(), "blue".to_owned())].into(),
        assessments: Vec::new(),
        spans: vec![span],
        runs: vec!["r1".to_owned()],
        artifacts: Vec::new(),
        stamp: Some("s1".to_owned()),
    };
    let import = |trace: &ImportedTrace| ImportTraces {
        workspace: "ws".to_owned(),
        experiment_id: exp.id.clone(),
        traces: vec![trace.clone()],
    };
    for _ in 0..2 {
        bench.ask(import(&trace)).await.unwrap();
    }
    let get = GetTraces {
        workspace: "ws".to_owned(),
        ids: vec!["tr-1".to_owned()],
        spans: true,
    };
    let found = bench.ask(get).await.unwrap().remove(0);
    assert_eq!(found.spans.len(), 1);
    assert_eq!(found.spans[0].trace, "tr-1");
    // The run of that name was here already, so the one that came over has another.
    assert_eq!(found.trace.metadata[keys::RUN], "r1-2");
    assert_eq!(
        (found.trace.duration_ms, found.trace.state),
        (Some(7), TraceState::Ok)
    );
    let known = bench.ask(find("tr-1")).await.unwrap();
    assert_eq!(known["tr-1"].run.as_deref(), Some("tr-1"));
    assert_eq!(known["tr-1"].stamp.as_deref(), Some("s1"));
    let delete = DeleteTraces {
        workspace: "ws".to_owned(),
        experiment_id: exp.id.clone(),
        ids: Some(vec!["tr-1".to_owned()]),
        ..DeleteTraces::default()
    };
    bench.ask(delete).await.unwrap();
    assert_eq!(bench.ask(find("tr-1")).await.unwrap()["tr-1"].run, None);
    let wrong = ImportedTrace {
        origin: "../x".to_owned(),
        ..trace
    };
    let error = bench.ask(import(&wrong)).await.unwrap_err();
    assert_eq!(error.code, Code::Invalid);
}

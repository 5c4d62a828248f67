//! Jobs in Azure's words: what their references mean, what is refused, what is recorded.

use serde_json::{Value, json};

use super::support::{Bench, create_job, ended, members, submission};
use crate::Perform;
use api::{
    Code, Result,
    access::{AssignRole, Role},
    assets::{AssetKind, CreateAsset},
    environments::Environment,
    jobs::{CreateJob, JobInput},
    lineage::{GetLineage, Node, NodeKind, RecordLineage, RunLink},
    paths::{Files, ResolvePath, Resolved},
    registries::CreateRegistry,
    runs::{Run, RunStatus},
    work::Outcome,
};
use store::{ExperimentRef, NewRun};

fn create(name: &str, definition: Value) -> CreateJob {
    let mut all = members(json!({
        "type": "command",
        "command": "echo",
        "environment": "azureml:sklearn-1.5@latest",
    }));
    all.extend(members(definition));
    create_job(name, all)
}

impl Bench {
    async fn job(&self, name: &str, definition: Value) -> Result<Run> {
        self.ask(create(name, definition)).await
    }

    async fn asset(&self, kind: AssetKind, name: &str, spec: Value) {
        self.ask(asset(kind, name, spec)).await.unwrap();
    }

    pub async fn resolved(&self, path: &str) -> Result<Resolved> {
        self.ask(ResolvePath {
            workspace: "ws".to_owned(),
            path: path.to_owned(),
            model: false,
        })
        .await
    }
}

fn asset(kind: AssetKind, name: &str, spec: Value) -> CreateAsset {
    CreateAsset {
        workspace: "ws".to_owned(),
        kind,
        name: Some(name.to_owned()),
        version: None,
        spec: members(spec),
        description: None,
        tags: [].into(),
        properties: [].into(),
        files: None,
        labels: Vec::new(),
    }
}

fn python(run: &Run) -> (Vec<String>, Vec<String>) {
    match &run.job.as_ref().unwrap().environment {
        Environment::Python {
            requirements,
            notes,
            ..
        } => (requirements.clone(), notes.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_environment_is_what_its_conda_file_says_and_its_version_is_kept() {
    let bench = Bench::new().await;
    let conda = json!({"dependencies": ["python=3.10", {"pip": ["numpy<2"]}]});
    let spec = json!({"image": "some/image:1", "conda_file": conda});
    bench.asset(AssetKind::Environment, "e", spec).await;
    let run = bench
        .job("a", json!({"environment": "azureml:e@latest"}))
        .await;
    let run = run.unwrap();
    let (requirements, notes) = python(&run);
    assert_eq!(requirements, ["numpy<2"]);
    assert!(notes[0].contains("some/image:1"), "{notes:?}");
    let described = run.job.unwrap().described.unwrap();
    assert_eq!(described.definition["environment"], "azureml:e:1");
    let files = json!({"dependencies": [{"pip": ["-r /etc/hostname"]}]});
    let inline = json!({"environment": {"conda_file": files}});
    let error = bench.job("b", inline).await.unwrap_err();
    assert!(error.message.contains("There is no file"), "{error}");
    let error = bench.job("c", json!({"environment": "azureml:no:1"})).await;
    assert_eq!(error.unwrap_err().target.as_deref(), Some("environment"));
}

#[tokio::test]
async fn an_image_that_names_the_environment_made_of_it_is_what_was_built() {
    let bench = Bench::new().await;
    let workspace = bench.service.store.workspace("ws").await.unwrap().unwrap();
    let registry = &workspace.workspace.resources.container_registry.name;
    let registry = registry.rsplit('/').next().unwrap_or(registry);
    let image = format!("{registry}.azurecr.io/churn:latest");
    let spec = json!({"image": image});
    bench.asset(AssetKind::Environment, "churn", spec).await;
    let job = json!({"environment": "azureml:churn@latest"});
    let error = bench.job("a", job.clone()).await.unwrap_err();
    assert!(
        error.message.starts_with("No image `churn:latest`"),
        "{error}"
    );
    let built = json!({"conda_file": {"dependencies": [{"pip": ["numpy<2"]}]}});
    bench.asset(AssetKind::Environment, "churn", built).await;
    let spec = json!({"image": image, "description": "again"});
    bench.asset(AssetKind::Environment, "churn", spec).await;
    let run = bench.job("b", job).await.unwrap();
    assert_eq!(python(&run).0, ["numpy<2"]);
}

#[tokio::test]
async fn inputs_are_looked_up_and_outputs_get_addresses() {
    let bench = Bench::new().await;
    let spec = json!({"type": "uri_file", "path": "https://host/iris.csv"});
    bench.asset(AssetKind::Data, "iris", spec).await;
    let definition = json!({
        "inputs": {
            "n": 3, "flag": false,
            "data": {"type": "uri_file", "path": "azureml:iris@latest", "mode": "download"},
        },
        "outputs": {"a": null, "b": {"path": "azureml://datastores/workspacefilestore/paths/${{name}}/x"}},
    });
    let run = bench.job("j", definition).await.unwrap();
    let described = run.job.unwrap().described.unwrap();
    let value = |name: &str| match &described.inputs[name] {
        JobInput::Value { value, .. } => value.clone(),
        JobInput::Files { path, .. } => path.clone(),
    };
    assert_eq!((value("n"), value("flag")), ("3".into(), "False".into()));
    let path = |name: &str| described.outputs[name].path.as_str();
    assert_eq!(
        path("a"),
        "azureml://datastores/workspaceblobstore/paths/azureml/j/a/"
    );
    assert_eq!(
        path("b"),
        "azureml://datastores/workspacefilestore/paths/j/x"
    );
    let found = bench
        .resolved("azureml://jobs/j/outputs/b/paths/y")
        .await
        .unwrap();
    assert_eq!(
        found.uri,
        "azureml://datastores/workspacefilestore/paths/j/x/y"
    );
    let found = bench.resolved("azureml:iris:1").await.unwrap();
    let url = "https://host/iris.csv".to_owned();
    assert_eq!(
        (found.kind.as_deref(), found.files),
        (Some("uri_file"), Files::Url { url })
    );
    for (path, message) in [
        (
            "/etc/passwd",
            "`/etc/passwd` is a path of one machine; the workspace cannot look there",
        ),
        (
            "azureml:iris:9",
            "No data `iris` version 9 in workspace `ws`",
        ),
        (
            "azureml://jobs/j/outputs/c",
            "The run `j` has no output `c`",
        ),
        ("azureml://jobs/none/outputs/a", "No run `none` in `ws`"),
    ] {
        let error = bench
            .job("x", json!({"inputs": {"i": {"path": path}}}))
            .await;
        let error = error.unwrap_err();
        assert_eq!(error.message, message);
        assert_eq!(error.target.as_deref(), Some("inputs.i.path"), "{path}");
    }
}

#[tokio::test]
async fn an_output_that_names_itself_or_nothing_that_can_be_written_is_refused() {
    let bench = Bench::new().await;
    for (path, problem) in [
        ("out", "is no address"),
        ("azureml:iris:1", "is an asset"),
        ("azureml://jobs/j/outputs/o", "belongs to a run"),
        ("runs:/j/model", "belongs to a run"),
        ("git+https://host/code", "is a repository"),
        ("https://host/x/..", "leads up"),
    ] {
        let error = bench.job("j", json!({"outputs": {"o": {"path": path}}}));
        let error = error.await.unwrap_err();
        assert!(error.message.contains(problem), "{error}");
        assert_eq!(error.target.as_deref(), Some("outputs.o"));
    }
    let url = json!({"outputs": {"o": {"path": "https://host/x"}}});
    bench.job("url", url).await.unwrap();
}

#[tokio::test]
async fn a_job_reads_and_writes_only_where_its_caller_may() {
    let bench = Bench::new().await;
    bench.workspace("other").await;
    let root = bench.user("root", None).await;
    let eve = bench.user("eve", Some(Role::DataScientist)).await;
    let path = "azureml://subscriptions/s/resourcegroups/g/workspaces/other/datastores/workspaceblobstore/paths/x";
    let places = [
        json!({"inputs": {"p": {"path": path}}}),
        json!({"outputs": {"p": {"path": path}}}),
    ];
    for (at, place) in places.iter().enumerate() {
        let job = create(&format!("eve{at}"), place.clone());
        let error = job.perform(&bench.service, &eve).await.unwrap_err();
        assert_eq!(error.code, Code::NotFound, "{error}");
        assert!(error.message.contains("`other`"), "{error}");
        // Said as the run that comes of it, too.
        let job = create(&format!("root{at}"), place.clone());
        let run = job.perform(&bench.service, &root).await.unwrap();
        let mut submit = submission("again");
        submit.job = run.job.unwrap();
        let error = submit.perform(&bench.service, &eve).await.unwrap_err();
        assert_eq!(error.code, Code::NotFound, "{error}");
    }
    let assign = AssignRole {
        workspace: "other".to_owned(),
        user: "eve".to_owned(),
        role: Role::Reader,
    };
    bench.ask(assign).await.unwrap();
    let [read, write] = places;
    let job = create("read", read);
    job.perform(&bench.service, &eve).await.unwrap();
    let job = create("write", write);
    let error = job.perform(&bench.service, &eve).await.unwrap_err();
    assert_eq!(error.code, Code::Denied, "{error}");
    let gone = path.replace("workspaceblobstore", "gone");
    let job = bench.job("gone", json!({"outputs": {"p": {"path": gone}}}));
    assert_eq!(job.await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn a_path_within_an_asset_is_of_the_workspace_of_the_asset() {
    let bench = Bench::new().await;
    bench.workspace("other").await;
    let asset = CreateAsset {
        workspace: "other".to_owned(),
        kind: AssetKind::Data,
        name: Some("d".to_owned()),
        version: None,
        spec: members(
            json!({"type": "uri_folder", "path": "azureml://datastores/workspaceblobstore/paths/x"}),
        ),
        description: None,
        tags: [].into(),
        properties: [].into(),
        files: None,
        labels: Vec::new(),
    };
    bench.ask(asset).await.unwrap();
    let path = "azureml://locations/l/workspaces/other/data/d/versions/1";
    let found = bench.resolved(path).await.unwrap();
    let Files::Datastore { workspace, .. } = found.files else {
        panic!("{found:?}");
    };
    assert_eq!(workspace, "other");
}

#[tokio::test]
async fn names_of_inputs_and_outputs_are_no_paths() {
    let bench = Bench::new().await;
    for name in ["../../x", "/etc", "a/b", "..", "", "1a", "a-b"] {
        for side in ["inputs", "outputs"] {
            let value = json!({"type": "uri_folder", "path": "https://host/x"});
            let job = bench.job("j", json!({side: {name: value}})).await;
            let error = job.unwrap_err();
            assert!(error.message.contains("cannot be called"), "{error}");
            assert_eq!(error.target.as_deref(), Some(side), "{name}");
        }
    }
    let fine = json!({"inputs": {"_a1": 1, "B": "x"}});
    bench.job("j", fine).await.unwrap();
}

#[tokio::test]
async fn what_could_not_be_registered_after_the_run_is_refused_before() {
    let bench = Bench::new().await;
    for (output, target) in [
        (json!({"name": "a/b"}), "name"),
        (json!({"name": "a", "version": "1/2"}), "version"),
        (json!({"name": "a/b", "type": "mlflow_model"}), "name"),
        (
            json!({"name": "m", "type": "custom_model", "version": "a/b"}),
            "version",
        ),
        (
            json!({"name": "m", "type": "custom_model", "version": "0"}),
            "version",
        ),
    ] {
        let error = bench.job("j", json!({"outputs": {"o": output}})).await;
        let target = format!("outputs.o.{target}");
        assert_eq!(error.unwrap_err().target, Some(target));
    }
    let outputs = json!({
        "a": {"name": "a", "version": "v1"},
        "m": {"name": "m m", "type": "custom_model", "version": "3"},
        "n": {"name": "n", "type": "custom_model", "version": "v1.2"},
    });
    bench.job("j", json!({"outputs": outputs})).await.unwrap();
}

#[tokio::test]
async fn a_job_has_no_more_processes_than_a_machine_can_start() {
    let bench = Bench::new().await;
    let job = |nodes: u32, distribution: Value| json!({"resources": {"instance_count": nodes}, "distribution": distribution});
    let each = |count: u32| json!({"type": "pytorch", "process_count_per_instance": count});
    let workers = |workers: u32, servers: u32| json!({"type": "tensorflow", "worker_count": workers, "parameter_server_count": servers});
    for (at, many) in [
        job(256, each(256)),
        job(2, each(129)),
        job(1, workers(250, 7)),
    ]
    .into_iter()
    .enumerate()
    {
        let error = bench.job(&format!("many{at}"), many).await.unwrap_err();
        assert_eq!(error.target.as_deref(), Some("distribution"), "{error}");
    }
    for (at, fine) in [job(2, each(128)), job(8, workers(250, 6))]
        .into_iter()
        .enumerate()
    {
        bench.job(&format!("fine{at}"), fine).await.unwrap();
    }
}

#[tokio::test]
async fn references_that_go_round_in_circles_end() {
    let bench = Bench::new().await;
    let path = "azureml://datastores/workspaceblobstore/paths/x";
    let definition = json!({"outputs": {"a": {"path": path}, "b": {"path": path}}});
    let run = bench.job("j", definition).await.unwrap();
    let mut job = run.job.unwrap();
    let outputs = &mut job.described.as_mut().unwrap().outputs;
    outputs.get_mut("a").unwrap().path = "azureml://jobs/old/outputs/b".to_owned();
    outputs.get_mut("b").unwrap().path = "azureml://jobs/old/outputs/a".to_owned();
    // As versions that refused less have stored it.
    let workspace = bench.service.store.workspace("ws").await.unwrap().unwrap();
    let old = NewRun {
        workspace: workspace.id,
        name: "old".to_owned(),
        display_name: "old".to_owned(),
        experiment: ExperimentRef::Name("exp".to_owned()),
        status: RunStatus::Queued,
        user: String::new(),
        tags: [].into(),
        job: Some(job),
        created_at: bench.service.now(),
        started_at: None,
        driver: None,
        driven: None,
        reuse_key: None,
        reuses: None,
    };
    bench.service.store.create_run(old).await.unwrap();
    let error = bench.resolved("azureml://jobs/old/outputs/a").await;
    let error = error.unwrap_err().message;
    assert!(error.contains("one reference after another"), "{error}");
}

#[tokio::test]
async fn the_same_job_again_is_the_same_run() {
    let bench = Bench::new().await;
    bench.job("j", json!({})).await.unwrap();
    assert_eq!(bench.job("j", json!({})).await.unwrap().name, "j");
    let error = bench.job("j", json!({"command": "ls"})).await.unwrap_err();
    assert_eq!(error.message, "There is a run `j` already");
}

#[tokio::test]
async fn lineage_leads_from_data_over_runs_to_what_they_made() {
    let bench = Bench::new().await;
    let data = |name: &str| Node::new(NodeKind::Data, name, Some("1".to_owned()));
    let link = |name: &str, node: Node| RunLink {
        name: name.to_owned(),
        node,
        uri: None,
        kind: None,
    };
    for name in ["raw", "clean"] {
        let spec = json!({"type": "uri_folder", "path": "https://host/x/"});
        bench.asset(AssetKind::Data, name, spec).await;
    }
    for (run, from, to) in [("first", "raw", "clean"), ("second", "clean", "gone")] {
        bench.job(run, json!({})).await.unwrap();
        bench.sync("w", 9, &["ws/first", "ws/second"]).await;
        bench
            .report("w", run, ended(Outcome::Completed))
            .await
            .unwrap();
        let record = RecordLineage {
            workspace: "ws".to_owned(),
            run: run.to_owned(),
            inputs: vec![link("in", data(from))],
            outputs: vec![link("out", data(to))],
        };
        bench.ask(record).await.unwrap();
    }
    let get = |depth: Option<u32>| GetLineage {
        workspace: "ws".to_owned(),
        kind: NodeKind::Data,
        name: "CLEAN".to_owned(),
        version: None,
        label: None,
        depth,
    };
    let lineage = bench.ask(get(None)).await.unwrap();
    assert_eq!(lineage.of, data("clean"));
    let edges: Vec<String> = lineage
        .edges
        .iter()
        .map(|edge| format!("{} {} {}", edge.from.name, edge.what, edge.to.name))
        .filter(|edge| !edge.contains("environment"))
        .collect();
    let expected = [
        "first out clean",
        "raw in first",
        "clean in second",
        "second out gone",
    ];
    assert_eq!(edges, expected);
    let gone = lineage.nodes.iter().find(|info| info.node == data("gone"));
    assert!(gone.is_some_and(|info| info.gone));
    let near = bench.ask(get(Some(1))).await.unwrap();
    assert!(near.edges.iter().all(|edge| edge.from.name != "raw"));
}

#[tokio::test]
async fn lineage_knows_a_registry_however_it_is_written() {
    let bench = Bench::new().await;
    bench
        .ask(CreateRegistry {
            name: "Team".to_owned(),
            description: String::new(),
            display_name: None,
            location: None,
            tags: [].into(),
            spec: serde_json::Map::new(),
        })
        .await
        .unwrap();
    let shared = CreateAsset {
        workspace: "registries/team".to_owned(),
        labels: vec!["prod".to_owned()],
        ..asset(
            AssetKind::Data,
            "iris",
            json!({"type": "uri_folder", "path": "https://host/x/"}),
        )
    };
    bench.ask(shared).await.unwrap();
    for (run, spelling) in [("first", "team"), ("second", "TEAM")] {
        bench.job(run, json!({})).await.unwrap();
        let record = RecordLineage {
            workspace: "ws".to_owned(),
            run: run.to_owned(),
            inputs: vec![RunLink {
                name: "in".to_owned(),
                node: Node::new(
                    NodeKind::Data,
                    format!("registries/{spelling}/iris"),
                    Some("1".to_owned()),
                ),
                uri: None,
                kind: None,
            }],
            outputs: Vec::new(),
        };
        bench.ask(record).await.unwrap();
    }
    let get = |kind, name: &str, label: Option<&str>| GetLineage {
        workspace: "ws".to_owned(),
        kind,
        name: name.to_owned(),
        version: None,
        label: label.map(str::to_owned),
        depth: None,
    };
    for label in [None, Some("latest"), Some("prod")] {
        let found = get(NodeKind::Data, "registries/tEAM/Iris", label);
        let found = bench.ask(found).await.unwrap();
        assert_eq!(found.of.name, "registries/Team/iris");
        let used = found.edges.iter().filter(|edge| edge.from == found.of);
        assert_eq!(used.count(), 2, "{:?}", found.edges);
    }
    let other = get(NodeKind::Data, "registries/team/iris", Some("other"));
    let error = bench.ask(other).await.unwrap_err();
    assert!(error.message.contains("has the label `other`"), "{error:?}");
    // A registry holds no registries, however many of them a name says.
    let deep = format!("{}m", "registries/team/".repeat(100_000));
    let error = bench.ask(get(NodeKind::Model, &deep, None)).await;
    assert_eq!(error.unwrap_err().code, Code::NotFound);
}

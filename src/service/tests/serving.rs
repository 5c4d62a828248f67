//! Batch and online deployments: which model is scored with, and what an update leaves as it is.

use serde_json::{Map, Value, json};

use super::{
    files::{entry, framed},
    support::Bench,
};
use crate::Hosts;
use api::{
    Code, Result,
    autoscale::{Autoscale, PutAutoscale, ScaleProfile},
    batch::{InvokeBatch, PutBatchDeployment, PutBatchEndpoint},
    deployments::{
        Container, Deploy, Deployed, Deployment, GetDeployment, ImageBase, ModelVersion, Program,
        PutDeployment, Routes, Scale, without_native,
    },
    environments::Environment,
    files::{CreateTree, GetTree, Hash, Tree},
    models::{ModelSource, ModelType, RegisterModel},
    registries::CreateRegistry,
    runs::Run,
};

const MLMODEL: &[u8] = b"flavors: {}\n";

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => panic!("{other} is no mapping"),
    }
}

/// Registers `iris` with an `MLmodel` and a `requirements.txt` in a workspace or registry.
async fn iris(bench: &Bench, workspace: &str, requirements: &[u8]) {
    bench.put(framed(&[MLMODEL, requirements])).await.unwrap();
    let entries = vec![
        entry("MLmodel", MLMODEL),
        entry("requirements.txt", requirements),
    ];
    let tree = CreateTree {
        workspace: workspace.to_owned(),
        tree: Tree::new(entries),
    };
    let tree = bench.ask(tree).await.unwrap();
    let model = RegisterModel {
        workspace: workspace.to_owned(),
        name: "iris".to_owned(),
        source: ModelSource::Tree {
            hash: tree.hash,
            path: "model".to_owned(),
        },
        kind: Some(ModelType::Mlflow),
        ..RegisterModel::default()
    };
    bench.ask(model).await.unwrap();
}

/// A batch endpoint `scores` whose deployment is of this model, which it is said to have.
async fn scores(bench: &Bench, model: &str) -> Value {
    let endpoint = PutBatchEndpoint {
        workspace: "ws".to_owned(),
        name: "scores".to_owned(),
        existing: false,
        description: None,
        tags: None,
        properties: None,
        default_deployment: None,
    };
    bench.ask(endpoint).await.unwrap();
    let deployment = PutBatchDeployment {
        workspace: "ws".to_owned(),
        endpoint: "scores".to_owned(),
        name: "blue".to_owned(),
        definition: fields(json!({
            "type": "model", "name": "blue", "endpoint_name": "scores", "model": model,
            "compute": "azureml:local", "tags": {}, "properties": {}, "environment_variables": {},
        })),
        existing: false,
        set_default: true,
    };
    let put = bench.ask(deployment).await.unwrap();
    put.definition["model"].clone()
}

async fn invoke(bench: &Bench) -> Result<Run> {
    let invoke = InvokeBatch {
        workspace: "ws".to_owned(),
        endpoint: "scores".to_owned(),
        job: "job".to_owned(),
        inputs: fields(json!({"data": {"type": "uri_folder", "path": "https://h/data"}})),
        ..InvokeBatch::default()
    };
    bench.ask(invoke).await
}

async fn with_registry() -> Bench {
    let bench = Bench::new().await;
    let registry = CreateRegistry {
        name: "shared".to_owned(),
        description: String::new(),
        display_name: None,
        location: None,
        tags: [].into(),
        spec: Map::new(),
    };
    bench.ask(registry).await.unwrap();
    bench
}

#[tokio::test]
async fn a_model_of_a_registry_is_scored_and_not_its_namesake_here() {
    let bench = with_registry().await;
    iris(&bench, "ws", b"numpy==1.0\n").await;
    iris(&bench, "registries/shared", b"scipy==2.0\n").await;
    let pinned = "azureml://registries/shared/models/iris/versions/1";
    let latest = "azureml://registries/shared/models/iris/labels/latest";
    assert_eq!(scores(&bench, latest).await, pinned);
    let job = invoke(&bench).await.unwrap().job.unwrap();
    let definition = job.described.unwrap().definition;
    assert_eq!(definition["inputs"]["aml_model"]["path"], pinned);
    let environment = definition["environment"].to_string();
    assert!(environment.contains("scipy==2.0"), "{environment}");
    assert_eq!(
        scores(&bench, "azureml:iris@latest").await,
        "azureml:iris:1"
    );
}

#[tokio::test]
async fn a_list_of_packages_that_is_no_such_list_is_not_read() {
    let bench = Bench::new().await;
    iris(&bench, "ws", &vec![b'#'; (1 << 20) + 1]).await;
    scores(&bench, "azureml:iris:1").await;
    let error = invoke(&bench).await.unwrap_err().explained();
    assert!(
        error.contains("`requirements.txt` of the model `iris:1` has 1048577 bytes"),
        "{error}"
    );
}

/// Changes the deployment `blue` to what is described, as far as is possible without a host.
async fn update(bench: &Bench, definition: Value) -> Deployment {
    let put = PutDeployment {
        workspace: "ws".to_owned(),
        endpoint: "ep".to_owned(),
        name: "blue".to_owned(),
        definition: fields(definition),
        existing: true,
        ..PutDeployment::default()
    };
    let _no_host = bench.ask(put).await;
    shown(bench).await.deployment
}

async fn shown(bench: &Bench) -> Deployed {
    let get = GetDeployment {
        workspace: "ws".to_owned(),
        endpoint: "ep".to_owned(),
        name: "blue".to_owned(),
    };
    bench.ask(get).await.unwrap()
}

#[tokio::test]
async fn an_update_keeps_what_only_flags_have_said() {
    let bench = Bench::new().await;
    iris(&bench, "ws", b"numpy\n").await;
    iris(&bench, "ws", b"scipy\n").await;
    bench.put(framed(&[b"x"])).await.unwrap();
    let code = bench.tree(vec![entry("score.py", b"x")]).await.unwrap();
    let environment = Environment::Python {
        version: None,
        requirements: vec!["pandas".to_owned()],
        notes: Vec::new(),
        name: "mine".to_owned(),
        path: None,
        conda: None,
        image: None,
    };
    let deploy = Deploy {
        workspace: "ws".to_owned(),
        name: "ep".to_owned(),
        deployment_name: Some("blue".to_owned()),
        deployment: Deployment {
            model: Some(ModelVersion {
                model: "iris".to_owned(),
                version: 1,
            }),
            code: Some(code.hash),
            script: Some("score.py".to_owned()),
            environment: Some(environment.clone()),
            ..Deployment::default()
        },
        all_traffic: false,
        port: None,
    };
    let _no_host = bench.ask(deploy).await;
    let described = |model: u64, instances: u32| {
        json!({
            "type": "managed", "name": "blue", "endpoint_name": "ep",
            "instance_type": "Standard_DS3_v2", "app_insights_enabled": false,
            "tags": {}, "properties": {}, "environment_variables": {},
            "model": format!("azureml:iris:{model}"),
            "code_configuration": {"code": null, "scoring_script": "score.py"},
            "instance_count": instances,
        })
    };
    let check = |now: Deployment, instances: u32| {
        let kept: (Option<Hash>, Option<Environment>) = (now.code, now.environment);
        assert_eq!(kept, (Some(code.hash), Some(environment.clone())));
        assert_eq!(now.instances, instances);
    };
    check(update(&bench, described(1, 2)).await, 2);
    check(update(&bench, described(2, 3)).await, 3);
}

/// What an image is built by is read from its folder, and nothing else is.
#[tokio::test]
async fn a_dockerfile_of_elsewhere_is_refused() {
    let bench = Bench::new().await;
    iris(&bench, "ws", b"numpy\n").await;
    let folder = bench.snapshot(&[b"FROM debian\n"]).await;
    let tree = GetTree {
        workspace: "ws".to_owned(),
        hash: folder.hash,
    };
    let there = bench.ask(tree).await.unwrap().entries[0].path.clone();
    let deploy = async |dockerfile: &str, container: bool| {
        let deployment = Deployment {
            model: Some(ModelVersion {
                model: "iris".to_owned(),
                version: 1,
            }),
            image: Some(ImageBase::Build {
                folder: folder.hash,
                dockerfile: dockerfile.to_owned(),
            }),
            container: container.then(Container::default),
            ..Deployment::default()
        };
        let deploy = Deploy {
            workspace: "ws".to_owned(),
            name: "ep".to_owned(),
            deployment_name: None,
            deployment,
            all_traffic: false,
            port: None,
        };
        bench.ask(deploy).await.unwrap_err()
    };
    let target = Some("environment.build.dockerfile_path");
    for outside in ["../../vault.key", "/etc/passwd", "a/../../b", ""] {
        let error = deploy(outside, false).await;
        assert_eq!(
            (error.code, error.target.as_deref()),
            (Code::Invalid, target)
        );
    }
    let error = deploy("Dockerfile.gpu", true).await;
    assert_eq!(
        (error.code, error.target.as_deref()),
        (Code::NotFound, target)
    );
    // What is there is not refused; there is only no host here.
    for (dockerfile, container) in [(there.as_str(), true), ("Dockerfile.gpu", false)] {
        assert_ne!(
            deploy(dockerfile, container).await.target.as_deref(),
            target
        );
    }
}

/// What is scaled by rules is not made what no rules can scale, in whichever order the two are said.
#[tokio::test]
async fn an_update_does_not_contradict_the_rules_that_scale_a_deployment() {
    let bench = Bench::new().await;
    iris(&bench, "ws", b"numpy\n").await;
    let plain = || Deployment {
        model: Some(ModelVersion {
            model: "iris".to_owned(),
            version: 1,
        }),
        ..Deployment::default()
    };
    let deploy = async |deployment: Deployment| {
        let deploy = Deploy {
            workspace: "ws".to_owned(),
            name: "ep".to_owned(),
            deployment_name: Some("blue".to_owned()),
            deployment,
            all_traffic: false,
            port: None,
        };
        bench.ask(deploy).await.unwrap_err()
    };
    let scale = async |enabled: bool| {
        let put = PutAutoscale {
            workspace: "ws".to_owned(),
            endpoint: "ep".to_owned(),
            deployment: "blue".to_owned(),
            autoscale: Autoscale {
                name: "rules".to_owned(),
                enabled,
                profiles: vec![ScaleProfile {
                    name: "default".to_owned(),
                    min: 1,
                    max: 3,
                    count: 1,
                    rules: Vec::new(),
                    recurring: None,
                }],
            },
            before: None,
        };
        bench.ask(put).await
    };
    let no_host = deploy(plain()).await;
    scale(true).await.unwrap();
    let native = || Deployment {
        native: true,
        ..plain()
    };
    let utilized = Deployment {
        scale: Some(Scale {
            min: 1,
            max: 2,
            target_percent: 70,
            polling_seconds: 1,
        }),
        ..plain()
    };
    let pinned = Deployment {
        program: Some(Program {
            command: "serve".to_owned(),
            folder: None,
            port: Some(8501),
            routes: Routes::default(),
        }),
        ..plain()
    };
    for refused in [native(), utilized, pinned] {
        let error = deploy(refused).await;
        let hint = "az monitor autoscale delete -n rules";
        assert!(error.explained().contains(hint), "{}", error.explained());
    }
    assert_eq!(shown(&bench).await.deployment, plain());
    scale(false).await.unwrap();
    assert_eq!(deploy(native()).await.message, no_host.message);
    assert!(shown(&bench).await.deployment.native);
    assert_eq!(scale(true).await.unwrap_err().code, Code::Conflict);
}

#[tokio::test]
async fn what_no_host_can_score_is_refused_and_leaves_nothing() {
    let mut bench = Bench::new().await;
    iris(&bench, "ws", b"numpy\n").await;
    bench.service = bench.service.clone().with_hosts(Hosts {
        start: |_, _| Ok(()),
        end: |_, _, _| (),
        native: false,
    });
    let deploy = Deploy {
        workspace: "ws".to_owned(),
        name: "ep".to_owned(),
        deployment_name: None,
        deployment: Deployment {
            model: Some(ModelVersion {
                model: "iris".to_owned(),
                version: 1,
            }),
            native: true,
            ..Deployment::default()
        },
        all_traffic: false,
        port: None,
    };
    let error = bench.ask(deploy).await.unwrap_err();
    assert_eq!(error, without_native());
    let all = bench.service.store.list_endpoints(None).await.unwrap();
    assert!(all.is_empty());
}

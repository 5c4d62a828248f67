//! Computes as pools of slots.

use serde_json::{Map, Value, json};

use super::support::{Bench, ended, names, wait_seconds};
use crate::Perform;
use api::{
    Code,
    access::Role,
    computes::{
        ComputeState, CreateCompute, DeleteCompute, GetCompute, IDLE_SHUTDOWN, Switch,
        SwitchCompute,
    },
    jobs::Described,
    runs::{Job, SubmitRun},
    work::Outcome,
};

fn compute(kind: &str, spec: Value) -> CreateCompute {
    let Value::Object(spec) = spec else {
        panic!("a mapping")
    };
    CreateCompute {
        workspace: "ws".to_owned(),
        name: "pool".to_owned(),
        kind: kind.to_owned(),
        location: None,
        spec,
        description: String::new(),
        tags: [].into(),
    }
}

fn on(name: &str, compute: &str) -> SubmitRun {
    let described = Described {
        definition: Map::from_iter([("compute".to_owned(), json!(compute))]),
        ..Described::default()
    };
    SubmitRun {
        workspace: "ws".to_owned(),
        name: name.to_owned(),
        experiment: "exp".to_owned(),
        display_name: None,
        tags: [].into(),
        job: Job {
            command: vec!["true".to_owned()],
            described: Some(Box::new(described)),
            ..Job::default()
        },
    }
}

#[tokio::test]
async fn a_cluster_executes_as_many_runs_as_it_has_instances() {
    let bench = Bench::new().await;
    let cluster = |most: u32| compute("amlcompute", json!({"max_instances": most}));
    bench.ask(cluster(1)).await.unwrap();
    for name in ["a", "b", "c"] {
        bench.ask(on(name, "azureml:POOL")).await.unwrap();
    }
    bench.ask(on("elsewhere", "azureml:other")).await.unwrap();
    bench.submit("free").await;
    let taken = bench.sync("w", 9, &[]).await.take;
    assert_eq!(names(&taken), ["a", "elsewhere", "free"]);
    assert!(
        !bench.service.has_open_work().await.unwrap(),
        "the rest has to wait"
    );
    bench.ask(cluster(2)).await.unwrap();
    assert!(bench.service.has_open_work().await.unwrap());
    let held = ["ws/a", "ws/elsewhere", "ws/free"];
    assert_eq!(names(&bench.sync("w", 9, &held).await.take), ["b"]);
    let delete = DeleteCompute {
        workspace: "ws".to_owned(),
        name: "pool".to_owned(),
    };
    bench.ask(delete).await.unwrap();
    let held = ["ws/a", "ws/b", "ws/elsewhere", "ws/free"];
    assert_eq!(names(&bench.sync("w", 9, &held).await.take), ["c"]);
}

#[tokio::test]
async fn a_stopped_instance_takes_nothing() {
    let bench = Bench::new().await;
    bench
        .ask(compute("computeinstance", json!({})))
        .await
        .unwrap();
    let turn = |to: Switch| SwitchCompute {
        workspace: "ws".to_owned(),
        name: "pool".to_owned(),
        to,
    };
    bench.ask(turn(Switch::Stop)).await.unwrap();
    bench.ask(on("a", "pool")).await.unwrap();
    assert!(bench.sync("w", 9, &[]).await.take.is_empty());
    bench.ask(turn(Switch::Start)).await.unwrap();
    assert_eq!(names(&bench.sync("w", 9, &[]).await.take), ["a"]);
    let other = bench
        .ask(compute("amlcompute", json!({})))
        .await
        .unwrap_err();
    assert_eq!(other.code, Code::Conflict);
}

#[tokio::test]
async fn computes_are_made_and_deleted_by_who_manages_the_workspace() {
    let bench = Bench::new().await;
    let cluster = || compute("amlcompute", json!({}));
    let remove = || DeleteCompute {
        workspace: "ws".to_owned(),
        name: "pool".to_owned(),
    };
    // The first user is an admin, who may do everything.
    bench.user("adam", None).await;
    let scientist = bench.user("ann", Some(Role::DataScientist)).await;
    let refused = cluster().perform(&bench.service, &scientist).await;
    assert_eq!(refused.unwrap_err().code, Code::Denied);
    let contributor = bench.user("bob", Some(Role::Contributor)).await;
    cluster()
        .perform(&bench.service, &contributor)
        .await
        .unwrap();
    let refused = remove().perform(&bench.service, &scientist).await;
    assert_eq!(refused.unwrap_err().code, Code::Denied);
    remove()
        .perform(&bench.service, &contributor)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_idle_instance_stops_after_its_time() {
    let bench = Bench::new().await;
    let instance = compute(
        "computeinstance",
        json!({"idle_time_before_shutdown": "PT30M"}),
    );
    bench.ask(instance).await.unwrap();
    let get = || GetCompute {
        workspace: "ws".to_owned(),
        name: "pool".to_owned(),
    };
    bench.ask(on("a", "pool")).await.unwrap();
    assert_eq!(names(&bench.sync("w", 9, &[]).await.take), ["a"]);
    wait_seconds(60 * 60);
    let state = bench.ask(get()).await.unwrap().state;
    assert_eq!(
        state,
        Some(ComputeState::Running),
        "a run is executed on it"
    );
    bench
        .report("w", "a", ended(Outcome::Completed))
        .await
        .unwrap();
    wait_seconds(29 * 60);
    let state = bench.ask(get()).await.unwrap().state;
    assert_eq!(state, Some(ComputeState::Running));
    wait_seconds(2 * 60);
    let found = bench.ask(get()).await.unwrap();
    assert_eq!(found.state, Some(ComputeState::Stopped));
    assert_eq!(found.last_operation, IDLE_SHUTDOWN);
    for wrong in ["soon", "P", "PT", "PT5S", "PT0M"] {
        let spec = json!({"idle_time_before_shutdown": wrong});
        let refused = bench.ask(compute("computeinstance", spec)).await;
        assert_eq!(refused.unwrap_err().code, Code::Invalid, "{wrong}");
    }
}

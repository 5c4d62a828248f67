//! Shares of the requests of an endpoint.

use std::path::Path;

use super::support::Bench;
use crate::Hosts;
use api::{
    Code, Result, Time,
    deployments::{DeleteDeployment, Deployment},
    endpoints::{Endpoint, EndpointState, PutEndpoint, Traffic},
};
use store::{DeploymentReport, EndpointRow, NewDeployment};

const NONE: Hosts = Hosts {
    start: |_: &Path, _| Ok(()),
    end: |_: &Path, _, _| (),
    native: false,
};

async fn deploy(bench: &Bench, name: &str, all_traffic: bool) -> EndpointRow {
    let store = &bench.service.store;
    let workspace = store.workspace("ws").await.unwrap().unwrap();
    let new = NewDeployment {
        endpoint: "ep".to_owned(),
        name: name.to_owned(),
        deployment: Deployment::default(),
        model_version: None,
        all_traffic,
        first_traffic: false,
        port: None,
        sealed_keys: Vec::new(),
        now: Time(1),
    };
    store.deploy(workspace.id, new).await.unwrap().unwrap()
}

/// A host says how the newest generation is.
async fn report(bench: &Bench, name: &str, state: EndpointState) -> Traffic {
    let row = deployed(bench).await;
    let one = row.deployment(name).unwrap();
    let report = DeploymentReport {
        deployment: one.id,
        generation: one.generation,
        state,
        message: None,
        unfit: false,
        answering: None,
        now: Time(2),
    };
    bench.service.store.report_deployment(report).await.unwrap();
    deployed(bench).await.traffic
}

async fn deployed(bench: &Bench) -> EndpointRow {
    let store = &bench.service.store;
    let workspace = store.workspace("ws").await.unwrap().unwrap();
    store.endpoint(workspace.id, "ep").await.unwrap().unwrap()
}

fn shares(shares: &[(&str, u8)]) -> Traffic {
    let one = |(name, share): &(&str, u8)| ((*name).to_owned(), *share);
    shares.iter().map(one).collect()
}

/// Gives shares while the endpoint shall not run, so that no host is waited for.
async fn share(bench: &Bench, traffic: &[(&str, u8)]) -> Result<Endpoint> {
    put(bench, Some(traffic), None).await
}

async fn put(
    bench: &Bench,
    traffic: Option<&[(&str, u8)]>,
    mirror: Option<&[(&str, u8)]>,
) -> Result<Endpoint> {
    let store = &bench.service.store;
    let row = deployed(bench).await;
    let stopped = store.want_endpoint(row.id, false, None, Time(3)).await;
    stopped.unwrap();
    let put = PutEndpoint {
        workspace: "ws".to_owned(),
        name: "ep".to_owned(),
        existing: true,
        traffic: traffic.map(shares),
        mirror_traffic: mirror.map(shares),
        ..PutEndpoint::default()
    };
    bench.ask(put).await
}

#[tokio::test]
async fn shares_are_kept_under_the_names_of_the_deployments() {
    let mut bench = Bench::new().await;
    bench.service = bench.service.clone().with_hosts(NONE);
    deploy(&bench, "blue", false).await;
    let endpoint = share(&bench, &[("BLUE", 100)]).await.unwrap();
    assert_eq!(endpoint.traffic, shares(&[("blue", 100)]));
    assert_eq!(endpoint.deployments[0].traffic, 100);
    let delete = DeleteDeployment {
        workspace: "ws".to_owned(),
        endpoint: "ep".to_owned(),
        name: "Blue".to_owned(),
        force: false,
    };
    assert_eq!(bench.ask(delete).await.unwrap_err().code, Code::Conflict);
    let twice = share(&bench, &[("BLUE", 50), ("blue", 50)]).await;
    let error = twice.unwrap_err();
    assert_eq!(error.message, "The deployment `blue` is named twice");
}

#[tokio::test]
async fn the_others_get_the_requests_of_one_that_is_deleted_by_force() {
    let mut bench = Bench::new().await;
    bench.service = bench.service.clone().with_hosts(NONE);
    for name in ["blue", "green", "red"] {
        deploy(&bench, name, name == "blue").await;
    }
    let three: &[(&str, u8)] = &[("blue", 40), ("green", 25), ("red", 35)];
    share(&bench, three).await.unwrap();
    let delete = |name: &str| DeleteDeployment {
        workspace: "ws".to_owned(),
        endpoint: "ep".to_owned(),
        name: name.to_owned(),
        force: true,
    };
    bench.ask(delete("blue")).await.unwrap();
    let endpoint = put(&bench, None, None).await.unwrap();
    assert_eq!(endpoint.traffic, shares(&[("green", 42), ("red", 58)]));
    bench.ask(delete("green")).await.unwrap();
    bench.ask(delete("red")).await.unwrap();
    let endpoint = put(&bench, None, None).await.unwrap();
    assert_eq!(endpoint.traffic, shares(&[]));
}

#[tokio::test]
async fn who_gets_copies_gets_no_requests_beside_them() {
    let bench = Bench::new().await;
    deploy(&bench, "blue", true).await;
    deploy(&bench, "green", false).await;
    share(&bench, &[("blue", 100)]).await.unwrap();
    put(&bench, None, Some(&[("green", 10)])).await.unwrap();
    let error = share(&bench, &[("blue", 90), ("green", 10)])
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    share(&bench, &[("blue", 100)]).await.unwrap();
    let both: &[(&str, u8)] = &[("blue", 90), ("green", 10)];
    let endpoint = put(&bench, Some(both), Some(&[("green", 0)])).await;
    let endpoint = endpoint.unwrap();
    assert_eq!(endpoint.traffic["green"], 10);
}

#[tokio::test]
async fn what_is_said_at_once_is_looked_at_one_after_the_other() {
    let bench = Bench::new().await;
    deploy(&bench, "blue", true).await;
    deploy(&bench, "green", false).await;
    let asked = |traffic: Option<Traffic>, mirror: Option<Traffic>| PutEndpoint {
        workspace: "ws".to_owned(),
        name: "ep".to_owned(),
        existing: true,
        traffic,
        mirror_traffic: mirror,
        ..PutEndpoint::default()
    };
    for _ in 0..20 {
        let both = put(&bench, Some(&[("blue", 100)]), Some(&[("green", 0)])).await;
        both.unwrap();
        let own = asked(Some(shares(&[("blue", 90), ("green", 10)])), None);
        let copies = asked(None, Some(shares(&[("green", 10)])));
        let (own, copies) = tokio::join!(bench.ask(own), bench.ask(copies));
        assert!(own.is_ok() != copies.is_ok(), "{own:?} {copies:?}");
    }
}

#[tokio::test]
async fn what_was_said_last_of_the_shares_counts() {
    use EndpointState::{Failed, Healthy};
    let bench = Bench::new().await;
    deploy(&bench, "blue", true).await;
    let blue = shares(&[("blue", 100)]);
    assert_eq!(report(&bench, "blue", Healthy).await, blue);
    // Shares that were given meanwhile.
    deploy(&bench, "green", true).await;
    share(&bench, &[("blue", 100)]).await.unwrap();
    assert_eq!(report(&bench, "green", Healthy).await, blue);
    // A failure.
    deploy(&bench, "green", true).await;
    report(&bench, "green", Failed).await;
    assert_eq!(report(&bench, "green", Healthy).await, blue);
    // Another one that gets all.
    deploy(&bench, "green", true).await;
    deploy(&bench, "red", true).await;
    let red = shares(&[("red", 100)]);
    assert_eq!(report(&bench, "red", Healthy).await, red);
    assert_eq!(report(&bench, "green", Healthy).await, red);
}

#[tokio::test]
async fn a_server_does_not_start_what_never_answered() {
    let mut bench = Bench::new().await;
    bench.service = bench.service.clone().with_hosts(NONE);
    deploy(&bench, "blue", true).await;
    report(&bench, "blue", EndpointState::Failed).await;
    let mut revivals = bench.service.watch_endpoints();
    let revived = bench.service.revive_endpoints(&mut revivals).await;
    revived.unwrap();
    let row = deployed(&bench).await;
    assert_eq!(row.deployments[0].state, EndpointState::Failed);
    assert!(!row.deployments[0].answered);
    report(&bench, "blue", EndpointState::Healthy).await;
    assert!(deployed(&bench).await.deployments[0].answered);
}

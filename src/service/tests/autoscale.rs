//! Scaling by rules: what they look at, and that settings are not overwritten unseen.

use super::support::{Bench, wait_seconds};
use api::{
    Code, Result, Time,
    autoscale::{
        AskScale, Autoscale, Autoscaled, Change, Comparison, PutAutoscale, ScaleMetric,
        ScaleProfile, ScaleRule, Statistic,
    },
    deployments::Deployment,
    endpoint_metrics::{Measured, ReportMeasured},
};
use store::{EndpointRow, NewDeployment};

async fn deployed(bench: &Bench, endpoint: &str) -> EndpointRow {
    let store = &bench.service.store;
    let workspace = store.workspace("ws").await.unwrap().unwrap();
    let new = NewDeployment {
        endpoint: endpoint.to_owned(),
        name: "blue".to_owned(),
        deployment: Deployment::default(),
        model_version: None,
        all_traffic: true,
        first_traffic: true,
        port: None,
        sealed_keys: Vec::new(),
        now: Time(1),
    };
    let row = store.deploy(workspace.id, new).await.unwrap().unwrap();
    // So that no host is waited for.
    let stopped = store.want_endpoint(row.id, false, None, Time(3)).await;
    stopped.unwrap();
    // Its host has made it.
    std::fs::create_dir_all(bench.home.join(format!("endpoints/{}", row.id))).unwrap();
    row
}

fn rule(metric: ScaleMetric, comparison: Comparison, threshold: f64, change: Change) -> ScaleRule {
    ScaleRule {
        metric,
        of_endpoint: false,
        statistic: Statistic::Average,
        comparison,
        threshold,
        window_seconds: 300,
        change,
        cooldown_seconds: 0,
    }
}

fn setting(rules: Vec<ScaleRule>) -> Autoscale {
    Autoscale {
        name: "rules".to_owned(),
        enabled: true,
        profiles: vec![ScaleProfile {
            name: "default".to_owned(),
            min: 1,
            max: 9,
            count: 1,
            rules,
            recurring: None,
        }],
    }
}

async fn put(
    bench: &Bench,
    endpoint: &str,
    autoscale: Autoscale,
    before: Option<Autoscale>,
) -> Result<Autoscaled> {
    let put = PutAutoscale {
        workspace: "ws".to_owned(),
        endpoint: endpoint.to_owned(),
        deployment: "blue".to_owned(),
        autoscale,
        before,
    };
    bench.ask(put).await
}

/// Tells what a host has seen in the last ten seconds, and waits for the next ones.
async fn measured(bench: &Bench, row: &EndpointRow, instances: u64, cpu_percent: u64) {
    let measured = Measured {
        statuses: [(200, 10)].into(),
        cpu: instances * cpu_percent * 100_000,
        lived: instances * 10_000_000,
        instances,
        ..Measured::default()
    };
    let report = ReportMeasured {
        endpoint: row.id,
        deployments: [(row.deployments[0].id, measured)].into(),
    };
    bench.ask(report).await.unwrap();
    wait_seconds(10);
}

async fn wanted(bench: &Bench, row: &EndpointRow, instances: u32) -> u32 {
    let ask = AskScale {
        endpoint: row.id,
        deployment: row.deployments[0].id,
        instances,
        since_seconds: 60,
    };
    bench.ask(ask).await.unwrap()
}

/// A deployment that is younger than the time that is looked at has used as much as it has in its own.
#[tokio::test]
async fn what_is_looked_at_is_the_time_that_was_measured() {
    let bench = Bench::new().await;
    let row = deployed(&bench, "ep").await;
    let busy = rule(
        ScaleMetric::CpuUtilizationPercentage,
        Comparison::GreaterThan,
        70.0,
        Change::More(2),
    );
    let idle = rule(
        ScaleMetric::CpuUtilizationPercentage,
        Comparison::LessThan,
        25.0,
        Change::Fewer(1),
    );
    put(&bench, "ep", setting(vec![busy, idle]), None)
        .await
        .unwrap();
    for _ in 0..2 {
        measured(&bench, &row, 1, 95).await;
    }
    assert_eq!(wanted(&bench, &row, 1).await, 3);
    // One of five is left, which has all to do that they had.
    let row = deployed(&bench, "other").await;
    let mut rules = setting(vec![
        rule(
            ScaleMetric::CpuUtilizationPercentage,
            Comparison::GreaterThan,
            40.0,
            Change::More(1),
        ),
        rule(
            ScaleMetric::RequestsPerMinute,
            Comparison::GreaterThan,
            70.0,
            Change::More(5),
        ),
    ]);
    rules.name = "others".to_owned();
    put(&bench, "other", rules, None).await.unwrap();
    measured(&bench, &row, 5, 20).await;
    for _ in 0..5 {
        measured(&bench, &row, 1, 90).await;
    }
    // 55 percent of each second of a process, and 60 requests in a minute.
    assert_eq!(wanted(&bench, &row, 1).await, 2);
}

#[tokio::test]
async fn a_setting_is_not_put_over_one_that_was_not_read() {
    let bench = Bench::new().await;
    deployed(&bench, "ep").await;
    deployed(&bench, "other").await;
    let plain = setting(Vec::new());
    put(&bench, "ep", plain.clone(), None).await.unwrap();
    let slow = rule(
        ScaleMetric::RequestLatency,
        Comparison::GreaterThan,
        100.0,
        Change::More(1),
    );
    let changed = setting(vec![slow]);
    put(&bench, "ep", changed.clone(), Some(plain.clone()))
        .await
        .unwrap();
    let late = put(&bench, "ep", plain.clone(), Some(plain.clone())).await;
    assert_eq!(late.unwrap_err().code, Code::Conflict);
    let taken = put(&bench, "other", plain.clone(), None).await;
    assert_eq!(taken.unwrap_err().code, Code::Conflict);
    // Also by who looks at the same time.
    let store = &bench.service.store;
    let workspace = store.workspace("ws").await.unwrap().unwrap();
    let other = store
        .endpoint(workspace.id, "other")
        .await
        .unwrap()
        .unwrap();
    let (id, orders) = (other.deployments[0].id, other.orders);
    let mut same = plain;
    same.name = "RULES".to_owned();
    assert!(
        !store
            .put_autoscale(id, Some(same.clone()), None)
            .await
            .unwrap()
    );
    let unchanged = store.endpoint_by_id(other.id).await.unwrap().unwrap();
    assert_eq!(unchanged.orders, orders, "its host has nothing to look at");
    same.name = "own".to_owned();
    assert!(store.put_autoscale(id, Some(same), None).await.unwrap());
    put(&bench, "ep", changed.clone(), Some(changed))
        .await
        .unwrap();
}

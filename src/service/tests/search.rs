//! Searches of runs: conditions, orders and pages, checked against all runs looked at one by one.

use std::cmp::Ordering;

use super::support::{Bench, batch, point};
use api::{
    Code, Time,
    experiments::{CreateExperiment, SearchExperiments},
    logged_models::{CreateLoggedModel, SearchLoggedModels},
    metrics::LogBatch,
    runs::{CreateRun, ListRuns, Run, RunStatus, View},
};

/// Runs of one experiment with all kinds of values of `a` and `b`, or none.
async fn with_runs(count: usize) -> (Bench, String) {
    let bench = Bench::new().await;
    let experiment = CreateExperiment {
        workspace: "ws".to_owned(),
        name: "search".to_owned(),
        artifact_location: None,
        tags: [].into(),
    };
    let id = bench.ask(experiment).await.unwrap().id;
    for index in 0..count {
        add(&bench, &id, index).await;
    }
    (bench, id)
}

async fn add(bench: &Bench, experiment: &str, index: usize) {
    let kinds = [0.5, -1.0, f64::NAN, 7.0, f64::INFINITY, 0.5, 3.25];
    let name = format!("r{index:03}");
    let run = CreateRun {
        workspace: "ws".to_owned(),
        name: name.clone(),
        experiment_id: experiment.to_owned(),
        display_name: format!("d{}", index % 5),
        user: "ann".to_owned(),
        status: RunStatus::Running,
        started_at: Some(Time(1000 - i64::try_from(index % 9).unwrap())),
        tags: [].into(),
    };
    bench.ask(run).await.unwrap();
    let mut metrics = Vec::new();
    if index % 6 != 5 {
        metrics.push(point("a", kinds[index % kinds.len()], 1, 1));
        metrics.push(point("a", kinds[(index + 2) % kinds.len()], 0, 1));
    }
    if index % 5 != 4 {
        metrics.push(point(
            "b",
            f64::from(u32::try_from(index * 37 % 11).unwrap()),
            0,
            1,
        ));
    }
    let params = [("lr".to_owned(), format!("0.{}", index % 4))];
    bench
        .ask(LogBatch {
            metrics,
            params: params
                .into_iter()
                .filter(|_| !index.is_multiple_of(7))
                .collect(),
            ..batch(&name)
        })
        .await
        .unwrap();
}

fn list(experiment: &str, filter: &str, order_by: &[&str], limit: u32) -> ListRuns {
    ListRuns {
        workspace: "ws".to_owned(),
        experiment_ids: vec![experiment.to_owned()],
        filter: Some(filter.to_owned()),
        order_by: order_by.iter().map(ToString::to_string).collect(),
        limit: Some(limit),
        ..ListRuns::default()
    }
}

/// Reads all pages of a search.
async fn pages(bench: &Bench, mut ask: ListRuns) -> Vec<Run> {
    let mut found = Vec::new();
    loop {
        let page = bench.ask(ask.clone()).await.unwrap();
        found.extend(page.items);
        match page.next {
            Some(next) => ask.page = Some(next),
            None => return found,
        }
    }
}

fn names(runs: &[Run]) -> Vec<&str> {
    runs.iter().map(|run| run.name.as_str()).collect()
}

/// Numbers, then NaN, then what is absent, whatever the direction.
fn by_metric(a: &Run, b: &Run, key: &str, descending: bool) -> Ordering {
    let value = |run: &Run| run.metrics.get(key).map(|metric| metric.last.0);
    let rank = |value: Option<f64>| match value {
        None => 2,
        Some(value) => i32::from(value.is_nan()),
    };
    let (a, b) = (value(a), value(b));
    let order = match (a, b) {
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        _ => Ordering::Equal,
    };
    rank(a)
        .cmp(&rank(b))
        .then(if descending { order.reverse() } else { order })
}

fn newest(a: &Run, b: &Run) -> Ordering {
    b.created_at.cmp(&a.created_at)
}

#[tokio::test]
async fn every_page_of_an_order_goes_on_where_the_last_ended() {
    let (bench, id) = with_runs(120).await;
    let mut all = pages(&bench, list(&id, "", &[], 1000)).await;
    assert_eq!(all.len(), 120);
    let number = |run: &Run, key: &str| run.metrics.get(key).map(|metric| metric.last.0);
    for (filter, keep) in [
        ("", Box::new(|_: &Run| true) as Box<dyn Fn(&Run) -> bool>),
        (
            "metrics.a < 1",
            Box::new(move |run| number(run, "a").is_some_and(|a| a < 1.0)),
        ),
        (
            "metrics.a != 0.5",
            Box::new(move |run| number(run, "a").is_some_and(|a| !(0.5..=0.5).contains(&a))),
        ),
        (
            "metrics.b >= 9",
            Box::new(move |run| number(run, "b").is_some_and(|b| b >= 9.0)),
        ),
        (
            "params.lr = '0.1'",
            Box::new(|run| run.params.get("lr").is_some_and(|lr| lr == "0.1")),
        ),
        (
            "NOT (metrics.a < 1 OR params.lr IS NULL)",
            Box::new(move |run| {
                !number(run, "a").is_some_and(|a| a < 1.0) && run.params.contains_key("lr")
            }),
        ),
    ] {
        for descending in [false, true] {
            let direction = if descending { "DESC" } else { "ASC" };
            all.sort_by(|a, b| by_metric(a, b, "a", descending).then(newest(a, b)));
            let expected: Vec<&str> = all
                .iter()
                .filter(|run| keep(run))
                .map(|run| run.name.as_str())
                .collect();
            for limit in [1, 7, 50, 1000] {
                let order = format!("metrics.a {direction}");
                let found = pages(&bench, list(&id, filter, &[&order], limit)).await;
                assert_eq!(names(&found), expected, "{filter} {order} {limit}");
            }
        }
    }
}

#[tokio::test]
async fn several_keys_count_in_turn() {
    let (bench, id) = with_runs(60).await;
    let mut all = pages(&bench, list(&id, "", &[], 1000)).await;
    let param = |run: &Run| run.params.get("lr").cloned();
    // What is absent comes last.
    let by_param = |a: &Run, b: &Run| match (param(a), param(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    all.sort_by(|a, b| {
        by_param(a, b)
            .then(by_metric(a, b, "b", false))
            .then(b.started_at.cmp(&a.started_at))
            .then(a.name.cmp(&b.name))
    });
    let order = ["params.lr DESC", "metrics.b", "start_time DESC", "run_id"];
    let found = pages(&bench, list(&id, "", &order, 7)).await;
    assert_eq!(names(&found), names(&all));

    all.sort_by(|a, b| b.started_at.cmp(&a.started_at).then(a.name.cmp(&b.name)));
    let found = pages(&bench, list(&id, "", &["start_time DESC", "run_id"], 7)).await;
    assert_eq!(names(&found), names(&all));
    // Nobody has ended or has an exit code: the rest of the order decides.
    let order = ["end_time", "exit_code DESC", "start_time DESC", "run_id"];
    let found = pages(&bench, list(&id, "", &order, 7)).await;
    assert_eq!(names(&found), names(&all));
}

#[tokio::test]
async fn the_extremes_of_a_metric_are_searched_like_its_last_value() {
    let (bench, id) = with_runs(40).await;
    let mut all = pages(&bench, list(&id, "", &[], 1000)).await;
    let lowest = |run: &Run| run.metrics.get("a").and_then(|a| a.min).map(|min| min.0);
    all.retain(|run| lowest(run).is_some_and(|min| min <= 0.5));
    all.sort_by(|a, b| {
        lowest(b)
            .partial_cmp(&lowest(a))
            .unwrap()
            .then(newest(a, b))
    });
    let found = pages(&bench, list(&id, "min.a <= 0.5", &["min.a DESC"], 3)).await;
    assert_eq!(names(&found), names(&all));
    assert!(all.len() > 5);
    let found = pages(&bench, list(&id, "max.a > 6 AND min.a < 0", &[], 1000)).await;
    assert!(found.iter().all(|run| {
        let a = &run.metrics["a"];
        a.max.unwrap().0 > 6.0 && a.min.unwrap().0 < 0.0
    }));
    assert!(!found.is_empty());
}

/// Whoever reads on while others write sees each run that stays where it is exactly once.
#[tokio::test]
async fn pages_are_stable_while_runs_are_written() {
    let (bench, id) = with_runs(40).await;
    for order in [
        &["metrics.b DESC", "run_id"][..],
        &["start_time DESC", "run_id"],
        &[],
    ] {
        let before = pages(&bench, list(&id, "", order, 1000)).await;
        let mut ask = list(&id, "", order, 6);
        let mut seen = Vec::new();
        for round in 0.. {
            let page = bench.ask(ask.clone()).await.unwrap();
            seen.extend(page.items);
            add(&bench, &id, before.len() + round).await;
            match page.next {
                Some(next) => ask.page = Some(next),
                None => break,
            }
        }
        let known = names(&before);
        seen.retain(|run| known.contains(&run.name.as_str()));
        assert_eq!(names(&seen), known, "{order:?}");
    }
}

#[tokio::test]
async fn the_page_of_another_order_is_refused() {
    let (bench, id) = with_runs(5).await;
    let next = bench
        .ask(list(&id, "", &["metrics.a"], 2))
        .await
        .unwrap()
        .next;
    for page in [next, Some("3".to_owned())] {
        let ask = ListRuns {
            page,
            ..list(&id, "", &[], 2)
        };
        let error = bench.ask(ask).await.unwrap_err();
        assert_eq!(
            (error.code, error.target.as_deref()),
            (Code::Invalid, Some("page"))
        );
    }
}

#[tokio::test]
async fn the_children_of_a_run_are_found() {
    let (bench, id) = with_runs(6).await;
    for child in ["r002", "r004"] {
        let tags = [("mlflow.parentRunId".to_owned(), "r001".to_owned())].into();
        bench
            .ask(LogBatch {
                tags,
                ..batch(child)
            })
            .await
            .unwrap();
    }
    for filter in [
        "parent = 'r001'",
        "tags.mlflow.parentRunId = 'r001'",
        "NOT parent != 'r001' AND parent IS NOT NULL",
    ] {
        let found = pages(&bench, list(&id, filter, &["metrics.b"], 1)).await;
        let mut found = names(&found);
        found.sort_unstable();
        assert_eq!(found, ["r002", "r004"], "{filter}");
    }
    let found = pages(&bench, list(&id, "parent IS NULL", &[], 10)).await;
    assert_eq!(found.len(), 4);
}

/// Pages of what is looked at one by one go on behind the last one seen as well.
#[tokio::test]
async fn pages_of_experiments_and_logged_models_stay_while_others_come() {
    let (bench, id) = with_runs(0).await;
    let experiment = async |name: String| {
        let create = CreateExperiment {
            workspace: "ws".to_owned(),
            name,
            artifact_location: None,
            tags: [].into(),
        };
        bench.ask(create).await.unwrap();
    };
    let model = async |name: String| {
        let create = CreateLoggedModel {
            workspace: "ws".to_owned(),
            id: format!("m-{name}"),
            name,
            kind: String::new(),
            experiment_id: id.clone(),
            run: None,
            params: [].into(),
            tags: [].into(),
        };
        bench.ask(create).await.unwrap();
    };
    for number in 0..5 {
        experiment(format!("e{number}")).await;
        model(format!("l{number}")).await;
    }
    let (mut experiments, mut models) = (Vec::new(), Vec::new());
    let (mut page, mut model_page) = (None, None);
    for round in 0..3 {
        let search = SearchExperiments {
            workspace: "ws".to_owned(),
            view: View::Active,
            filter: Some("name LIKE 'e_'".to_owned()),
            order_by: Vec::new(),
            limit: Some(2),
            page,
        };
        let found = bench.ask(search).await.unwrap();
        experiments.extend(found.items.into_iter().map(|experiment| experiment.name));
        page = found.next;
        let search = SearchLoggedModels {
            workspace: "ws".to_owned(),
            experiment_ids: vec![id.clone()],
            run: None,
            filter: None,
            datasets: Vec::new(),
            order_datasets: Vec::new(),
            order_by: vec!["metrics.loss".to_owned()],
            limit: Some(2),
            page: model_page,
        };
        let found = bench.ask(search).await.unwrap();
        models.extend(found.items.into_iter().map(|model| model.name));
        model_page = found.next;
        // Newer ones come first, before what was seen.
        experiment(format!("later{round}")).await;
        model(format!("later{round}")).await;
    }
    assert_eq!(experiments, ["e4", "e3", "e2", "e1", "e0"]);
    assert_eq!(models, ["l4", "l3", "l2", "l1", "l0"]);
    assert_eq!((page, model_page), (None, None));
}

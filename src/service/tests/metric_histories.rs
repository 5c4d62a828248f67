//! Histories of several runs, whole and sampled.

use std::collections::BTreeSet;

use super::support::{Bench, batch, point};
use api::{
    Code,
    metrics::{GetMetricHistories, LogBatch, MetricPoint, RunPoint, SampleMetricHistories},
};

async fn log(bench: &Bench, run: &str, points: impl Iterator<Item = MetricPoint>) {
    let points: Vec<MetricPoint> = points.collect();
    bench
        .ask(LogBatch {
            metrics: points,
            ..batch(run)
        })
        .await
        .unwrap();
}

async fn sample(
    bench: &Bench,
    runs: &[&str],
    steps: Option<(i64, i64)>,
    samples: u32,
) -> Vec<RunPoint> {
    bench
        .ask(SampleMetricHistories {
            workspace: "ws".to_owned(),
            runs: runs.iter().map(ToString::to_string).collect(),
            key: "loss".to_owned(),
            steps,
            samples,
            limit: 2500,
        })
        .await
        .unwrap()
}

fn steps_of(points: &[RunPoint], run: &str) -> Vec<i64> {
    let of_run = points.iter().filter(|point| point.run == run);
    of_run.map(|point| point.point.step).collect()
}

#[tokio::test]
async fn a_sample_is_even_and_keeps_the_ends_of_each_run() {
    let bench = Bench::new().await;
    for (run, count) in [("a", 10), ("b", 20)] {
        bench.submit(run).await;
        log(
            &bench,
            run,
            (0..count).map(|step| point("loss", 1.0, step, 1)),
        )
        .await;
    }
    let found = sample(&bench, &["b", "a", "none"], None, 5).await;
    assert_eq!(steps_of(&found, "b"), [0, 4, 8, 9, 12, 16, 19]);
    assert_eq!(steps_of(&found, "a"), [0, 4, 8, 9]);
    assert_eq!(found[0].run, "b");
    let found = sample(&bench, &["a"], Some((2, 6)), 5).await;
    assert_eq!(steps_of(&found, "a"), [2, 3, 4, 5, 6]);
    assert_eq!(sample(&bench, &["a"], Some((50, 60)), 5).await, []);
    // All points of a step belong to it.
    log(&bench, "a", (0..10).map(|step| point("loss", 1.0, step, 2))).await;
    let found = sample(&bench, &["a"], None, 5).await;
    assert_eq!(steps_of(&found, "a"), [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 9, 9]);
}

#[tokio::test]
async fn a_long_history_is_sampled_as_evenly_as_its_steps_lie() {
    let bench = Bench::new().await;
    for run in ["even", "heaps"] {
        bench.submit(run).await;
    }
    log(
        &bench,
        "even",
        (0..30_000).map(|n| point("loss", 1.0, n * 3, 1)),
    )
    .await;
    let found = sample(&bench, &["even"], None, 100).await;
    let steps = steps_of(&found, "even");
    assert_eq!(steps.len(), 101);
    assert_eq!((steps[0], steps[100]), (0, 89_997));
    let gaps: BTreeSet<i64> = steps[..100]
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect();
    assert!(gaps.iter().all(|gap| (897..=903).contains(gap)), "{gaps:?}");
    // Nearly all steps lie at the beginning; the sample does not lose them.
    let last = i64::MAX;
    let heap = (0..30_000).chain([last]);
    log(
        &bench,
        "heaps",
        heap.map(|step| point("loss", 1.0, step, 1)),
    )
    .await;
    let steps = steps_of(&sample(&bench, &["heaps"], None, 100).await, "heaps");
    assert_eq!(steps.len(), 101);
    assert_eq!((steps[1], steps[100]), (300, last));
}

#[tokio::test]
async fn histories_come_run_by_run_up_to_a_limit() {
    let bench = Bench::new().await;
    for run in ["a", "b"] {
        bench.submit(run).await;
        log(
            &bench,
            run,
            [3, 1, 2]
                .map(|step| point("loss", 1.0, step, 1))
                .into_iter(),
        )
        .await;
    }
    let ask = |limit| GetMetricHistories {
        workspace: "ws".to_owned(),
        runs: vec!["a".to_owned(), "none".to_owned(), "b".to_owned()],
        key: "loss".to_owned(),
        limit,
    };
    let found = bench.ask(ask(4)).await.unwrap();
    assert_eq!(steps_of(&found, "a"), [1, 2, 3]);
    assert_eq!(steps_of(&found, "b"), [1]);
    assert_eq!(bench.ask(ask(0)).await.unwrap(), []);
    let backwards = SampleMetricHistories {
        workspace: "ws".to_owned(),
        runs: Vec::new(),
        key: "loss".to_owned(),
        steps: Some((2, 1)),
        samples: 1,
        limit: 1,
    };
    let error = bench.ask(backwards).await.unwrap_err();
    assert_eq!(
        (error.code, error.target.as_deref()),
        (Code::Invalid, Some("steps"))
    );
}

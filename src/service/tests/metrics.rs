//! Metrics, params and tags.

use std::{cmp::Ordering, collections::BTreeSet};

use super::support::{Bench, batch, point};
use api::{
    Code,
    metrics::{GetMetricHistory, LogBatch, MetricPoint, Value},
};
use store::{order_bits, value_of};

const VALUES: [f64; 13] = [
    f64::NEG_INFINITY,
    f64::MIN,
    -1.5,
    -1.0,
    -f64::MIN_POSITIVE,
    -5e-324,
    0.0,
    5e-324,
    f64::MIN_POSITIVE,
    1.0,
    1.5,
    f64::MAX,
    f64::INFINITY,
];

/// A sequence that is the same in every test run and has nothing regular about it.
fn scrambled(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|n| {
        let mixed = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    })
}

#[test]
fn order_bits_sort_as_the_numbers_do_and_come_back() {
    let random = scrambled(2000).map(f64::from_bits).filter(|v| !v.is_nan());
    let values: Vec<f64> = random.chain(VALUES).collect();
    for a in &values {
        assert_eq!(value_of(order_bits(*a)).to_bits(), a.to_bits());
        for b in &VALUES {
            let expected = a.total_cmp(b);
            assert_eq!(order_bits(*a).cmp(&order_bits(*b)), expected, "{a} {b}");
        }
    }
}

#[test]
fn every_nan_is_the_same_and_above_all() {
    assert!(value_of(order_bits(f64::NAN)).is_nan());
    assert_eq!(order_bits(f64::NAN), order_bits(-f64::NAN));
    assert_eq!(
        order_bits(f64::NAN).cmp(&order_bits(f64::INFINITY)),
        Ordering::Greater
    );
}

/// What the summary must say, worked out from all points at once.
fn expected_last(points: &[MetricPoint]) -> Value {
    let rank = |p: &MetricPoint| {
        let number = if p.value.0.is_nan() { 0.0 } else { p.value.0 };
        (p.step, p.timestamp, order_bits(number), p.value.0.is_nan())
    };
    points.iter().max_by_key(|p| rank(p)).unwrap().value
}

#[tokio::test]
async fn the_latest_point_does_not_depend_on_the_order_of_arrival() {
    let bench = Bench::new().await;
    for round in 0..40 {
        let name = format!("run-{round}");
        bench.submit(&name).await;
        let mut points: Vec<MetricPoint> = scrambled(12)
            .map(|n| n.rotate_left(round))
            .map(|n| {
                let value = match n % 7 {
                    0 => f64::NAN,
                    1 => f64::NEG_INFINITY,
                    k => VALUES[usize::try_from(k + n % 3).unwrap() + 3],
                };
                point(
                    "m",
                    value,
                    (n >> 8).cast_signed() % 3,
                    (n >> 16).cast_signed() % 2,
                )
            })
            .collect();
        let turn = round as usize % points.len();
        points.rotate_left(turn);
        let (first, second) = points.split_at(5);
        for part in [first, second, first] {
            let metrics = part.to_vec();
            bench
                .ask(LogBatch {
                    metrics,
                    ..batch(&name)
                })
                .await
                .unwrap();
        }
        let history = bench.ask(history(&name, "m", None)).await.unwrap().items;
        let summary = &bench.run(&name).await.metrics["m"];
        assert_eq!(summary.last, expected_last(&points), "round {round}");
        assert_eq!(summary.count, history.len() as u64);
        let numbers = points.iter().map(|p| p.value.0).filter(|v| !v.is_nan());
        assert_eq!(summary.min, numbers.clone().reduce(f64::min).map(Value));
        assert_eq!(summary.max, numbers.reduce(f64::max).map(Value));
    }
}

fn history(run: &str, key: &str, limit: Option<u32>) -> GetMetricHistory {
    GetMetricHistory {
        workspace: "ws".to_owned(),
        run: run.to_owned(),
        key: key.to_owned(),
        limit,
        page: None,
    }
}

/// Batches that overlap, repeat each other and come in any order make up the set of their points.
#[tokio::test]
async fn a_history_is_the_set_of_its_points_in_order() {
    let bench = Bench::new().await;
    bench.submit("r").await;
    let mut points: Vec<MetricPoint> = scrambled(3000)
        .map(|n| {
            let step = (n >> 7).cast_signed() % 1500;
            let value = VALUES[usize::try_from(n % 13).unwrap()];
            point("m", value, step, (n >> 40).cast_signed() % 2)
        })
        .collect();
    let mut begin = 0;
    for (round, size) in [1, 2, 700, 3, 1, 500, 90, 1, 1, 1, 1000]
        .into_iter()
        .enumerate()
    {
        let end = begin + size;
        if round % 2 == 0 {
            points[begin..end].sort_by_key(|point| point.step);
        }
        let metrics = points[begin / 2..end].to_vec();
        bench
            .ask(LogBatch {
                metrics,
                ..batch("r")
            })
            .await
            .unwrap();
        begin = end;
    }
    points.truncate(begin);
    let place = |p: &MetricPoint| (p.step, p.timestamp.unwrap(), order_bits(p.value.0));
    let expected: BTreeSet<_> = points.iter().map(place).collect();
    let whole = bench.ask(history("r", "m", None)).await.unwrap().items;
    let found: Vec<_> = whole.iter().map(place).collect();
    assert_eq!(found, expected.iter().copied().collect::<Vec<_>>());
    assert_eq!(
        bench.run("r").await.metrics["m"].count,
        expected.len() as u64
    );

    let mut paged = Vec::new();
    let mut ask = history("r", "m", Some(77));
    loop {
        let page = bench.ask(ask.clone()).await.unwrap();
        paged.extend(page.items);
        match page.next {
            Some(next) => ask.page = Some(next),
            None => break,
        }
    }
    assert_eq!(paged, whole);
}

#[tokio::test]
async fn a_history_read_in_pages_is_the_whole_history_in_order() {
    let bench = Bench::new().await;
    bench.submit("r").await;
    let metrics = vec![
        point("m", f64::NAN, 1, 5),
        point("m", 2.0, 0, 9),
        point("m", -2.0, 0, 9),
        point("m", f64::INFINITY, 1, 5),
        point("m", 3.0, -4, 0),
    ];
    bench
        .ask(LogBatch {
            metrics,
            ..batch("r")
        })
        .await
        .unwrap();
    let whole = bench.ask(history("r", "m", None)).await.unwrap();
    assert!(whole.next.is_none());
    let values: Vec<String> = whole.items.iter().map(|p| p.value.to_string()).collect();
    assert_eq!(values, ["3", "-2", "2", "Infinity", "NaN"]);

    let mut paged = Vec::new();
    let mut ask = history("r", "m", Some(2));
    loop {
        let page = bench.ask(ask.clone()).await.unwrap();
        paged.extend(page.items);
        match page.next {
            Some(next) => ask.page = Some(next),
            None => break,
        }
    }
    assert_eq!(paged, whole.items);
}

#[tokio::test]
async fn a_batch_is_kept_whole_or_not_at_all() {
    let bench = Bench::new().await;
    bench.submit("r").await;
    let params = |value: &str| [("C".to_owned(), value.to_owned())].into();
    let first = LogBatch {
        params: params("1"),
        ..batch("r")
    };
    bench.ask(first.clone()).await.unwrap();
    bench.ask(first).await.unwrap();

    let second = LogBatch {
        metrics: vec![point("loss", 1.0, 0, 0)],
        tags: [("team".to_owned(), "x".to_owned())].into(),
        params: params("2"),
        ..batch("r")
    };
    let error = bench.ask(second).await.unwrap_err();
    assert_eq!(
        error.message,
        "The param `C` is `1` already and cannot change to `2`"
    );
    let run = bench.run("r").await;
    assert!(run.metrics.is_empty() && !run.tags.contains_key("team"));
}

#[tokio::test]
async fn the_name_tag_and_the_display_name_always_agree() {
    let bench = Bench::new().await;
    let run = bench.submit("r").await;
    assert_eq!(run.tags["mlflow.runName"], "r");
    let tags = [("mlflow.runName".to_owned(), "shown".to_owned())].into();
    bench.ask(LogBatch { tags, ..batch("r") }).await.unwrap();
    assert_eq!(bench.run("r").await.display_name, "shown");
    let remove_tags = vec!["mlflow.runName".to_owned()];
    let error = bench
        .ask(LogBatch {
            remove_tags,
            ..batch("r")
        })
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::Invalid);
}

#[tokio::test]
async fn keys_that_are_no_plain_path_are_refused() {
    let bench = Bench::new().await;
    bench.submit("r").await;
    for key in ["", "a//b", "../x", "/a", "a\nb", "a$b", &"x".repeat(251)] {
        let metrics = vec![point(key, 1.0, 0, 0)];
        let error = bench
            .ask(LogBatch {
                metrics,
                ..batch("r")
            })
            .await
            .unwrap_err();
        assert_eq!(error.code, Code::Invalid, "{key}");
    }
    bench.metric("r", "val/verlust über 1:2.x-y_z", 1.0).await;
}

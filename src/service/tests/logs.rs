//! Logs of runs.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use super::support::{Bench, ended, running};
use crate::Caller;
use api::{Code, Result, work::Outcome};

async fn append(bench: &Bench, offset: u64, text: &'static str) -> Result<u64> {
    bench
        .service
        .append_log(
            &Caller::Owner,
            "ws",
            "r",
            offset,
            Bytes::from_static(text.as_bytes()),
        )
        .await
}

async fn read(bench: &Bench, offset: u64, follow: bool) -> String {
    let log = bench
        .service
        .read_log(&Caller::Owner, "ws", "r", offset, follow)
        .await
        .unwrap();
    let parts: Vec<Bytes> = log.try_collect().await.unwrap();
    String::from_utf8(parts.concat()).unwrap()
}

#[tokio::test]
async fn a_repeated_append_adds_only_what_is_new_and_a_gap_is_refused() {
    let bench = Bench::new().await;
    bench.submit("r").await;
    assert_eq!(read(&bench, 0, false).await, "");
    assert_eq!(append(&bench, 0, "one\n").await.unwrap(), 4);
    assert_eq!(append(&bench, 0, "one\ntwo\n").await.unwrap(), 8);
    assert_eq!(append(&bench, 4, "two\n").await.unwrap(), 8);
    let error = append(&bench, 9, "four").await.unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    assert_eq!(read(&bench, 0, false).await, "one\ntwo\n");
    assert_eq!(read(&bench, 4, false).await, "two\n");
    assert_eq!(read(&bench, 100, false).await, "");
}

#[tokio::test]
async fn following_goes_on_until_the_run_has_ended_and_all_is_sent() {
    let bench = Bench::new().await;
    bench.submit("r").await;
    bench.sync("w", 1, &[]).await;
    bench.report("w", "r", running("h")).await.unwrap();
    append(&bench, 0, "one\n").await.unwrap();
    let log = bench
        .service
        .read_log(&Caller::Owner, "ws", "r", 0, true)
        .await
        .unwrap();
    tokio::pin!(log);
    assert_eq!(log.next().await.unwrap().unwrap(), "one\n");
    let (next, _) = tokio::join!(log.next(), append(&bench, 4, "two\n"));
    assert_eq!(next.unwrap().unwrap(), "two\n");
    append(&bench, 8, "three\n").await.unwrap();
    bench
        .report("w", "r", ended(Outcome::Completed))
        .await
        .unwrap();
    assert_eq!(log.next().await.unwrap().unwrap(), "three\n");
    assert!(log.next().await.is_none());
    assert_eq!(read(&bench, 0, true).await, "one\ntwo\nthree\n");
}

//! Files that arrive in parts, and addresses that are signed.

use bytes::Bytes;
use futures_util::stream;

use super::support::{Bench, wait_seconds};
use crate::Caller;
use api::{
    Code, Error, Result, Time,
    access::{DeleteUser, RotateToken},
    files::{Artifact, CollectGarbage, Hash},
    uploads::{AbortUpload, CompleteUpload, CreateUpload, Upload, UploadedPart},
};
use store::Joined;

const DAY: i64 = 24 * 60 * 60;

impl Bench {
    async fn begin(&self, path: &str, parts: u32) -> Result<Upload> {
        self.ask(CreateUpload {
            workspace: "ws".into(),
            run: "r".into(),
            path: path.into(),
            parts,
        })
        .await
    }

    async fn part(&self, upload: &Upload, number: u32, content: &[u8]) -> Result<UploadedPart> {
        let pieces = content.chunks(1000).map(Bytes::copy_from_slice);
        let pieces: Vec<Result<Bytes>> = pieces.map(Ok).collect();
        let body = stream::iter(pieces);
        self.service
            .write_part(&Caller::Owner, "ws", &upload.id, number, body)
            .await
    }

    async fn finish(&self, upload: &Upload, hashes: Vec<Option<Hash>>) -> Result<Artifact> {
        self.ask(CompleteUpload {
            workspace: "ws".into(),
            upload: upload.id.clone(),
            hashes,
        })
        .await
    }

    async fn content(&self, path: &str) -> Result<Vec<u8>> {
        let content = self
            .service
            .read_artifact(&Caller::Owner, "ws", "r", path)
            .await?;
        let size = content.size;
        let mut pieces = content.pieces(0..size);
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.recv().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }

    /// Frees what nothing refers to, however young; answers how many bytes there were.
    async fn freed(&self) -> u64 {
        let collect = |dry_run| CollectGarbage {
            dry_run,
            grace_seconds: 0,
            environments_unused_seconds: None,
        };
        let promised = self.ask(collect(true)).await.unwrap();
        assert_eq!(self.ask(collect(false)).await.unwrap(), promised);
        promised.bytes
    }
}

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.submit("r").await;
    bench
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> (Code, String) {
    let Error { code, message, .. } = result.unwrap_err();
    (code, message)
}

#[tokio::test]
async fn parts_come_in_any_order_and_are_joined_in_theirs() {
    let bench = bench().await;
    let upload = bench.begin("a/big", 3).await.unwrap();
    let parts = [vec![1; 700_000], vec![], vec![3; 5]];
    let wrong = bench.part(&upload, 3, b"first try").await.unwrap();
    for number in [3, 1] {
        let part = &parts[number as usize - 1];
        bench.part(&upload, number, part).await.unwrap();
    }
    assert_eq!(
        code(bench.part(&upload, 4, b"x").await),
        (
            Code::Invalid,
            "The upload has the parts 1 to 3, and no part 4".into()
        )
    );
    assert_eq!(
        code(bench.finish(&upload, vec![None; 3]).await),
        (Code::Invalid, "Part 2 has not arrived".into())
    );
    bench.part(&upload, 2, &parts[1]).await.unwrap();
    assert_eq!(
        code(bench.finish(&upload, vec![None; 2]).await),
        (
            Code::Invalid,
            "The upload has 3 parts, and 2 were named".into()
        )
    );
    let named = vec![None, None, Some(wrong.hash)];
    let (_, message) = code(bench.finish(&upload, named).await);
    assert!(
        message.starts_with("Part 3 is not the one that was named"),
        "{message}"
    );
    assert!(
        bench.content("a/big").await.is_err(),
        "nothing is to be seen yet"
    );
    let named = parts.iter().map(|part| Some(Hash::of(part))).collect();
    let artifact = bench.finish(&upload, named).await.unwrap();
    let whole = parts.concat();
    assert_eq!((artifact.size, artifact.hash), (700_005, Hash::of(&whole)));
    assert_eq!(bench.content("a/big").await.unwrap(), whole);
    let (again, _) = code(bench.finish(&upload, vec![None; 3]).await);
    assert_eq!(again, Code::NotFound);
}

#[tokio::test]
async fn a_file_of_one_part_is_that_part() {
    let bench = bench().await;
    let upload = bench.begin("one", 1).await.unwrap();
    bench.part(&upload, 1, b"content").await.unwrap();
    bench.finish(&upload, vec![None]).await.unwrap();
    assert_eq!(bench.content("one").await.unwrap(), b"content");
    assert_eq!(bench.freed().await, 0);
    assert_eq!(bench.content("one").await.unwrap(), b"content");
}

#[tokio::test]
async fn a_part_that_was_sent_again_meanwhile_is_not_completed() {
    let bench = bench().await;
    let upload = bench.begin("one", 1).await.unwrap();
    let before = bench.part(&upload, 1, b"before").await.unwrap();
    bench.part(&upload, 1, b"after").await.unwrap();
    let store = &bench.service.store;
    let complete = async |part| {
        let now = bench.service.now();
        let workspace = store.workspace("ws").await.unwrap().unwrap().id;
        let of = store.upload(workspace, upload.id.clone(), now).await;
        let of = of.unwrap().unwrap();
        store.complete_upload(of, Joined::Single(part), now).await
    };
    assert_eq!(code(complete(before).await).0, Code::Conflict);
    assert!(bench.content("one").await.is_err());
    bench.finish(&upload, vec![None]).await.unwrap();
    assert_eq!(bench.content("one").await.unwrap(), b"after");
}

#[tokio::test]
async fn what_cannot_become_a_file_is_refused_at_once() {
    let bench = bench().await;
    assert_eq!(code(bench.begin("../a", 1).await).0, Code::Invalid);
    for parts in [0, 10_001] {
        assert_eq!(code(bench.begin("a", parts).await).0, Code::Invalid);
    }
    let upload = bench.begin("a/b", 1).await.unwrap();
    bench.part(&upload, 1, b"x").await.unwrap();
    bench.finish(&upload, vec![None]).await.unwrap();
    assert_eq!(code(bench.begin("a", 1).await).0, Code::Conflict);
    assert_eq!(code(bench.begin("a/b/c", 1).await).0, Code::Conflict);
}

#[tokio::test]
async fn parts_are_kept_until_the_upload_is_over() {
    let bench = bench().await;
    let content = |n: u8| vec![n; 1000];
    let [done, aborted, late] = [
        bench.begin("done", 2).await.unwrap(),
        bench.begin("aborted", 2).await.unwrap(),
        bench.begin("late", 2).await.unwrap(),
    ];
    for (first, upload) in [(1, &done), (3, &aborted), (5, &late)] {
        for number in [1, 2] {
            let content = content(first + u8::try_from(number).unwrap());
            bench.part(upload, number, &content).await.unwrap();
        }
    }
    assert_eq!(bench.freed().await, 0, "all are on their way");
    bench.finish(&done, vec![None; 2]).await.unwrap();
    let abort = AbortUpload {
        workspace: "ws".into(),
        upload: aborted.id.clone(),
    };
    bench.ask(abort.clone()).await.unwrap();
    assert_eq!(code(bench.ask(abort).await).0, Code::NotFound);
    assert_eq!(bench.freed().await, 4000, "the parts of two uploads");
    assert_eq!(
        bench.content("done").await.unwrap(),
        [content(2), content(3)].concat()
    );
    let (store, now) = (&bench.service.store, bench.service.now());
    let workspace = store.workspace("ws").await.unwrap().unwrap().id;
    let row = store.upload(workspace, late.id.clone(), now).await;
    let row = row.unwrap().unwrap();
    wait_seconds(DAY);
    assert_eq!(code(bench.part(&late, 1, b"x").await).0, Code::NotFound);
    assert_eq!(
        code(bench.finish(&late, vec![None; 2]).await).0,
        Code::NotFound
    );
    let only_count = CollectGarbage {
        dry_run: true,
        grace_seconds: 0,
        environments_unused_seconds: None,
    };
    assert_eq!(bench.ask(only_count).await.unwrap().bytes, 2000);
    let parts = store.upload_parts(row.id).await.unwrap();
    assert_eq!(parts.len(), 2, "a dry run changes nothing");
    assert_eq!(bench.freed().await, 2000);
}

#[tokio::test]
async fn a_signed_address_is_good_for_one_request_until_its_time() {
    let bench = bench().await;
    let ann = bench.user("ann", None).await;
    let until = bench.service.now().plus_ms(60_000);
    let query = bench
        .service
        .sign(&ann, "GET", "/a b/c", until)
        .await
        .unwrap();
    let signer = |method: &'static str, path: &'static str, query: String| {
        let service = bench.service.clone();
        async move { service.signer(method, path, &query).await }
    };
    assert_eq!(
        signer("GET", "/a b/c", query.clone()).await,
        Ok(Some(ann.clone()))
    );
    assert_eq!(
        signer("HEAD", "/a b/c", query.clone()).await,
        Ok(Some(ann.clone()))
    );
    assert_eq!(signer("GET", "/a b/c", "path=x".into()).await, Ok(None));
    let later = query.replace(&until.0.to_string(), &until.plus_ms(1).0.to_string());
    for (method, path, query) in [
        ("PUT", "/a b/c", query.clone()),
        ("GET", "/a b/d", query.clone()),
        ("GET", "/a b/c", later),
        ("GET", "/a b/c", query.replace("user-", "user-1")),
        (
            "GET",
            "/a b/c",
            query.replace("aml-by=user", "aml-by=owner"),
        ),
        ("GET", "/a b/c", format!("{query}0")),
    ] {
        let refused = signer(method, path, query).await;
        assert_eq!(code(refused).0, Code::Denied, "{method} {path}");
    }
    wait_seconds(60);
    let (_, message) = code(signer("GET", "/a b/c", query).await);
    assert!(
        message.starts_with("The address could be used until"),
        "{message}"
    );
}

#[tokio::test]
async fn a_signed_address_ends_with_who_signed_it() {
    let bench = bench().await;
    bench.user("root", None).await;
    let ann = bench.user("ann", None).await;
    let until = Time(i64::MAX);
    let by_ann = bench.service.sign(&ann, "PUT", "/x", until).await.unwrap();
    let by_owner = bench
        .service
        .sign(&Caller::Owner, "PUT", "/x", until)
        .await
        .unwrap();
    let rotate = RotateToken { user: "ann".into() };
    bench.ask(rotate).await.unwrap();
    let refused = bench.service.signer("PUT", "/x", &by_ann).await;
    assert_eq!(code(refused).0, Code::Denied);
    let sign = bench.service.sign(&ann, "PUT", "/x", until);
    let by_ann = sign.await.unwrap();
    let known = bench.service.signer("PUT", "/x", &by_ann).await;
    assert_eq!(known, Ok(Some(ann)));
    let delete = DeleteUser { user: "ann".into() };
    bench.ask(delete).await.unwrap();
    let refused = bench.service.signer("PUT", "/x", &by_ann).await;
    assert_eq!(code(refused).0, Code::Denied);
    let owner = bench.service.signer("PUT", "/x", &by_owner).await;
    assert_eq!(owner, Ok(Some(Caller::Owner)));
}

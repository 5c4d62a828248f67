//! Collection: what is freed, what stays, and that a dry run says exactly what happens.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    files::{entry, framed},
    pipeline_sweeps::parallel,
    pipelines::step,
    support::{Bench, ended, submission, wait_seconds},
};
use crate::Caller;
use api::{
    Done, Time,
    deployments::{Deployment, ImageBase, Program, Routes},
    files::{
        AddArtifacts, CollectGarbage, Collected, FindTree, GetTree, MissingBlobs, RemoveArtifacts,
        TreeInfo,
    },
    runs::{CancelRun, DeleteRun},
    work::Outcome,
};
use store::NewDeployment;

impl Bench {
    async fn collect(&self, dry_run: bool, grace_seconds: u64) -> Collected {
        self.ask(CollectGarbage {
            dry_run,
            grace_seconds,
            environments_unused_seconds: None,
        })
        .await
        .unwrap()
    }

    /// Bytes of packs and logs.
    fn disk(&self) -> u64 {
        let mut bytes = self.packs().1;
        for folder in fs::read_dir(self.home.join("logs"))
            .into_iter()
            .flatten()
            .flatten()
        {
            for log in fs::read_dir(folder.path()).unwrap().flatten() {
                bytes += log.metadata().unwrap().len();
            }
        }
        bytes
    }

    /// Collects all that is dead; the dry run before must have said the same, and so must the disk.
    async fn collect_exactly(&self) -> Collected {
        let promised = self.collect(true, 0).await;
        let before = self.disk();
        let collected = self.collect(false, 0).await;
        assert_eq!(promised, collected);
        assert_eq!(before - self.disk(), collected.bytes);
        assert_eq!(
            self.collect(true, 0).await.bytes,
            0,
            "nothing is left to free"
        );
        collected
    }

    pub(super) async fn snapshot(&self, contents: &[&[u8]]) -> TreeInfo {
        self.put(framed(contents)).await.unwrap();
        let entries = contents
            .iter()
            .enumerate()
            .map(|(i, content)| entry(&i.to_string(), content));
        self.tree(entries.collect()).await.unwrap()
    }

    async fn run_with(&self, name: &str, snapshot: &TreeInfo) {
        let mut submission = submission(name);
        submission.job.snapshot = Some(snapshot.hash);
        self.ask(submission).await.unwrap();
    }

    async fn delete_run(&self, name: &str) {
        let workspace = || "ws".to_owned();
        self.ask(CancelRun {
            workspace: workspace(),
            run: name.into(),
        })
        .await
        .unwrap();
        self.ask(DeleteRun {
            workspace: workspace(),
            run: name.into(),
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn what_a_run_or_artifact_has_stays_and_the_rest_of_its_pack_goes() {
    let bench = Bench::new().await;
    // One pack with blobs of a tree in use, of one that is not, and of an artifact.
    bench
        .put(framed(&[
            b"kept",
            b"dead one",
            b"artifact",
            b"dead two",
            b"shared",
        ]))
        .await
        .unwrap();
    let used = bench
        .tree(vec![entry("a", b"kept"), entry("s", b"shared")])
        .await
        .unwrap();
    let unused = bench
        .tree(vec![entry("a", b"dead one"), entry("s", b"shared")])
        .await
        .unwrap();
    bench.run_with("r", &used).await;
    let files = vec![entry("out", b"artifact")];
    bench
        .ask(AddArtifacts {
            workspace: "ws".into(),
            run: "r".into(),
            files,
        })
        .await
        .unwrap();

    let collected = bench.collect_exactly().await;
    assert_eq!(collected.blobs, 3, "two contents and the entries of a tree");
    let missing = bench
        .missing(&[b"kept", b"artifact", b"shared", b"dead one", b"dead two"])
        .await;
    assert_eq!(missing.len(), 2);
    let get = GetTree {
        workspace: "ws".into(),
        hash: used.hash,
    };
    assert_eq!(bench.ask(get).await.unwrap().entries.len(), 2);
    let find = FindTree {
        workspace: "ws".into(),
        hash: unused.hash,
    };
    assert_eq!(bench.ask(find).await.unwrap(), None);
    let moved = bench
        .service
        .read_artifact(&Caller::Owner, "ws", "r", "out")
        .await
        .unwrap();
    let mut pieces = moved.pieces(0..8);
    assert_eq!(pieces.recv().await.unwrap().unwrap().as_ref(), b"artifact");

    let remove = RemoveArtifacts {
        workspace: "ws".into(),
        run: "r".into(),
        path: "out".into(),
    };
    assert_eq!(bench.ask(remove).await.unwrap(), Done {});
    bench.delete_run("r").await;
    wait_seconds(120);
    bench.collect_exactly().await;
    assert_eq!(bench.packs(), (0, 0));
}

#[tokio::test]
async fn what_is_young_stays_and_is_counted() {
    let bench = Bench::new().await;
    let tree = bench.snapshot(&[b"0123456789"]).await;
    let young = bench.collect(false, 600).await;
    assert_eq!((young.blobs, young.bytes), (0, 0));
    assert_eq!(young.recent, 10 + manifest(&bench));
    wait_seconds(700);
    // Asking for it makes it young again.
    let find = FindTree {
        workspace: "ws".into(),
        hash: tree.hash,
    };
    assert_eq!(bench.ask(find).await.unwrap(), Some(tree));
    assert_eq!(bench.collect(false, 600).await.blobs, 0);
    wait_seconds(700);
    assert_eq!(bench.missing(&[b"0123456789"]).await, []);
    assert_eq!(
        bench.collect(false, 600).await.blobs,
        1,
        "the entries, not the content"
    );
    wait_seconds(700);
    assert_eq!(bench.collect(false, 600).await.blobs, 1);
    assert_eq!(bench.packs(), (0, 0));
}

/// Bytes of the packs without the one blob of ten bytes.
fn manifest(bench: &Bench) -> u64 {
    bench.packs().1 - 10
}

#[tokio::test]
async fn what_broken_uploads_and_deleted_runs_left_goes() {
    let bench = Bench::new().await;
    let tree = bench.snapshot(&[b"content"]).await;
    bench.run_with("r", &tree).await;
    let blobs = bench.home.join("blobs");
    fs::write(blobs.join("0123.tmp"), "an upload that was killed").unwrap();
    fs::write(blobs.join("4567"), "killed before its rows").unwrap();
    let logs = bench.home.join("logs/1");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("77.log"), "of a run that is gone").unwrap();
    fs::write(logs.join("1.log"), "of a run that is there").unwrap();
    // A living writer holds its lock.
    let living = fs::File::create(blobs.join("89ab.tmp")).unwrap();
    living.lock().unwrap();
    let collected = bench.collect_exactly().await;
    assert_eq!((collected.blobs, collected.bytes), (0, 25 + 22 + 21));
    assert!(blobs.join("89ab.tmp").exists());
    assert!(logs.join("1.log").exists());
    drop(living);
    bench.collect_exactly().await;
    assert!(!blobs.join("89ab.tmp").exists());
    assert_eq!(bench.missing(&[b"content"]).await, []);
}

#[tokio::test]
async fn uploads_and_readers_are_safe_while_it_runs() {
    let bench = Arc::new(Bench::new().await);
    let ended = Arc::new(AtomicBool::new(false));
    let collector = std::thread::spawn({
        let (bench, ended) = (bench.clone(), ended.clone());
        move || {
            // By this thread's clock nothing is young: only being referred to protects.
            wait_seconds(1_000_000);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let mut freed = 0;
            while !ended.load(Ordering::Relaxed) {
                freed += runtime.block_on(bench.collect(false, 0)).blobs;
            }
            freed
        }
    });
    // Runs keep their trees; half of each upload is rubbish that has its packs rewritten.
    let mut kept = Vec::new();
    for round in 0..40 {
        let own = format!("of round {round}");
        let rubbish = format!("rubbish {round}");
        let name = format!("r{round}");
        loop {
            // As the client does it: when a collection came between, again.
            bench
                .put(framed(&[own.as_bytes(), rubbish.as_bytes(), b"common"]))
                .await
                .unwrap();
            let entries = vec![entry("own", own.as_bytes()), entry("common", b"common")];
            let Ok(tree) = bench.tree(entries).await else {
                continue;
            };
            let mut submission = submission(&name);
            submission.job.snapshot = Some(tree.hash);
            if bench.ask(submission).await.is_ok() {
                kept.push((tree, own));
                break;
            }
        }
        let (tree, own) = &kept[round / 2];
        let read = bench
            .service
            .read_tree_file(&Caller::Owner, "ws", tree.hash, "own")
            .await;
        let mut pieces = read.unwrap().pieces(0..own.len() as u64);
        assert_eq!(pieces.recv().await.unwrap().unwrap(), own.as_bytes());
    }
    ended.store(true, Ordering::Relaxed);
    assert!(collector.join().unwrap() > 0);
    bench.collect_exactly().await;
    for (tree, own) in &kept {
        for (path, content) in [("own", own.as_str()), ("common", "common")] {
            let read = bench
                .service
                .read_tree_file(&Caller::Owner, "ws", tree.hash, path)
                .await;
            let mut pieces = read.unwrap().pieces(0..content.len() as u64);
            assert_eq!(pieces.recv().await.unwrap().unwrap(), content.as_bytes());
        }
    }
    let rubbish: Vec<String> = (0..40).map(|round| format!("rubbish {round}")).collect();
    let rubbish: Vec<&[u8]> = rubbish.iter().map(String::as_bytes).collect();
    assert_eq!(bench.missing(&rubbish).await.len(), 40);
}

#[tokio::test]
async fn the_code_of_steps_that_have_not_begun_stays() {
    let bench = Bench::new().await;
    let mut second = parallel();
    second["inputs"]["x"] = serde_json::json!("${{parent.jobs.a.outputs.o}}");
    let jobs = serde_json::json!({"jobs": {"a": step(&[]), "b": second}});
    bench.pipeline("p", jobs).await.unwrap();
    bench.sync("w", 9, &[]).await;
    wait_seconds(120);
    bench.collect_exactly().await;
    let a = ended(Outcome::Completed);
    bench.report("w", "p-a", a).await.unwrap();
    let hash = bench.sync("w", 9, &[]).await.take[0].job.snapshot.unwrap();
    let workspace = "ws".to_owned();
    let tree = bench.ask(GetTree { workspace, hash }).await.unwrap();
    let missing = MissingBlobs {
        workspace: "ws".to_owned(),
        hashes: tree.entries.iter().map(|entry| entry.hash).collect(),
    };
    assert_eq!(bench.ask(missing).await.unwrap(), []);
}

#[tokio::test]
async fn what_a_program_is_run_in_stays() {
    let bench = Bench::new().await;
    let [code, folder, image] = [
        bench.snapshot(&[b"the code"]).await,
        bench.snapshot(&[b"a server"]).await,
        bench.snapshot(&[b"a Dockerfile"]).await,
    ];
    let store = &bench.service.store;
    let workspace = store.workspace("ws").await.unwrap().unwrap();
    let program = Program {
        command: "sh server.sh".to_owned(),
        folder: Some(folder.hash),
        port: None,
        routes: Routes::default(),
    };
    let new = NewDeployment {
        endpoint: "ep".to_owned(),
        name: "blue".to_owned(),
        deployment: Deployment {
            code: Some(code.hash),
            program: Some(program),
            image: Some(ImageBase::Build {
                folder: image.hash,
                dockerfile: "Dockerfile".to_owned(),
            }),
            ..Deployment::default()
        },
        model_version: None,
        all_traffic: false,
        first_traffic: false,
        port: None,
        sealed_keys: Vec::new(),
        now: Time(1),
    };
    store.deploy(workspace.id, new).await.unwrap().unwrap();
    wait_seconds(120);
    bench.collect_exactly().await;
    for kept in [code, folder, image] {
        let get = GetTree {
            workspace: "ws".to_owned(),
            hash: kept.hash,
        };
        bench.ask(get).await.unwrap();
    }
}

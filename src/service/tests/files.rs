//! Blobs, trees and artifacts: what is kept, what is refused, who may read.

use bytes::Bytes;
use futures_util::stream;

use super::support::{Bench, submission};
use crate::{Caller, Content, Pieces};
use api::{
    Code, Error, Result,
    files::{
        AddArtifacts, Artifact, BlobsStored, CreateTree, FindTree, GetTree, Hash, ListArtifacts,
        MissingBlobs, RecordTree, RemoveArtifacts, Tree, TreeEntry, TreeInfo,
    },
    frames,
};

/// A framed body with these contents.
pub fn framed(contents: &[&[u8]]) -> Vec<u8> {
    let frame = |content: &&[u8]| {
        let mut frame = frames::header(Hash::of(content), content.len() as u64).to_vec();
        frame.extend_from_slice(content);
        frame
    };
    contents.iter().flat_map(frame).collect()
}

pub fn entry(path: &str, content: &[u8]) -> TreeEntry {
    TreeEntry {
        path: path.to_owned(),
        hash: Hash::of(content),
        size: content.len() as u64,
        executable: false,
        symlink: false,
    }
}

async fn all(mut pieces: Pieces) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.recv().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    bytes
}

impl Bench {
    pub async fn put(&self, body: Vec<u8>) -> Result<BlobsStored> {
        let chunks: Vec<Result<Bytes>> = body
            .chunks(1000)
            .map(|c| Ok(Bytes::copy_from_slice(c)))
            .collect();
        self.service
            .store_blobs(&Caller::Owner, "ws", stream::iter(chunks))
            .await
    }

    pub async fn tree(&self, entries: Vec<TreeEntry>) -> Result<TreeInfo> {
        let tree = Tree { entries };
        self.ask(CreateTree {
            workspace: "ws".into(),
            tree,
        })
        .await
    }

    pub async fn missing(&self, contents: &[&[u8]]) -> Vec<Hash> {
        let hashes = contents.iter().map(|content| Hash::of(content)).collect();
        self.ask(MissingBlobs {
            workspace: "ws".into(),
            hashes,
        })
        .await
        .unwrap()
    }

    async fn write(&self, path: &str, chunks: Vec<Result<Bytes>>) -> Result<Artifact> {
        let body = stream::iter(chunks);
        self.service
            .write_artifact(&Caller::Owner, "ws", "r", path, body)
            .await
    }

    async fn read(&self, path: &str) -> Result<Content> {
        self.service
            .read_artifact(&Caller::Owner, "ws", "r", path)
            .await
    }

    /// Files in the folder of packs and their bytes.
    pub fn packs(&self) -> (usize, u64) {
        let files = std::fs::read_dir(self.home.join("blobs"))
            .into_iter()
            .flatten()
            .flatten();
        files.fold((0, 0), |(n, bytes), file| {
            (n + 1, bytes + file.metadata().unwrap().len())
        })
    }
}

#[tokio::test]
async fn a_stored_blob_is_read_back_whatever_its_size() {
    let bench = Bench::new().await;
    let large = vec![7; 9 << 20];
    let contents: [&[u8]; 4] = [b"", b"small", &large, b"after"];
    assert_eq!(bench.missing(&contents).await.len(), 4);
    assert_eq!(bench.put(framed(&contents)).await.unwrap().stored, 4);
    assert_eq!(bench.missing(&contents).await, []);
    let names = ["a", "b", "c", "d"];
    let entries = names
        .iter()
        .zip(contents)
        .map(|(name, content)| entry(name, content));
    let tree = bench.tree(entries.collect()).await.unwrap();
    for (name, content) in names.iter().zip(contents) {
        let read = bench
            .service
            .read_tree_file(&Caller::Owner, "ws", tree.hash, name);
        let read = read.await.unwrap();
        assert_eq!(read.size, content.len() as u64);
        let range = 0..read.size;
        assert!(all(read.pieces(range)).await == content, "{name}");
    }
    let part = bench
        .service
        .read_tree_file(&Caller::Owner, "ws", tree.hash, "b");
    assert_eq!(all(part.await.unwrap().pieces(1..4)).await, b"mal");
    // The same again takes no more space.
    let before = bench.packs();
    assert_eq!(bench.put(framed(&contents)).await.unwrap().stored, 0);
    assert_eq!(bench.packs(), before);
}

#[tokio::test]
async fn of_a_body_with_a_wrong_hash_or_an_early_end_nothing_is_kept() {
    let bench = Bench::new().await;
    let good = framed(&[b"one", b"two"]);
    let mut wrong = good.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let torn = good[..good.len() - 1].to_vec();
    let torn_header = good[..20].to_vec();
    let mut endless = framed(&[b"one"]);
    endless.extend(frames::header(Hash::of(b"x"), u64::MAX));
    endless.extend(b"not that many");
    for (name, body) in [
        ("wrong", wrong),
        ("torn", torn),
        ("torn header", torn_header),
        ("endless", endless),
    ] {
        assert_eq!(
            bench.put(body).await.unwrap_err().code,
            Code::Invalid,
            "{name}"
        );
        assert_eq!(bench.packs(), (0, 0), "{name}");
        assert_eq!(bench.missing(&[b"one", b"two"]).await.len(), 2, "{name}");
    }
    assert_eq!(bench.put(good).await.unwrap().stored, 2);
    assert_eq!(bench.put(Vec::new()).await.unwrap().stored, 0);
}

#[tokio::test]
async fn a_tree_has_plain_paths_and_stored_contents() {
    let bench = Bench::new().await;
    bench.put(framed(&[b"x"])).await.unwrap();
    for path in [
        "",
        "/x",
        "../x",
        "a/../x",
        "a/..",
        "./x",
        "a//x",
        "x/",
        "a\\b",
        "C:x",
        "a\nb",
        "a\0b",
        "..",
        "a/\u{7f}",
        &"x".repeat(256),
        &"x/".repeat(3000),
    ] {
        let refused = bench.tree(vec![entry(path, b"x")]).await;
        assert_eq!(refused.unwrap_err().code, Code::Invalid, "{path:?}");
        let refused = bench.write(path, vec![]).await;
        assert_eq!(refused.unwrap_err().code, Code::Invalid, "{path:?}");
    }
    for entries in [
        vec![entry("a", b"x"), entry("a", b"x")],
        vec![entry("a", b"x"), entry("a-b", b"x"), entry("a/b/c", b"x")],
    ] {
        assert_eq!(bench.tree(entries).await.unwrap_err().code, Code::Invalid);
    }
    let missing = bench.tree(vec![entry("a", b"x"), entry("b", b"y")]).await;
    assert_eq!(missing.unwrap_err().code, Code::Conflict);
    let mut lie = entry("a", b"x");
    lie.size = 2;
    assert_eq!(
        bench.tree(vec![lie]).await.unwrap_err().code,
        Code::Conflict
    );

    // Entries in any order are the same tree, and a second time is no error.
    let both = [entry("b", b"x"), entry("a/ü", b"x")];
    let tree = bench.tree(both.to_vec()).await.unwrap();
    assert_eq!((tree.files, tree.size), (2, 2));
    assert_eq!(
        bench
            .tree(both.iter().rev().cloned().collect())
            .await
            .unwrap(),
        tree
    );
    let get = GetTree {
        workspace: "ws".into(),
        hash: tree.hash,
    };
    assert_eq!(
        bench.ask(get).await.unwrap().entries,
        [both[1].clone(), both[0].clone()]
    );
}

#[tokio::test]
async fn a_tree_is_recorded_by_the_blob_that_describes_it() {
    let bench = Bench::new().await;
    let record = |tree: &[u8]| RecordTree {
        workspace: "ws".into(),
        hash: Hash::of(tree),
    };
    let code = async |tree: &[u8]| bench.ask(record(tree)).await.unwrap_err().code;
    let tree = Tree::new(vec![entry("b", b"x"), entry("a/c", b"y")]);
    let bytes = tree.encode();
    assert_eq!(tree.hash(), Hash::of(&bytes));
    assert_eq!(code(&bytes).await, Code::Conflict, "it is not there");
    bench.put(framed(&[&bytes, b"x"])).await.unwrap();
    assert_eq!(code(&bytes).await, Code::Conflict, "a content is missing");
    bench.put(framed(&[b"y"])).await.unwrap();
    let info = bench.ask(record(&bytes)).await.unwrap();
    assert_eq!((info.hash, info.files, info.size), (tree.hash(), 2, 2));
    assert_eq!(bench.ask(record(&bytes)).await.unwrap(), info, "again");
    let get = GetTree {
        workspace: "ws".into(),
        hash: info.hash,
    };
    assert_eq!(bench.ask(get).await.unwrap(), tree);

    let unsorted = Tree {
        entries: tree.entries.iter().rev().cloned().collect(),
    };
    let spaced = [b" ", bytes.as_slice()].concat();
    let outside = Tree::new(vec![entry("../x", b"x")]);
    for wrong in [
        unsorted.encode(),
        spaced,
        outside.encode(),
        b"no tree".to_vec(),
    ] {
        bench.put(framed(&[&wrong])).await.unwrap();
        assert_eq!(code(&wrong).await, Code::Invalid);
    }
}

#[tokio::test]
async fn a_file_is_read_through_a_workspace_that_has_it() {
    let bench = Bench::new().await;
    bench.workspace("other").await;
    bench.put(framed(&[b"secret"])).await.unwrap();
    let tree = bench.tree(vec![entry("a", b"secret")]).await.unwrap();
    let owner = &Caller::Owner;
    let elsewhere = bench
        .service
        .read_tree_file(owner, "other", tree.hash, "a")
        .await;
    assert_eq!(elsewhere.unwrap_err().code, Code::NotFound);
    let elsewhere = bench
        .service
        .read_tree_files(owner, "other", tree.hash, "")
        .await;
    assert_eq!(elsewhere.unwrap_err().code, Code::NotFound);
    let find = FindTree {
        workspace: "other".into(),
        hash: tree.hash,
    };
    assert_eq!(bench.ask(find).await.unwrap(), None);
    let nobody = Caller::User {
        id: 9,
        name: "eve".into(),
        admin: false,
    };
    let denied = bench
        .service
        .read_tree_file(&nobody, "ws", tree.hash, "a")
        .await;
    assert_eq!(denied.unwrap_err().code, Code::NotFound);
    let denied =
        bench
            .service
            .store_blobs(&nobody, "ws", stream::iter(Vec::<Result<Bytes>>::new()));
    assert_eq!(denied.await.unwrap_err().code, Code::NotFound);
    bench.submit("r").await;
    let run = Caller::Run {
        workspace: 1,
        run: 99,
    };
    let foreign = bench.service.write_artifact(
        &run,
        "ws",
        "r",
        "a",
        stream::iter(Vec::<Result<Bytes>>::new()),
    );
    assert_eq!(foreign.await.unwrap_err().code, Code::Denied);
}

#[tokio::test]
async fn an_artifact_is_streamed_replaced_and_removed() {
    let bench = Bench::new().await;
    bench.ask(submission("r")).await.unwrap();
    let chunks = || vec![Ok(Bytes::from("hello ")), Ok(Bytes::from("world"))];
    let made = bench.write("outputs/a.txt", chunks()).await.unwrap();
    assert_eq!((made.size, made.hash), (11, Hash::of(b"hello world")));
    let content = bench.read("outputs/a.txt").await.unwrap();
    assert_eq!(all(content.pieces(0..11)).await, b"hello world");

    let broken = vec![Ok(Bytes::from("half")), Err(Error::internal("gone"))];
    let before = bench.packs();
    assert_eq!(
        bench.write("outputs/a.txt", broken).await.unwrap_err().code,
        Code::Invalid
    );
    assert_eq!(bench.packs(), before);
    assert_eq!(
        bench.read("outputs/a.txt").await.unwrap().size,
        11,
        "the old one stays"
    );

    bench.write("outputs/a.txt", vec![]).await.unwrap();
    assert_eq!(bench.read("outputs/a.txt").await.unwrap().size, 0);
    let files = vec![entry("outputs/b/c", b"hello world"), entry("d", b"")];
    let add = AddArtifacts {
        workspace: "ws".into(),
        run: "r".into(),
        files,
    };
    bench.ask(add).await.unwrap();
    let missing = vec![entry("e", b"never sent")];
    let add = AddArtifacts {
        workspace: "ws".into(),
        run: "r".into(),
        files: missing,
    };
    assert_eq!(bench.ask(add).await.unwrap_err().code, Code::Conflict);

    let folder = bench.read("outputs").await.unwrap_err();
    assert_eq!(folder.hints, ["It is a folder; it has `outputs/a.txt`"]);
    let typo = bench.read("outputs/b/cc").await.unwrap_err();
    assert_eq!(typo.hints, ["Did you mean `outputs/b/c`?"]);
    let remove = RemoveArtifacts {
        workspace: "ws".into(),
        run: "r".into(),
        path: "outputs/b".into(),
    };
    bench.ask(remove).await.unwrap();
    let list = ListArtifacts {
        workspace: "ws".into(),
        run: "r".into(),
        path: String::new(),
    };
    let left: Vec<String> = bench
        .ask(list)
        .await
        .unwrap()
        .into_iter()
        .map(|a| a.path)
        .collect();
    assert_eq!(left, ["d", "outputs/a.txt"]);
}

//! Folders up and down.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::wiring::{Target, open_client};
use api::{
    Code,
    experiments::CreateExperiment,
    files::{Hash, ListArtifacts, MissingBlobs, RemoveArtifacts, TreeInfo},
    runs::{CreateRun, RunStatus},
    workspaces::{CreateWorkspace, Edition},
};
use client::{Client, Limit, Take, UploadOptions};

pub struct World {
    pub folder: TempDir,
    pub client: Client,
}

pub async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let client = open_client(&Target::Local { home }).await.unwrap();
    let create = serde_json::json!({"name": "w", "edition": Edition::Basic});
    let create: CreateWorkspace = serde_json::from_value(create).unwrap();
    client.call(&create).await.unwrap();
    World { folder, client }
}

impl World {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub async fn upload(&self, folder: &str) -> (TreeInfo, u64) {
        let options = UploadOptions {
            cache: Some(self.path("cache")),
            limit: Limit::default(),
            take: Take::Unignored,
            report: None,
        };
        let uploaded = self
            .client
            .upload_folder("w", &self.path(folder), &options)
            .await
            .unwrap();
        assert_eq!(uploaded.warnings, Vec::<String>::new());
        (uploaded.tree, uploaded.sent)
    }

    pub async fn run(&self, name: &str) {
        let experiment = serde_json::json!({"workspace": "w", "name": format!("of {name}")});
        let experiment: CreateExperiment = serde_json::from_value(experiment).unwrap();
        let experiment = self.client.call(&experiment).await.unwrap();
        let run = serde_json::json!({
            "workspace": "w", "name": name, "experiment_id": experiment.id, "display_name": name,
            "user": "u", "status": RunStatus::Running,
        });
        let run: CreateRun = serde_json::from_value(run).unwrap();
        self.client.call(&run).await.unwrap();
    }
}

/// Paths below a folder with mode and content or target, sorted.
fn listing(root: &Path) -> Vec<(String, String, String)> {
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if metadata.is_dir() {
                folders.push(path);
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                lines.push((name, "link".into(), target.to_str().unwrap().into()));
            } else {
                let mode = format!("{:o}", metadata.permissions().mode() & 0o777);
                lines.push((name, mode, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    lines.sort();
    lines
}

#[tokio::test]
async fn a_folder_comes_back_as_it_was() {
    let world = world().await;
    world.write("src/a/b/c.txt", "deep");
    world.write("src/empty", "");
    world.write("src/same-as-deep", "deep");
    world.write("src/späce und ünïcode 漢字 'quotes'.txt", "name");
    world.write("src/.hidden", "kept");
    world.write("src/large", &"0123456789".repeat(1_200_000));
    let script = world.write("src/run.sh", "deep");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../run.sh", world.path("src/a/link")).unwrap();

    let (tree, sent) = world.upload("src").await;
    assert_eq!((tree.files, tree.size), (8, 12_000_029));
    assert_eq!(sent, 12_000_021, "what is there twice is sent once");
    let out = world.path("out/of/the/way");
    world
        .client
        .download_tree("w", tree.hash, &out, None)
        .await
        .unwrap();
    assert_eq!(listing(&out), listing(&world.path("src")));

    // The same again: nothing is sent, and laying it over itself changes nothing.
    assert_eq!(world.upload("out/of/the/way").await, (tree.clone(), 0));
    world
        .client
        .download_tree("w", tree.hash, &out, None)
        .await
        .unwrap();
    assert_eq!(listing(&out), listing(&world.path("src")));
}

#[tokio::test]
async fn artifacts_go_up_come_down_and_are_removed() {
    let world = world().await;
    world.run("r").await;
    let model = world.write("out/model/weights.bin", "weights");
    let card = world.write("out/model/card.md", "weights");
    let log = world.write("out/log.txt", "");
    let files = [
        ("outputs/model/weights.bin".to_owned(), model),
        ("outputs/model/card.md".to_owned(), card),
        ("log.txt".to_owned(), log.clone()),
    ];
    assert_eq!(
        world
            .client
            .upload_artifacts("w", "r", &files, None)
            .await
            .unwrap(),
        7
    );
    let list = async |path: &str| {
        let list = ListArtifacts {
            workspace: "w".into(),
            run: "r".into(),
            path: path.into(),
        };
        let artifacts = world.client.call(&list).await.unwrap();
        artifacts
            .into_iter()
            .map(|artifact| artifact.path)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        list("outputs/model").await,
        ["outputs/model/card.md", "outputs/model/weights.bin"]
    );
    assert_eq!(list("outputs/mod").await, [""; 0]);

    let down = world.path("down");
    world
        .client
        .download_artifacts("w", "r", "outputs", &down, None)
        .await
        .unwrap();
    assert_eq!(
        listing(&down)
            .into_iter()
            .map(|(path, _, content)| (path, content))
            .collect::<Vec<_>>(),
        [
            ("outputs/model/card.md", "weights"),
            ("outputs/model/weights.bin", "weights")
        ]
        .map(|(path, content)| (path.to_owned(), content.to_owned()))
    );

    let clash = [("outputs/model".to_owned(), log.clone())];
    let refused = world
        .client
        .upload_artifacts("w", "r", &clash, None)
        .await
        .unwrap_err();
    assert_eq!(
        refused.message,
        "`outputs/model` is a folder of the artifacts"
    );
    let clash = [("log.txt/x".to_owned(), log)];
    let refused = world
        .client
        .upload_artifacts("w", "r", &clash, None)
        .await
        .unwrap_err();
    assert_eq!(
        refused.message,
        "`log.txt` is a file of the artifacts, not a folder"
    );

    let remove = RemoveArtifacts {
        workspace: "w".into(),
        run: "r".into(),
        path: "outputs".into(),
    };
    world.client.call(&remove).await.unwrap();
    assert_eq!(list("").await, ["log.txt"]);
    assert_eq!(
        world.client.call(&remove).await.unwrap_err().code,
        Code::NotFound
    );
}

#[tokio::test]
async fn what_is_not_stored_is_said_to_be_missing() {
    let world = world().await;
    world.write("src/a", "a");
    world.upload("src").await;
    let hashes = vec![Hash::of(b"a"), Hash::of(b"b")];
    let ask = MissingBlobs {
        workspace: "w".into(),
        hashes,
    };
    assert_eq!(world.client.call(&ask).await.unwrap(), [Hash::of(b"b")]);
}

//! `az ml environment`

use serde_json::{Value, json};

use super::{asset, data::SHARE, named_draft};
use crate::az::{
    Az,
    given::Given,
    grammar::{
        ARCHIVED, FILE, Flag, GENERIC, Group, LABEL, MAX, NAME, NO_WAIT, PLACE, REGISTRY, SET,
        THE_NAME, VERSION, flag, verb,
    },
};
use api::assets::AssetKind;

const KIND: AssetKind = AssetKind::Environment;
const NEW: &[Flag] = &[
    flag("image", "Image to start from").short('i'),
    flag("conda-file", "Conda file with the packages").short('c'),
    flag("build-context", "Folder with a Dockerfile").short('b'),
    flag("dockerfile-path", "Dockerfile below that folder").short('d'),
    flag("description", "Description"),
    flag("tags", "Tags, as KEY=VALUE").many(),
    flag("os-type", "Linux or Windows"),
    flag("datastore", "Datastore that local files are uploaded to"),
];

pub const GROUP: Group = Group {
    path: "ml environment",
    about: "Environments",
    verbs: &[
        verb!(
            "create",
            "Create a version of an environment",
            [PLACE, REGISTRY, NAME, VERSION, FILE, SET, NO_WAIT, NEW],
            create
        ),
        verb!(
            "show",
            "Show a version of an environment",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            asset::show,
            KIND
        ),
        verb!(
            "list",
            "List the environments, or the versions of one",
            [PLACE, REGISTRY, NAME, ARCHIVED, MAX],
            asset::list,
            KIND
        ),
        verb!(
            "update",
            "Change an environment's description, tags and properties",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL, GENERIC],
            asset::update,
            KIND
        ),
        verb!(
            "archive",
            "Hide an environment, or a version of it",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            asset::archive,
            KIND
        ),
        verb!(
            "restore",
            "Bring an archived environment back",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            asset::restore,
            KIND
        ),
        verb!(
            "share",
            "Copy a version of an environment to a registry",
            [PLACE, THE_NAME, VERSION, SHARE],
            asset::share,
            KIND
        ),
    ],
};

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    let flags = [
        "name",
        "version",
        "image",
        "conda-file",
        "description",
        "tags",
        "os-type",
        "datastore",
    ];
    asset::put_flags(&mut draft, given, &flags);
    if let Some(folder) = given.text("build-context") {
        let dockerfile = given.text("dockerfile-path").unwrap_or("Dockerfile");
        let dockerfile = dockerfile.trim_start_matches('/');
        let build = json!({"path": folder, "dockerfile_path": dockerfile});
        draft.put("build", build, "--build-context");
    }
    asset::create(az, given, KIND, draft).await
}

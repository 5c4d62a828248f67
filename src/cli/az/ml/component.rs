//! `az ml component`

use serde_json::{Value, json};

use super::asset;
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{
            ARCHIVED, Flag, GENERIC, Group, LABEL, MAX, NAME, NO_WAIT, PLACE, REGISTRY, SET,
            THE_FILE, THE_NAME, VERSION, switch, verb,
        },
    },
    document::Draft,
};
use api::assets::AssetKind;

const KIND: AssetKind = AssetKind::Component;
const NEW: &[Flag] = &[switch(
    "skip-validation",
    "Do not check the component before",
)];

pub const GROUP: Group = Group {
    path: "ml component",
    about: "Components",
    verbs: &[
        verb!(
            "create",
            "Create a version of a component",
            [PLACE, REGISTRY, NAME, VERSION, THE_FILE, SET, NO_WAIT, NEW],
            create
        ),
        verb!(
            "show",
            "Show a version of a component",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            asset::show,
            KIND
        ),
        verb!(
            "list",
            "List the components, or the versions of one",
            [PLACE, REGISTRY, NAME, ARCHIVED, MAX],
            asset::list,
            KIND
        ),
        verb!(
            "update",
            "Change a component's description, tags and properties",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL, GENERIC],
            asset::update,
            KIND
        ),
        verb!(
            "archive",
            "Hide a component, or a version of it",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            asset::archive,
            KIND
        ),
        verb!(
            "restore",
            "Bring an archived component back",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            asset::restore,
            KIND
        ),
        verb!(
            "prepare-for-sign",
            "Check a component before it is signed",
            [PLACE, REGISTRY, THE_FILE],
            prepare
        ),
    ],
};

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    asset::put_flags(&mut draft, given, &["name", "version"]);
    asset::create(az, given, KIND, draft).await
}

async fn prepare(az: &Az, given: &Given) -> anyhow::Result<Value> {
    Draft::open(given.text("file"), &az.ctx.folder)?.check("component")?;
    Ok(json!(null))
}

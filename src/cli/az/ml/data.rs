//! `az ml data`

use serde_json::{Value, json};

use super::{asset, mount, named_draft};
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{
            ARCHIVED, FILE, Flag, GENERIC, Group, LABEL, MAX, NAME, NO_WAIT, PLACE, REGISTRY, SET,
            THE_NAME, VERSION, flag, switch, verb,
        },
    },
    job::{self, entity::Entity, imported},
};
use api::{assets::AssetKind, runs::ListRuns};
use spec::overrides::Values;

const KIND: AssetKind = AssetKind::Data;
const NEW: &[Flag] = &[
    flag("path", "File, folder or address").short('p'),
    flag("type", "What it is: uri_file, uri_folder or mltable").short('t'),
    flag("description", "Description").short('d'),
    flag("tags", "Tags, as KEY=VALUE").many(),
    flag("datastore", "Datastore that local files are uploaded to"),
    switch("skip-validation", "Do not read an MLTable file before"),
];
pub const SHARE: &[Flag] = &[
    flag("registry-name", "Registry to copy to").required(),
    flag("share-with-name", "Name there"),
    flag("share-with-version", "Version there"),
];

pub const GROUP: Group = Group {
    path: "ml data",
    about: "Data assets",
    verbs: &[
        verb!(
            "create",
            "Create a version of a data asset",
            [PLACE, REGISTRY, NAME, VERSION, FILE, SET, NO_WAIT, NEW],
            create
        ),
        verb!(
            "show",
            "Show a version of a data asset",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            asset::show,
            KIND
        ),
        verb!(
            "list",
            "List the data assets, or the versions of one",
            [PLACE, REGISTRY, NAME, ARCHIVED, MAX],
            asset::list,
            KIND
        ),
        verb!(
            "update",
            "Change a data asset's description, tags and properties",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL, GENERIC],
            asset::update,
            KIND
        ),
        verb!(
            "archive",
            "Hide a data asset, or a version of it",
            [PLACE, THE_NAME, VERSION, LABEL],
            asset::archive,
            KIND
        ),
        verb!(
            "restore",
            "Bring an archived data asset back",
            [PLACE, THE_NAME, VERSION, LABEL],
            asset::restore,
            KIND
        ),
        verb!(
            "share",
            "Copy a version of a data asset to a registry",
            [PLACE, THE_NAME, VERSION, SHARE],
            asset::share,
            KIND
        ),
        verb!(
            "import",
            "Copy data from a database or file system and register it",
            [PLACE, NAME, VERSION, FILE, SET, NEW],
            import
        ),
        verb!(
            "mount",
            "Lay the files of data out in a folder",
            [PLACE, mount::FLAGS],
            mount::mount
        ),
        verb!(
            "list-materialization-status",
            "List the jobs that import data",
            [
                PLACE,
                ARCHIVED,
                MAX,
                &[
                    flag("name", "Name of the data").short('n').also('p'),
                    switch("all-results", "All of them")
                ]
            ],
            imports
        ),
    ],
};

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    let flags = [
        "name",
        "version",
        "path",
        "type",
        "description",
        "tags",
        "datastore",
    ];
    asset::put_flags(&mut draft, given, &flags);
    if !draft.has("type") {
        draft.put("type", json!("uri_folder"), "--type");
    }
    asset::create(az, given, KIND, draft).await
}

/// Queues the job that copies the data and registers it.
async fn import(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    let flags = [
        "name",
        "version",
        "path",
        "description",
        "tags",
        "datastore",
    ];
    asset::put_flags(&mut draft, given, &flags);
    draft.edit(&given.edits()?, Values::Strings)?;
    let job = imported::job_of(&az.ctx, &draft.check("data-import")?)?;
    let workspace = az.this_workspace().await?;
    let run = job::create::started(&az.ctx, None, job).await?;
    az.ctx.ui.show(&Entity::new(&run, &workspace))?;
    Ok(Value::Null)
}

async fn imports(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let request = ListRuns {
        workspace: workspace.name.clone(),
        view: job::list::view(
            given.switch("include-archived"),
            given.switch("archived-only"),
        ),
        ..ListRuns::default()
    };
    let mut found = imported::jobs(&az.ctx, given.text("name"), request).await?;
    if !given.switch("all-results") {
        found.truncate(given.number("max-results")?.unwrap_or(50) as usize);
    }
    let shown = found.iter().map(|run| Entity::new(run, &workspace));
    az.ctx.ui.show(&shown.collect::<Vec<_>>())?;
    Ok(Value::Null)
}

//! `az ml model`

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    asset::{description, put_flags, refuse_others},
    changed, changed_tags,
    data::SHARE,
    named_draft,
    package::package,
    tags,
};
use crate::{
    asset::texts,
    az::{
        Az,
        given::Given,
        grammar::{
            ARCHIVED, FILE, Flag, GENERIC, Group, LABEL, MAX, NAME, NO_WAIT, PLACE, REGISTRY, SET,
            THE_FILE, THE_NAME, VERSION, flag, verb,
        },
        ids,
        place::Place,
    },
    document::Draft,
    model::source,
};
use api::{
    Error, Result,
    files::{CreateTree, GetTree},
    models::{
        GetModel, ListModels, Model, ModelSource, ModelType, RegisterModel, Stage, UpdateModel,
        Which,
    },
    paths::Location,
};
use spec::overrides::Values;

const STAGE: &[Flag] = &[flag("stage", "Stage, any word").short('s')];
/// The tag with a stage that is none of MLflow's four. It counts while there is none of those.
const OWN_STAGE: &str = "azureml.stage";
const NEW: &[Flag] = &[
    flag("path", "File, folder, or what a job has put out").short('p'),
    flag(
        "type",
        "How it is packed: custom_model, mlflow_model or triton_model",
    )
    .short('t'),
    flag("description", "Description"),
    flag("tags", "Tags, as KEY=VALUE").many(),
    flag("datastore", "Datastore that local files are uploaded to"),
];

pub const GROUP: Group = Group {
    path: "ml model",
    about: "Models",
    verbs: &[
        verb!(
            "create",
            "Create a version of a model",
            [
                PLACE, REGISTRY, NAME, VERSION, FILE, SET, NO_WAIT, STAGE, NEW
            ],
            create
        ),
        verb!(
            "show",
            "Show a version of a model",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            show
        ),
        verb!(
            "list",
            "List the models, or the versions of one",
            [PLACE, REGISTRY, NAME, ARCHIVED, MAX, STAGE],
            list
        ),
        verb!(
            "update",
            "Change a model's description, tags and stage",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL, GENERIC, STAGE],
            update
        ),
        verb!(
            "archive",
            "Hide a model, or a version of it",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            archive
        ),
        verb!(
            "restore",
            "Bring an archived model back",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL],
            restore
        ),
        verb!(
            "download",
            "Download the files of a model",
            [
                PLACE,
                REGISTRY,
                THE_NAME,
                VERSION,
                LABEL,
                &[flag("download-path", "Folder to write to").short('p'),]
            ],
            download
        ),
        verb!(
            "share",
            "Copy a version of a model to a registry",
            [PLACE, THE_NAME, VERSION, SHARE],
            share
        ),
        verb!(
            "package",
            "Make an environment that brings the model, its script and packages along",
            [PLACE, REGISTRY, THE_NAME, VERSION, LABEL, THE_FILE, SET],
            package
        ),
    ],
};

/// A model as Azure's command line shows it.
/// What the file or folder was called that the model was made of.
fn base_name(model: &Model) -> &str {
    let path = model.lineage.path.as_deref().unwrap_or_default();
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or_default()
}

fn shown(place: &Place, model: &Model) -> Value {
    let version = model.version_called();
    let path = match (&model.files, &model.location) {
        (_, Some(location)) => location.clone(),
        (Some(files), None) => {
            let base = base_name(model);
            let hash = &files.hash.hex()[..32];
            place.address(&format!(
                "azureml://datastores/workspaceblobstore/paths/LocalUpload/{hash}/{base}"
            ))
        }
        (None, None) => String::new(),
    };
    let mut all = json!({
        "creation_context": ids::creation(
            (model.created_at, &model.created_by),
            (model.updated_at, &model.created_by),
        ),
        "description": model.description,
        "flavors": Some(&model.flavors).filter(|flavors| !flavors.is_empty()),
        "id": place.id("models", &model.name, &version),
        "job_name": model.lineage.run,
        "name": model.name,
        "path": path,
        "properties": model.properties,
        "resourceGroup": place.resource_group(),
        "stage": stage_of(model),
        "tags": shown_tags(model),
        "type": type_name(model.kind),
        "version": version,
    });
    if model.archived() {
        all["is_archived"] = json!(true);
    }
    all
}

fn stage_of(model: &Model) -> &str {
    let own = model.tags.get(OWN_STAGE);
    match own.filter(|_| model.stage == Stage::None) {
        Some(own) => own,
        None => model.stage.name(),
    }
}

fn shown_tags(model: &Model) -> BTreeMap<String, String> {
    let mut tags = model.tags.clone();
    tags.remove(OWN_STAGE);
    tags
}

fn type_name(kind: ModelType) -> &'static str {
    match kind {
        ModelType::Custom => "custom_model",
        ModelType::Mlflow => "mlflow_model",
        ModelType::Triton => "triton_model",
    }
}

fn type_of(name: &str) -> Option<ModelType> {
    let kinds = [ModelType::Custom, ModelType::Mlflow, ModelType::Triton];
    kinds.into_iter().find(|kind| type_name(*kind) == name)
}

/// The number and the name of a version that is named.
fn version_of(text: Option<&str>) -> (Option<u64>, Option<String>) {
    text.map_or((None, None), |text| Which::version(text).apart())
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    let flags = [
        "name",
        "version",
        "path",
        "type",
        "description",
        "tags",
        "stage",
        "datastore",
    ];
    put_flags(&mut draft, given, &flags);
    let mut edits = given.edits()?;
    draft.edit(&edits, Values::Strings)?;
    edits.clear();
    let says_type = draft.has("type");
    let fields = draft.check("model")?;
    let place = az.place(given).await?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    let path = text("path").ok_or_else(|| Error::invalid("The model has no `path`").at("path"))?;
    let jobs = az.workspace().unwrap_or_else(|_| place.name());
    let (version, version_name) = version_of(text("version"));
    let mut request = RegisterModel {
        workspace: place.name(),
        name: text("name").unwrap_or_default().to_owned(),
        source: source(&az.ctx, &place.name(), &jobs, path).await?,
        kind: type_of(text("type").unwrap_or_default()).filter(|_| says_type),
        description: text("description").unwrap_or_default().to_owned(),
        tags: tags(&fields),
        properties: texts(&fields, "properties"),
        flavors: fields
            .get("flavors")
            .cloned()
            .map(ids::fields)
            .unwrap_or_default(),
        run: job_of(path),
        version,
        version_name,
        ..RegisterModel::default()
    };
    let stage = text("stage");
    let known = stage.and_then(Stage::called);
    if let (Some(own), None) = (stage, known) {
        request.tags.insert(OWN_STAGE.to_owned(), own.to_owned());
    }
    let mut made = az.call(&request).await?;
    if let Some(stage) = known {
        made = change_stage(az, &place, &made, stage).await?;
    }
    Ok(shown(&place, &made))
}

/// The job whose output a path names.
fn job_of(path: &str) -> Option<String> {
    match Location::parse(path).ok()? {
        Location::Run { run, .. } => Some(run),
        _ => None,
    }
}

pub async fn get(az: &Az, given: &Given, place: &Place) -> Result<Model> {
    let label = given.owned("label");
    let (version, version_name) = version_of(given.text("version"));
    let get = GetModel {
        workspace: place.name(),
        name: given.required("name")?.to_owned(),
        version,
        version_name,
        alias: label.filter(|label| !label.eq_ignore_ascii_case("latest")),
    };
    az.call(&get).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let place = az.place(given).await?;
    Ok(shown(&place, &get(az, given, &place).await?))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let place = az.place(given).await?;
    let only = given.switch("archived-only");
    let request = ListModels {
        workspace: place.name(),
        name: given.owned("name"),
        // Its versions in this stage are the archived ones.
        include_archived: only
            || given.switch("include-archived")
            || given.text("stage").and_then(Stage::called) == Some(Stage::Archived),
        prompts: false,
    };
    let of_one = request.name.is_some();
    let stage = given.text("stage");
    let mut all = az.call(&request).await?;
    all.retain(|model| !only || model.archived());
    all.retain(|model| stage.is_none_or(|stage| stage_of(model).eq_ignore_ascii_case(stage)));
    if let Some(max) = given.number("max-results")? {
        all.truncate(max as usize);
    }
    let one = |model: &Model| {
        let mut all = shown(&place, model);
        if !of_one {
            all["latest_version"] = json!(model.version_called());
        }
        all
    };
    Ok(all.iter().map(one).collect())
}

async fn change_stage(az: &Az, place: &Place, model: &Model, stage: Stage) -> Result<Model> {
    let request = UpdateModel {
        workspace: place.name(),
        name: model.name.clone(),
        version: model.version,
        stage: Some(stage),
        ..UpdateModel::default()
    };
    az.call(&request).await
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let place = az.place(given).await?;
    let found = get(az, given, &place).await?;
    let before = ids::fields(shown(&place, &found));
    let mut draft = Draft::of(&before, &az.ctx.folder);
    put_flags(&mut draft, given, &["stage"]);
    draft.edit(&given.edits()?, given.values())?;
    let after: Map<String, Value> = draft.unchecked()?;
    refuse_others(&before, &after, "model", |key| {
        matches!(key.as_str(), "stage" | "flavors")
    })?;
    let (mut removed, mut set) = changed_tags(&shown_tags(&found), &after)
        .into_iter()
        .partition::<BTreeMap<_, _>, _>(|(_, value)| value.is_empty());
    let flavors = match after.get("flavors") {
        Some(Value::Object(flavors)) => flavors.clone(),
        None | Some(Value::Null) => Map::new(),
        Some(_) => {
            return Err(Error::invalid("The flavors are a mapping")
                .at("flavors")
                .into());
        }
    };
    let stage = after.get("stage").and_then(Value::as_str);
    let stage = stage.filter(|stage| *stage != stage_of(&found));
    let known = stage.and_then(Stage::called);
    match (stage, known) {
        (Some(own), None) => {
            set.insert(OWN_STAGE.to_owned(), own.to_owned());
        }
        (Some(_), Some(_)) => {
            removed.insert(OWN_STAGE.to_owned(), String::new());
        }
        (None, _) => {}
    }
    let added = changed(&found.properties, &after, "properties");
    if let Some(key) = added.keys().find(|key| found.properties.contains_key(*key)) {
        let message =
            format!("The property `{key}` stays as it is: those of a model are only added");
        let error = Error::invalid(message).at("properties");
        return Err(error.hint("Tags change: --set tags.KEY=VALUE").into());
    }
    let request = UpdateModel {
        workspace: place.name(),
        name: found.name.clone(),
        version: found.version,
        description: description(&before, &after),
        set_tags: set,
        remove_tags: removed.into_keys().collect(),
        add_properties: added,
        flavors: Some(flavors).filter(|flavors| *flavors != found.flavors),
        // Where MLflow knows the stage it counts, else the word does.
        stage: stage
            .map(|_| known.unwrap_or(Stage::None))
            .filter(|stage| *stage != found.stage),
        archive_others: false,
    };
    Ok(shown(&place, &az.call(&request).await?))
}

/// The versions that are meant: one, or all.
async fn meant(az: &Az, given: &Given, place: &Place) -> Result<Vec<Model>> {
    if given.has("version") || given.has("label") {
        return Ok(vec![get(az, given, place).await?]);
    }
    let request = ListModels {
        workspace: place.name(),
        name: Some(given.required("name")?.to_owned()),
        include_archived: true,
        prompts: false,
    };
    az.call(&request).await
}

async fn archive(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let place = az.place(given).await?;
    for model in meant(az, given, &place).await? {
        change_stage(az, &place, &model, Stage::Archived).await?;
    }
    Ok(Value::Null)
}

async fn restore(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let place = az.place(given).await?;
    for model in meant(az, given, &place).await? {
        if model.archived() {
            change_stage(az, &place, &model, Stage::None).await?;
        }
    }
    Ok(Value::Null)
}

async fn download(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let place = az.place(given).await?;
    let model = get(az, given, &place).await?;
    let Some(files) = &model.files else {
        let error = Error::conflict(format!("The files of `{}` are not kept here", model.name));
        return Err(match &model.location {
            Some(location) => error.hint(format!("They are at {location}")).into(),
            None => error.into(),
        });
    };
    let folder = az
        .ctx
        .folder
        .join(given.text("download-path").unwrap_or("."));
    let name = place.name();
    let tree = GetTree {
        workspace: name.clone(),
        hash: files.hash,
    };
    let mut folder = folder.join(&model.name);
    let (entries, base) = (az.call(&tree).await?.entries, base_name(&model));
    // A folder keeps its name below that of the model, a file lies there itself.
    if !matches!(&entries[..], [file] if file.path == base) {
        folder.push(base);
    }
    let report = az.ctx.ui.report();
    let client = az.ctx.client().await?;
    let download = client.download_tree(&name, files.hash, &folder, Some(&report));
    az.ctx
        .ui
        .download_until_ctrl_c(folder.display(), download)
        .await?;
    az.note(
        given,
        &format!("Downloaded the model to {}", folder.display()),
    );
    Ok(Value::Null)
}

async fn share(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let from = Place::Workspace(Box::new(az.this_workspace().await?));
    let model = get(az, given, &from).await?;
    let to = Place::Registry(given.required("registry-name")?.to_owned());
    let Some(files) = &model.files else {
        return Err(
            Error::conflict(format!("The files of `{}` are not kept here", model.name)).into(),
        );
    };
    let tree = GetTree {
        workspace: from.name(),
        hash: files.hash,
    };
    let tree = az.call(&tree).await?;
    az.call(&CreateTree {
        workspace: to.name(),
        tree,
    })
    .await?;
    let own = model.version_called();
    let version = given.text("share-with-version").unwrap_or(&own);
    let (version, version_name) = version_of(Some(version));
    let request = RegisterModel {
        workspace: to.name(),
        name: given.owned("share-with-name").unwrap_or(model.name),
        source: ModelSource::Tree {
            hash: files.hash,
            path: model.lineage.path.unwrap_or_default(),
        },
        kind: Some(model.kind),
        description: model.description,
        tags: model.tags,
        properties: model.properties,
        flavors: model.flavors,
        version,
        version_name,
        ..RegisterModel::default()
    };
    Ok(shown(&to, &az.call(&request).await?))
}

//! `az ml model`, as it was in 2020.

use serde_json::{Value, json};

use super::{
    ASYNC, COMMON, METADATA, VERBOSE, answer, deploy, folder, mapping, serve, text_at, versioned,
};
use crate::{
    az::{
        Az,
        given::{Given, is_tagged, missing},
        grammar::{Flag, Group, flag, switch, verb},
        ids,
    },
    model::source,
};
use api::{
    Error, Result,
    models::{
        DeleteModel, GetModel, ListModels, Model, ModelSource, RegisterModel, UpdateModel, Which,
    },
};

const THE_ID: &[Flag] = &[flag("model-id", "Model, as NAME:VERSION")
    .short('i')
    .required()];
const KEPT: &[Flag] = &[
    flag("tag", "Tag, as KEY=VALUE").repeated(),
    flag("property", "Property, as KEY=VALUE").repeated(),
    flag("description", "Description").short('d'),
];

pub const GROUP: Group = Group {
    path: "ml model",
    about: "Models",
    verbs: &[
        verb!(
            "register",
            "Register a model",
            [
                COMMON,
                METADATA,
                VERBOSE,
                KEPT,
                &[
                    flag("name", "Name of the model").short('n').required(),
                    flag("model-path", "File or folder of this machine").short('p'),
                    flag("asset-path", "Path among the files of a run"),
                    flag("run-id", "Run that made it").short('r'),
                    flag(
                        "run-metadata-file",
                        "Answer of submit-script, which says the run"
                    )
                    .short('f'),
                    flag("experiment-name", "Experiment of that run"),
                    flag("model-framework", "Framework; kept as a tag"),
                    flag("model-framework-version", "Its version; kept as a tag"),
                    flag("cpu-cores", "Cores it needs; kept as a tag").alias(&["cc"]),
                    flag("memory-gb", "Memory it needs; kept as a tag").alias(&["gb"]),
                    flag("gpu-cores", "GPUs it needs; kept as a tag").alias(&["gc"]),
                    flag("sample-input-dataset-id", "Sample; kept as a tag"),
                    flag("sample-output-dataset-id", "Sample; kept as a tag"),
                ]
            ],
            register
        ),
        verb!(
            "deploy",
            "Serve models by a service",
            [
                COMMON,
                METADATA,
                VERBOSE,
                ASYNC,
                deploy::WHAT,
                deploy::HOW,
                deploy::NEW
            ],
            serve::deploy
        ),
        verb!(
            "package",
            "Write what would be served: models, script, packages",
            [
                COMMON,
                VERBOSE,
                ASYNC,
                deploy::WHAT,
                &[
                    flag("output-path", "Folder to write to").required(),
                    flag("runtime", "Accepted").alias(&["rt"]),
                    flag("image-name", "Accepted: no image is made").alias(&["il", "image-label"]),
                ]
            ],
            deploy::package
        ),
        verb!(
            "profile",
            "Serve a model for a while, and measure its answers",
            [
                COMMON,
                METADATA,
                VERBOSE,
                deploy::WHAT,
                &[
                    flag("name", "Name of the measurement")
                        .short('n')
                        .required(),
                    flag("input-data", "Document to send").short('d'),
                    flag("input-dataset-id", "Not here: name a document").alias(&["idi"]),
                    flag("description", "Accepted"),
                    flag("cpu-cores", "Accepted").alias(&["cc"]),
                    flag("memory-gb", "Accepted").alias(&["gb"]),
                ]
            ],
            profile
        ),
        verb!(
            "list",
            "List the newest versions of models",
            [
                COMMON,
                METADATA,
                VERBOSE,
                &[
                    flag("model-name", "Versions of this one").short('n'),
                    switch("latest", "Only the newest").short('l'),
                    flag("tag", "With this tag, as KEY or KEY=VALUE").repeated(),
                    flag("property", "With this property").repeated(),
                    flag("run-id", "Of this run"),
                    flag("dataset-id", "Of this dataset"),
                ]
            ],
            list
        ),
        verb!(
            "show",
            "Show a model",
            [
                COMMON,
                METADATA,
                VERBOSE,
                &[
                    flag("model-id", "Model, as NAME:VERSION").short('i'),
                    flag("model-name", "Name of the model").short('n'),
                    flag("version", "Version"),
                    flag("run-id", "Of this run"),
                ]
            ],
            show
        ),
        verb!(
            "update",
            "Change a model's tags and description",
            [
                COMMON,
                METADATA,
                VERBOSE,
                THE_ID,
                &[
                    flag("add-tag", "Tag, as KEY=VALUE").repeated(),
                    flag("remove-tag", "Tag to remove").repeated(),
                    flag("add-property", "Property, as KEY=VALUE").repeated(),
                    flag("description", "Description").short('d'),
                ]
            ],
            update
        ),
        verb!(
            "download",
            "Download the files of a model",
            [
                COMMON,
                VERBOSE,
                THE_ID,
                &[
                    flag("target-dir", "Folder to write to")
                        .short('t')
                        .required(),
                    switch("overwrite", "Also over what is there"),
                ]
            ],
            download
        ),
        verb!(
            "delete",
            "Delete a version of a model",
            [COMMON, VERBOSE, THE_ID],
            delete
        ),
    ],
};

/// Flags whose words are tags here, and the tags.
const TAGS: [(&str, &str); 7] = [
    ("model-framework", "framework"),
    ("model-framework-version", "framework_version"),
    ("cpu-cores", "cpu_cores"),
    ("memory-gb", "memory_gb"),
    ("gpu-cores", "gpu_cores"),
    ("sample-input-dataset-id", "sample_input_dataset"),
    ("sample-output-dataset-id", "sample_output_dataset"),
];

/// A model with the keys of that time.
pub fn shown(model: &Model, workspace: &str) -> Value {
    let version = model.version_called();
    let id = format!("{}:{version}", model.name);
    json!({
        "createdTime": ids::time(model.created_at),
        "description": model.description,
        "experimentName": model.lineage.experiment,
        "framework": model.tags.get("framework").map_or("Custom", String::as_str),
        "frameworkVersion": model.tags.get("framework_version"),
        "id": id,
        "modelId": id,
        "name": model.name,
        "properties": model.properties,
        "runId": model.lineage.run,
        "tags": model.tags,
        "version": version,
        "workspaceName": workspace,
    })
}

/// What is sent is a document; what a dataset refers to is not read into one.
async fn profile(az: &Az, given: &Given) -> anyhow::Result<Value> {
    if given.has("input-dataset-id") {
        let error = Error::unsupported("The requests of a dataset are not read here");
        return Err(error.hint("Send one of them: --input-data DOCUMENT").into());
    }
    serve::profile(az, given).await
}

async fn register(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.here().await?;
    let metadata = given.text("run-metadata-file");
    let metadata = metadata
        .map(|file| mapping(&az.ctx.folder.join(file)))
        .transpose()?;
    let run = given
        .owned("run-id")
        .or_else(|| text_at(metadata.as_ref()?, "runId"));
    let source = match (&run, given.text("asset-path"), given.text("model-path")) {
        (Some(run), Some(path), _) => ModelSource::Run {
            run: run.clone(),
            path: path.trim_start_matches("./").trim_matches('/').to_owned(),
        },
        (None, Some(_), _) => {
            let error = Error::invalid("`--asset-path` is a path among the files of a run");
            let hint = "Name the run: --run-id, or --run-metadata-file";
            return Err(error.hint(hint).into());
        }
        (_, None, Some(path)) => {
            let path = folder(az, given).join(path).to_string_lossy().into_owned();
            source(&az.ctx, &workspace, &workspace, &path).await?
        }
        (_, None, None) => {
            let error = Error::invalid("The model has no files");
            let hint = "Name them: --model-path, or --asset-path of a run";
            return Err(error.hint(hint).into());
        }
    };
    let mut tags = given.pairs("tag");
    tags.extend(
        TAGS.iter()
            .filter_map(|(flag, tag)| Some(((*tag).to_owned(), given.owned(flag)?))),
    );
    let request = RegisterModel {
        workspace: workspace.clone(),
        name: given.required("name")?.to_owned(),
        source,
        description: given.owned("description").unwrap_or_default(),
        tags,
        properties: given.pairs("property"),
        run,
        ..RegisterModel::default()
    };
    let model = az.call(&request).await?;
    answer(az, given, shown(&model, &workspace))
}

/// A version by its id; the newest one by a name alone.
pub async fn named(az: &Az, id: &str) -> Result<Model> {
    let (name, version) = match id.rsplit_once(':') {
        Some((name, version)) => (name, Some(Which::version(version))),
        None => (id, None),
    };
    let (version, version_name) = version.map_or((None, None), Which::apart);
    let get = GetModel {
        workspace: az.here().await?,
        name: name.to_owned(),
        version,
        version_name,
        alias: None,
    };
    az.call(&get).await
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.here().await?;
    let request = ListModels {
        workspace: workspace.clone(),
        name: given.owned("model-name"),
        include_archived: false,
        prompts: false,
    };
    let mut all = az.call(&request).await?;
    let (tags, properties) = (given.words("tag"), given.words("property"));
    all.retain(|model| tags.iter().all(|tag| is_tagged(&model.tags, tag)));
    all.retain(|model| {
        properties
            .iter()
            .all(|pair| is_tagged(&model.properties, pair))
    });
    if let Some(run) = given.text("run-id") {
        all.retain(|model| model.lineage.run.as_deref() == Some(run));
    }
    if given.switch("latest") {
        all.truncate(if request.name.is_some() { 1 } else { all.len() });
    }
    let all = all.iter().map(|model| shown(model, &workspace));
    answer(az, given, all.collect())
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let id = match (given.owned("model-id"), given.text("model-name")) {
        (Some(id), _) => id,
        (None, Some(name)) => match given.text("version") {
            Some(version) => format!("{name}:{version}"),
            None => name.to_owned(),
        },
        (None, None) => return Err(missing(&["model-id/-i"]).into()),
    };
    let model = named(az, &id).await?;
    answer(az, given, shown(&model, &az.here().await?))
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let model = named(az, given.required("model-id")?).await?;
    let workspace = az.here().await?;
    let request = UpdateModel {
        workspace: workspace.clone(),
        name: model.name,
        version: model.version,
        description: given.owned("description"),
        set_tags: given.pairs("add-tag"),
        add_properties: given.pairs("add-property"),
        remove_tags: given.words("remove-tag"),
        ..UpdateModel::default()
    };
    let changed = az.call(&request).await?;
    answer(az, given, shown(&changed, &workspace))
}

/// The files of a model go below the folder as they were registered.
async fn download(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let model = named(az, given.required("model-id")?).await?;
    let to = az.ctx.folder.join(given.required("target-dir")?);
    let mut entries = std::fs::read_dir(&to).into_iter().flatten();
    if !given.switch("overwrite") && entries.next().is_some() {
        let message = format!("`{}` is not empty", to.display());
        let error = Error::conflict(message).at("--target-dir");
        return Err(error.hint("Write over it: --overwrite").into());
    }
    fetch(az, &model, &to).await?;
    let said = format!("Downloaded the model to {}", to.display());
    az.note(given, &said);
    Ok(Value::Null)
}

/// Writes the files of a model to a folder.
pub async fn fetch(az: &Az, model: &Model, to: &std::path::Path) -> Result<()> {
    let Some(files) = &model.files else {
        let error = Error::conflict(format!("The files of `{}` are not kept here", model.name));
        return Err(match &model.location {
            Some(location) => error.hint(format!("They are at {location}")),
            None => error,
        });
    };
    let (client, report) = (az.ctx.client().await?, az.ctx.ui.report());
    let workspace = az.here().await?;
    let download = client.download_tree(&workspace, files.hash, to, Some(&report));
    let downloaded = az.ctx.ui.download_until_ctrl_c(to.display(), download);
    downloaded.await.map(drop)
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let id = given.required("model-id")?;
    versioned(id, "--model-id")?;
    let model = named(az, id).await?;
    let request = DeleteModel {
        workspace: az.here().await?,
        name: model.name,
        version: Some(model.version),
        forget_numbers: false,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

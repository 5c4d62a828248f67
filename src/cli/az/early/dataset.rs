//! `az ml dataset`: data, as the commands of 2020 know it.

use serde_json::{Map, Value, json};

use super::{COMMON, METADATA, answer, asset, assets, at, mapping, object_at, text_at};
use crate::{
    asset::create_described,
    az::{
        Az,
        given::{Given, missing},
        grammar::{Flag, Group, flag, switch, verb},
        ids,
    },
    document::Draft,
};
use api::{
    Error, Result,
    assets::{ArchiveAsset, Asset, AssetKind, DeleteAsset, RestoreAsset},
};

const KIND: AssetKind = AssetKind::Data;
const WHICH: &[Flag] = &[
    flag("name", "Name of the dataset").short('n'),
    flag("id", "Id of the dataset").short('i'),
];

pub const GROUP: Group = Group {
    path: "ml dataset",
    about: "Data, as the commands of 2020 know it",
    verbs: &[
        verb!(
            "register",
            "Register the dataset that a file describes",
            [
                COMMON,
                METADATA,
                &[
                    flag("file", "JSON file of the dataset").short('f'),
                    switch("show-template", "Print a file to begin with"),
                    switch("skip-validation", "Do not look at the files before"),
                ]
            ],
            register
        ),
        verb!("list", "List the datasets", [COMMON, METADATA], list),
        verb!(
            "show",
            "Show a dataset",
            [
                COMMON,
                METADATA,
                WHICH,
                &[flag("version", "Version, or latest").short('v')]
            ],
            show
        ),
        verb!(
            "archive",
            "Hide a dataset",
            [COMMON, METADATA, WHICH],
            archive
        ),
        verb!(
            "deprecate",
            "Hide a dataset, and say what takes its place",
            [
                COMMON,
                METADATA,
                WHICH,
                &[flag("deprecate-by-id", "Id of the dataset in its place")
                    .short('d')
                    .required()]
            ],
            deprecate
        ),
        verb!(
            "reactivate",
            "Bring a hidden dataset back",
            [COMMON, METADATA, WHICH],
            reactivate
        ),
        verb!(
            "unregister",
            "Delete a dataset; files outside the workspace stay",
            [COMMON, WHICH],
            unregister
        ),
    ],
};

/// A dataset with the keys of that time.
fn shown(asset: &Asset) -> Value {
    let tabular = asset.text("type") == Some("mltable");
    json!({
        "createdTime": ids::time(asset.created_at),
        "datasetType": if tabular { "Tabular" } else { "File" },
        "description": asset.description,
        "id": format!("{}:{}", asset.name, asset.version),
        "modifiedTime": ids::time(asset.updated_at),
        "name": asset.name,
        "path": asset.text("path"),
        "state": if asset.archived { "archived" } else { "active" },
        "tags": asset.tags,
        "version": asset.version,
    })
}

fn template() -> Value {
    json!({
        "datasetType": "Tabular or File",
        "parameters": {
            "path": [],
            "datastoreName": null,
            "relativePath": null,
            "sourceType": "delimited_files",
            "separator": ",",
            "header": true,
            "encoding": "utf8",
        },
        "registration": {
            "name": null,
            "description": null,
            "tags": {},
            "createNewVersion": true,
        },
        "schemaVersion": 1,
    })
}

/// One value is the same as a list of it.
fn entries(value: &Value) -> &[Value] {
    match value {
        Value::Array(all) => all,
        one => std::slice::from_ref(one),
    }
}

fn no_path(value: &Value) -> Error {
    Error::invalid(format!("`{value}` names no file"))
        .at("parameters.path")
        .hint("Write an address, or {datastoreName: NAME, relativePath: PATH}")
}

/// The addresses of the places in a datastore.
fn in_store(fields: &Map<String, Value>) -> Result<Vec<String>> {
    let wrong = || no_path(&Value::Object(fields.clone()));
    let store = text_at(fields, "datastoreName").ok_or_else(wrong)?;
    let relative = entries(at(fields, "relativePath").ok_or_else(wrong)?);
    let one = |path: &Value| {
        let path = path.as_str().ok_or_else(|| no_path(path))?;
        let path = path.trim_start_matches('/');
        Ok(format!("azureml://datastores/{store}/paths/{path}"))
    };
    relative.iter().map(one).collect()
}

/// The addresses that a dataset names, each in a datastore or elsewhere.
fn paths(parameters: &Map<String, Value>) -> Result<Vec<String>> {
    let mut paths = match at(parameters, "relativePath") {
        Some(relative) if !relative.is_null() => in_store(parameters)?,
        _ => Vec::new(),
    };
    for entry in at(parameters, "path").map_or(&[][..], entries) {
        match entry {
            Value::Null => {}
            Value::String(text) => paths.push(text.clone()),
            Value::Object(fields) => paths.extend(in_store(fields)?),
            other => return Err(no_path(other)),
        }
    }
    if paths.is_empty() {
        return Err(Error::invalid("The dataset names no files")
            .at("parameters.path")
            .hint("See what a file may say: az ml dataset register --show-template"));
    }
    Ok(paths)
}

/// The table that a dataset's parameters describe, as an `MLTable` file says it.
fn table(parameters: &Map<String, Value>, paths: &[String]) -> Value {
    let kind = text_at(parameters, "sourceType").unwrap_or_default();
    let step = match kind.as_str() {
        "parquet_files" => json!("read_parquet"),
        "json_lines_files" => json!("read_json_lines"),
        _ => {
            let delimiter = text_at(parameters, "separator").unwrap_or_else(|| ",".to_owned());
            let header = match at(parameters, "header") {
                Some(Value::Bool(false)) => "no_header",
                _ => "all_files_same_headers",
            };
            let encoding = text_at(parameters, "encoding").unwrap_or_else(|| "utf8".to_owned());
            json!({"read_delimited": {
                "delimiter": delimiter, "header": header, "encoding": encoding,
            }})
        }
    };
    let one = |path: &String| {
        if path.contains('*') {
            json!({"pattern": path})
        } else if path.ends_with('/') {
            json!({"folder": path})
        } else {
            json!({"file": path})
        }
    };
    let paths: Vec<Value> = paths.iter().map(one).collect();
    json!({"type": "mltable", "paths": paths, "transformations": [step]})
}

/// A folder that is there while a table is uploaded from it.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn register(az: &Az, given: &Given) -> anyhow::Result<Value> {
    if given.switch("show-template") {
        return Ok(template());
    }
    let file = given.text("file").ok_or_else(|| missing(&["file/-f"]))?;
    let described = mapping(&az.ctx.folder.join(file))?;
    let none = Map::new();
    let parameters = object_at(&described, "parameters").unwrap_or(&none);
    let registration = object_at(&described, "registration").unwrap_or(&none);
    let paths = paths(parameters)?;
    let tabular = text_at(&described, "datasetType");
    let tabular = tabular.is_some_and(|kind| kind.eq_ignore_ascii_case("tabular"));
    let mut draft = Draft::open(None, &az.ctx.folder)?;
    for key in ["name", "description", "tags"] {
        if let Some(value) = at(registration, key) {
            draft.put(key, value.clone(), file);
        }
    }
    // Of a table the file that says how it is read is kept; its folder is there until it is.
    let _made = if tabular {
        let id = uuid::Uuid::new_v4().simple();
        let folder = az.ctx.config.home.join(format!("cache/table-{id}"));
        let folder = Folder(folder);
        let text = serde_saphyr::to_string(&table(parameters, &paths))
            .map_err(|e| Error::internal(e.to_string()))?;
        super::write(&folder.0.join("MLTable"), &text)?;
        draft.put("type", "mltable", file);
        draft.put("path", folder.0.to_string_lossy().into_owned(), file);
        Some(folder)
    } else {
        let [path] = paths.as_slice() else {
            return Err(Error::invalid("A dataset of files is of one path here")
                .at("parameters.path")
                .hint("Name the folder that holds them")
                .into());
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let is_file = name.contains('.') && !name.contains('*');
        draft.put(
            "type",
            if is_file { "uri_file" } else { "uri_folder" },
            file,
        );
        let folder = path.trim_end_matches("**").trim_end_matches("/*");
        draft.put("path", folder, file);
        None
    };
    let workspace = az.here().await?;
    let fields = draft.check(KIND.name())?;
    let asset = create_described(&az.ctx, &workspace, KIND, fields, Vec::new()).await?;
    answer(az, given, shown(&asset))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let all = assets(az, KIND).await?;
    answer(az, given, all.iter().map(shown).collect())
}

/// The name of what is meant, and its version where the id says one.
fn which(given: &Given) -> Result<(String, Option<String>)> {
    match (given.text("name"), given.text("id")) {
        (Some(name), _) => {
            let version = given.owned("version");
            let version = version.filter(|version| version != "latest");
            Ok((name.to_owned(), version))
        }
        (None, Some(id)) => {
            let (name, version) = super::versioned(id, "--id")?;
            Ok((name.to_owned(), Some(version.to_owned())))
        }
        (None, None) => Err(missing(&["name/-n"])),
    }
}

async fn get(az: &Az, given: &Given) -> Result<Asset> {
    let (name, version) = which(given)?;
    asset(az, KIND, name, version).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    answer(az, given, shown(&get(az, given).await?))
}

async fn archive(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let (name, version) = which(given)?;
    let request = ArchiveAsset {
        workspace: az.here().await?,
        kind: KIND,
        name,
        version,
        label: None,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

/// What takes its place is a tag.
async fn deprecate(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given).await?;
    let place = given.required("deprecate-by-id")?.to_owned();
    let request = api::assets::UpdateAsset {
        workspace: az.here().await?,
        kind: KIND,
        name: found.name,
        version: Some(found.version),
        description: None,
        tags: [("deprecatedBy".to_owned(), place)].into(),
        properties: [].into(),
        labels: Vec::new(),
        unlabel: Vec::new(),
        settings: Map::new(),
    };
    az.call(&request).await?;
    archive(az, given).await
}

async fn reactivate(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let (name, version) = which(given)?;
    let request = RestoreAsset {
        workspace: az.here().await?,
        kind: KIND,
        name,
        version,
        label: None,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

async fn unregister(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let (name, version) = which(given)?;
    let request = DeleteAsset {
        workspace: az.here().await?,
        kind: KIND,
        name,
        version,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{paths, table};
    use crate::az::ids;

    #[test]
    fn a_dataset_names_files_in_datastores_and_elsewhere() {
        let of = |value: Value| paths(&ids::fields(value)).unwrap_or_default();
        assert_eq!(
            of(json!({"path": "https://host/a.csv"})),
            ["https://host/a.csv"]
        );
        assert_eq!(
            of(json!({"path": [{"datastoreName": "d", "relativePath": "/a/"}, "https://b"]})),
            ["azureml://datastores/d/paths/a/", "https://b"]
        );
        assert_eq!(
            of(json!({"datastoreName": "d", "relativePath": "a.csv"})),
            ["azureml://datastores/d/paths/a.csv"]
        );
        assert_eq!(
            of(json!({"datastoreName": "d", "relativePath": ["a.csv", "/b.csv"]})),
            [
                "azureml://datastores/d/paths/a.csv",
                "azureml://datastores/d/paths/b.csv"
            ]
        );
        for wrong in [
            json!({}),
            json!({"path": ["https://b", 3]}),
            json!({"path": [{"datastoreName": "d"}]}),
            json!({"path": {"relativePath": "a.csv"}}),
            json!({"relativePath": "a.csv"}),
            json!({"datastoreName": "d", "relativePath": ["a.csv", null]}),
        ] {
            assert!(of(wrong.clone()).is_empty(), "{wrong}");
        }
    }

    #[test]
    fn a_tabular_dataset_is_a_table() {
        let parameters = ids::fields(json!({"separator": ";", "header": false}));
        let made = table(&parameters, &["https://host/a.csv".to_owned()]);
        assert_eq!(made["paths"], json!([{"file": "https://host/a.csv"}]));
        let settings = &made["transformations"][0]["read_delimited"];
        assert_eq!(settings["delimiter"], ";");
        assert_eq!(settings["header"], "no_header");
        let parameters = ids::fields(json!({"sourceType": "parquet_files"}));
        assert_eq!(
            table(&parameters, &[])["transformations"],
            json!(["read_parquet"])
        );
    }
}

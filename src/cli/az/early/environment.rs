//! `az ml environment`, as it was in 2020: environments as folders with `azureml_environment.json`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    COMMON, METADATA, NAME, answer, asset, assets, at, folder,
    folder::{CONDA, PACKAGES},
    mapping, object_at,
    submit::found,
    text_at, write,
};
use crate::{
    asset::create_described,
    az::{
        Az,
        given::Given,
        grammar::{Flag, Group, VERSION, flag, switch, verb},
        ids,
    },
    document::Draft,
};
use api::{
    Code, Error, Result,
    assets::{Asset, AssetKind},
};

/// The image of environments that name none: nothing but Python.
pub const IMAGE: &str = "python";
const FILE: &str = "azureml_environment.json";
const KIND: AssetKind = AssetKind::Environment;
const FOLDER: &[Flag] = &[flag("directory", "Folder of its files")
    .short('d')
    .required()];

pub const GROUP: Group = Group {
    path: "ml environment",
    about: "Environments",
    verbs: &[
        verb!(
            "scaffold",
            "Write the files of an environment, to be changed",
            [COMMON, NAME, FOLDER],
            scaffold
        ),
        verb!(
            "register",
            "Register the environment whose files are in a folder",
            [COMMON, METADATA, FOLDER],
            register
        ),
        verb!("list", "List the environments", [COMMON, METADATA], list),
        verb!(
            "show",
            "Show an environment",
            [COMMON, METADATA, NAME, VERSION],
            show
        ),
        verb!(
            "download",
            "Write the files of an environment",
            [
                COMMON,
                NAME,
                VERSION,
                FOLDER,
                &[switch("overwrite", "Also over what is there")]
            ],
            download
        ),
    ],
};

/// An environment of 2020 in the words of today: a reference, or what it is made of; none where it
/// says nothing. Files are looked for in `folders`.
pub fn converted(
    environment: Option<&Map<String, Value>>,
    folders: &[&Path],
) -> Result<Option<Value>> {
    let Some(environment) = environment else {
        return Ok(None);
    };
    let python = object_at(environment, "python");
    let docker = object_at(environment, "docker");
    let own = python
        .and_then(|python| at(python, "userManagedDependencies"))
        .and_then(Value::as_bool)
        .unwrap_or(false);
    let conda = python.filter(|_| !own).and_then(|python| {
        let inline = at(python, "condaDependencies").filter(|packages| packages.is_object());
        let file = || {
            Some(json!(found(
                folders,
                &text_at(python, "condaDependenciesFile")?
            )))
        };
        inline.cloned().or_else(file)
    });
    let image = docker.and_then(|docker| text_at(docker, "baseImage"));
    if docker.is_some_and(|docker| text_at(docker, "baseDockerfile").is_some()) {
        let error = Error::invalid("A Dockerfile is read from a folder, not from `baseDockerfile`");
        return Err(error.at("docker.baseDockerfile").hint(
            "Put it into a folder and register that: az ml environment create --name NAME --build-context FOLDER",
        ));
    }
    if python.is_none() && image.is_none() {
        let reference = text_at(environment, "name").map(|name| reference(environment, &name));
        return Ok(reference.map(Value::from));
    }
    let mut made = json!({"image": image.unwrap_or_else(|| IMAGE.to_owned())});
    if let Some(conda) = conda {
        made["conda_file"] = conda;
    }
    Ok(Some(made))
}

/// How a registered environment is referred to.
pub fn reference(environment: &Map<String, Value>, name: &str) -> String {
    match text_at(environment, "version") {
        Some(version) => format!("azureml:{name}:{version}"),
        None => format!("azureml:{name}@latest"),
    }
}

/// A registered environment in the words of 2020.
fn shown(asset: &Asset) -> Value {
    let conda = asset.spec.get("conda_file").cloned();
    json!({
        "name": asset.name,
        "version": asset.version,
        "docker": {
            "baseImage": asset.text("image"),
            "baseDockerfile": null,
            "enabled": false,
        },
        "environmentVariables": {},
        "python": {
            "baseCondaEnvironment": null,
            "condaDependencies": conda,
            "interpreterPath": "python",
            "userManagedDependencies": asset.spec.get("conda_file").is_none(),
        },
    })
}

fn conflict(path: &Path) -> Error {
    Error::conflict(format!("`{}` is there already", path.display()))
}

async fn scaffold(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let into = az.ctx.folder.join(given.required("directory")?);
    let described = json!({
        "name": given.required("name")?,
        "version": null,
        "environmentVariables": {},
        "docker": {"baseImage": IMAGE, "baseDockerfile": null, "enabled": false},
        "python": {
            "baseCondaEnvironment": null,
            "condaDependenciesFile": CONDA,
            "interpreterPath": "python",
            "userManagedDependencies": false,
        },
    });
    let text = serde_json::to_string_pretty(&described)?;
    for (name, text) in [(FILE, text.as_str()), (CONDA, PACKAGES)] {
        let path = into.join(name);
        if path.exists() {
            return Err(conflict(&path).into());
        }
        write(&path, text)?;
    }
    Ok(Value::Null)
}

async fn register(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let from = az.ctx.folder.join(given.required("directory")?);
    let file = [from.join(FILE), from.join(super::CONFIGURATION).join(FILE)];
    let file = file.iter().find(|file| file.is_file()).unwrap_or(&file[0]);
    let described = mapping(file)?;
    let base = folder(az, given);
    let made = converted(Some(&described), &[&from, &base])?;
    let mut draft = Draft::open(None, &from)?;
    draft.put("name", text_at(&described, "name"), FILE);
    for (key, value) in ids::fields(made.unwrap_or_default()) {
        draft.put(&key, value, FILE);
    }
    let fields = draft.check(KIND.name())?;
    let workspace = az.here().await?;
    let create = |fields| create_described(&az.ctx, &workspace, KIND, fields, Vec::new());
    // A version that is named is the one it was downloaded as; what was changed since is the next.
    let mut named = fields.clone();
    named.extend(text_at(&described, "version").map(|own| ("version".to_owned(), json!(own))));
    let asset = match create(named).await {
        Err(error) if error.code == Code::Conflict => create(fields).await?,
        created => created?,
    };
    answer(az, given, shown(&asset))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let all = assets(az, KIND).await?;
    answer(az, given, all.iter().map(shown).collect())
}

async fn get(az: &Az, given: &Given) -> Result<Asset> {
    let name = given.required("name")?.to_owned();
    asset(az, KIND, name, given.owned("version")).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    answer(az, given, shown(&get(az, given).await?))
}

async fn download(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let asset = get(az, given).await?;
    let into = az.ctx.folder.join(given.required("directory")?);
    let mut described = shown(&asset);
    let conda = described["python"]["condaDependencies"].take();
    let mut files = Vec::new();
    if !conda.is_null() {
        described["python"]["condaDependenciesFile"] = json!(CONDA);
        let text = serde_saphyr::to_string(&conda).map_err(|e| Error::internal(e.to_string()))?;
        files.push((CONDA, text));
    }
    files.push((FILE, serde_json::to_string_pretty(&described)?));
    for (name, text) in files {
        let path = into.join(name);
        if path.exists() && !given.switch("overwrite") {
            return Err(conflict(&path).hint("Write over it: --overwrite").into());
        }
        write(&path, &text)?;
    }
    Ok(Value::Null)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::converted;
    use crate::az::ids;

    fn of(value: Value) -> Option<Value> {
        converted(Some(&ids::fields(value)), &["/code".as_ref()]).unwrap()
    }

    #[test]
    fn an_environment_of_2020_is_one_of_today() {
        let conda = json!({"dependencies": ["numpy"]});
        assert_eq!(
            of(json!({
                "docker": {"baseImage": "ubuntu"},
                "python": {"condaDependencies": conda},
            })),
            Some(json!({"image": "ubuntu", "conda_file": conda}))
        );
        assert_eq!(
            of(json!({"python": {"condaDependenciesFile": "none.yml"}})),
            Some(json!({"image": "python", "conda_file": "/code/none.yml"}))
        );
        assert_eq!(
            of(json!({"python": {"userManagedDependencies": true, "condaDependenciesFile": "x"}})),
            Some(json!({"image": "python"}))
        );
        assert_eq!(
            of(json!({"name": "e", "version": "2"})),
            Some(json!("azureml:e:2"))
        );
        assert_eq!(of(json!({})), None);
    }
}

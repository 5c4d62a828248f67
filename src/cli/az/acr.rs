//! `az acr`: the container registries of workspaces. An image is what it is built from: an environment
//! with a Dockerfile and its folder, whose label is the image's tag.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{
    Az,
    given::{Given, missing},
    grammar::{Flag, GROUP as IN_GROUP, Group, flag, switch, verb},
    ids,
    keyvault::short,
};
use crate::asset::create_described;
use api::{
    Error, Result,
    assets::{AssetKind, GetAsset, ListAssets, image_environment},
    names,
    workspaces::{ListWorkspaces, Workspace},
};

const NAMED: &[Flag] = &[flag("name", "Name of the container registry")
    .short('n')
    .required()];

pub const GROUP: Group = Group {
    path: "acr",
    about: "Container registries of workspaces",
    verbs: &[
        verb!("list", "List the container registries", [IN_GROUP], list),
        verb!("show", "Show a container registry", [IN_GROUP, NAMED], show),
        verb!(
            "login",
            "Not needed here: the registry must be there",
            [IN_GROUP, NAMED, &[switch("expose-token", "")]],
            login
        ),
        verb!(
            "build",
            "Keep what an image is built from",
            [
                IN_GROUP,
                &[
                    flag("registry", "Name of the container registry")
                        .short('r')
                        .required(),
                    flag("image", "Name of the image, as repository:tag").short('t'),
                    flag("file", "Dockerfile").short('f'),
                    flag("build-arg", "Value for the build, as KEY=VALUE").repeated(),
                    flag("platform", "Not needed here"),
                    switch("no-push", "Not needed here"),
                    switch("no-logs", "Not needed here"),
                    flag("folder", "Folder of the build").positional(),
                ]
            ],
            build
        ),
    ],
};
pub const REPOSITORIES: Group = Group {
    path: "acr repository",
    about: "Images in container registries of workspaces",
    verbs: &[
        verb!("list", "List the repositories", [NAMED], repositories),
        verb!(
            "show",
            "Show a repository or an image",
            [
                NAMED,
                &[
                    flag("repository", "Repository"),
                    flag("image", "Image, as repository:tag").short('t'),
                ]
            ],
            repository
        ),
    ],
};

fn registry(workspace: &Workspace) -> &str {
    short(&workspace.resources.container_registry.name)
}

async fn holder(az: &Az, name: &str) -> Result<Workspace> {
    let name = name.trim_end_matches(".azurecr.io");
    let mut all = az.call(&ListWorkspaces {}).await?;
    match all
        .iter()
        .position(|workspace| registry(workspace).eq_ignore_ascii_case(name))
    {
        Some(at) => Ok(all.swap_remove(at)),
        None => {
            let nearest = names::nearest(name, all.iter().map(registry));
            Err(Error::unknown("container registry", name, "", nearest)
                .hint("Each workspace has one: az ml workspace show --query container_registry"))
        }
    }
}

fn shown(workspace: &Workspace) -> Value {
    let name = registry(workspace);
    json!({
        "adminUserEnabled": true,
        "id": ids::beside(workspace, "Microsoft.ContainerRegistry/registries", &workspace.resources.container_registry.name),
        "location": workspace.location,
        "loginServer": format!("{name}.azurecr.io"),
        "name": name,
        "provisioningState": "Succeeded",
        "resourceGroup": workspace.resource_group,
        "sku": {"name": "Standard", "tier": "Standard"},
        "tags": {},
        "type": "Microsoft.ContainerRegistry/registries",
    })
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut all = az.call(&ListWorkspaces {}).await?;
    if let Some(group) = given.text("resource-group") {
        all.retain(|workspace| workspace.resource_group.eq_ignore_ascii_case(group));
    }
    Ok(all.iter().map(shown).collect())
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    Ok(shown(&holder(az, given.required("name")?).await?))
}

async fn login(az: &Az, given: &Given) -> anyhow::Result<Value> {
    holder(az, given.required("name")?).await?;
    az.note(given, "Login Succeeded");
    Ok(Value::Null)
}

async fn build(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = holder(az, given.required("registry")?).await?;
    let image = given.text("image").ok_or_else(|| missing(&["image/-t"]))?;
    let (name, tag) = image_environment(image);
    let folder = given.words("folder").into_iter().next();
    let folder = az.ctx.folder.join(folder.ok_or_else(|| {
        Error::invalid("the following arguments are required: SOURCE_LOCATION")
            .hint("Name the folder of the build: az acr build -r REGISTRY -t IMAGE FOLDER")
    })?);
    let context = Context::of(
        &folder,
        &az.ctx.folder,
        given.text("file").unwrap_or("Dockerfile"),
    )?;
    let arguments: Map<String, Value> = given
        .pairs("build-arg")
        .into_iter()
        .map(|(key, value)| (key, Value::from(value)))
        .collect();
    let fields = ids::fields(json!({
        "name": name,
        "build": {"path": context.folder, "dockerfile_path": context.dockerfile},
        "os_type": "linux",
        "tags": {"image": image},
        "properties": {"build_args": Value::Object(arguments)},
    }));
    // `latest` is the version created last without being told.
    let labels = Some(tag.clone())
        .filter(|tag| tag != "latest")
        .into_iter()
        .collect();
    let made = create_described(
        &az.ctx,
        &workspace.name,
        AssetKind::Environment,
        fields,
        labels,
    );
    let made = made.await?;
    az.note(
        given,
        &format!(
            "Kept what the image is built from as the environment {name}:{}.",
            made.version
        ),
    );
    Ok(json!({
        "name": made.version,
        "outputImages": [{
            "registry": format!("{}.azurecr.io", registry(&workspace)),
            "repository": image.split(':').next(),
            "tag": tag,
        }],
        "status": "Succeeded",
    }))
}

/// A folder of a build, copied when its Dockerfile is elsewhere.
struct Context {
    folder: PathBuf,
    dockerfile: String,
    copy: Option<PathBuf>,
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            let _ = fs::remove_dir_all(copy);
        }
    }
}

impl Context {
    fn of(folder: &Path, here: &Path, file: &str) -> Result<Self> {
        let unreadable = |what: &Path, e: &std::io::Error| {
            Error::invalid(format!("Cannot read `{}`: {e}", what.display()))
        };
        let folder = folder.canonicalize().map_err(|e| unreadable(folder, &e))?;
        let named = [here.join(file), folder.join(file)];
        let found = named.iter().find(|file| file.is_file());
        let found = found.ok_or_else(|| {
            Error::invalid(format!("There is no Dockerfile `{file}`")).at("--file")
        })?;
        let found = found.canonicalize().map_err(|e| unreadable(found, &e))?;
        if let Ok(inside) = found.strip_prefix(&folder) {
            return Ok(Self {
                dockerfile: inside.to_string_lossy().into_owned(),
                folder,
                copy: None,
            });
        }
        let copy =
            std::env::temp_dir().join(format!("aml-build-{}", uuid::Uuid::new_v4().simple()));
        let base = folder.file_name().unwrap_or_default();
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&copy)
            .map_err(|e| unreadable(&copy, &e))?;
        let context = Self {
            folder: copy.join(base),
            dockerfile: "azure.Dockerfile".to_owned(),
            copy: Some(copy),
        };
        copy_folder(&folder, &context.folder)
            .and_then(|()| fs::copy(&found, context.folder.join(&context.dockerfile)).map(drop))
            .map_err(|e| unreadable(&folder, &e))?;
        Ok(context)
    }
}

/// Copies a folder. Links stay links within it; what a link elsewhere names, also its own folder, is
/// left out, as it is when the folder is uploaded from its place.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
        } else if kind.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Environments that were built here.
async fn repositories(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = holder(az, given.required("name")?).await?;
    let request = ListAssets {
        workspace: workspace.name,
        kind: AssetKind::Environment,
        name: None,
        archived: api::assets::Archived::Exclude,
        limit: None,
    };
    let all = az.call(&request).await?;
    let images = all.iter().filter_map(|asset| asset.tags.get("image"));
    let repositories = images.map(|image| json!(image.split(':').next()));
    Ok(repositories.collect())
}

async fn repository(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = holder(az, given.required("name")?).await?;
    let image = given.text("image").or_else(|| given.text("repository"));
    let image = image.ok_or_else(|| missing(&["repository"]))?;
    let (name, tag) = image_environment(image);
    let request = GetAsset {
        workspace: workspace.name.clone(),
        kind: AssetKind::Environment,
        name,
        version: None,
        label: image.contains(':').then_some(tag),
    };
    let found = az.call(&request).await?;
    Ok(json!({
        "createdTime": ids::time(found.created_at),
        "imageName": image.split(':').next(),
        "lastUpdateTime": ids::time(found.updated_at),
        "registry": format!("{}.azurecr.io", registry(&workspace)),
        "tagCount": found.labels.len(),
    }))
}

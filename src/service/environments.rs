//! What the environment of a job is: registered ones, curated ones, those written where they are used.

use serde_json::{Map, Value};

use super::{Action, Caller, Perform, Service};
use api::{
    Code, Error, Result,
    assets::{Archived, Asset, AssetKind, AssetRef, GetAsset, Holder, image_environment},
    environments::Environment,
    files::Hash,
    registries::{self, CURATED},
};
use spec::{
    dockerfile, environment as curated, kinds::environment::EnvironmentSource,
    shape::Described as _,
};

impl Service {
    /// The environment that a job names, and the reference that goes on meaning it.
    pub(super) async fn resolve_environment(
        &self,
        caller: &Caller,
        workspace: &str,
        source: &EnvironmentSource,
    ) -> Result<(Environment, Option<String>)> {
        let found = match source {
            EnvironmentSource::Name(name) => self.named(caller, workspace, name).await,
            EnvironmentSource::Inline(_) => match source.write() {
                Some(Value::Object(spec)) => {
                    let name = spec.get("name").and_then(Value::as_str);
                    let name = name.unwrap_or("environment").to_owned();
                    let made = self.made_of(caller, workspace, &name, &spec, None).await;
                    made.map(|environment| (environment, None))
                }
                _ => Err(Error::invalid("The environment is not understood")),
            },
        };
        found.map_err(|error| match error.target {
            Some(_) => error,
            None => error.at("environment"),
        })
    }

    async fn named(
        &self,
        caller: &Caller,
        workspace: &str,
        text: &str,
    ) -> Result<(Environment, Option<String>)> {
        let asset = AssetRef::parse(text)?;
        let place = asset.holder.workspace(workspace);
        let get = GetAsset {
            workspace: place.clone(),
            kind: AssetKind::Environment,
            name: asset.name.clone(),
            version: asset.pick.version(),
            label: asset.pick.label(),
        };
        let found = match get.perform(self, caller).await {
            Ok(found) => found,
            Err(error) if error.code == Code::NotFound => {
                // Those that come with Azure ML come with us too.
                return match curated::curated(text) {
                    Some(environment) => Ok((environment, Some(text.to_owned()))),
                    None => Err(with_curated(error, &asset.name)),
                };
            }
            Err(error) => return Err(error),
        };
        let reference = match asset.holder {
            Holder::Here | Holder::Workspace(_) => {
                format!("azureml:{}:{}", found.name, found.version)
            }
            Holder::Registry(registry) => format!(
                "azureml://registries/{registry}/environments/{}/versions/{}",
                found.name, found.version
            ),
        };
        // What ships with the program needs no image to be spoken of.
        let ours = registries::named_in(&place).is_some_and(|name| name == CURATED);
        if let Some(environment) = curated::curated(text).filter(|_| ours) {
            return Ok((environment, Some(reference)));
        }
        let Asset {
            name,
            version,
            spec,
            files,
            ..
        } = found;
        let title = format!("{name}:{version}");
        let files = files.map(|files| files.hash);
        let made = self.made_of(caller, &place, &title, &spec, files).await?;
        Ok((made, Some(reference)))
    }

    /// What an environment of this spec is on a machine without its image.
    async fn made_of(
        &self,
        caller: &Caller,
        workspace: &str,
        name: &str,
        spec: &Map<String, Value>,
        files: Option<Hash>,
    ) -> Result<Environment> {
        let image = spec.get("image").and_then(Value::as_str);
        let conda = spec.get("conda_file").filter(|value| !value.is_null());
        let mut environment = match (conda, image, spec.get("build")) {
            (Some(conda), ..) => conda_environment(conda, name)?,
            (None, _, Some(build)) => {
                let Some(files) = files else {
                    return Err(Error::invalid("The build context was not uploaded")
                        .at("environment.build.path"));
                };
                let context = self.context(caller, workspace, files).await?;
                let file = build.get("dockerfile_path").and_then(Value::as_str);
                dockerfile::environment(&context, file.unwrap_or("Dockerfile"), name)?
            }
            (None, Some(image), None) => {
                if let Some(built) = self.built(caller, workspace, image).await? {
                    let files = built.files.map(|files| files.hash);
                    let made = self.made_of(caller, workspace, name, &built.spec, files);
                    return Box::pin(made).await;
                }
                curated::of_image(image, name)
            }
            (None, None, None) => {
                return Err(Error::invalid("The environment is made of nothing")
                    .hint("Name an image, a conda_file or a build"));
            }
        };
        if let (Environment::Python { notes, .. }, Some(image)) = (&mut environment, image) {
            notes.push(curated::image_note(image));
        }
        Ok(environment)
    }

    /// What an image of the workspace's own container registry was built from.
    async fn built(&self, caller: &Caller, workspace: &str, image: &str) -> Result<Option<Asset>> {
        let Some((registry, image)) = image.split_once(".azurecr.io/") else {
            return Ok(None);
        };
        let row = self.enter(caller, workspace, Action::Read).await?;
        let own = &row.workspace.resources.container_registry.name;
        let own = own.rsplit('/').next().unwrap_or(own);
        if !own.eq_ignore_ascii_case(registry) {
            return Ok(None);
        }
        let (name, tag) = image_environment(image);
        let get = GetAsset {
            workspace: workspace.to_owned(),
            kind: AssetKind::Environment,
            name: name.clone(),
            version: None,
            label: Some(tag.clone()),
        };
        let found = match get.perform(self, caller).await {
            Err(error) if error.code == Code::NotFound => None,
            found => Some(found?),
        };
        let built = match found {
            // Perhaps it was made of the image; the image was built before.
            Some(asset) if tag == "latest" && !says_how(&asset) => {
                let all = self.store.list_assets(
                    row.id,
                    AssetKind::Environment,
                    Some(name),
                    Archived::Exclude,
                    None,
                );
                let mut newest_first = all.await?.into_iter().map(|row| row.asset);
                newest_first.find(says_how)
            }
            found => found.filter(says_how),
        };
        built.map(Some).ok_or_else(|| {
            Error::not_found(format!("No image `{image}` was built for `{registry}`")).hint(
                format!("Build it: az acr build -r {registry} -t {image} FOLDER"),
            )
        })
    }

    /// The small files of a build context, by path.
    async fn context(
        &self,
        caller: &Caller,
        workspace: &str,
        files: Hash,
    ) -> Result<dockerfile::Context> {
        let get = api::files::GetTree {
            workspace: workspace.to_owned(),
            hash: files,
        };
        let tree = get.perform(self, caller).await?;
        let mut context = dockerfile::Context::default();
        for entry in tree.entries {
            let text = if entry.size <= dockerfile::LARGEST && !entry.symlink {
                self.store
                    .open_blob(entry.hash)
                    .await?
                    .map(|blob| blob.read())
                    .transpose()?
                    .and_then(|bytes| String::from_utf8(bytes).ok())
            } else {
                None
            };
            context.add(entry.path, text);
        }
        Ok(context)
    }
}

/// Whether an environment is more than the name of an image, which could be its own.
fn says_how(asset: &Asset) -> bool {
    let given = |key| asset.spec.get(key).is_some_and(|value| !value.is_null());
    given("build") || given("conda_file")
}

fn conda_environment(conda: &Value, name: &str) -> Result<Environment> {
    let text = match conda {
        Value::String(text) => text.clone(),
        other => {
            serde_saphyr::to_string(other).map_err(|e| Error::invalid(format!("{name}: {e}")))?
        }
    };
    spec::environment::of_conda(&text, name)
}

fn with_curated(error: Error, name: &str) -> Error {
    let names: Vec<&str> = curated::curated_names().collect();
    match api::names::nearest(name, names.iter().copied()) {
        Some(nearest) => error.hint(format!("Did you mean the curated `{nearest}`?")),
        None => error.hint(format!("Curated ones are {}", names.join(", "))),
    }
}

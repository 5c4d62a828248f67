//! What the environment of a job is: registered ones, curated ones, those written where they are used.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::{Action, Caller, Perform, Service, programs};
use api::{
    Code, Error, Result,
    assets::{Archived, Asset, AssetKind, AssetRef, GetAsset, Holder, image_environment},
    deployments::ImageBase,
    environments::{Environment, RunImage},
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
                    let recipe = Recipe {
                        workspace,
                        name: &name,
                        spec: &spec,
                        files: None,
                        arguments: BTreeMap::new(),
                    };
                    let made = self.made_of(caller, recipe).await;
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
        let get = GetAsset::of(&asset, AssetKind::Environment, &place);
        let found = match get.perform(self, caller).await {
            Ok(found) => found,
            Err(error) if error.code == Code::NotFound => {
                // Those that come with Azure ML come with us too.
                return match curated::curated(text) {
                    Some(environment) => Ok((environment, Some(text.to_owned()))),
                    // That a version of it is not there has nothing to do with those.
                    None if error.unknown.is_none() => Err(error),
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
        let mut found = found;
        let mut title = format!("{}:{}", found.name, found.version);
        if registries::named_in(&place).is_some_and(|name| name == CURATED) {
            // What ships with the program needs no image to be spoken of.
            found.spec.shift_remove("image");
            title.clone_from(&found.name);
        }
        let made = self.made_of(caller, Recipe::of(&place, &title, &found));
        Ok((made.await?, Some(reference)))
    }

    /// What an environment of this spec is on a machine without its image.
    async fn made_of(&self, caller: &Caller, recipe: Recipe<'_>) -> Result<Environment> {
        let Recipe {
            workspace,
            name,
            spec,
            ..
        } = recipe;
        let image = spec.get("image").and_then(Value::as_str);
        let conda = spec.get("conda_file").filter(|value| !value.is_null());
        let mut environment = match (conda, image, spec.get("build")) {
            (Some(conda), ..) => conda_environment(conda, name)?,
            (None, _, Some(build)) => {
                let file = build.get("dockerfile_path").and_then(Value::as_str);
                self.built_by(caller, &recipe, file.unwrap_or("Dockerfile"))
                    .await?
            }
            (None, Some(image), None) => {
                if let Some(built) = self.built(caller, workspace, image).await? {
                    let made = self.made_of(caller, Recipe::of(workspace, name, &built));
                    return Box::pin(made).await;
                }
                curated::of_image(image, name)
            }
            (None, None, None) => {
                return Err(Error::invalid("The environment is made of nothing")
                    .hint("Name an image, a conda_file or a build"));
            }
        };
        if let Environment::Python {
            notes, image: own, ..
        } = &mut environment
        {
            notes.extend(image.map(curated::image_note));
            *own = recipe.image().map(Box::new);
        }
        Ok(environment)
    }

    /// What an image of the workspace's own container registry was built from.
    pub(super) async fn built(
        &self,
        caller: &Caller,
        workspace: &str,
        image: &str,
    ) -> Result<Option<Asset>> {
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

    /// What a Dockerfile makes. Of its folder only the files that it installs from are read.
    async fn built_by(
        &self,
        caller: &Caller,
        recipe: &Recipe<'_>,
        file: &str,
    ) -> Result<Environment> {
        let Some(hash) = recipe.files else {
            return Err(
                Error::invalid("The build context was not uploaded").at("environment.build.path")
            );
        };
        let get = api::files::GetTree {
            workspace: recipe.workspace.to_owned(),
            hash,
        };
        let tree = get.perform(self, caller).await?;
        let mut small = HashMap::new();
        let mut context = dockerfile::Context::default();
        for entry in tree.entries {
            context.add(entry.path.clone());
            if entry.size <= dockerfile::LARGEST && !entry.symlink {
                small.insert(entry.path, entry.hash);
            }
        }
        loop {
            let made = dockerfile::environment(&context, file, recipe.name, &recipe.arguments);
            let Some(wanted) = context.wanted() else {
                return made;
            };
            let blob = match small.get(&wanted) {
                Some(hash) => self.store.open_blob(*hash).await?,
                None => None,
            };
            let bytes = blob.map(|blob| blob.read()).transpose()?;
            context.read(
                wanted,
                bytes.and_then(|bytes| String::from_utf8(bytes).ok()),
            );
        }
    }
}

/// What an environment is made of.
struct Recipe<'a> {
    /// Where its files are.
    workspace: &'a str,
    name: &'a str,
    spec: &'a Map<String, Value>,
    files: Option<Hash>,
    /// Values for the build.
    arguments: BTreeMap<String, String>,
}

impl<'a> Recipe<'a> {
    fn of(workspace: &'a str, name: &'a str, asset: &'a Asset) -> Self {
        let arguments = asset.properties.get("build_args");
        let arguments = arguments.and_then(|text| serde_json::from_str(text).ok());
        Self {
            workspace,
            name,
            spec: &asset.spec,
            files: asset.files.as_ref().map(|files| files.hash),
            arguments: arguments.unwrap_or_default(),
        }
    }

    /// What the image of it is made from.
    fn image(&self) -> Option<RunImage> {
        let (base, workspace) = match programs::dockerfile_of(self.spec, self.files) {
            Some((folder, dockerfile)) => {
                let dockerfile = dockerfile.to_owned();
                let built = ImageBase::Build { folder, dockerfile };
                (built, self.workspace.to_owned())
            }
            None => {
                let image = self.spec.get("image").and_then(Value::as_str)?;
                (ImageBase::Named(image.to_owned()), String::new())
            }
        };
        Some(RunImage {
            base,
            workspace,
            arguments: self.arguments.clone(),
        })
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

/// The error with the curated environments that may be meant; a list of all is for who is near none.
fn with_curated(mut error: Error, name: &str) -> Error {
    let own = error.unknown.as_ref().and_then(|it| it.nearest.as_ref());
    let is_near = own.is_some();
    let names: Vec<&str> = curated::curated_names().collect();
    match api::names::nearest(name, names.iter().copied()) {
        Some(nearest) => {
            if !is_near {
                error.hints.clear();
            }
            error.hint(format!("Did you mean the curated `{nearest}`?"))
        }
        None if is_near => error,
        None => error.hint(format!("Curated ones are {}", names.join(", "))),
    }
}

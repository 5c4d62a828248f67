//! `aml endpoint export`

mod compose;
mod edge;
mod front;
mod images;
mod kubernetes;

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::{context::Context, transfer::Destination};
use api::{
    Error, Result,
    deployments::{Deployed, Probe, Routes},
    endpoints::{AuthMode, Endpoint, EndpointKeys, GetEndpoint, GetEndpointKeys, LOCAL},
    names::plain,
};
use spec::image;

/// Write what serves an endpoint elsewhere: images to build, and the manifest that runs them
///
/// Each deployment becomes an image with its model, code and packages; a front of nginx before them
/// asks for the endpoint's keys, shares the requests and lets a header choose. The manifest is for
/// Kubernetes, Docker Compose or Azure `IoT` Edge.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What shall run it
    #[arg(value_enum)]
    to: To,
    /// Endpoint to export
    name: String,
    #[command(flatten)]
    destination: Destination,
    /// Registry that the images are pushed to, as `registry.example.com/team`
    #[arg(long, value_name = "ADDRESS")]
    registry: Option<String>,
    /// Write the manifest alone, for images that are there already
    #[arg(long)]
    no_images: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    Kubernetes,
    Compose,
    Edge,
}

/// Where the front's image is made, beside folders that are called as deployments.
const FRONT_FOLDER: &str = "_front";
/// Where the front listens.
const FRONT_PORT: u16 = 8080;

/// An endpoint with what its manifests are made of.
struct Exported {
    endpoint: Endpoint,
    /// Its name where only letters, digits and `-` may be.
    name: String,
    keys: EndpointKeys,
    registry: Option<String>,
}

impl Exported {
    /// The name of a deployment's container, or the front's.
    fn container(&self, part: &str) -> String {
        format!("{}-{}", self.name, plain(part))
    }

    /// A name that no deployment's container has.
    fn own(&self, part: &str) -> String {
        format!("{}--{part}", self.name)
    }

    fn image(&self, container: &str, tag: &str) -> String {
        let name = format!("{container}:{tag}");
        match &self.registry {
            Some(registry) => format!("{}/{name}", registry.trim_end_matches('/')),
            None => format!("aml/{name}"),
        }
    }

    fn deployment_image(&self, one: &Deployed) -> String {
        self.image(&self.container(&one.name), &one.generation.to_string())
    }

    fn front_image(&self) -> String {
        let generations = self.endpoint.deployments.iter().map(|one| one.generation);
        self.image(&self.own("front"), &generations.sum::<u64>().to_string())
    }
}

/// How a deployment's container is asked.
struct Asked {
    port: u16,
    routes: Routes,
    liveness: Probe,
    readiness: Probe,
}

fn asked(one: &Deployed) -> Asked {
    let deployment = &one.deployment;
    let liveness = deployment.liveness.unwrap_or_default();
    Asked {
        port: image::port(deployment),
        routes: image::routes(deployment),
        liveness,
        readiness: deployment.readiness.unwrap_or(liveness),
    }
}

/// What a deployment's container is told; the port is its image's.
fn variables(one: &Deployed) -> impl Iterator<Item = (&String, &String)> {
    let all = one.deployment.environment_variables.iter();
    all.filter(|(name, _)| *name != "PORT")
}

pub async fn export(ctx: &Context, args: ExportArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let get = GetEndpoint {
        workspace: workspace.clone(),
        name: args.name.clone(),
    };
    let endpoint = client.call(&get).await?;
    if endpoint.deployments.is_empty() {
        let error = format!("Nothing is deployed behind `{}`", endpoint.name);
        return Err(Error::conflict(error)
            .hint("Deploy first: aml deploy MODEL --name ENDPOINT")
            .into());
    }
    let native = endpoint
        .deployments
        .iter()
        .find(|one| one.deployment.native);
    if let Some(native) = native {
        let error = format!(
            "`{}` is scored natively, for which there is no image",
            native.name
        );
        return Err(Error::invalid(error)
            .hint("Deploy it without --native, or with a scoring script, and export that")
            .into());
    }
    if args.to == To::Edge && args.registry.is_none() && !args.no_images {
        ctx.ui.hint(
            "Devices pull images: name the registry that they are pushed to, --registry ADDRESS",
        );
    }
    let keys = GetEndpointKeys {
        workspace: workspace.clone(),
        name: endpoint.name.clone(),
    };
    let exported = Exported {
        name: plain(endpoint.name.trim_start_matches(LOCAL)),
        keys: client.call(&keys).await?,
        registry: args.registry,
        endpoint,
    };
    let folder = args.destination.folder(&exported.name)?;
    let folder = ctx.path(Path::new(&folder));
    new_folder(&folder)?;
    let written = write(
        ctx,
        &workspace,
        (args.to, !args.no_images),
        &exported,
        &folder,
    )
    .await;
    if written.is_err() {
        // It was empty before.
        let _ = fs::remove_dir_all(&folder);
    }
    let next = written?;
    ctx.ui.status(&format!("Written to {}", folder.display()));
    if exported.endpoint.auth_mode != AuthMode::Key {
        ctx.ui
            .hint("The front asks for the endpoint's keys; tokens are made and known here only");
    }
    for hint in next {
        ctx.ui.hint(&hint);
    }
    Ok(())
}

/// Writes all of it; answers what to do next.
async fn write(
    ctx: &Context,
    workspace: &str,
    (to, builds): (To, bool),
    exported: &Exported,
    folder: &Path,
) -> Result<Vec<String>> {
    if builds {
        let images = folder.join("images");
        for one in &exported.endpoint.deployments {
            let image = images.join(plain(&one.name));
            images::write_image(ctx, workspace, one, &image).await?;
        }
        front::write_image(exported, &images.join(FRONT_FOLDER))?;
    }
    match to {
        To::Kubernetes => kubernetes::write(exported, folder),
        To::Compose => compose::write(exported, folder, builds),
        To::Edge => edge::write(exported, folder),
    }
}

fn new_folder(folder: &Path) -> Result<()> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(
            Error::conflict(format!("The folder `{}` is not empty", folder.display()))
                .at("--output")
                .hint("Choose another: --output FOLDER"),
        );
    }
    fs::create_dir_all(folder).map_err(|e| failed(folder, &e))
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("Cannot write `{}`: {error}", path.display()))
}

/// Writes a file that others may read.
fn save(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|e| failed(&path, &e))
}

/// Writes a file with keys in it, for its owner alone.
fn save_secret(folder: &Path, name: &str, text: &str) -> Result<()> {
    let path = folder.join(name);
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600);
    let written = file
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| failed(&path, &e))
}

fn yaml(document: &Value) -> Result<String> {
    serde_saphyr::to_string(document)
        .map_err(|e| Error::internal(format!("Cannot write the manifest: {e}")))
}

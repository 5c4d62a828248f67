//! The image of a deployment: a Dockerfile with the model, the code and the list of packages around it.

use std::{fs, path::Path};

use super::failed;
use crate::context::Context;
use api::{
    Result,
    deployments::{Deployed, ImageBase},
    environments::Environment,
    models::GetModel,
};
use spec::{
    image::{self, Described},
    scoring,
};

/// Writes what the image of a deployment is built from.
pub async fn write_image(
    ctx: &Context,
    workspace: &str,
    one: &Deployed,
    folder: &Path,
) -> Result<()> {
    let client = ctx.client().await?;
    let deployment = &one.deployment;
    let place = folder.join(image::place(deployment));
    for part in ["code", "model"] {
        let path = place.join(part);
        fs::create_dir_all(&path).map_err(|e| failed(&path, &e))?;
    }
    let mut model = place.join("model");
    if let Some(served) = &deployment.model {
        let holder = one.model_workspace.as_deref().unwrap_or(workspace);
        let get = GetModel {
            workspace: holder.to_owned(),
            name: served.model.clone(),
            version: Some(served.version),
            version_name: None,
            alias: None,
        };
        let found = client.call(&get).await?;
        if let Some(files) = found.files {
            let from = found.lineage.path.as_deref();
            model = client
                .lay_out_model(holder, files.hash, from, &model)
                .await?;
        }
    }
    let program = deployment.program.as_ref();
    let program = program.and_then(|program| program.folder);
    let around = match &deployment.image {
        Some(ImageBase::Build { folder, .. }) => Some(*folder),
        _ => None,
    };
    let own = program.filter(|own| around != Some(*own));
    let parts = [
        (around, folder.to_owned()),
        (deployment.code, place.join("code")),
        (own, place.join("code")),
    ];
    for (hash, to) in parts {
        if let Some(hash) = hash {
            client.download_tree(workspace, hash, &to, None).await?;
        }
    }
    let environment = scoring::environment(deployment, &model, &one.name)?;
    if deployment.image.is_none()
        && matches!(
            environment,
            Environment::Host | Environment::HostPath { .. }
        )
    {
        ctx.ui.hint(&format!(
            "`{}` is served in what this machine has, which an image has not: see images/{}/Dockerfile",
            one.name, one.name
        ));
    }
    let described = Described {
        name: &one.name,
        generation: one.generation,
        deployment,
        environment: &environment,
    };
    image::write(folder, &described)
}

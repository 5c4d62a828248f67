//! Whether a workspace has the datastores that paths name.

use crate::cli::context::Context;
use api::{
    Result,
    datastores::{DEFAULT, GetDatastore},
    paths::Location,
    registries,
};

/// Refuses a path in a datastore that the workspace does not have. A mirror may stand for one; a registry
/// has none of its own, and every workspace has that of uploads.
pub async fn check(ctx: &Context, workspace: &str, path: &str) -> Result<()> {
    let Ok(Location::Datastore {
        workspace: other,
        datastore,
        ..
    }) = Location::parse(path)
    else {
        return Ok(());
    };
    let own = other.is_none_or(|other| other.eq_ignore_ascii_case(workspace));
    let mirrored = ctx.config.settings.mirrors.find(path).is_some();
    if !own
        || mirrored
        || datastore == DEFAULT
        || path.contains("${{")
        || registries::named_in(workspace).is_some()
    {
        return Ok(());
    }
    let get = GetDatastore {
        workspace: workspace.to_owned(),
        name: Some(datastore),
        secrets: false,
    };
    match ctx.client().await?.call(&get).await {
        Err(error) if error.unknown.is_some() => Err(error.at("path")),
        found => found.map(drop),
    }
}

//! Whether a workspace has the datastores that paths name.

use serde_json::{Map, Value};

use crate::context::Context;
use api::{
    Error, Result,
    assets::AssetKind,
    datastores::{DEFAULT, GetDatastore},
    paths::Location,
    registries,
};

/// Warns of a path in a datastore that the workspace does not have: it may be made later, and where the path
/// is read a mirror may stand for it. `placed` gives the error its place.
pub async fn warn(ctx: &Context, workspace: &str, path: &str, placed: impl FnOnce(Error) -> Error) {
    let known = check(ctx, workspace, path).await;
    if let Some(error) = known.err().filter(|error| error.unknown.is_some()) {
        let error = placed(error);
        let place = error.target.as_deref().unwrap_or_default();
        ctx.ui.warn(&format!("{place}: {}", error.message));
        error.hints.iter().for_each(|hint| ctx.ui.hint(hint));
    }
}

/// The same of the data that an asset is.
pub async fn warn_of_data(
    ctx: &Context,
    workspace: &str,
    (kind, fields): (AssetKind, &Map<String, Value>),
    placed: impl FnOnce(Error) -> Error,
) {
    if let (AssetKind::Data, Some(Value::String(path))) = (kind, fields.get("path")) {
        warn(ctx, workspace, path, placed).await;
    }
}

/// A registry has no datastore of its own, and every workspace has that of uploads.
async fn check(ctx: &Context, workspace: &str, path: &str) -> Result<()> {
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

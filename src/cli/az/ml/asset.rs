//! What `az ml data`, `az ml environment` and `az ml component` have in common.

use serde_json::{Map, Value, json};

use super::{changed, changed_tags};
use crate::{
    asset::{check_table, create_described},
    az::{Az, given::Given, ids, place::Place},
    datastore::named,
    document::Draft,
};
use api::{
    Code, Error, Result,
    assets::{
        ArchiveAsset, Archived, Asset, AssetKind, GetAsset, ListAssets, RestoreAsset, ShareAsset,
        UpdateAsset,
    },
    registries::CURATED,
};
use spec::overrides::Values;

/// An asset as Azure's command line shows it.
pub fn shown(place: &Place, asset: &Asset) -> Value {
    let mut all = ids::fields(json!({
        "creation_context": ids::creation(
            (asset.created_at, &asset.created_by),
            (asset.updated_at, &asset.updated_by),
        ),
        "description": asset.description,
        "id": place.id(asset.kind.plural(), &asset.name, &asset.version),
        "name": asset.name,
        "properties": asset.properties,
        "resourceGroup": place.resource_group(),
        "tags": asset.tags,
        "version": asset.version,
    }));
    for (key, value) in &asset.spec {
        all.insert(key.clone(), value.clone());
    }
    for key in ["path", "code"] {
        if let Some(path) = asset.text(key) {
            all.insert(key.to_owned(), place.address(path).into());
        }
    }
    if asset.archived {
        all.insert("is_archived".to_owned(), true.into());
    }
    Value::Object(all)
}

/// Puts flags that are keys of the file into it.
pub fn put_flags(draft: &mut Draft, given: &Given, flags: &[&str]) {
    for flag in flags {
        let key = flag.replace('-', "_");
        let shown = format!("--{flag}");
        if *flag == "tags" || *flag == "properties" {
            if given.has(flag) {
                draft.put(&key, json!(given.pairs(flag)), &shown);
            }
        } else if let Some(text) = given.text(flag) {
            draft.put(&key, text, &shown);
        }
    }
}

/// Creates a version from a file and flags.
pub async fn create(
    az: &Az,
    given: &Given,
    kind: AssetKind,
    mut draft: Draft,
) -> anyhow::Result<Value> {
    draft.edit(&given.edits()?, Values::Strings)?;
    let fields = draft.check(kind.name())?;
    if kind == AssetKind::Data && !given.has("skip-validation") {
        check_table(&fields)?;
    }
    let place = az.place(given).await?;
    let placed = |error| draft.located(error);
    named::warn_of_data(&az.ctx, &place.name(), (kind, &fields), placed).await;
    let made = create_described(&az.ctx, &place.name(), kind, fields, Vec::new()).await;
    let made = made.map_err(|error| draft.located(error))?;
    Ok(shown(&place, &made))
}

async fn get(az: &Az, given: &Given, kind: AssetKind, place: &Place) -> Result<Asset> {
    get_named(az, given, (kind, given.required("name")?), place).await
}

async fn get_named(
    az: &Az,
    given: &Given,
    (kind, name): (AssetKind, &str),
    place: &Place,
) -> Result<Asset> {
    let get = GetAsset {
        workspace: place.name(),
        kind,
        name: name.to_owned(),
        version: given.owned("version"),
        label: given.owned("label"),
    };
    az.call(&get).await
}

pub async fn show(az: &Az, given: &Given, kind: AssetKind) -> anyhow::Result<Value> {
    let place = az.place(given).await?;
    let found = get(az, given, kind, &place).await;
    // In Azure each workspace has the curated environments by this longer name as well.
    if kind == AssetKind::Environment
        && let Err(error) = &found
        && error.code == Code::NotFound
        && let Some(name) = given.required("name")?.strip_prefix("AzureML-")
    {
        let place = Place::Registry(CURATED.to_owned());
        if let Ok(asset) = get_named(az, given, (kind, name), &place).await {
            return Ok(shown(&place, &asset));
        }
    }
    Ok(shown(&place, &found?))
}

/// Which assets a listing has as to archiving.
fn archived(given: &Given) -> Archived {
    match (
        given.switch("include-archived"),
        given.switch("archived-only"),
    ) {
        (_, true) => Archived::Only,
        (true, _) => Archived::Include,
        _ => Archived::Exclude,
    }
}

pub async fn list(az: &Az, given: &Given, kind: AssetKind) -> anyhow::Result<Value> {
    let place = az.place(given).await?;
    let request = ListAssets {
        workspace: place.name(),
        kind,
        name: given.owned("name"),
        archived: archived(given),
        limit: given.number("max-results")?,
    };
    let of_one = request.name.is_some();
    let all = az.call(&request).await?;
    let one = |asset: &Asset| {
        let mut all = shown(&place, asset);
        if !of_one {
            all["latest_version"] = json!(asset.version);
        }
        all
    };
    Ok(all.iter().map(one).collect())
}

/// Whole assets when neither version nor label is given.
pub async fn archive(az: &Az, given: &Given, kind: AssetKind) -> anyhow::Result<Value> {
    let request = ArchiveAsset {
        workspace: az.place(given).await?.name(),
        kind,
        name: given.required("name")?.to_owned(),
        version: given.owned("version"),
        label: given.owned("label"),
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

pub async fn restore(az: &Az, given: &Given, kind: AssetKind) -> anyhow::Result<Value> {
    let request = RestoreAsset {
        workspace: az.place(given).await?.name(),
        kind,
        name: given.required("name")?.to_owned(),
        version: given.owned("version"),
        label: given.owned("label"),
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

/// Description, tags and properties can change; what the version is made of cannot.
pub async fn update(az: &Az, given: &Given, kind: AssetKind) -> anyhow::Result<Value> {
    let place = az.place(given).await?;
    let found = get(az, given, kind, &place).await?;
    let before = ids::fields(shown(&place, &found));
    let mut draft = Draft::of(&before, &az.ctx.folder);
    draft.edit(&given.edits()?, given.values())?;
    let after = draft.unchecked()?;
    let settings = settings(kind, &before, &after);
    let unchanged = |key: &String| settings.contains_key(key);
    refuse_others(&before, &after, kind.name(), unchanged)?;
    let request = UpdateAsset {
        workspace: place.name(),
        kind,
        name: found.name.clone(),
        version: Some(found.version.clone()),
        description: description(&before, &after),
        tags: changed_tags(&found.tags, &after),
        properties: changed(&found.properties, &after, "properties"),
        labels: Vec::new(),
        unlabel: Vec::new(),
        settings,
    };
    Ok(shown(&place, &az.call(&request).await?))
}

/// The words of a version that may change and have.
fn settings(
    kind: AssetKind,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Map<String, Value> {
    let may: &[&str] = match kind {
        AssetKind::Data | AssetKind::Environment => &["auto_delete_setting"],
        AssetKind::Component => &["display_name"],
        AssetKind::Code => &[],
    };
    let changed = may
        .iter()
        .filter(|key| before.get(**key) != after.get(**key));
    let now = |key: &&str| after.get(*key).cloned().unwrap_or_default();
    changed.map(|key| ((*key).to_owned(), now(key))).collect()
}

/// The description, if it is another one now.
pub fn description(before: &Map<String, Value>, after: &Map<String, Value>) -> Option<String> {
    let text = |fields: &Map<String, Value>| match fields.get("description") {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    };
    Some(text(after)).filter(|description| *description != text(before))
}

/// Names what was changed and cannot be.
pub fn refuse_others(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    kind: &str,
    may_change: impl Fn(&String) -> bool,
) -> Result<()> {
    let may = ["description", "tags", "properties"];
    let keys = before.keys().chain(after.keys());
    let mut others = keys.filter(|key| {
        !may.contains(&key.as_str()) && !may_change(key) && before.get(*key) != after.get(*key)
    });
    match others.next() {
        None => Ok(()),
        Some(key) => Err(Error::invalid(format!(
            "`{key}` of {} cannot be changed; only its description, tags and properties can",
            match kind {
                "data" => "a data asset".to_owned(),
                "environment" => "an environment".to_owned(),
                kind => format!("a {kind}"),
            }
        ))
        .at(key.clone())
        .hint(format!("Create the next version: az ml {kind} create"))),
    }
}

pub async fn share(az: &Az, given: &Given, kind: AssetKind) -> anyhow::Result<Value> {
    let registry = given.required("registry-name")?.to_owned();
    let request = ShareAsset {
        workspace: az.here().await?,
        kind,
        name: given.required("name")?.to_owned(),
        version: given.required("version")?.to_owned(),
        registry: registry.clone(),
        share_with_name: given.owned("share-with-name"),
        share_with_version: given.owned("share-with-version"),
    };
    let shared = az.call(&request).await?;
    Ok(shown(&Place::Registry(registry), &shared))
}

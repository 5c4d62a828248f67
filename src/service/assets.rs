//! Assets: creating versions, what is the same version, labels, archiving, sharing.

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Result,
    assets::{
        ArchiveAsset, Archived, Asset, AssetKind, CreateAsset, DeleteAsset, GetAsset, Holder,
        ListAssets, Pick, RestoreAsset, ShareAsset, UpdateAsset,
    },
    files::{CreateTree, GetTree, Hash},
    names, paths, registries,
};
use store::{AssetChange, AssetCreated, AssetRow, NewAsset, WorkspaceRow};

/// Digits of a hash in the name of an anonymous asset and in the path of an upload.
const SHORT: usize = 32;
/// The datastore whose address uploads have.
const UPLOADS: &str = "azureml://datastores/workspaceblobstore/paths/LocalUpload";

impl Service {
    /// One version of an asset, or why there is none.
    pub(super) async fn find_asset(
        &self,
        row: &WorkspaceRow,
        kind: AssetKind,
        name: &str,
        pick: Pick,
    ) -> Result<AssetRow> {
        match self.store.asset(row.id, kind, name, pick.clone()).await? {
            Some(found) => Ok(found),
            None => Err(self.unknown_asset(row, kind, name, &pick).await?),
        }
    }

    async fn unknown_asset(
        &self,
        row: &WorkspaceRow,
        kind: AssetKind,
        name: &str,
        pick: &Pick,
    ) -> Result<Error> {
        let place = in_place(row);
        let all =
            self.store
                .list_assets(row.id, kind, Some(name.to_owned()), Archived::Include, None);
        let all = all.await?;
        let Some(newest) = all.first().map(|row| &row.asset) else {
            let list = self
                .store
                .list_assets(row.id, kind, None, Archived::Include, None);
            let list = list.await?;
            let nearest = names::nearest(name, list.iter().map(|row| row.asset.name.as_str()));
            return Ok(Error::unknown(kind.name(), name, &place, nearest)
                .or_hint(format!("See which there are: aml {kind} list")));
        };
        let name = &newest.name;
        let see = format!("see all: aml {kind} list --name {name}");
        Ok(match pick {
            Pick::Version(version) => {
                Error::not_found(format!("No {kind} `{name}` version {version}{place}"))
                    .hint(format!("The one created last is {}; {see}", newest.version))
            }
            Pick::Label(label) => Error::not_found(format!(
                "No version of the {kind} `{name}` has the label `{label}`{place}"
            ))
            .hint(format!("The one created last is {}; {see}", newest.version)),
            Pick::Latest => {
                Error::not_found(format!("Every version of the {kind} `{name}` is archived"))
                    .hint(format!("aml {kind} restore {name}:{}", newest.version))
            }
        })
    }
}

/// Where something is not found.
fn in_place(row: &WorkspaceRow) -> String {
    match registries::named_in(&row.workspace.name) {
        Some(registry) => format!(" in registry `{registry}`"),
        None => format!(" in workspace `{}`", row.workspace.name),
    }
}

/// The version that is asked for by its name or by a label.
pub(super) fn pick(version: Option<String>, label: Option<String>) -> Result<Pick> {
    match (version, label) {
        (Some(_), Some(_)) => {
            Err(Error::invalid("Both a version and a label are given").at("label"))
        }
        (Some(version), None) => Ok(Pick::Version(version)),
        (None, Some(label)) => Ok(Pick::labelled(&label)),
        (None, None) => Ok(Pick::Latest),
    }
}

#[async_trait]
impl Perform for CreateAsset {
    async fn perform(mut self, service: &Service, caller: &Caller) -> Result<Asset> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteAssets)
            .await?;
        if self.kind == AssetKind::Component {
            service
                .pin_labels(caller, &self.workspace, &mut self.spec)
                .await;
        }
        let new = prepare(self, service, caller)?;
        let (kind, name) = (new.kind, new.name.clone());
        match service.store.create_asset(row.id, new).await? {
            AssetCreated::New(row) | AssetCreated::Same(row) => Ok(row.asset),
            AssetCreated::Taken(found) => Err(taken(&found.asset)),
            AssetCreated::OtherType(other) => Err(Error::conflict(format!(
                "The versions of `{name}` are of type {other}, and so must this one be"
            ))
            .at("type")
            .hint(format!("Say --type {other}, or choose another name"))),
            AssetCreated::NoTree => Err(Error::conflict(format!(
                "The files of the {kind} were deleted meanwhile"
            ))
            .hint("Create it again")),
        }
    }
}

fn taken(found: &Asset) -> Error {
    let Asset { kind, version, .. } = found;
    Error::conflict(format!(
        "The {kind} `{}` version {version} exists with other content; versions do not change",
        found.name
    ))
    .at("version")
    .hint("Leave the version out, and it becomes the next one")
    .hint(format!("See it: aml {kind} show {}:{version}", found.name))
}

/// Checks what is asked for and gives it its digest, and an anonymous asset its name.
pub(super) fn prepare(
    request: CreateAsset,
    service: &Service,
    caller: &Caller,
) -> Result<NewAsset> {
    let CreateAsset {
        kind,
        name,
        version,
        mut spec,
        files,
        ..
    } = request;
    check_spec(kind, &spec)?;
    check_words(&request.tags, &request.labels)?;
    if let Some(tree) = files {
        set_upload_path(kind, &mut spec, tree)?;
    }
    let digest = digest(&spec, files);
    let anonymous = name.is_none();
    let (name, version) = match name {
        Some(name) => {
            names::ASSET.check(&name)?;
            if let Some(version) = &version {
                names::VERSION.check(version)?;
            }
            (name, version)
        }
        None => anonymous_name(kind, digest),
    };
    Ok(NewAsset {
        kind,
        name,
        version,
        anonymous,
        spec,
        digest,
        tree: files,
        change: AssetChange {
            description: request.description,
            tags: request.tags,
            properties: request.properties,
            labels: request.labels,
            unlabel: Vec::new(),
            settings: Map::new(),
        },
        by: caller.name().to_owned(),
        now: service.now(),
    })
}

fn check_words(tags: &std::collections::BTreeMap<String, String>, labels: &[String]) -> Result<()> {
    tags.keys().try_for_each(|key| names::TAG.check(key))?;
    for label in labels {
        names::LABEL.check(label)?;
        if label.eq_ignore_ascii_case("latest") {
            return Err(Error::invalid("`latest` is always the version created last").at("labels"));
        }
    }
    Ok(())
}

/// The name and version of an asset that nobody gave one.
fn anonymous_name(kind: AssetKind, digest: Hash) -> (String, Option<String>) {
    let short = &digest.hex()[..SHORT];
    match kind.anonymous_name() {
        Some(name) => (name.to_owned(), Some(short.to_owned())),
        None => {
            let cut = [
                &short[..8],
                &short[8..12],
                &short[12..16],
                &short[16..20],
                &short[20..],
            ];
            (cut.join("-"), Some("1".to_owned()))
        }
    }
}

/// What a spec must have to be used at all. Files are checked in full by who reads them.
fn check_spec(kind: AssetKind, spec: &Map<String, Value>) -> Result<()> {
    let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default();
    for (key, value) in spec {
        if !OWN_WORDS.contains(&key.as_str()) {
            check_addresses(value, key)?;
        }
    }
    match kind {
        AssetKind::Data => {
            let types = ["uri_file", "uri_folder", "mltable"];
            if !types.contains(&text("type")) {
                return Err(
                    Error::invalid(format!("`{}` is no type of data", text("type")))
                        .at("type")
                        .hint(format!("Types of data are {}", types.join(", "))),
                );
            }
            require(spec, kind, &["path"])
        }
        AssetKind::Code => require(spec, kind, &["path"]),
        AssetKind::Environment => require(spec, kind, &["image", "build", "conda_file"]),
        AssetKind::Component => require(spec, kind, &["type"]),
    }
}

/// Keys of what a process is told and people write as they like, and of what pip installs: no files of
/// the workspace.
const OWN_WORDS: [&str; 5] = [
    "command",
    "args",
    "description",
    "environment_variables",
    "conda_file",
];

/// Refuses addresses with credentials, wherever a spec names files: whoever sees it would see them.
fn check_addresses(value: &Value, at: &str) -> Result<()> {
    let below = |key: &dyn std::fmt::Display| match at {
        "" => key.to_string(),
        at => format!("{at}.{key}"),
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| !OWN_WORDS.contains(&key.as_str()))
            .try_for_each(|(key, value)| check_addresses(value, &below(key))),
        Value::Array(items) => (0..)
            .zip(items)
            .try_for_each(|(at, value): (usize, _)| check_addresses(value, &below(&at))),
        Value::String(text) => paths::check_open(text).map_err(|error| error.at(at)),
        _ => Ok(()),
    }
}

fn require(spec: &Map<String, Value>, kind: AssetKind, one_of: &[&str]) -> Result<()> {
    let has = |key: &&str| match spec.get(*key) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    };
    if one_of.iter().any(has) {
        return Ok(());
    }
    let words: Vec<String> = one_of.iter().map(|key| format!("`{key}`")).collect();
    Err(Error::invalid(format!("The {kind} has no {}", words.join(" or "))).at(one_of[0]))
}

/// Makes the path of uploaded files the address that they have from now on.
fn set_upload_path(kind: AssetKind, spec: &mut Map<String, Value>, tree: Hash) -> Result<()> {
    let holder = match kind {
        AssetKind::Environment => match spec.get_mut("build") {
            Some(Value::Object(build)) => build,
            _ => return Err(Error::invalid("Files without `build` mean nothing").at("files")),
        },
        AssetKind::Data | AssetKind::Component | AssetKind::Code => spec,
    };
    let key = if kind == AssetKind::Component {
        "code"
    } else {
        "path"
    };
    let given = holder.get(key).and_then(Value::as_str).unwrap_or_default();
    let folder = given.ends_with('/') || kind != AssetKind::Data;
    let name = given
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let name = match name {
        "" | "." | ".." => "files",
        name => name,
    };
    let slash = if folder { "/" } else { "" };
    let address = format!("{UPLOADS}/{}/{name}{slash}", &tree.hex()[..SHORT]);
    holder.insert(key.to_owned(), Value::String(address));
    Ok(())
}

/// What makes two versions the same: what they say, in any order, and their files.
fn digest(spec: &Map<String, Value>, files: Option<Hash>) -> Hash {
    let mut text = String::new();
    write_sorted(&Value::Object(spec.clone()), &mut text);
    if let Some(files) = files {
        text.push_str(&files.hex());
    }
    Hash::of(text.as_bytes())
}

fn write_sorted(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for key in keys {
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                write_sorted(&map[key], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                write_sorted(item, text);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

#[async_trait]
impl Perform for GetAsset {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Asset> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let pick = pick(self.version, self.label)?;
        let found = service.find_asset(&row, self.kind, &self.name, pick);
        Ok(found.await?.asset)
    }
}

#[async_trait]
impl Perform for ListAssets {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Asset>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let rows = service
            .store
            .list_assets(
                row.id,
                self.kind,
                self.name.clone(),
                self.archived,
                self.limit,
            )
            .await?;
        if let Some(name) = self.name.filter(|_| rows.is_empty()) {
            // Tells a name that is unknown from one that has nothing to show.
            let all = service.store.list_assets(
                row.id,
                self.kind,
                Some(name.clone()),
                Archived::Include,
                Some(1),
            );
            if all.await?.is_empty() {
                let unknown = service.unknown_asset(&row, self.kind, &name, &Pick::Latest);
                return Err(unknown.await?);
            }
        }
        Ok(rows.into_iter().map(|row| row.asset).collect())
    }
}

/// Accepts those words of a version that may change.
fn check_settings(kind: AssetKind, settings: &Map<String, Value>) -> Result<()> {
    for (key, value) in settings {
        let may = match kind {
            AssetKind::Data | AssetKind::Environment => key == "auto_delete_setting",
            AssetKind::Component => key == "display_name",
            AssetKind::Code => false,
        };
        if !may {
            return Err(Error::invalid(format!("`{key}` of {kind} cannot be changed")).at(key));
        }
        let fine = match key.as_str() {
            "auto_delete_setting" => value.is_null() || is_auto_delete(value),
            _ => value.is_null() || value.is_string(),
        };
        if !fine {
            let error = Error::invalid(format!("`{value}` is no `{key}`")).at(key);
            return Err(match key.as_str() {
                "auto_delete_setting" => {
                    error.hint("It has a condition (created_greater_than) and a value (30d)")
                }
                _ => error,
            });
        }
    }
    Ok(())
}

fn is_auto_delete(value: &Value) -> bool {
    let condition = value.get("condition").and_then(Value::as_str);
    let known = ["created_greater_than", "last_accessed_greater_than"];
    condition.is_none_or(|condition| known.contains(&condition))
        && value.get("value").is_none_or(Value::is_string)
        && value.as_object().is_some_and(|all| {
            all.keys()
                .all(|key| ["condition", "value"].contains(&key.as_str()))
        })
}

#[async_trait]
impl Perform for UpdateAsset {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Asset> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteAssets)
            .await?;
        check_words(&self.tags, &self.labels)?;
        check_settings(self.kind, &self.settings)?;
        let pick = pick(self.version, None)?;
        let change = AssetChange {
            description: self.description,
            tags: self.tags,
            properties: self.properties,
            labels: self.labels,
            unlabel: self.unlabel,
            settings: self.settings,
        };
        let by = (caller.name().to_owned(), service.now());
        let updated = service
            .store
            .update_asset(row.id, self.kind, &self.name, pick.clone(), by, change)
            .await?;
        match updated {
            Some(updated) => Ok(updated.asset),
            None => Err(service
                .unknown_asset(&row, self.kind, &self.name, &pick)
                .await?),
        }
    }
}

impl Service {
    async fn set_archived(
        &self,
        caller: &Caller,
        request: ArchiveAsset,
        archived: bool,
    ) -> Result<Done> {
        let row = self
            .enter(caller, &request.workspace, Action::WriteAssets)
            .await?;
        let (kind, name) = (request.kind, request.name);
        let pick = match (request.version, request.label) {
            (None, None) => None,
            (version, label) => Some(pick(version, label)?),
        };
        let changed = self
            .store
            .archive_asset(row.id, kind, &name, pick.clone(), archived)
            .await?;
        if changed {
            return Ok(Done {});
        }
        let pick = pick.unwrap_or_default();
        Err(self.unknown_asset(&row, kind, &name, &pick).await?)
    }
}

#[async_trait]
impl Perform for ArchiveAsset {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.set_archived(caller, self, true).await
    }
}

#[async_trait]
impl Perform for RestoreAsset {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let same = ArchiveAsset {
            workspace: self.workspace,
            kind: self.kind,
            name: self.name,
            version: self.version,
            label: self.label,
        };
        service.set_archived(caller, same, false).await
    }
}

#[async_trait]
impl Perform for DeleteAsset {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteAssets)
            .await?;
        let deleted = service
            .store
            .delete_asset(row.id, self.kind, &self.name, self.version.clone())
            .await?;
        if deleted > 0 {
            return Ok(Done {});
        }
        let pick = self.version.map_or(Pick::Latest, Pick::Version);
        Err(service
            .unknown_asset(&row, self.kind, &self.name, &pick)
            .await?)
    }
}

#[async_trait]
impl Perform for ShareAsset {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Asset> {
        let get = GetAsset {
            workspace: self.workspace.clone(),
            kind: self.kind,
            name: self.name,
            version: Some(self.version),
            label: None,
        };
        let asset = get.perform(service, caller).await?;
        let place = Holder::Registry(self.registry).workspace("");
        if let Some(files) = &asset.files {
            let from = GetTree {
                workspace: self.workspace,
                hash: files.hash,
            };
            let to = CreateTree {
                workspace: place.clone(),
                tree: from.perform(service, caller).await?,
            };
            to.perform(service, caller).await?;
        }
        let copy = CreateAsset {
            workspace: place,
            kind: self.kind,
            name: Some(self.share_with_name.unwrap_or(asset.name)),
            version: Some(self.share_with_version.unwrap_or(asset.version)),
            spec: asset.spec,
            description: Some(asset.description),
            tags: asset.tags,
            properties: asset.properties,
            files: asset.files.map(|files| files.hash),
            labels: Vec::new(),
        };
        copy.perform(service, caller).await
    }
}

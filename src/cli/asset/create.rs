//! What creating any asset has in common: its name, its words, its files.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value};

use super::{PlaceArgs, Shown, check_table, create_described};
use crate::{
    args::parse_pairs,
    context::Context,
    datastore::named,
    document::{Draft, edits},
};
use api::{
    Error, Result,
    assets::{AssetKind, CreateAsset},
    names,
};
use client::Uploaded;
use spec::{overrides::Values, reference::unreadable};

/// What every new asset may be given.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// YAML file that describes it; options go before what it says
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: Option<String>,
    /// Value of the file to change, as KEY=VALUE; the key with dots
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., requires = "file")]
    set: Vec<String>,
    /// Name of the asset; it is made if it is new
    #[arg(
        id = "asset_name",
        short = 'n',
        long = "name",
        value_name = "NAME",
        required_unless_present = "file"
    )]
    name: Option<String>,
    /// Version [default: the next number]
    #[arg(
        id = "asset_version",
        short = 'v',
        long = "version",
        value_name = "VERSION"
    )]
    version: Option<String>,
    /// Description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Tag, as KEY=VALUE; may be repeated
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
    /// Property, as KEY=VALUE; may be repeated
    #[arg(long = "property", value_name = "KEY=VALUE", num_args = 1..)]
    properties: Vec<String>,
    /// Label for this version, for use as NAME@LABEL
    #[arg(long = "label", value_name = "LABEL", num_args = 1..)]
    labels: Vec<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Files of this machine that go with a new asset.
pub struct Local {
    pub path: PathBuf,
    /// Leave out what the ignore files name: it is code.
    pub code: bool,
}

/// Uploads the files, creates the version and shows it.
pub async fn create(
    ctx: &Context,
    kind: AssetKind,
    args: NewArgs,
    spec: Map<String, Value>,
    local: Option<Local>,
) -> anyhow::Result<()> {
    let name = args.name.unwrap_or_default();
    names::ASSET.check(&name)?;
    let mut request = CreateAsset {
        workspace: args.place.workspace(ctx).await?,
        kind,
        name: Some(name),
        version: args.version,
        spec,
        description: args.description,
        tags: parse_pairs("--tag", &args.tags)?,
        properties: parse_pairs("--property", &args.properties)?,
        files: None,
        labels: args.labels,
    };
    if let Some(local) = local {
        let uploaded = ctx.upload_asset(&request.workspace, &local).await?;
        request.files = Some(uploaded.tree.hash);
    } else {
        let data = (kind, &request.spec);
        named::warn_of_data(ctx, &request.workspace, data, |error| error.at("--path")).await;
    }
    ctx.ui
        .show(&Shown(ctx.client().await?.call(&request).await?))
}

impl NewArgs {
    /// Whether a file describes the asset.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }
}

/// Creates a version from a file, before which `more` and the common options go, and shows it.
pub async fn create_from_file(
    ctx: &Context,
    kind: AssetKind,
    args: NewArgs,
    more: Vec<(&str, Value)>,
) -> anyhow::Result<()> {
    let Some(file) = &args.file else {
        return Err(Error::invalid("No file describes it").at("--file").into());
    };
    if kind == AssetKind::Data && Path::new(file).file_name() == Some("MLTable".as_ref()) {
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        let folder = match folder.to_string_lossy() {
            none if none.is_empty() => ".".into(),
            folder => folder,
        };
        let error = Error::invalid(format!(
            "`{file}` says how a table is read; data is its folder"
        ));
        return Err(error
            .at("--file")
            .hint(format!(
                "Register that: aml data create -n NAME --path {folder}"
            ))
            .into());
    }
    let mut draft = Draft::open(args.file.as_deref(), &ctx.folder)?;
    let own = [
        ("name", args.name),
        ("version", args.version),
        ("description", args.description),
    ];
    let own = own
        .into_iter()
        .filter_map(|(key, text)| Some((key, Value::from(text?))));
    for (key, value) in own.chain(more) {
        draft.put(key, value, &format!("--{}", key.replace('_', "-")));
    }
    draft.edit(&edits(&args.set)?, Values::Strings)?;
    let mut fields = draft.check(kind.name())?;
    for (key, option, pairs) in [
        ("tags", "--tag", &args.tags),
        ("properties", "--property", &args.properties),
    ] {
        let given = parse_pairs(option, pairs)?;
        if given.is_empty() {
            continue;
        }
        let all = fields
            .entry(key)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(all) = all {
            all.extend(
                given
                    .into_iter()
                    .map(|(key, value)| (key, Value::from(value))),
            );
        }
    }
    if kind == AssetKind::Data {
        check_table(&fields)?;
    }
    let workspace = args.place.workspace(ctx).await?;
    let placed = |error| draft.located(error);
    named::warn_of_data(ctx, &workspace, (kind, &fields), placed).await;
    let made = create_described(ctx, &workspace, kind, fields, args.labels).await;
    ctx.ui
        .show(&Shown(made.map_err(|error| draft.located(error))?))
}

impl Context {
    pub(super) async fn upload_asset(&self, workspace: &str, local: &Local) -> Result<Uploaded> {
        if local.code {
            return self
                .upload_folder(workspace, &local.path, client::Limit::default())
                .await;
        }
        self.upload_model(workspace, &local.path).await
    }

    /// The file or folder of this machine that `text` names, relative to `folder`; none when it is
    /// an address. One that is not there is an error with the nearest that is.
    pub fn local_path(&self, folder: &Path, text: &str, target: &str) -> Result<Option<PathBuf>> {
        if !api::paths::is_local(text) {
            return Ok(None);
        }
        let joined = folder.join(text.strip_prefix("file://").unwrap_or(text));
        match joined.canonicalize() {
            Ok(path) => Ok(Some(path)),
            Err(e) => Err(unreadable("file or folder", text, &joined, &e).at(target)),
        }
    }
}

//! What `aml data`, `aml environment`, `aml component` and `aml code` have in common.

mod archive;
mod create;
mod delete;
mod described;
mod list;
mod share;
mod show;
mod update;

use clap::{Args, Subcommand};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub use create::{Local, NewArgs, create, create_from_file};
pub use described::{check_table, create_described, texts};

use super::context::Context;
use api::{
    Error, Result,
    assets::{Asset, AssetKind, AssetRef, GetAsset, Holder, Pick},
    registries,
};

/// What is the same for all kinds.
#[derive(Debug, Subcommand)]
pub enum AssetCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Update(update::UpdateArgs),
    Archive(archive::ArchiveArgs),
    Restore(archive::RestoreArgs),
    Delete(delete::DeleteArgs),
    Share(share::ShareArgs),
}

pub async fn run(ctx: &Context, kind: AssetKind, command: AssetCommand) -> anyhow::Result<()> {
    match command {
        AssetCommand::List(args) => list::list(ctx, kind, args).await,
        AssetCommand::Show(args) => show::show(ctx, kind, args).await,
        AssetCommand::Update(args) => update::update(ctx, kind, args).await,
        AssetCommand::Archive(args) => archive::archive(ctx, kind, args).await,
        AssetCommand::Restore(args) => archive::restore(ctx, kind, args).await,
        AssetCommand::Delete(args) => delete::delete(ctx, kind, args).await,
        AssetCommand::Share(args) => share::share(ctx, kind, args).await,
    }
}

/// Where an asset is when it is not in the workspace.
#[derive(Debug, Clone, Default, Args)]
pub struct PlaceArgs {
    /// Registry to work in, instead of a workspace
    #[arg(long, visible_alias = "registry", value_name = "NAME")]
    registry_name: Option<String>,
}

impl PlaceArgs {
    /// What operations take as their workspace.
    pub async fn workspace(&self, ctx: &Context) -> Result<String> {
        match &self.registry_name {
            Some(registry) => Ok(registries::place(registry)),
            None => ctx.workspace().await,
        }
    }

    /// The same for a reference, which may itself say where its asset is.
    pub async fn of(&self, ctx: &Context, asset: &AssetRef) -> Result<String> {
        match &asset.holder {
            Holder::Here => self.workspace(ctx).await,
            elsewhere => Ok(elsewhere.workspace("")),
        }
    }
}

/// Which version of an asset a command is about.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Asset, as NAME:VERSION, NAME@LABEL, or NAME for the latest version
    #[arg(value_name = "ASSET", required_unless_present = "name")]
    asset: Option<AssetRef>,
    /// The same, as an option
    #[arg(short, long, value_name = "ASSET", conflicts_with = "asset")]
    name: Option<AssetRef>,
    /// Version of the asset, where the name is given alone
    #[arg(short, long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
}

impl TargetArgs {
    /// The version as one reference, however it was named.
    fn asset(&self) -> Result<AssetRef> {
        let named = self.asset.as_ref().or(self.name.as_ref());
        let Some(mut asset) = named.cloned() else {
            return Err(Error::invalid("Which asset?").hint("Name it, as in NAME:VERSION"));
        };
        let Some(version) = &self.version else {
            return Ok(asset);
        };
        if !matches!(asset.pick, Pick::Latest) {
            return Err(
                Error::invalid(format!("`{}` names a version already", shown(&asset)))
                    .at("--version"),
            );
        }
        asset.pick = AssetRef::parse(&format!("{}:{version}", asset.name))
            .map_err(|error| error.at("--version"))?
            .pick;
        Ok(asset)
    }

    pub async fn workspace(&self, ctx: &Context) -> Result<String> {
        self.place.of(ctx, &self.asset()?).await
    }

    /// The version that is meant now.
    pub async fn get(&self, ctx: &Context, kind: AssetKind) -> Result<Asset> {
        let asset = self.asset()?;
        if let Some(said) = &asset.kind
            && AssetKind::parse(said) != Some(kind)
        {
            return Err(Error::invalid(format!(
                "The reference names {said}, not {kind}"
            )));
        }
        let get = GetAsset {
            workspace: self.workspace(ctx).await?,
            kind,
            version: asset.pick.version(),
            label: asset.pick.label(),
            name: asset.name,
        };
        ctx.client().await?.call(&get).await
    }
}

/// The name with the version, if one is named.
fn shown(asset: &AssetRef) -> String {
    let name = &asset.name;
    match &asset.pick {
        Pick::Latest => name.clone(),
        Pick::Version(version) => format!("{name}:{version}"),
        Pick::Label(label) => format!("{name}@{label}"),
    }
}

/// An asset with its spec among its own fields, as people write it.
#[derive(Debug)]
pub struct Shown(pub Asset);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut fields = match serde_json::to_value(&self.0) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        let spec = fields.shift_remove("spec");
        let mut all = Map::new();
        for key in ["kind", "name", "version"] {
            if let Some(value) = fields.shift_remove(key) {
                all.insert(key.to_owned(), value);
            }
        }
        if let Some(Value::Object(spec)) = spec {
            all.extend(spec);
        }
        for (key, value) in fields {
            all.entry(key).or_insert(value);
        }
        all.serialize(serializer)
    }
}

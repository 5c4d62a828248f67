//! `aml datastore create`

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::{
    args::{Hidden, parse_credentials, parse_pairs},
    context::Context,
};
use api::datastores::{CreateDatastore, DatastoreType};

/// Create a datastore, or replace the one of that name
///
/// Its files stay where they are. What opens it goes to the workspace's vault.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the datastore
    #[arg(short, long)]
    name: String,
    /// What kind of place it is
    #[arg(short = 't', long = "type", value_enum)]
    kind: TypeArg,
    /// Folder of the machine that holds the workspace (local)
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    path: Option<String>,
    /// Storage account (Azure)
    #[arg(long, value_name = "NAME")]
    account_name: Option<String>,
    /// Container of the account (`azure_blob`)
    #[arg(long, value_name = "NAME")]
    container_name: Option<String>,
    /// File share of the account (`azure_file`)
    #[arg(long, value_name = "NAME")]
    file_share_name: Option<String>,
    /// File system of the account (`azure_data_lake_gen2`)
    #[arg(long, value_name = "NAME")]
    filesystem: Option<String>,
    /// Store (`azure_data_lake_gen1`)
    #[arg(long, value_name = "NAME")]
    store_name: Option<String>,
    /// Workspace of Fabric (`one_lake`)
    #[arg(long, value_name = "NAME")]
    one_lake_workspace_name: Option<String>,
    /// Lakehouse in it (`one_lake`)
    #[arg(long, value_name = "NAME")]
    artifact: Option<String>,
    /// Bucket (`s3`)
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Region of the bucket (`s3`)
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Host of the service when it is not the public cloud's; for S3 a URL
    #[arg(long, value_name = "HOST")]
    endpoint: Option<String>,
    /// `https` or `http`
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// What opens it, as KEY=VALUE: `account_key`, or `sas_token`, or `access_key_id` and
    /// `secret_access_key`, or `tenant_id`, `client_id` and `client_secret`; `KEY=-` asks for it
    #[arg(long = "credential", value_name = "KEY=VALUE", num_args = 1..)]
    credentials: Vec<Hidden>,
    /// Description
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// Tag, as KEY=VALUE; may be repeated
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum TypeArg {
    Local,
    AzureBlob,
    AzureFile,
    #[value(name = "azure_data_lake_gen1")]
    AzureDataLakeGen1,
    #[value(name = "azure_data_lake_gen2")]
    AzureDataLakeGen2,
    OneLake,
    S3,
}

impl From<TypeArg> for DatastoreType {
    fn from(kind: TypeArg) -> Self {
        match kind {
            TypeArg::Local => DatastoreType::Local,
            TypeArg::AzureBlob => DatastoreType::AzureBlob,
            TypeArg::AzureFile => DatastoreType::AzureFile,
            TypeArg::AzureDataLakeGen1 => DatastoreType::AzureDataLakeGen1,
            TypeArg::AzureDataLakeGen2 => DatastoreType::AzureDataLakeGen2,
            TypeArg::OneLake => DatastoreType::OneLake,
            TypeArg::S3 => DatastoreType::S3,
        }
    }
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let path = args.path.map(|path| ctx.path(path));
    let path = path.map(|path| path.to_string_lossy().into_owned());
    let mut spec = Map::new();
    for (key, value) in [
        ("path", path),
        ("account_name", args.account_name),
        ("container_name", args.container_name),
        ("file_share_name", args.file_share_name),
        ("filesystem", args.filesystem),
        ("store_name", args.store_name),
        ("one_lake_workspace_name", args.one_lake_workspace_name),
        ("artifact", args.artifact),
        ("bucket", args.bucket),
        ("region", args.region),
        ("endpoint", args.endpoint),
        ("protocol", args.protocol),
    ] {
        if let Some(value) = value {
            spec.insert(key.to_owned(), Value::from(value));
        }
    }
    let request = CreateDatastore {
        workspace: ctx.workspace().await?,
        name: args.name,
        kind: args.kind.into(),
        spec,
        description: args.description,
        tags: parse_pairs("--tag", &args.tags)?,
        credentials: parse_credentials(&args.credentials)?,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

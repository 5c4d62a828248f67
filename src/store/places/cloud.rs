//! Files of a datastore in Azure Blob Storage, Azure Data Lake Gen2, `OneLake` or S3.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::{
    ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart,
    aws::AmazonS3Builder,
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    path::Path,
};
use tokio::sync::mpsc;

use super::{Address, Chunks, missing};
use api::{
    Error, Result, Time,
    datastores::{DatastoreType, StoredFile, UNREACHABLE},
};

/// How long a connection may take; a place that is not there is known soon.
const CONNECT: Duration = Duration::from_secs(10);
/// For how long a request that failed is sent again.
const RETRY: Duration = Duration::from_secs(20);

/// A container, file system or bucket.
#[derive(Debug, Clone)]
pub struct Cloud {
    store: Arc<dyn ObjectStore>,
    /// Where the datastore begins in it.
    top: String,
    /// For messages.
    shown: String,
}

impl Cloud {
    pub fn new(address: &Address) -> Result<Self> {
        let (store, top): (Arc<dyn ObjectStore>, String) = match address.kind {
            DatastoreType::AzureBlob => {
                (Arc::new(azure(address, "container_name")?), String::new())
            }
            DatastoreType::AzureDataLakeGen2 => {
                (Arc::new(azure(address, "filesystem")?), String::new())
            }
            DatastoreType::OneLake => (Arc::new(one_lake(address)?), artifact(address)),
            DatastoreType::S3 => (Arc::new(s3(address)?), String::new()),
            kind @ (DatastoreType::Local
            | DatastoreType::AzureFile
            | DatastoreType::AzureDataLakeGen1
            | DatastoreType::Hdfs) => return Err(unreachable(kind)),
        };
        Ok(Self {
            store,
            top,
            shown: shown(address),
        })
    }

    pub async fn list(&self, path: &str, limit: Option<u64>) -> Result<Vec<StoredFile>> {
        if !path.is_empty()
            && let Some(file) = self.head(path).await?
        {
            return Ok(vec![file]);
        }
        let limit = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let prefix = self.key(path);
        let found = self.store.list(Some(&prefix)).take(limit);
        let metas: Vec<_> = found.try_collect().await.map_err(|e| self.explain(&e))?;
        let file = |meta: object_store::ObjectMeta| StoredFile {
            path: self.below(&meta.location),
            size: meta.size,
            modified_at: Time(meta.last_modified.timestamp_millis()),
        };
        let mut files: Vec<StoredFile> = metas.into_iter().map(file).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    pub async fn head(&self, path: &str) -> Result<Option<StoredFile>> {
        match self.store.head(&self.key(path)).await {
            Ok(meta) => Ok(Some(StoredFile {
                path: path.to_owned(),
                size: meta.size,
                modified_at: Time(meta.last_modified.timestamp_millis()),
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.explain(&e)),
        }
    }

    pub async fn send(
        &self,
        path: &str,
        range: std::ops::Range<u64>,
        sender: &mpsc::Sender<Result<Bytes>>,
    ) {
        if range.is_empty() {
            return;
        }
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        let mut stream = match self.store.get_opts(&self.key(path), options).await {
            Ok(found) => found.into_stream(),
            Err(e) => {
                let _ = sender.send(Err(self.explain(&e))).await;
                return;
            }
        };
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|e| self.explain(&e));
            let failed = chunk.is_err();
            if sender.send(chunk).await.is_err() || failed {
                return;
            }
        }
    }

    pub async fn write(&self, path: &str, mut chunks: Chunks) -> Result<u64> {
        let upload = self.store.put_multipart(&self.key(path)).await;
        let mut upload = WriteMultipart::new(upload.map_err(|e| self.explain(&e))?);
        let mut size = 0;
        while let Some(chunk) = chunks.recv().await {
            match chunk {
                Ok(chunk) => {
                    size += chunk.len() as u64;
                    let ready = upload.wait_for_capacity(4).await;
                    ready.map_err(|e| self.explain(&e))?;
                    upload.put(chunk);
                }
                Err(error) => {
                    let _ = upload.abort().await;
                    return Err(error);
                }
            }
        }
        upload.finish().await.map_err(|e| self.explain(&e))?;
        Ok(size)
    }

    pub async fn remove(&self, path: &str) -> Result<u64> {
        let files = self.list(path, None).await?;
        for file in &files {
            let deleted = self.store.delete(&self.key(&file.path)).await;
            deleted.map_err(|e| self.explain(&e))?;
        }
        Ok(files.len() as u64)
    }

    fn key(&self, path: &str) -> Path {
        let parts = self.top.split('/').chain(path.split('/'));
        parts.filter(|part| !part.is_empty()).collect()
    }

    fn below(&self, key: &Path) -> String {
        let key = key.to_string();
        let rest = key.strip_prefix(&self.top).unwrap_or(&key);
        rest.trim_start_matches('/').to_owned()
    }

    /// What went wrong, without addresses that may hold a signature.
    fn explain(&self, error: &object_store::Error) -> Error {
        let place = &self.shown;
        match error {
            object_store::Error::NotFound { .. } => {
                Error::not_found(format!("There is no such file or container in {place}"))
            }
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => {
                Error::denied(format!("The credentials do not open {place}"))
                    .hint("Replace them by `aml datastore create` with the same name")
            }
            other => {
                let mut deepest: &dyn std::error::Error = other;
                while let Some(deeper) = deepest.source() {
                    deepest = deeper;
                }
                Error::unavailable(format!(
                    "Cannot reach {place}: {}",
                    without_query(&deepest.to_string())
                ))
                .at(UNREACHABLE)
                .hint("Check the account, the endpoint and the network")
                .hint("To use files of this machine in its place: [mirrors] in config.toml")
            }
        }
    }
}

/// The text without what follows a `?` in an address.
fn without_query(text: &str) -> String {
    let word = |word: &str| match word.split_once('?') {
        Some((address, _)) if address.contains("://") => format!("{address}?…"),
        _ => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn shown(address: &Address) -> String {
    match address.kind {
        DatastoreType::S3 => format!("the S3 bucket `{}`", address.text("bucket")),
        DatastoreType::OneLake => {
            format!("OneLake `{}`", address.text("one_lake_workspace_name"))
        }
        DatastoreType::AzureDataLakeGen2 => format!(
            "the file system `{}` of the storage account `{}`",
            address.text("filesystem"),
            address.text("account_name")
        ),
        _ => format!(
            "the container `{}` of the storage account `{}`",
            address.text("container_name"),
            address.text("account_name")
        ),
    }
}

/// What there is no way to speak to, and what to use in its place.
fn unreachable(kind: DatastoreType) -> Error {
    let error = |why: &str| Error::unsupported(format!("A datastore of type {kind} {why}"));
    let mirror = "Name a folder with its files in [mirrors] of config.toml";
    match kind {
        DatastoreType::AzureDataLakeGen1 => {
            error("cannot be reached: Azure has shut Data Lake Storage Gen1 down")
                .hint("Use azure_data_lake_gen2")
                .hint(mirror)
        }
        DatastoreType::AzureFile => {
            error("can be reached only through a folder where it is mounted")
                .hint("Mount the share and create a datastore of type local for that folder")
                .hint(mirror)
        }
        _ => error("can be reached only through a folder where it is mounted").hint(mirror),
    }
}

fn options(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_allow_http(allow_http)
}

fn retry() -> RetryConfig {
    RetryConfig {
        max_retries: 2,
        retry_timeout: RETRY,
        ..RetryConfig::default()
    }
}

fn azure(address: &Address, container: &str) -> Result<object_store::azure::MicrosoftAzure> {
    let account = address.text("account_name");
    let (protocol, endpoint) = (address.text("protocol"), address.text("endpoint"));
    for key in ["account_name", container] {
        if address.text(key).is_empty() {
            return Err(missing(address, key));
        }
    }
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(address.text(container))
        .with_client_options(options(protocol == "http"))
        .with_retry(retry());
    // A host with a port is an emulator, which has the account in the path.
    if endpoint.contains(':') {
        builder = builder.with_endpoint(format!("{protocol}://{endpoint}/{account}"));
    } else if !endpoint.is_empty() && endpoint != "core.windows.net" {
        builder = builder.with_endpoint(format!("{protocol}://{account}.blob.{endpoint}"));
    }
    finish(sign_azure(builder, address)?.build())
}

fn sign_azure(builder: MicrosoftAzureBuilder, address: &Address) -> Result<MicrosoftAzureBuilder> {
    if let Some(key) = address.credential("account_key") {
        return Ok(builder.with_access_key(key));
    }
    if let Some(sas) = address.credential("sas_token") {
        return Ok(builder.with_config(AzureConfigKey::SasKey, sas.trim_start_matches('?')));
    }
    let principal = ["client_id", "client_secret", "tenant_id"].map(|key| address.credential(key));
    if let [Some(id), Some(secret), Some(tenant)] = principal {
        let mut builder = builder.with_client_secret_authorization(id, secret, tenant);
        if let Some(authority) = address.credential("authority_url") {
            builder = builder.with_authority_host(authority);
        }
        return Ok(builder);
    }
    if address.credential("thumbprint").is_some() {
        return Err(Error::unsupported(
            "A service principal with a certificate cannot be used to open a datastore",
        )
        .hint("Give it a client_secret, or use an account_key or a sas_token"));
    }
    Ok(builder.with_skip_signature(true))
}

fn one_lake(address: &Address) -> Result<object_store::azure::MicrosoftAzure> {
    let workspace = address.text("one_lake_workspace_name");
    if workspace.is_empty() {
        return Err(missing(address, "one_lake_workspace_name"));
    }
    let builder = MicrosoftAzureBuilder::new()
        .with_account("onelake")
        .with_use_fabric_endpoint(true)
        .with_container_name(workspace)
        .with_client_options(options(false))
        .with_retry(retry());
    finish(sign_azure(builder, address)?.build())
}

/// The lakehouse within the workspace.
fn artifact(address: &Address) -> String {
    let name = match address.spec.get("artifact") {
        Some(serde_json::Value::Object(artifact)) => artifact.get("name"),
        other => other,
    };
    let name = name.and_then(serde_json::Value::as_str);
    name.unwrap_or_default().trim_matches('/').to_owned()
}

fn s3(address: &Address) -> Result<object_store::aws::AmazonS3> {
    if address.text("bucket").is_empty() {
        return Err(missing(address, "bucket"));
    }
    let endpoint = address.text("endpoint");
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(address.text("bucket"))
        .with_region(address.text("region"))
        .with_client_options(options(endpoint.starts_with("http://")))
        .with_allow_http(endpoint.starts_with("http://"))
        .with_retry(retry());
    if !endpoint.is_empty() {
        builder = builder.with_endpoint(endpoint);
    }
    let keys = ["access_key_id", "secret_access_key"].map(|key| address.credential(key));
    builder = match keys {
        [Some(id), Some(secret)] => builder
            .with_access_key_id(id)
            .with_secret_access_key(secret),
        _ => builder.with_skip_signature(true),
    };
    if let Some(token) = address.credential("session_token") {
        builder = builder.with_token(token);
    }
    finish(builder.build())
}

fn finish<T>(built: object_store::Result<T>) -> Result<T> {
    built.map_err(|e| {
        Error::invalid(format!(
            "The datastore cannot be opened: {}",
            without_query(&e.to_string())
        ))
        .hint("Correct it by `aml datastore create` with the same name")
    })
}

#[cfg(test)]
mod tests {
    use super::without_query;

    #[test]
    fn no_signature_is_shown() {
        assert_eq!(
            without_query("GET https://a.blob/c/x?sig=SECRET failed (why?)"),
            "GET https://a.blob/c/x?… failed (why?)"
        );
    }
}

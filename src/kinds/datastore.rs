//! Datastores: places where data lies, with what is needed to get there.

use crate::{
    declare::{record, union, words},
    described::{Map, Scalar},
    reference::Secret,
};

record! {
    /// What every datastore may say.
    DatastoreBase = "datastore" (read_only: &["id", "is_default", "resourceGroup"], secret: true) {
        /// The name in `azureml://datastores/NAME/paths/…`.
        name: String,
        description: Option<String>,
        tags: Map<Scalar>,
    }

    /// A container of Azure Blob Storage.
    AzureBlob = "blob datastore" {
        ..base: DatastoreBase,
        r#type: AzureBlobType,
        account_name: String,
        container_name: String,
        endpoint: String = "core.windows.net",
        protocol: String = "https",
        /// Absent: the identity of who asks.
        credentials: Option<StorageCredentials>,
    }

    /// A share of Azure Files.
    AzureFile = "file datastore" {
        ..base: DatastoreBase,
        r#type: AzureFileType,
        account_name: String,
        file_share_name: String,
        endpoint: String = "core.windows.net",
        protocol: String = "https",
        /// Absent: the identity of who asks.
        credentials: Option<StorageCredentials>,
    }

    /// A file system of Azure Data Lake Storage, generation 2.
    AzureDataLakeGen2 = "data lake (gen 2) datastore" {
        ..base: DatastoreBase,
        r#type: AzureDataLakeGen2Type,
        account_name: String,
        filesystem: String,
        endpoint: String = "core.windows.net",
        protocol: String = "https",
        /// Absent: the identity of who asks.
        credentials: Option<PrincipalCredentials>,
    }

    /// A store of Azure Data Lake Storage, generation 1.
    AzureDataLakeGen1 = "data lake (gen 1) datastore" {
        ..base: DatastoreBase,
        r#type: AzureDataLakeGen1Type,
        store_name: String,
        /// Absent: the identity of who asks.
        credentials: Option<PrincipalCredentials>,
    }

    /// Microsoft OneLake.
    OneLake = "OneLake datastore" {
        ..base: DatastoreBase,
        r#type: OneLakeType,
        one_lake_workspace_name: String,
        endpoint: String,
        artifact: Option<OneLakeArtifact>,
        /// Absent: the identity of who asks.
        credentials: Option<PrincipalCredentials>,
    }

    OneLakeArtifact = "OneLake artifact" {
        name: String,
        r#type: Option<OneLakeArtifactType>,
    }

    /// A Hadoop file system.
    Hdfs = "HDFS datastore" {
        ..base: DatastoreBase,
        r#type: HdfsType,
        name_node_address: String,
        protocol: Option<String>,
        hdfs_server_certificate: Option<String>,
        credentials: KerberosCredentials,
    }

    AccountKey = "account key" { account_key: Secret, }

    SasToken = "SAS token" { sas_token: Secret, }

    /// No credentials: the identity of who asks.
    NoCredentials = "empty mapping" {}

    ServicePrincipal = "service principal" {
        tenant_id: String,
        client_id: String,
        client_secret: Secret,
        authority_url: Option<String>,
        resource_url: Option<String>,
    }

    Certificate = "certificate" {
        tenant_id: String,
        client_id: String,
        thumbprint: Secret,
        certificate: Option<Secret>,
        authority_url: Option<String>,
        resource_url: Option<String>,
    }

    KerberosPassword = "Kerberos password" {
        kerberos_realm: String,
        kerberos_kdc_address: String,
        kerberos_principal: String,
        kerberos_password: Secret,
    }

    KerberosKeytab = "Kerberos keytab" {
        kerberos_realm: String,
        kerberos_kdc_address: String,
        kerberos_principal: String,
        kerberos_keytab: Secret,
    }
}

union! {
    /// A place where data lies.
    Datastore = "a datastore" {
        Blob(AzureBlob),
        File(AzureFile),
        DataLakeGen2(AzureDataLakeGen2),
        DataLakeGen1(AzureDataLakeGen1),
        OneLake(OneLake),
        Hdfs(Hdfs),
    }

    StorageCredentials = "credentials (`account_key` or `sas_token`)" {
        AccountKey(AccountKey),
        SasToken(SasToken),
        None(NoCredentials),
    }

    PrincipalCredentials = "credentials (a service principal or a certificate)" {
        ServicePrincipal(ServicePrincipal),
        Certificate(Certificate),
        None(NoCredentials),
    }

    KerberosCredentials = "Kerberos credentials" {
        Password(KerberosPassword),
        Keytab(KerberosKeytab),
    }
}

words! {
    AzureBlobType = "a type of datastore" ["azure_blob"]
    AzureFileType = "a type of datastore" ["azure_file"]
    AzureDataLakeGen2Type = "a type of datastore" ["azure_data_lake_gen2"]
    AzureDataLakeGen1Type = "a type of datastore" ["azure_data_lake_gen1"]
    OneLakeType = "a type of datastore" ["one_lake"]
    HdfsType = "a type of datastore" ["hdfs"]
    OneLakeArtifactType = "a type of artifact" ["lake_house"]
}

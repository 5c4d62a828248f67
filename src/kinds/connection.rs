//! Connections: how services outside are reached, with what lets one in.

use crate::{
    datastore::OneLakeArtifact,
    declare::{record, union, words},
    described::{Map, Scalar},
    reference::Secret,
};

record! {
    /// What every connection may say.
    ConnectionBase = "connection" (read_only: &["creation_context", "resourceGroup"], secret: true) {
        name: Option<String>,
        description: Option<String>,
        tags: Map<Scalar>,
        id: Option<String>,
        /// Where the service is.
        target: Option<String>,
        credentials: Option<Credentials>,
        /// Others in the workspace may use it.
        is_shared: bool = true,
        metadata: Map<Scalar>,
    }

    /// A database, file store, package feed, container registry, Git host or service of one's own.
    GenericConnection = "connection" {
        ..base: ConnectionBase,
        r#type: GenericConnectionType,
    }

    AzureBlobConnection = "connection" {
        ..base: ConnectionBase,
        r#type: AzureBlobConnectionType,
        url: Option<String>,
        account_name: String,
        container_name: String,
    }

    OneLakeConnection = "connection" {
        ..base: ConnectionBase,
        r#type: OneLakeConnectionType,
        artifact: Option<OneLakeArtifact>,
        endpoint: Option<String>,
        one_lake_workspace_name: Option<String>,
    }

    AzureOpenAiConnection = "connection" {
        ..base: ConnectionBase,
        r#type: AzureOpenAiConnectionType,
        api_key: Option<Secret>,
        api_version: Option<String>,
        azure_endpoint: Option<String>,
        open_ai_resource_id: Option<String>,
    }

    AzureServiceConnection = "connection" {
        ..base: ConnectionBase,
        r#type: AzureServiceConnectionType,
        api_key: Option<Secret>,
        endpoint: Option<String>,
        ai_services_resource_id: Option<String>,
    }

    ApiKeyConnection = "connection" {
        ..base: ConnectionBase,
        r#type: ApiKeyConnectionType,
        api_key: Secret,
        api_base: String,
    }

    KeyedConnection = "connection" {
        ..base: ConnectionBase,
        r#type: KeyedConnectionType,
        api_key: Secret,
    }

    ServerlessConnection = "connection" {
        ..base: ConnectionBase,
        r#type: ServerlessConnectionType,
        api_key: Secret,
        endpoint: Option<String>,
    }

    PatCredentials = "personal access token" {
        r#type: PatType,
        pat: Option<Secret>,
    }

    SasCredentials = "SAS token" {
        r#type: SasType,
        sas_token: Option<Secret>,
    }

    PasswordCredentials = "user name and password" {
        r#type: UsernamePasswordType,
        username: Option<String>,
        password: Option<Secret>,
    }

    ManagedIdentityCredentials = "managed identity" {
        r#type: ManagedIdentityCredentialType,
        client_id: Option<String>,
        resource_id: Option<String>,
    }

    PrincipalCredentials = "service principal" {
        r#type: PrincipalType,
        tenant_id: Option<String>,
        client_id: Option<String>,
        client_secret: Option<Secret>,
    }

    AccessKeyCredentials = "access key" {
        r#type: AccessKeyType,
        access_key_id: Option<Secret>,
        secret_access_key: Option<Secret>,
    }

    ApiKeyCredentials = "API key" {
        r#type: ApiKeyType,
        key: Option<Secret>,
    }

    AccountKeyCredentials = "account key" {
        r#type: AccountKeyType,
        account_key: Option<Secret>,
    }

    AadCredentials = "identity of who asks" { r#type: AadType, }

    NoneCredentials = "no credentials" { r#type: NoneType, }
}

union! {
    /// How a service outside is reached.
    Connection = "a connection" {
        Generic(GenericConnection),
        AzureBlob(AzureBlobConnection),
        OneLake(OneLakeConnection),
        AzureOpenAi(AzureOpenAiConnection),
        AzureService(AzureServiceConnection),
        ApiKey(ApiKeyConnection),
        Keyed(KeyedConnection),
        Serverless(ServerlessConnection),
    }

    /// What lets one in.
    Credentials = "credentials" {
        Pat(PatCredentials),
        Sas(SasCredentials),
        UsernamePassword(PasswordCredentials),
        ManagedIdentity(ManagedIdentityCredentials),
        ServicePrincipal(PrincipalCredentials),
        AccessKey(AccessKeyCredentials),
        ApiKey(ApiKeyCredentials),
        AccountKey(AccountKeyCredentials),
        Aad(AadCredentials),
        None(NoneCredentials),
    }
}

words! {
    GenericConnectionType = "a type of connection" [
        "git", "container_registry", "python_feed", "s3", "snowflake", "azure_sql_db",
        "azure_synapse_analytics", "azure_my_sql_db", "azure_postgres_db", "custom",
        "azure_data_lake_gen2",
    ]
    AzureBlobConnectionType = "a type of connection" ["azure_blob"]
    OneLakeConnectionType = "a type of connection" ["azure_one_lake"]
    AzureOpenAiConnectionType = "a type of connection" ["azure_open_ai"]
    AzureServiceConnectionType = "a type of connection" [
        "azure_ai_services", "azure_ai_search", "azure_content_safety", "azure_speech_services",
    ]
    ApiKeyConnectionType = "a type of connection" ["api_key"]
    KeyedConnectionType = "a type of connection" ["open_ai", "serp"]
    ServerlessConnectionType = "a type of connection" ["serverless"]
    PatType = "a type of credentials" ["pat"]
    SasType = "a type of credentials" ["sas"]
    UsernamePasswordType = "a type of credentials" ["username_password"]
    ManagedIdentityCredentialType = "a type of credentials" ["managed_identity"]
    PrincipalType = "a type of credentials" ["service_principal"]
    AccessKeyType = "a type of credentials" ["access_key"]
    ApiKeyType = "a type of credentials" ["api_key"]
    AccountKeyType = "a type of credentials" ["account_key"]
    AadType = "a type of credentials" ["aad"]
    NoneType = "a type of credentials" ["none"]
}

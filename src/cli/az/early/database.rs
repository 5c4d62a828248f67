//! `az ml datastore attach-sqldb` and the like: a database, which today is a connection.

use serde_json::{Map, Value, json};

use super::answer;
use crate::{
    az::{
        Az,
        given::{Given, missing},
        grammar::{Flag, flag, switch},
    },
    connection::described,
    document::Draft,
};
use api::{Error, Result};

/// A kind of database.
pub struct Database {
    /// What it is called today, and was in 2020.
    pub kind: &'static str,
    pub datastore_type: &'static str,
    pub endpoint: &'static str,
    pub port: &'static str,
}

pub const SQL: Database = Database {
    kind: "azure_sql_db",
    datastore_type: "AzureSqlDatabase",
    endpoint: "database.windows.net",
    port: "1433",
};
pub const MYSQL: Database = Database {
    kind: "azure_my_sql_db",
    datastore_type: "AzureMySql",
    endpoint: "mysql.database.azure.com",
    port: "3306",
};
pub const POSTGRES: Database = Database {
    kind: "azure_postgres_db",
    datastore_type: "AzurePostgreSql",
    endpoint: "postgres.database.azure.com",
    port: "5432",
};

pub const FLAGS: &[Flag] = &[
    flag("server-name", "Server, without what all servers end with").required(),
    flag("database-name", "Database").short('d').required(),
    flag("endpoint", "What all servers end with"),
    flag("port", "Port of the server"),
    flag("username", "User of the database")
        .alias(&["user-id"])
        .short('u'),
    flag("password", "What opens it").short('p'),
    flag("tenant-id", "Tenant of the service principal"),
    flag("client-id", "The service principal"),
    flag("client-secret", "What opens it"),
    flag(
        "authority-url",
        "Where the service principal logs in; recorded nowhere",
    ),
    flag(
        "resource-url",
        "What the service principal is for; recorded nowhere",
    ),
    flag("enforce-ssl", "Recorded nowhere"),
    switch(
        "include-secret",
        "Not here: az ml connection show --populate-secrets",
    ),
];

const USER: [&str; 2] = ["username", "password"];
const PRINCIPAL: [&str; 3] = ["tenant-id", "client-id", "client-secret"];

/// Whether a service principal opens the database, of whom all is said, or a user.
fn by(given: &Given) -> Result<bool> {
    let Some(first) = PRINCIPAL.iter().find(|flag| given.has(flag)) else {
        return Ok(false);
    };
    if let Some(other) = USER.iter().find(|flag| given.has(flag)) {
        let message = format!("--{first} is of a service principal, --{other} of a user");
        return Err(Error::invalid(message).hint("Give the flags of one of the two"));
    }
    let not_given = PRINCIPAL.into_iter().filter(|flag| !given.has(flag));
    match not_given.collect::<Vec<&str>>().as_slice() {
        [] => Ok(true),
        flags => Err(missing(flags)),
    }
}

pub async fn attach(az: &Az, given: &Given, database: &Database) -> anyhow::Result<Value> {
    let (server, name) = (given.required("server-name")?, given.required("name")?);
    let own = given.required("database-name")?;
    let endpoint = given.text("endpoint").unwrap_or(database.endpoint);
    let port = given.text("port").unwrap_or(database.port);
    let mut draft = Draft::open(None, &az.ctx.folder)?;
    draft.put("name", name, "--name");
    draft.put("type", database.kind, "the command");
    let target = format!("{server}.{endpoint}:{port}/{own}");
    draft.put("target", target, "--server-name");
    let words = |kind: &str, flags: &[&str]| {
        let word = |flag: &&str| Some((flag.replace('-', "_"), json!(given.text(flag)?)));
        let mut credentials: Map<String, Value> = flags.iter().filter_map(word).collect();
        credentials.insert("type".to_owned(), json!(kind));
        Value::Object(credentials)
    };
    let principal = by(given)?;
    let credentials = if principal {
        words("service_principal", &PRINCIPAL)
    } else {
        words("username_password", &USER)
    };
    draft.put("credentials", credentials, "the credentials");
    let fields = draft.check("connection")?;
    az.call(&described(&az.here().await?, &fields)).await?;
    az.note(
        given,
        &format!("It is the connection {name}: az ml connection show -n {name}"),
    );
    answer(
        az,
        given,
        json!({
            "database_name": own,
            "datastore_type": database.datastore_type,
            "endpoint": endpoint,
            "is_default": false,
            "name": name,
            "server_name": server,
        }),
    )
}

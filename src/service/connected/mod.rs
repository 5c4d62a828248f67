//! What is behind a connection, as the source or sink of a step that copies data: a script of ours gets
//! what is to be done, and by variables what lets one in.

use serde_json::{Map, Value, json};

use super::{Caller, Perform, Service, minibatch::Driver};
use api::{
    Error, Result,
    connections::{Connection, GetConnection},
};
use store::WorkspaceRow;

/// The script.
pub const DRIVER: Driver = Driver {
    path: ".aml_transfer_driver.py",
    text: include_str!("driver.py"),
};
/// The variable that says what is to be done.
pub const VARIABLE: &str = "AML_TRANSFER";
/// How variables begin that let one in.
pub const LETS_IN: &str = "AML_CONNECTION";
/// How the secrets of a connection are named beside others, whose names have no such character.
pub const SECRETS: &str = "connections/";

/// Credentials that only say who one is.
const NAMES: [&str; 5] = [
    "username",
    "access_key_id",
    "client_id",
    "tenant_id",
    "resource_id",
];

/// What is done with what is behind a connection.
pub struct Connected {
    /// Of the connection.
    pub name: String,
    /// For the script.
    pub order: Value,
    /// What its environment needs.
    pub packages: Vec<&'static str>,
}

impl Service {
    /// Reads the `source` or `sink` of a step; none when it names no connection. `makes` is the type of
    /// the output.
    pub(super) async fn connected(
        &self,
        caller: &Caller,
        workspace: &str,
        (task, place): (&str, &Map<String, Value>),
        makes: &str,
    ) -> Result<Option<Connected>> {
        let word = |key: &str| place.get(key).and_then(Value::as_str);
        let Some(named) = word("connection") else {
            return Ok(None);
        };
        let name = named.strip_prefix("azureml:").unwrap_or(named);
        let get = GetConnection {
            workspace: workspace.to_owned(),
            name: name.rsplit('/').next().unwrap_or(name).to_owned(),
            // Who may not read them may not let a step use them.
            secrets: true,
        };
        let found = get.perform(self, caller).await;
        let found = found.map_err(|error| error.at("connection"))?;
        let database = word("type") == Some("database");
        let mut packages = packages_of(&found, database)?;
        if database && makes != "uri_file" {
            packages.push("pyarrow");
        }
        let order = json!({
            "task": task, "type": if database { "database" } else { "file_system" },
            "kind": found.kind, "target": found.target, "output": makes,
            "query": word("query"), "table_name": word("table_name"), "path": word("path"),
            "stored_procedure": word("stored_procedure"),
            "parameters": place.get("stored_procedure_params").cloned().unwrap_or_else(|| json!([])),
        });
        Ok(Some(Connected {
            name: found.name,
            order,
            packages,
        }))
    }

    /// What lets one into what a connection leads to, as variables that begin with `variable`, and whether
    /// each is a secret: names of users and keys are in many words.
    pub(super) async fn lets_in(
        &self,
        row: &WorkspaceRow,
        name: &str,
        variable: &str,
    ) -> Result<Vec<(String, String, bool)>> {
        let get = GetConnection {
            workspace: row.workspace.name.clone(),
            name: name.to_owned(),
            secrets: true,
        };
        let found = get.perform(self, &Caller::Owner).await?;
        let values = found
            .credentials
            .into_iter()
            .filter(|(key, _)| key != "type");
        let named = values.filter_map(|(key, value)| {
            let value = value.as_str().filter(|value| !value.is_empty())?;
            let secret = !NAMES.contains(&key.as_str());
            let variable = format!("{variable}_{}", key.to_uppercase());
            Some((variable, value.to_owned(), secret))
        });
        Ok(named.collect())
    }
}

/// What is installed to reach it.
fn packages_of(connection: &Connection, database: bool) -> Result<Vec<&'static str>> {
    let target = connection.target.trim_start_matches("jdbc:");
    let scheme = target.split_once("://").map_or("", |(scheme, _)| scheme);
    let unknown = |hint: &str| {
        let kind = &connection.kind;
        let shown = if target.contains('@') {
            "its target"
        } else {
            target
        };
        let error = Error::unsupported(format!(
            "The connection `{}` of type `{kind}` leads to {shown}, which is not reached from here",
            connection.name
        ));
        Err(error.at("connection").hint(hint))
    };
    if !database {
        return match (connection.kind.as_str(), scheme) {
            ("s3", _) | (_, "s3") => Ok(vec!["boto3"]),
            (_, "file") => Ok(Vec::new()),
            _ => unknown(
                "Files are copied by connections of type s3, and by custom ones whose target is s3://BUCKET or file:///FOLDER",
            ),
        };
    }
    let driver = match (connection.kind.as_str(), scheme) {
        (_, "sqlite") => None,
        ("azure_postgres_db", _) | (_, "postgresql" | "postgres") => Some("psycopg[binary]"),
        ("azure_my_sql_db", _) | (_, "mysql") => Some("pymysql[rsa]"),
        ("azure_sql_db" | "azure_synapse_analytics", _) | (_, "mssql" | "sqlserver") => {
            Some("pymssql")
        }
        ("snowflake", _) | (_, "snowflake") => Some("snowflake-sqlalchemy"),
        _ => {
            return unknown(
                "Databases are those of Azure's types, and custom ones whose target is sqlite:///FILE, postgresql://…, mysql://… or mssql://…",
            );
        }
    };
    Ok(["sqlalchemy"].into_iter().chain(driver).collect())
}

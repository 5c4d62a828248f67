//! `az extension`: the one extension there is, `ml`, is part of the program.

use serde_json::{Value, json};

use super::{
    Az,
    cloud::EXTENSION,
    given::{Given, missing},
    grammar::{Flag, Group, flag, switch, verb},
};
use api::{Error, Result};

const NAME: &[Flag] = &[flag("name", "Name of the extension").short('n')];

pub const GROUP: Group = Group {
    path: "extension",
    about: "Extensions of the command line",
    verbs: &[
        verb!(
            "add",
            "Add an extension",
            [
                NAME,
                &[
                    flag("source", "Where it is").short('s'),
                    flag("version", "Version"),
                    switch("upgrade", "Take the newest").short('U'),
                    switch("yes", "Do not ask").short('y'),
                    switch("system", "For all users"),
                    flag("allow-preview", "Also previews").maybe(),
                    flag("pip-proxy", "Proxy"),
                    flag("pip-extra-index-urls", "Indexes").many(),
                ]
            ],
            add
        ),
        verb!("list", "List the extensions", [], list),
        verb!("remove", "Remove an extension", [NAME], remove),
        verb!("show", "Show an extension", [NAME], show),
        verb!(
            "update",
            "Update an extension",
            [NAME, &[flag("allow-preview", "Also previews").maybe()]],
            update
        ),
        verb!("list-available", "List what could be added", [], list),
    ],
};

fn shown() -> Value {
    json!({
        "experimental": false,
        "extensionType": "built-in",
        "name": "ml",
        "path": "",
        "preview": false,
        "version": EXTENSION,
    })
}

/// The extension that is named, by name or by the file of its wheel.
fn named(given: &Given) -> Result<String> {
    let source = given.text("source").map(|source| {
        let file = source.rsplit('/').next().unwrap_or(source);
        file.split('-').next().unwrap_or(file)
    });
    let name = given.text("name").or(source);
    Ok(name.ok_or_else(|| missing(&["name/-n"]))?.to_owned())
}

fn installed(name: &str) -> Result<()> {
    if name == "ml" {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "The extension {name} is not installed."
    )))
}

async fn add(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = named(given)?;
    if name != "ml" {
        return Err(
            Error::unsupported(format!("No extension found with name '{name}'"))
                .hint("The extension `ml` is part of this program; there are no others")
                .into(),
        );
    }
    az.note(given, "Extension 'ml' is part of this program.");
    Ok(Value::Null)
}

async fn list(_az: &Az, _given: &Given) -> anyhow::Result<Value> {
    Ok(json!([shown()]))
}

async fn show(_az: &Az, given: &Given) -> anyhow::Result<Value> {
    installed(&named(given)?)?;
    Ok(shown())
}

/// Scripts remove the extension and add it again; it stays.
async fn remove(az: &Az, given: &Given) -> anyhow::Result<Value> {
    installed(&named(given)?)?;
    az.note(given, "Extension 'ml' is part of this program and stays.");
    Ok(Value::Null)
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    installed(&named(given)?)?;
    az.note(given, "Extension 'ml' is as new as this program.");
    Ok(Value::Null)
}

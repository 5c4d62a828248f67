//! `az ml data mount` and `az ml datastore mount`: files laid out in a folder, to be read there.

use std::fs;

use serde_json::Value;

use crate::az::{
    Az,
    given::Given,
    grammar::{Flag, flag, switch},
};
use api::{Error, Result, paths::is_local};
use client::inputs::{Located, Wanted};

pub const FLAGS: &[Flag] = &[
    flag(
        "path",
        "What to mount: azureml:NAME:VERSION, azureml://datastores/…",
    )
    .required(),
    flag("mode", "ro_mount, the default"),
    flag(
        "mount-point",
        "Folder to lay the files out in [default: its name]",
    ),
    switch("persistent", "They stay in any case"),
];

/// Copies the files: who reads them finds them there, and they stay as they are now.
pub async fn mount(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mode = given.text("mode").unwrap_or("ro_mount");
    if !mode.eq_ignore_ascii_case("ro_mount") {
        let message = format!("Files are mounted to be read here, not as `{mode}`");
        return Err(Error::unsupported(message)
            .hint("Put what is new into the datastore: az storage blob upload-batch")
            .into());
    }
    let path = given.required("path")?;
    let located = located(az, path).await?;
    let own = match &located.asset {
        Some(asset) => asset.name.rsplit('/').next(),
        None => path.trim_end_matches('/').rsplit('/').next(),
    };
    let to = given.text("mount-point").or(own).unwrap_or("files");
    let to = az.ctx.folder.join(to);
    let is_free = match fs::read_dir(&to) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => !to.exists(),
    };
    if !is_free {
        let message = format!("`{}` has something already", to.display());
        return Err(Error::conflict(message)
            .at("--mount-point")
            .hint("Name an empty folder, or one that is not there")
            .into());
    }
    let beside = to.with_added_extension("part");
    let _ = fs::remove_dir_all(&beside);
    let (client, report) = (az.ctx.client().await?, az.ctx.ui.report());
    let fetch = async {
        let fetched = client.fetch(&located, &beside, Some(&report)).await;
        // In its place only when all is there.
        let placed = fetched.and_then(|_| {
            let emptied = if to.exists() {
                fs::remove_dir(&to)
            } else {
                Ok(())
            };
            let placed = emptied.and_then(|()| fs::rename(&beside, &to));
            placed.map_err(|e| Error::invalid(format!("Cannot make `{}`: {e}", to.display())))
        });
        if placed.is_err() {
            let _ = fs::remove_dir_all(&beside);
        }
        placed
    };
    az.ctx.ui.download_until_ctrl_c(to.display(), fetch).await?;
    az.note(
        given,
        &format!("The files are in {}, copied as they are now.", to.display()),
    );
    Ok(Value::Null)
}

async fn located(az: &Az, path: &str) -> Result<Located> {
    if is_local(path) {
        return Err(
            Error::invalid(format!("`{path}` is neither data nor in a datastore"))
                .at("--path")
                .hint("Name data as azureml:NAME:VERSION"),
        );
    }
    let workspace = az.here().await?;
    let wanted = Wanted {
        workspace: &workspace,
        path,
        model: false,
        mirrors: &az.ctx.config.settings.mirrors,
    };
    az.ctx.client().await?.locate(wanted).await
}

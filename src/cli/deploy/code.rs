//! The scoring script and the code around it, from this machine to the workspace.

use std::path::{Path, PathBuf};

use crate::{context::Context, run::script::no_folder};
use api::{Error, Result, files::Hash};
use client::Limit;
use spec::reference::missing;

/// The script's own path: in the code folder, or where the command was started.
pub fn find_script(folder: &Path, code: Option<&Path>, script: &Path) -> Result<PathBuf> {
    if let Some(code) = code
        && !code.is_dir()
    {
        return Err(no_folder(code, folder));
    }
    let places = [code.unwrap_or(folder), folder];
    if let Some(found) = places
        .iter()
        .map(|place| place.join(script))
        .find(|path| path.is_file())
    {
        return Ok(found);
    }
    if let Some(inside) = code.is_none().then(|| below(folder, script)).flatten() {
        let parent = inside.parent().unwrap_or(&inside).display();
        let text = script.display();
        return Err(
            Error::invalid(format!("There is no scoring script `{text}`"))
                .at("--script")
                .hint(format!("It is in a folder: --script {}", inside.display()))
                .hint(format!(
                    "With what is beside it: --code {parent} --script {}",
                    script.display()
                )),
        );
    }
    let wanted = places[0].join(script);
    if wanted.is_dir() {
        let text = script.display();
        return Err(
            Error::invalid(format!("`{text}` is a folder, no scoring script"))
                .at("--script")
                .hint(format!(
                    "Name the script in it: --code {text} --script score.py"
                )),
        );
    }
    let shown = script.display().to_string();
    Err(missing("scoring script", &shown, &wanted).at("--script"))
}

/// A script as it is found in one of the folders of `folder`, relative to that.
fn below(folder: &Path, script: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| PathBuf::from(entry.file_name()).join(script))
        .filter(|inside| folder.join(inside).is_file())
        .collect();
    found.sort();
    found.into_iter().next()
}

/// Uploads the code folder, or the script alone; answers its tree and the script's path in it.
pub async fn upload(
    ctx: &Context,
    workspace: &str,
    code: Option<(&Path, Limit)>,
    script: &Path,
) -> Result<(Hash, String)> {
    let (uploaded, inside) = match code {
        Some((code, limit)) => {
            let inside = script.strip_prefix(code).map_err(|_| {
                Error::invalid(format!(
                    "`{}` is not in the code folder `{}`",
                    script.display(),
                    code.display()
                ))
                .at("--script")
            })?;
            let uploaded = ctx.upload_folder(workspace, code, limit).await?;
            (uploaded, inside.to_owned())
        }
        None => {
            let report = ctx.ui.report();
            let client = ctx.client().await?;
            let uploaded = client.upload_file(workspace, script, Some(&report)).await?;
            (uploaded, script.file_name().unwrap_or_default().into())
        }
    };
    Ok((uploaded.tree.hash, inside.to_string_lossy().into_owned()))
}

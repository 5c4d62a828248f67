//! `aml az-link`

use std::{fs, io, os::unix::fs::symlink, path::PathBuf};

use clap::Args;
use serde_json::json;

use super::context::Context;
use api::Error;

/// Make a link named `az`, by which scripts written for Azure run here
///
/// With the folder first on the PATH, `az ml job create` and the other commands of Azure's own
/// command line are performed by this program.
#[derive(Debug, Args)]
pub struct AzLinkArgs {
    /// Folder to make the link in
    #[arg(value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,
}

pub fn az_link(ctx: &Context, args: &AzLinkArgs) -> anyhow::Result<()> {
    let folder = ctx.folder.join(&args.folder);
    let link = folder.join("az");
    let own = std::env::current_exe()?;
    let failed = |e: io::Error| Error::invalid(format!("Cannot make `{}`: {e}", link.display()));
    fs::create_dir_all(&folder).map_err(failed)?;
    match fs::symlink_metadata(&link) {
        Ok(found) if !found.is_symlink() => {
            return Err(Error::conflict(format!(
                "`{}` is there already and is no link",
                link.display()
            ))
            .hint("Choose another folder, or remove it first")
            .into());
        }
        Ok(_) => fs::remove_file(&link).map_err(failed)?,
        Err(_) => {}
    }
    symlink(&own, &link).map_err(failed)?;
    if ctx.ui.shapes_answers() {
        ctx.ui.show_value(json!({"link": link, "program": own}))?;
    } else {
        ctx.ui.print(&format!("{}\n", link.display()))?;
    }
    ctx.ui.hint(&format!(
        "Put it first on the PATH: export PATH=\"{}:$PATH\"",
        folder.display()
    ));
    Ok(())
}

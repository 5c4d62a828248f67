//! `--env`: the software that runs and deployments are executed in.

use std::path::Path;

use super::context::Context;
use api::{Result, environments::Environment};

/// Reads what `--env` names. On the same machine programs are found that the caller's shell finds. A
/// file is looked for where the command was started; one that is in the code folder is suggested.
pub fn load(ctx: &Context, text: &str, code: Option<&Path>) -> Result<Environment> {
    let loaded = spec::environment::load(text, &ctx.folder);
    let environment = loaded.map_err(|error| match code.map(|code| code.join(text)) {
        Some(inside) if !ctx.folder.join(text).exists() && inside.is_file() => {
            let shown = inside.strip_prefix(&ctx.folder).unwrap_or(&inside);
            let shown = shown.components().as_path().display();
            error.hint(format!("It is in the code folder: --env {shown}"))
        }
        _ => error,
    });
    let environment = environment.map_err(|error| match error.target {
        // It is in a file.
        Some(_) => error,
        None => error.at("--env"),
    })?;
    Ok(match ctx.profile() {
        Some(_) => environment,
        None => environment.found_in(&ctx.config.path),
    })
}

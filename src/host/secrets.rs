//! Secrets that the scoring processes of a generation are given: as variables, and as files that only
//! their owner can read.

use std::{fs::DirBuilder, io, os::unix::fs::DirBuilderExt, path::Path};

use super::{leftovers::LAID_OUT, process::Plan};
use api::{Error, Result, work::DeploymentOrders};

/// Gives a plan its secrets: as variables, and as files in a folder of their own.
pub fn give(plan: &mut Plan, orders: &DeploymentOrders, folder: &Path) -> Result<()> {
    if let Some(missing) = orders.missing_secrets.first() {
        return Err(Error::not_found(format!(
            "The secret `{missing}` is not in the key vault any more"
        ))
        .hint(format!("Set it: aml secret set {missing}")));
    }
    plan.secrets.variables = orders.secrets.0.keys().cloned().collect();
    plan.variables.extend(orders.secrets.0.clone());
    if orders.secret_files.0.is_empty() {
        return Ok(());
    }
    let random = uuid::Uuid::new_v4().simple().to_string();
    let generation = orders.generation;
    let place = folder.join(format!("{LAID_OUT}{generation}-secrets-{}", &random[..8]));
    let written = write(plan, orders, &place);
    written.map_err(|e| Error::unavailable(format!("Cannot write secrets to files: {e}")))?;
    plan.folders.also(place);
    Ok(())
}

fn write(plan: &mut Plan, orders: &DeploymentOrders, place: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(place)?;
    for (variable, value) in &orders.secret_files.0 {
        let path = place.join(variable);
        executor::write_new(&path, value)?;
        let named = path.to_string_lossy().into_owned();
        plan.variables.insert(variable.clone(), named);
        plan.secrets.files.push(path);
    }
    Ok(())
}

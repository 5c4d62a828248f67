//! Secrets that the scoring processes of a generation are given: as variables, and as files that only
//! their owner can read.

use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::leftovers::LAID_OUT;
use api::{Error, Result, work::DeploymentOrders};

/// Variables with what was given, and the folder of the files if there are any.
pub fn give(
    orders: &DeploymentOrders,
    folder: &Path,
) -> Result<(BTreeMap<String, String>, Option<PathBuf>)> {
    if let Some(missing) = orders.missing_secrets.first() {
        return Err(Error::not_found(format!(
            "The secret `{missing}` is not in the key vault any more"
        ))
        .hint(format!("Set it: aml secret set {missing}")));
    }
    let mut variables = orders.secrets.0.clone();
    if orders.secret_files.0.is_empty() {
        return Ok((variables, None));
    }
    let random = uuid::Uuid::new_v4().simple().to_string();
    let generation = orders.generation;
    let place = folder.join(format!("{LAID_OUT}{generation}-secrets-{}", &random[..8]));
    let written = write(orders, &place, &mut variables);
    written.map_err(|e| Error::unavailable(format!("Cannot write secrets to files: {e}")))?;
    Ok((variables, Some(place)))
}

fn write(
    orders: &DeploymentOrders,
    place: &Path,
    variables: &mut BTreeMap<String, String>,
) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(place)?;
    for (variable, value) in &orders.secret_files.0 {
        let path = place.join(variable);
        executor::write_new(&path, value)?;
        variables.insert(variable.clone(), path.to_string_lossy().into_owned());
    }
    Ok(())
}

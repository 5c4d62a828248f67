//! Scripts written for Azure's own command line.

mod again;
mod assets;
mod early;
mod endpoints;
mod frame;
mod generic;
mod jobs;
mod refused;
mod resources;

use crate::support::Aml;

fn with_workspace(aml: &Aml) {
    aml.az("configure --defaults group=g workspace=w location=eastus")
        .ok();
    aml.az("group create -n g -l eastus").ok();
    aml.az("ml workspace create -n w -g g").ok();
}

/// What a command says when it fails.
#[track_caller]
fn error(aml: &Aml, status: i32, line: &str) -> String {
    aml.az(line).failed(status)
}

//! `aml table-rows`: what the driver of mini-batches reads tables with; not for people.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use super::context::Context;
use api::Error;
use table::Definition;

/// Bytes that are printed at once, about.
const CHUNK: usize = 1 << 16;

/// Print the rows of a table of this machine, each as a line of JSON
///
/// Times are `{"time": "…"}`, so that they are not taken for texts.
#[derive(Debug, Args)]
pub struct TableRowsArgs {
    /// A folder with an `MLTable` file, or a file of rows
    path: PathBuf,
}

pub fn table_rows(ctx: &Context, args: &TableRowsArgs) -> anyhow::Result<()> {
    let definition = Definition::load(&args.path)?;
    let elsewhere: Vec<&str> = definition.addresses().collect();
    if let Some(address) = elsewhere.first() {
        let error = format!("The table has files at {address}, which are not on this machine");
        return Err(Error::unsupported(error)
            .hint("Let a step before it copy them into a folder, and give it that")
            .into());
    }
    let table = definition.open(&BTreeMap::new())?;
    let mut lines = String::new();
    for row in table.rows() {
        row?.write_line(&mut lines)?;
        if lines.len() >= CHUNK {
            ctx.ui.print_bytes(lines.as_bytes())?;
            lines.clear();
        }
    }
    ctx.ui.print_bytes(lines.as_bytes())
}

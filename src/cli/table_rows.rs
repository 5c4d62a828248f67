//! `aml table-rows`: what the driver of mini-batches reads tables with; not for people.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;

use super::context::Context;
use api::{Error, Result};
use table::{Cell, Definition, Row};

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
        write(&row?, &mut lines)?;
        if lines.len() >= CHUNK {
            ctx.ui.print_bytes(lines.as_bytes())?;
            lines.clear();
        }
    }
    ctx.ui.print_bytes(lines.as_bytes())
}

fn write(row: &Row, lines: &mut String) -> Result<()> {
    let text = |text: &str| {
        serde_json::to_string(text).map_err(|error| Error::internal(error.to_string()))
    };
    lines.push('{');
    for (at, (name, cell)) in row.columns.iter().zip(&row.cells).enumerate() {
        if at > 0 {
            lines.push(',');
        }
        *lines += &text(name)?;
        lines.push(':');
        let shown = match cell {
            Cell::Missing => "null".to_owned(),
            Cell::Text(value) => text(value)?,
            Cell::Time(_) => [r#"{"time":"#, &text(&cell.to_string())?, "}"].concat(),
            // As Python reads them.
            Cell::Float(number) if number.is_nan() => "NaN".to_owned(),
            Cell::Float(number) if number.is_infinite() && *number > 0.0 => "Infinity".to_owned(),
            Cell::Float(number) if number.is_infinite() => "-Infinity".to_owned(),
            number => number.to_string(),
        };
        *lines += &shown;
    }
    *lines += "}\n";
    Ok(())
}

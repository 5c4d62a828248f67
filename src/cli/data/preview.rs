//! `aml data preview`

use clap::Args;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::table::TableArgs;
use crate::{
    context::Context,
    views::{Show, View},
};
use table::Row;

/// Show the first rows of a table
///
/// Tables are folders with an `MLTable` file, CSV, TSV, JSON lines and Parquet. The transformations of
/// an `MLTable` file are done.
#[derive(Debug, Args)]
pub struct PreviewArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Rows to show, at most
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    rows: usize,
}

pub async fn preview(ctx: &Context, args: PreviewArgs) -> anyhow::Result<()> {
    let brought = args.table.open(ctx, Some(args.rows)).await?;
    let rows = brought.table.rows().take(args.rows);
    let rows = rows
        .map(|row| row.map(Shown))
        .collect::<Result<Vec<_>, _>>()?;
    ctx.ui.show(&rows)
}

/// A row with the names of its columns.
struct Shown(Row);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(self.0.cells.len()))?;
        for (name, cell) in self.0.columns.iter().zip(&self.0.cells) {
            row.serialize_entry(name, cell)?;
        }
        row.end()
    }
}

impl Show for Vec<Shown> {
    fn view(&self) -> View {
        let mut columns: Vec<String> = Vec::new();
        for name in self.iter().flat_map(|row| row.0.columns.iter()) {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        let row = |row: &Shown| {
            let cell = |name: &String| row.0.get(name).map(ToString::to_string);
            columns
                .iter()
                .map(|name| cell(name).unwrap_or_default())
                .collect()
        };
        View::List {
            rows: self.iter().map(row).collect(),
            columns,
        }
    }
}

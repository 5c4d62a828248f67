//! `aml data profile`

use clap::Args;
use serde::Serialize;

use super::table::TableArgs;
use crate::{
    context::Context,
    views::{Show, View, list},
};
use table::{Cell, Profile};

/// Show what the columns of a table are like: types, missing values, extremes, averages
///
/// Every row is read, so every file is fetched; with --rows only what has the first ones.
#[derive(Debug, Args)]
pub struct ProfileArgs {
    #[command(flatten)]
    table: TableArgs,
    /// Rows to look at, at most
    #[arg(short, long, value_name = "N")]
    rows: Option<usize>,
}

pub async fn profile(ctx: &Context, args: ProfileArgs) -> anyhow::Result<()> {
    let brought = args.table.open(ctx, args.rows).await?;
    let rows = brought.table.rows().take(args.rows.unwrap_or(usize::MAX));
    ctx.ui.show(&Shown(Profile::of(rows)?))
}

#[derive(Serialize)]
struct Shown(Profile);

/// A number with as many digits as say something.
fn short(number: Option<f64>) -> String {
    let short = |number: f64| {
        let text = format!("{number:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    number.map(short).unwrap_or_default()
}

impl Show for Shown {
    fn view(&self) -> View {
        let columns = [
            "column", "type", "count", "missing", "unique", "min", "max", "mean", "std", "most",
        ];
        let text = |cell: &Cell| cell.to_string();
        list(
            columns,
            self.0.columns.iter().map(|column| {
                let most = column
                    .most_count
                    .map(|count| format!("{} ({count})", column.most));
                [
                    column.name.clone(),
                    column.kind.clone(),
                    column.count.to_string(),
                    column.missing.to_string(),
                    column
                        .unique
                        .map(|unique| unique.to_string())
                        .unwrap_or_default(),
                    text(&column.min),
                    text(&column.max),
                    short(column.mean),
                    short(column.std),
                    most.unwrap_or_default(),
                ]
            }),
        )
    }
}

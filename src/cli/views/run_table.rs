//! Runs side by side.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Show, View, duration, number, time};
use api::{Time, runs::Run};

/// Runs side by side: a table with the metrics and params that tell them apart, as wide as fits.
#[derive(Serialize)]
#[serde(transparent)]
pub struct RunTable {
    pub runs: Vec<Run>,
    /// Columns of the terminal.
    #[serde(skip)]
    pub width: usize,
    #[serde(skip)]
    pub now: Time,
}

impl Show for RunTable {
    fn view(&self) -> View {
        let same_experiment = self
            .runs
            .windows(2)
            .all(|two| two[0].experiment == two[1].experiment);
        let mut columns = vec![Column::of("name", &self.runs, |run| run.name.clone())];
        // What people call runs that MLflow's clients begin, whose names are numbers.
        let shown = Column::of("display name", &self.runs, |run| {
            let shown = (run.display_name != run.name).then_some(&run.display_name);
            shown.cloned().unwrap_or_default()
        });
        if shown.filled() > 0 {
            columns.push(shown);
        }
        columns.push(Column::of("status", &self.runs, |run| {
            run.status.to_string()
        }));
        if !same_experiment {
            columns.push(Column::of("experiment", &self.runs, |run| {
                run.experiment.clone()
            }));
        }
        let children = Column::of("parent", &self.runs, |run| {
            run.parent.clone().unwrap_or_default()
        });
        if children.filled() > 0 {
            columns.push(children);
        }
        let at = columns.len();
        columns.push(Column::of("started", &self.runs, |run| {
            run.started_at.map(time).unwrap_or_default()
        }));
        columns.push(Column::of("duration", &self.runs, |run| {
            let until = run.ended_at.unwrap_or(self.now);
            run.started_at
                .map(|start| duration(until.since(start)))
                .unwrap_or_default()
        }));
        let mut used: usize = columns.iter().map(Column::width).sum();
        if used > self.width {
            columns[at] = Column::of("started", &self.runs, |run| {
                let age = |start| format!("{} ago", duration(self.now.since(start)));
                run.started_at.map(age).unwrap_or_default()
            });
            used = columns.iter().map(Column::width).sum();
        }
        for column in telling(&self.runs) {
            used += column.width();
            if used > self.width {
                break;
            }
            columns.push(column);
        }
        let row = |n: usize| {
            columns
                .iter()
                .map(|column| column.cells[n].clone())
                .collect()
        };
        View::List {
            rows: (0..self.runs.len()).map(row).collect(),
            columns: columns.into_iter().map(|column| column.name).collect(),
        }
    }
}

struct Column {
    name: String,
    cells: Vec<String>,
}

impl Column {
    fn of(name: &str, runs: &[Run], cell: impl Fn(&Run) -> String) -> Self {
        Self {
            name: name.to_owned(),
            cells: runs.iter().map(cell).collect(),
        }
    }

    /// With the space after it.
    fn width(&self) -> usize {
        let cells = self.cells.iter().chain([&self.name]);
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0) + 2
    }

    fn filled(&self) -> usize {
        self.cells.iter().filter(|cell| !cell.is_empty()).count()
    }

    fn differs(&self) -> bool {
        self.cells.len() < 2 || self.cells.iter().any(|cell| *cell != self.cells[0])
    }
}

/// Columns of metrics and of params that differ, the most common first, two metrics before each
/// param.
fn telling(runs: &[Run]) -> Vec<Column> {
    let by_use = |mut columns: Vec<Column>| {
        columns.sort_by_key(|column| std::cmp::Reverse(column.filled()));
        columns.into_iter()
    };
    let metrics = keys(runs, |run| &run.metrics).into_iter().map(|key| {
        Column::of(key, runs, |run| {
            run.metrics
                .get(key)
                .map(|summary| number(summary.last))
                .unwrap_or_default()
        })
    });
    let params = keys(runs, |run| &run.params).into_iter().map(|key| {
        Column::of(key, runs, |run| {
            run.params.get(key).cloned().unwrap_or_default()
        })
    });
    let mut metrics = by_use(metrics.collect());
    let mut params = by_use(params.filter(Column::differs).collect());
    let mut mixed = Vec::new();
    while metrics.len() + params.len() > 0 {
        mixed.extend(metrics.by_ref().take(2));
        mixed.extend(params.next());
    }
    mixed
}

fn keys<'a, V: 'a>(
    runs: &'a [Run],
    map: impl Fn(&'a Run) -> &'a BTreeMap<String, V>,
) -> Vec<&'a str> {
    let mut keys: Vec<&str> = runs
        .iter()
        .flat_map(|run| map(run).keys())
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

//! The rows of a table, one after the other, through its transformations.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    cell::{Cell, ColumnType, inferred},
    definition::Table,
    read::{RawRows, Reader},
    step::Step,
};
use api::{Error, Result, names};

pub type Columns = Arc<Vec<String>>;

/// Rows that are looked at to find out what the texts of a column are.
pub const LOOKED_AT: usize = 1000;
/// The column with the path of a row's file.
const PATH: &str = "Path";

/// One row: a cell for each column.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub columns: Columns,
    pub cells: Vec<Cell>,
}

impl Row {
    pub fn new(columns: Columns, cells: Vec<Cell>) -> Self {
        Self { columns, cells }
    }

    pub fn get(&self, column: &str) -> Option<&Cell> {
        let at = self.columns.iter().position(|name| name == column)?;
        self.cells.get(at)
    }
}

/// All rows of a table. Ends after an error.
pub struct Rows<'a> {
    table: &'a Table,
    file: usize,
    open: Option<RawRows>,
    /// Columns of the first file.
    first: Option<Columns>,
    /// Before the columns of a file come its own: path and partitions.
    own: Vec<(String, Cell)>,
    widened: Option<(Columns, Columns)>,
    ahead: VecDeque<Row>,
    types: Option<HashMap<String, ColumnType>>,
    steps: Vec<Running>,
    ended: bool,
    /// By a step, or by a row that cannot be read: not because there are no more files.
    closed: bool,
}

/// A step under way.
struct Running {
    step: Step,
    /// Rows it has seen.
    seen: u64,
    random: u64,
    /// The columns it was applied to last, and what became of them.
    plan: Option<(Columns, Plan)>,
}

/// What a step does to rows with certain columns.
struct Plan {
    columns: Columns,
    /// Which of the cells are kept.
    kept: Vec<usize>,
    converted: Vec<(usize, ColumnType)>,
}

enum Flow {
    Row(Row),
    LeftOut,
    End,
}

impl<'a> Rows<'a> {
    pub fn new(table: &'a Table) -> Self {
        let running = |step: &Step| Running {
            step: step.clone(),
            seen: 0,
            random: match step {
                Step::Sample { seed, .. } => *seed,
                _ => 0,
            },
            plan: None,
        };
        Self {
            table,
            file: 0,
            open: None,
            first: None,
            own: Vec::new(),
            widened: None,
            ahead: VecDeque::new(),
            types: (!table.reader.infers()).then(HashMap::new),
            steps: table.steps.iter().map(running).collect(),
            ended: false,
            closed: false,
        }
    }

    /// Whether more files could give more rows.
    pub fn may_go_on(&self) -> bool {
        !self.closed
    }

    /// The next row as the files have it, with what the file itself says.
    fn raw(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(rows) = &mut self.open {
                if let Some(row) = rows.next() {
                    let row = row?;
                    self.first.get_or_insert_with(|| row.columns.clone());
                    return Ok(Some(self.widen(row)));
                }
                self.open = None;
            }
            let Some(file) = self.table.files.get(self.file) else {
                return Ok(None);
            };
            self.file += 1;
            self.own.clear();
            if self.table.reader.with_path() {
                let path = match self.table.reader {
                    Reader::Paths => file.path.to_string_lossy().into_owned(),
                    _ => file.name.clone(),
                };
                self.own.push((PATH.to_owned(), Cell::Text(path)));
            }
            self.own.extend(file.columns.iter().cloned());
            self.widened = None;
            self.open = Some(self.table.reader.rows(file, self.first.as_ref())?);
        }
    }

    fn widen(&mut self, row: Row) -> Row {
        if self.own.is_empty() {
            return row;
        }
        let known = self.widened.as_ref();
        let columns = match known.filter(|(from, _)| Arc::ptr_eq(from, &row.columns)) {
            Some((_, to)) => to.clone(),
            None => {
                let own = self.own.iter().map(|(name, _)| name.clone());
                let all: Columns = Arc::new(own.chain(row.columns.iter().cloned()).collect());
                self.widened = Some((row.columns.clone(), all.clone()));
                all
            }
        };
        let own = self.own.iter().map(|(_, cell)| cell.clone());
        Row::new(columns, own.chain(row.cells).collect())
    }

    /// Reads ahead to find out what the columns are.
    fn look(&mut self) -> Result<()> {
        while self.ahead.len() < LOOKED_AT {
            match self.raw()? {
                Some(row) => self.ahead.push_back(row),
                None => break,
            }
        }
        let mut texts: HashMap<&String, Vec<&str>> = HashMap::new();
        for row in &self.ahead {
            for (name, cell) in row.columns.iter().zip(&row.cells) {
                let own = self.own.iter().any(|(own, _)| own == name);
                if let Cell::Text(text) = cell
                    && !own
                {
                    texts.entry(name).or_default().push(text);
                }
            }
        }
        let of = |(name, texts): (&String, Vec<&str>)| {
            // An empty text is one only where it is kept as such.
            let texts = texts.into_iter().filter(|text| !text.is_empty());
            (name.clone(), inferred(texts))
        };
        self.types = Some(texts.into_iter().map(of).collect());
        Ok(())
    }

    fn typed(&mut self) -> Result<Option<Row>> {
        if self.types.is_none() {
            self.look()?;
        }
        let row = match self.ahead.pop_front() {
            Some(row) => Some(row),
            None => self.raw()?,
        };
        let Some(mut row) = row else {
            return Ok(None);
        };
        let types = self.types.as_ref().filter(|types| !types.is_empty());
        if let Some(types) = types {
            for (name, cell) in row.columns.iter().zip(&mut row.cells) {
                let Some(wanted) = types.get(name).filter(|kind| **kind != ColumnType::Text) else {
                    continue;
                };
                if let Cell::Text(_) = cell {
                    let made = cell.clone().to_type(wanted);
                    // What does not look like the others stays the text that it is.
                    if !made.is_missing() {
                        *cell = made;
                    }
                }
            }
        }
        Ok(Some(row))
    }

    fn advance(&mut self) -> Result<Option<Row>> {
        'rows: loop {
            // One that has all it takes ends the table before another row is read.
            let full = |running: &Running| matches!(running.step, Step::Take(most) if running.seen >= most);
            if self.steps.iter().any(full) {
                self.closed = true;
                return Ok(None);
            }
            let Some(mut row) = self.typed()? else {
                return Ok(None);
            };
            for step in &mut self.steps {
                row = match step.apply(row)? {
                    Flow::Row(row) => row,
                    Flow::LeftOut => continue 'rows,
                    Flow::End => {
                        self.closed = true;
                        return Ok(None);
                    }
                };
            }
            return Ok(Some(row));
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        self.closed |= matches!(next, Some(Err(_)));
        next
    }
}

impl Running {
    fn apply(&mut self, row: Row) -> Result<Flow> {
        self.seen += 1;
        match &self.step {
            Step::Take(most) if self.seen > *most => return Ok(Flow::End),
            Step::Skip(first) if self.seen <= *first => return Ok(Flow::LeftOut),
            Step::Take(_) | Step::Skip(_) => return Ok(Flow::Row(row)),
            Step::Sample { probability, .. } => {
                let taken = fraction(&mut self.random) < *probability;
                return Ok(if taken { Flow::Row(row) } else { Flow::LeftOut });
            }
            Step::Filter(filter) => {
                if self.seen == 1 {
                    let mut asked = Vec::new();
                    filter.columns(&mut asked);
                    for name in &asked {
                        find(&row.columns, name, "filter")?;
                    }
                }
                let holds = filter.holds(&row);
                return Ok(if holds { Flow::Row(row) } else { Flow::LeftOut });
            }
            Step::Keep(_) | Step::Drop(_) | Step::Convert(_) => {}
        }
        let known = |(columns, _): &(Columns, Plan)| Arc::ptr_eq(columns, &row.columns);
        if !self.plan.as_ref().is_some_and(known) {
            self.plan = Some((row.columns.clone(), plan(&self.step, &row.columns)?));
        }
        let Some((_, plan)) = &self.plan else {
            return Ok(Flow::Row(row));
        };
        let mut cells = row.cells;
        for (at, kind) in &plan.converted {
            let cell = std::mem::replace(&mut cells[*at], Cell::Missing);
            cells[*at] = cell.to_type(kind);
        }
        if plan.kept.len() != cells.len() || plan.kept.iter().enumerate().any(|(a, b)| a != *b) {
            cells = plan.kept.iter().map(|at| cells[*at].clone()).collect();
        }
        Ok(Flow::Row(Row::new(plan.columns.clone(), cells)))
    }
}

fn plan(step: &Step, columns: &Columns) -> Result<Plan> {
    let all = 0..columns.len();
    let mut converted = Vec::new();
    let kept: Vec<usize> = match step {
        Step::Keep(names) => names
            .iter()
            .map(|name| find(columns, name, "keep_columns"))
            .collect::<Result<_>>()?,
        Step::Drop(names) => {
            for name in names {
                find(columns, name, "drop_columns")?;
            }
            all.filter(|at| !names.contains(&columns[*at])).collect()
        }
        Step::Convert(types) => {
            for (names, kind) in types {
                for name in names {
                    let at = find(columns, name, "convert_column_types")?;
                    converted.push((at, kind.clone()));
                }
            }
            all.collect()
        }
        _ => all.collect(),
    };
    let names: Vec<String> = kept.iter().map(|at| columns[*at].clone()).collect();
    let columns = if names == **columns {
        columns.clone()
    } else {
        Arc::new(names)
    };
    Ok(Plan {
        columns,
        kept,
        converted,
    })
}

fn find(columns: &Columns, name: &str, step: &str) -> Result<usize> {
    let at = columns.iter().position(|column| column == name);
    at.ok_or_else(|| {
        let known = columns.iter().map(String::as_str);
        let nearest = names::nearest(name, known);
        Error::unknown("column", name, "", nearest)
            .at(step)
            .or_hint(format!("The table has {}", columns.join(", ")))
    })
}

/// The next of a row of random numbers from 0 to 1 (splitmix64).
fn fraction(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let fraction = (mixed >> 11) as f64 / (1u64 << 53) as f64;
    fraction
}

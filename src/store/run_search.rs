//! Searches of runs.
//!
//! First the ids are found, then only the runs of the page are read. An order by a metric follows the
//! index of its values; a condition that few values of a metric meet is looked up there; any other
//! search walks through the experiment's runs in the order of time and stops when the page is full.

use std::collections::{BTreeMap, HashMap};

use super::{
    Store,
    condition::{Comparison, Condition, Order, Test},
    db::{RowResult, Tx, Value, count, params, params_of, to_json},
    run_order::{Mark, fix_rank, join, keys, order},
    run_sql::{RunField, Sql},
    runs::{PARENT_TAG, RunRow, fill_within, run, select},
};
use api::{
    Result,
    runs::{RunStatus, View},
};

/// So many runs are looked at one by one sooner than the others are passed by in order.
const FEW: i64 = 2000;

/// Which runs a listing has.
#[derive(Debug, Clone)]
pub struct RunFilter {
    pub workspace: i64,
    /// Of these experiments; of all when absent.
    pub experiments: Option<Vec<i64>>,
    pub status: Option<RunStatus>,
    pub tags: BTreeMap<String, String>,
    pub condition: Condition<RunField>,
    /// Newest first when empty, and where all of these are equal.
    pub orders: Vec<Order<RunField>>,
    pub view: View,
    /// Only runs behind this place.
    pub after: Option<Mark>,
    pub limit: usize,
}

/// A part of a listing, and its end when there is more.
#[derive(Debug)]
pub struct RunListing {
    pub rows: Vec<RunRow>,
    pub next: Option<Mark>,
}

type Found = Vec<(i64, Mark)>;

impl Store {
    /// The runs of a listing; none when `after` is not of its order.
    pub async fn list_runs(&self, filter: RunFilter) -> Result<Option<RunListing>> {
        self.db
            .read(move |tx| {
                let length = keys(&filter.orders).len();
                if filter
                    .after
                    .as_ref()
                    .is_some_and(|mark| mark.0.len() != length)
                {
                    return Ok(None);
                }
                let mut found = find(tx, &filter)?;
                let mut more = found.len() > filter.limit;
                found.truncate(filter.limit);
                let (mut rows, within) = read(tx, &found, VALUES)?;
                if !within {
                    drop(rows);
                    found.truncate(fitting(tx, &found)?);
                    more = true;
                    (rows, _) = read(tx, &found, usize::MAX)?;
                }
                let next = found.last().filter(|_| more).map(|(_, mark)| mark.clone());
                Ok(Some(RunListing { rows, next }))
            })
            .await
    }
}

/// Bytes of params and tags on a page; one with more ends earlier than it was asked to.
const VALUES: usize = 32 << 20;

/// How many of the runs found have params and tags that fit on a page; one at least. The values
/// themselves are not read for it.
fn fitting(tx: &Tx<'_>, found: &Found) -> Result<usize> {
    let ids: Vec<i64> = found.iter().map(|(id, _)| *id).collect();
    let sizes: HashMap<i64, u64> = tx
        .all(
            "SELECT run_id, SUM(octet_length(value)) FROM \
             (SELECT run_id, value FROM params UNION ALL SELECT run_id, value FROM tags) \
             WHERE run_id IN (SELECT value FROM json_each(?1)) GROUP BY run_id",
            params![to_json(&ids)?],
            |row| Ok((row.get(0)?, count(row, 1)?)),
        )?
        .into_iter()
        .collect();
    let mut left = VALUES as u64;
    let fits = ids.iter().take_while(|id| {
        let rest = left.checked_sub(sizes.get(id).copied().unwrap_or_default());
        left = rest.unwrap_or_default();
        rest.is_some()
    });
    Ok(fits.count().max(1))
}

/// The runs found, in their order, and whether their params and tags have no more than these bytes.
fn read(tx: &Tx<'_>, found: &Found, bytes: usize) -> Result<(Vec<RunRow>, bool)> {
    let ids: Vec<i64> = found.iter().map(|(id, _)| *id).collect();
    let place: HashMap<i64, usize> = ids.iter().copied().zip(0..).collect();
    let sql = select("WHERE r.id IN (SELECT value FROM json_each(?1))");
    let mut rows = tx.all(&sql, params![to_json(&ids)?], run)?;
    rows.sort_by_key(|row| place.get(&row.id).copied());
    let within = fill_within(tx, &mut rows, bytes)?;
    Ok((rows, within))
}

/// Where a search takes the runs from that it looks at.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    Runs,
    /// By the index of the values of a metric, which is the first key of the order: the runs of an
    /// experiment that have a rank in it (see [`fix_rank`]).
    Ranked(i64, &'a str, usize),
    /// The few runs of an experiment that pass a test on a metric.
    Few(i64, &'a str, &'a Test),
    /// The runs that name this one as their parent.
    Children(&'a str),
}

/// Ids and places of the runs of a page and of one more, to know whether there is more.
fn find(tx: &Tx<'_>, filter: &RunFilter) -> Result<Found> {
    let limit = filter.limit + 1;
    if let Some(parent) = conjuncts(&filter.condition).into_iter().find_map(parent) {
        return search(tx, filter, Source::Children(parent), limit);
    }
    let Some([experiment]) = filter.experiments.as_deref() else {
        return search(tx, filter, Source::Runs, limit);
    };
    let first = filter.orders.first().map(|order| &order.field);
    for (field, key, test) in ranges(&filter.condition) {
        let few = Source::Few(*experiment, key, test);
        if Some(field) != first && count_few(tx, *experiment, key, test)? {
            return search(tx, filter, few, limit);
        }
    }
    let Some(RunField::Metric(key)) = first else {
        return search(tx, filter, Source::Runs, limit);
    };
    let begin = match filter.after.as_ref().and_then(|mark| mark.0.first()) {
        Some(Value::Integer(rank)) => usize::try_from(*rank).unwrap_or(0),
        _ => 0,
    };
    let mut found = Vec::new();
    for rank in begin..ranks(&filter.condition, key) {
        if found.len() < limit {
            let source = Source::Ranked(*experiment, key, rank);
            found.extend(search(tx, filter, source, limit - found.len())?);
        }
    }
    Ok(found)
}

/// The parts of a condition that must all hold.
fn conjuncts(condition: &Condition<RunField>) -> Vec<&Condition<RunField>> {
    match condition {
        Condition::All(parts) => parts.iter().flat_map(conjuncts).collect(),
        other => vec![other],
    }
}

fn parent(condition: &Condition<RunField>) -> Option<&str> {
    match condition {
        Condition::Test(RunField::Tag(key), Test::Text(Comparison::Equal, parent))
            if key == PARENT_TAG =>
        {
            Some(parent)
        }
        _ => None,
    }
}

/// The ranges that the values of metrics must be in.
fn ranges(condition: &Condition<RunField>) -> Vec<(&RunField, &str, &Test)> {
    let range = |part| match part {
        &Condition::Test(ref field @ RunField::Metric(ref key), ref test) if is_range(test) => {
            Some((field, key.as_str(), test))
        }
        _ => None,
    };
    conjuncts(condition).into_iter().filter_map(range).collect()
}

fn is_range(test: &Test) -> bool {
    matches!(test, Test::Number(comparison, _) if *comparison != Comparison::NotEqual)
}

/// How many ranks of a metric a condition leaves: some tests only numbers pass, some only what is there.
fn ranks(condition: &Condition<RunField>, metric: &str) -> usize {
    let of_part = |part: &Condition<RunField>| match part {
        Condition::Test(RunField::Metric(key), test) if key == metric => match test {
            Test::Present(false) => 3,
            test if is_range(test) => 1,
            _ => 2,
        },
        _ => 3,
    };
    let all = conjuncts(condition).into_iter().map(of_part);
    all.min().unwrap_or(3)
}

/// Whether few values of a metric pass a test.
fn count_few(tx: &Tx<'_>, experiment: i64, key: &str, test: &Test) -> Result<bool> {
    let mut sql = Sql::default();
    sql.push("SELECT COUNT(*) FROM (SELECT 1 FROM metric_latest d INDEXED BY metric_latest_by_value WHERE 1");
    sql.values_of("d", experiment, key)
        .push(" AND ")
        .compare("d.value", test);
    sql.push(" LIMIT ").bind(FEW + 1).push(")");
    let count: Option<i64> = tx.one(&sql.text, &params_of(&sql.values), |row| row.get(0))?;
    Ok(count.is_some_and(|count| count <= FEW))
}

fn search(tx: &Tx<'_>, filter: &RunFilter, source: Source<'_>, limit: usize) -> Result<Found> {
    let (sql, keys) = query(filter, source, limit);
    tx.all(&sql.text, &params_of(&sql.values), |row| {
        let values = (1..=keys).map(|index| row.get(index));
        Ok((row.get(0)?, Mark(values.collect::<RowResult<_>>()?)))
    })
}

/// The SQL of a search, whose rows are an id and the values of so many keys.
fn query(filter: &RunFilter, source: Source<'_>, limit: usize) -> (Sql, usize) {
    let mut keys = keys(&filter.orders);
    let mut mark = filter.after.as_ref();
    if let Source::Ranked(_, _, rank) = source {
        fix_rank(&mut keys, rank);
        let rank = i64::try_from(rank).unwrap_or(0);
        mark = mark.filter(|mark| mark.0.first() == Some(&Value::Integer(rank)));
    }
    let mut sql = Sql::default();
    sql.push("SELECT r.id");
    for key in &keys {
        sql.push(", ").push(&key.expression);
    }
    from(&mut sql, source, &filter.orders);
    // Among experiments, the workspace is only checked.
    let checked = if filter.experiments.is_some() {
        "+"
    } else {
        ""
    };
    sql.push(&format!(" WHERE {checked}r.workspace_id = "))
        .bind(filter.workspace);
    narrow(&mut sql, source);
    restrict(&mut sql, filter);
    for part in conjuncts(&filter.condition) {
        sql.push(" AND ");
        match (part, source) {
            (Condition::Test(RunField::Metric(key), test), Source::Ranked(_, ranked, 0))
                if key == ranked && is_range(test) =>
            {
                sql.compare("o0.value", test);
            }
            _ => sql.required(part),
        }
    }
    if let Some(mark) = mark {
        mark.after(&mut sql, &keys);
    }
    order(&mut sql, &keys);
    sql.push(" LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX));
    (sql, keys.len())
}

fn from(sql: &mut Sql, source: Source<'_>, orders: &[Order<RunField>]) {
    let indexed = |row: &str| {
        format!(
            " FROM metric_latest {row} INDEXED BY metric_latest_by_value CROSS JOIN runs r ON r.id = {row}.run_id"
        )
    };
    match source {
        Source::Runs => join(sql.push(" FROM runs r"), orders, 0),
        Source::Ranked(_, _, 0 | 1) => join(sql.push(&indexed("o0")), orders, 1),
        Source::Ranked(..) => join(sql.push(" FROM runs r"), orders, 1),
        Source::Few(..) => join(sql.push(&indexed("d")), orders, 0),
        Source::Children(_) => {
            sql.push(" FROM tags d INDEXED BY tags_by_parent CROSS JOIN runs r ON r.id = d.run_id");
            join(sql, orders, 0);
        }
    }
}

/// Appends what holds for all that a source has.
fn narrow(sql: &mut Sql, source: Source<'_>) {
    match source {
        Source::Runs => {}
        Source::Ranked(experiment, key, rank @ (0 | 1)) => {
            sql.values_of("o0", experiment, key);
            sql.push(if rank == 0 {
                " AND o0.value IS NOT NULL"
            } else {
                " AND o0.value IS NULL"
            });
        }
        Source::Ranked(_, key, _) => {
            let absent = Condition::Test(RunField::Metric(key.to_owned()), Test::Present(false));
            sql.push(" AND ").condition(&absent);
        }
        Source::Few(experiment, key, test) => {
            sql.values_of("d", experiment, key)
                .push(" AND ")
                .compare("d.value", test);
        }
        Source::Children(parent) => {
            // As the index says it.
            sql.push(&format!(" AND d.key = '{PARENT_TAG}' AND d.value = "))
                .bind(parent.to_owned());
        }
    }
}

/// Appends what a listing asks for besides the condition.
fn restrict(sql: &mut Sql, filter: &RunFilter) {
    match filter.experiments.as_deref() {
        None => {}
        Some([one]) => drop(sql.push(" AND r.experiment_id = ").bind(*one)),
        Some(several) => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            sql.push(" AND r.experiment_id IN (")
                .push(&ids.join(", "))
                .push(")");
        }
    }
    sql.push(match filter.view {
        View::Active => " AND r.deleted = 0",
        View::Deleted => " AND r.deleted = 1",
        View::All => "",
    });
    if let Some(status) = filter.status {
        sql.push(" AND r.status = ").bind(status.name().to_owned());
    }
    for (key, value) in &filter.tags {
        let tag = RunField::Tag(key.clone());
        let test = Test::Text(Comparison::Equal, value.clone());
        sql.push(" AND ").condition(&Condition::Test(tag, test));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;

    fn filter(condition: Condition<RunField>, orders: &[(RunField, bool)]) -> RunFilter {
        let order = |(field, descending): &(RunField, bool)| Order {
            field: field.clone(),
            descending: *descending,
        };
        RunFilter {
            workspace: 1,
            experiments: Some(vec![1]),
            status: None,
            tags: BTreeMap::new(),
            condition,
            orders: orders.iter().map(order).collect(),
            view: View::Active,
            after: None,
            limit: 100,
        }
    }

    /// How SQLite carries out a search, from a place on or from the beginning.
    async fn plan(mut filter: RunFilter, source: Source<'_>, mark: Option<Vec<Value>>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("aml.db")).unwrap();
        filter.after = mark.map(Mark);
        let (sql, _) = query(&filter, source, 100);
        let explain = format!("EXPLAIN QUERY PLAN {}", sql.text);
        let look = db.look(|tx| {
            tx.all(&explain, &params_of(&sql.values), |row| {
                row.get::<String>(3)
            })
        });
        look.await.unwrap().join("\n")
    }

    fn less(key: &str) -> Condition<RunField> {
        let test = Test::Number(Comparison::Less, 0.5);
        Condition::Test(RunField::Metric(key.to_owned()), test)
    }

    #[tokio::test]
    async fn an_order_by_time_follows_an_index() {
        let by_start = [(RunField::StartedAt, true), (RunField::Name, false)];
        let by_start = filter(less("a"), &by_start);
        let mark = vec![Value::Integer(5), Value::Text("r".to_owned())];
        for mark in [None, Some(mark)] {
            let begins = mark.is_some();
            let plan = plan(by_start.clone(), Source::Runs, mark).await;
            assert!(plan.contains("USING INDEX runs_by_start"), "{plan}");
            assert!(
                !plan.contains("TEMP B-TREE") && !plan.contains("SCAN"),
                "{plan}"
            );
            assert_eq!(plan.contains("deleted=? AND <expr><?"), begins, "{plan}");
        }
        let newest = plan(filter(Condition::always(), &[]), Source::Runs, None).await;
        assert!(
            newest.contains("runs_by_experiment") && !newest.contains("TEMP"),
            "{newest}"
        );
    }

    #[tokio::test]
    async fn an_order_by_a_metric_follows_its_values() {
        for descending in [true, false] {
            let orders = [
                (RunField::Metric("a".to_owned()), descending),
                (RunField::StartedAt, true),
            ];
            let filter = filter(less("a"), &orders);
            let source = Source::Ranked(1, "a", 0);
            let plan = plan(filter, source, None).await;
            assert!(plan.contains("INDEX metric_latest_by_value (experiment_id=? AND key_id=? AND value>? AND value<?)"), "{plan}");
            // Only runs with the same value are sorted among themselves.
            assert!(
                plan.contains("USE TEMP B-TREE FOR LAST 3 TERMS OF ORDER BY"),
                "{plan}"
            );
        }
    }

    #[tokio::test]
    async fn few_runs_and_children_are_looked_up() {
        let test = Test::Number(Comparison::Less, 0.5);
        let few = plan(filter(less("a"), &[]), Source::Few(1, "a", &test), None).await;
        assert!(few.starts_with("SEARCH d USING"), "{few}");
        assert!(few.contains("value<?"), "{few}");
        let children = plan(filter(less("a"), &[]), Source::Children("p"), None).await;
        assert!(
            children.contains("INDEX tags_by_parent (value=?)"),
            "{children}"
        );
    }
}

//! Filters made by chance: a search finds what a plain reading of the filter does, and no text at all
//! breaks the parser.

#![expect(clippy::float_cmp, reason = "numbers are written and read exactly")]

use std::collections::{BTreeMap, BTreeSet};

use super::support::{Bench, batch, point};
use crate::filter::{measure_condition, run_condition, run_orders, trace_condition};
use api::{metrics::LogBatch, runs::ListRuns, trace_measures::Measured};

/// Numbers that look like chance and are the same with every test.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap_or_default()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

#[derive(Default)]
struct Known {
    params: BTreeMap<&'static str, &'static str>,
    metrics: BTreeMap<&'static str, f64>,
}

const KEYS: [&str; 3] = ["a", "b", "with blank"];
const TEXTS: [&str; 4] = ["", "x", "X", "it"];

/// Whether a filter holds for a run.
type Holds = Box<dyn Fn(&Known) -> bool>;

/// A filter as written, and what it means.
fn filter(chance: &mut Chance, depth: usize) -> (String, Holds) {
    let space = |chance: &mut Chance| chance.pick(&[" ", "  ", "\n "]);
    match chance.below(if depth == 0 { 3 } else { 6 }) {
        0 => {
            let key = KEYS[chance.below(3)];
            let number = [-1.0, 0.0, 0.5, 2.0][chance.below(4)];
            let operator = chance.pick(&["=", "!=", "<", "<=", ">", ">="]);
            let holds = move |known: &Known| {
                known.metrics.get(key).is_some_and(|value| match operator {
                    "=" => *value == number,
                    "!=" => *value != number,
                    "<" => *value < number,
                    "<=" => *value <= number,
                    ">" => *value > number,
                    _ => *value >= number,
                })
            };
            (
                format!("metrics.`{key}` {operator} {number}"),
                Box::new(holds),
            )
        }
        1 => {
            let (key, text) = (KEYS[chance.below(3)], TEXTS[chance.below(4)]);
            let equal = chance.below(2) == 0;
            let operator = if equal { "=" } else { "!=" };
            let holds = move |known: &Known| {
                let value = known.params.get(key);
                value.is_some_and(|value| (*value == text) == equal)
            };
            (
                format!("params.\"{key}\"{operator}'{text}'"),
                Box::new(holds),
            )
        }
        2 => {
            let key = KEYS[chance.below(3)];
            let holds = move |known: &Known| !known.params.contains_key(key);
            (
                format!("param.`{key}` {} NULL", chance.pick(&["IS", "is"])),
                Box::new(holds),
            )
        }
        3 => {
            let (text, holds) = filter(chance, depth - 1);
            let text = format!("{}{}({text})", chance.pick(&["NOT", "not"]), space(chance));
            (text, Box::new(move |known| !holds(known)))
        }
        joined => {
            let (one, first) = filter(chance, depth - 1);
            let (two, second) = filter(chance, depth - 1);
            let word = match joined {
                4 => chance.pick(&["AND", "and"]),
                _ => chance.pick(&["OR", "or"]),
            };
            let text = format!("({one}){}{word}{}({two})", space(chance), space(chance));
            let both = joined == 4;
            let holds = move |known: &Known| {
                let (first, second) = (first(known), second(known));
                if both {
                    first && second
                } else {
                    first || second
                }
            };
            (text, Box::new(holds))
        }
    }
}

#[tokio::test]
async fn a_search_finds_what_the_filter_says() {
    let bench = Bench::new().await;
    let mut chance = Chance(20_260_729);
    let mut runs: BTreeMap<String, Known> = BTreeMap::new();
    for number in 0..24 {
        let name = format!("r{number}");
        bench.submit(&name).await;
        let known = runs.entry(name.clone()).or_default();
        let mut log = batch(&name);
        for key in KEYS {
            if chance.below(3) > 0 {
                let text = TEXTS[chance.below(4)];
                known.params.insert(key, text);
                log.params.insert(key.to_owned(), text.to_owned());
            }
            if chance.below(3) > 0 {
                let value = [-1.0, 0.0, 0.25, 0.5, 2.0, f64::INFINITY][chance.below(6)];
                known.metrics.insert(key, value);
                log.metrics.push(point(key, value, 0, 0));
            }
        }
        bench.ask::<LogBatch>(log).await.unwrap();
    }
    for _ in 0..300 {
        let (filter, holds) = filter(&mut chance, 4);
        let list = ListRuns {
            workspace: "ws".into(),
            filter: Some(filter.clone()),
            ..ListRuns::default()
        };
        let found = bench.ask(list).await.unwrap().items;
        let found: BTreeSet<&str> = found.iter().map(|run| run.name.as_str()).collect();
        let expected = runs.iter().filter(|(_, known)| holds(known));
        let expected: BTreeSet<&str> = expected.map(|(name, _)| name.as_str()).collect();
        assert_eq!(found, expected, "{filter}");
    }
}

#[test]
fn no_text_breaks_the_parser() {
    let parts = [
        "metrics.",
        "params",
        ".",
        "a",
        "`",
        "\"",
        "'",
        "(",
        ")",
        "AND",
        "OR",
        "NOT",
        "IN",
        "IS",
        "NULL",
        "LIKE",
        "RLIKE",
        "=",
        "!=",
        "<",
        ">=",
        ",",
        "1e999",
        "-",
        "0x1",
        "ü",
        "\u{0}",
        "🦀",
        " ",
        "\n",
        "%",
        "span.attributes.x",
        "status",
        "[",
        "\\",
    ];
    let mut chance = Chance(7);
    for _ in 0..20_000 {
        let text: Vec<&str> = (0..chance.below(14)).map(|_| chance.pick(&parts)).collect();
        let text = text.join(chance.pick(&["", " "]));
        let _ = run_condition(&text, true);
        let _ = trace_condition(&text);
        let _ = measure_condition(&text, Measured::Traces);
        let _ = run_orders(&[text]);
    }
    for deep in ["(", "NOT ", "NOT ("] {
        assert!(run_condition(&deep.repeat(100_000), true).is_err());
    }
}

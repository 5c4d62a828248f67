//! The dialect: scalars, merges, duplicates, budgets, positions.

use std::path::PathBuf;

use serde_json::json;

use super::{Data, Node, Sources, compose};
use crate::issue::Issue;

fn read(text: &str) -> (Result<Node, Issue>, Vec<Issue>, Sources) {
    let mut sources = Sources::default();
    let source = sources.add("f.yml".to_owned(), PathBuf::new(), text.to_owned());
    let mut issues = Vec::new();
    let node = compose(text, source, &mut issues);
    (node, issues, sources)
}

fn value(text: &str) -> serde_json::Value {
    let (node, issues, _) = read(text);
    assert_eq!(issues, []);
    node.unwrap().to_value()
}

/// The first problem, as `line:column: message`.
fn problem(text: &str) -> String {
    let (node, mut issues, sources) = read(text);
    issues.extend(node.err());
    let issue = issues.first().expect("a problem");
    format!("{}: {}", sources.place(issue.span), issue.message)
}

#[test]
fn scalars_are_yaml_1_1() {
    for (text, expected) in [
        ("yes", json!(true)),
        ("On", json!(true)),
        ("NO", json!(false)),
        ("y", json!("y")),
        ("~", json!(null)),
        ("", json!(null)),
        ("010", json!(8)),
        ("0o10", json!("0o10")),
        ("08", json!("08")),
        ("0x1F", json!(31)),
        ("0b11", json!(3)),
        ("-1_000", json!(-1000)),
        ("1:30", json!(90)),
        ("1:75", json!("1:75")),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        ("1.", json!(1.0)),
        ("1e-3", json!("1e-3")),
        ("1.0e-3", json!(0.001)),
        ("1.0e3", json!("1.0e3")),
        (".inf", json!(".inf")),
        ("1.2.3", json!("1.2.3")),
        ("2026-11-30", json!("2026-11-30")),
        ("\"yes\"", json!("yes")),
        ("'010'", json!("010")),
        ("!!str 5", json!("5")),
        ("!!int \"5\"", json!(5)),
    ] {
        assert_eq!(value(&format!("a: {text}\n"))["a"], expected, "{text}");
    }
}

#[test]
fn merges_give_way_to_own_keys() {
    let text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\n\
                one: {<<: *base, b: 9}\nboth:\n  <<: [*base, *more]\n";
    let value = value(text);
    assert_eq!(value["one"], json!({"b": 9, "a": 1}));
    assert_eq!(value["both"], json!({"a": 1, "b": 2, "c": 4}));
    assert_eq!(
        problem("a:\n  <<: 5\n"),
        "f.yml:2:7: `<<` merges a mapping or a list of mappings"
    );
}

#[test]
fn a_key_given_twice_is_shown_with_both_places() {
    let (_, issues, sources) = read("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n");
    let [issue] = issues.as_slice() else {
        panic!("{issues:?}")
    };
    assert_eq!(issue.message, "`c` is given twice");
    assert_eq!(sources.place(issue.span), "f.yml:5:3");
    assert_eq!(sources.place(issue.labels[0].0), "f.yml:3:3");
}

#[test]
fn aliases_cannot_ask_for_everything() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ["b", "c", "d", "e", "f", "g", "h"]
        .iter()
        .zip("abcdefg".chars())
    {
        let many = vec![format!("*{before}"); 10].join(", ");
        text = format!("{text}{name}: &{name} [{many}]\n");
    }
    let problem = problem(&text);
    assert!(problem.contains("stands for more than"), "{problem}");
    let deep = "[".repeat(300) + &"]".repeat(300);
    assert!(read(&deep).0.is_err());
}

#[test]
fn what_is_no_yaml_is_shown_where_it_goes_wrong() {
    for (text, place) in [
        ("a: [1, 2\nb: 3\n", "f.yml:2:"),
        ("a: 'x\n", "f.yml:"),
        ("a: *nobody\n", "f.yml:1:4"),
        ("a: 1\n---\nb: 2\n", "f.yml:2:1"),
        ("a: {{NAME}}\n", "f.yml:1:4: `{{NAME}}` is a template"),
    ] {
        let problem = problem(text);
        assert!(problem.starts_with(place), "{text:?}: {problem}");
    }
}

#[test]
fn every_value_knows_its_place() {
    let text = "a: ä\nlist:\n- x\n-  k: |\n    long\n    text\n   z: 1\n";
    let (node, _, sources) = read(text);
    let node = node.unwrap();
    let place = |node: &Node| sources.place(node.span);
    assert_eq!(place(node.get("a").unwrap()), "f.yml:1:4");
    let list = node.get("list").unwrap();
    let Data::List(items) = &list.data else {
        panic!("{list:?}")
    };
    assert_eq!(place(&items[0]), "f.yml:3:3");
    assert_eq!(place(items[1].get("z").unwrap()), "f.yml:7:7");
    assert_eq!(items[1].get("k").unwrap().text, "long\ntext\n");
}

#[test]
fn the_place_of_a_flag_is_the_flag() {
    let mut sources = Sources::default();
    let flag = "--type nope".to_owned();
    let id = sources.add(flag.clone(), PathBuf::new(), flag);
    assert_eq!(sources.place(sources.whole(id)), "--type nope");
}

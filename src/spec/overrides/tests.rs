//! What the flags do to a tree.

use std::path::Path;

use serde_json::{Value, json};

use super::{Edit, Values, apply};
use crate::load;

fn edited(text: &str, edits: &[Edit], values: Values) -> Result<Value, String> {
    let mut document = load::parse(text.to_owned(), Path::new("f.yml"), "f.yml");
    let folder = Path::new(".");
    apply(
        &mut document.root,
        edits,
        values,
        &mut document.sources,
        folder,
    )
    .map_err(|error| error.message)?;
    Ok(document.root.to_value())
}

fn set(text: &str, edits: &[&str], values: Values) -> Result<Value, String> {
    let edits: Vec<Edit> = edits.iter().map(|edit| Edit::set(edit).unwrap()).collect();
    edited(text, &edits, values)
}

#[test]
fn set_replaces_makes_and_reaches_into_lists() {
    let text = "a: {b: 1}\nlist: [{x: 1}, {x: 2}]\nempty:\n";
    let edits = [
        "a.b=two words",
        "a.c.d=7",
        "list[1].x=3",
        "list[2].x=4",
        "list.0.x=0",
        "empty.k=True",
        "new[0].id=i",
        "image=a=b",
    ];
    assert_eq!(
        set(text, &edits, Values::Strings).unwrap(),
        json!({
            "a": {"b": "two words", "c": {"d": "7"}},
            "list": [{"x": "0"}, {"x": "3"}, {"x": "4"}],
            "empty": {"k": "True"},
            "new": [{"id": "i"}],
            "image": "a=b",
        })
    );
}

#[test]
fn update_reads_json_and_both_read_structures() {
    let edits = [
        "a=7",
        "b=true",
        "c=[1, 2]",
        "d={\"x\": 1}",
        "e=plain",
        "f={x: 1}",
    ];
    assert_eq!(
        set("{}", &edits, Values::Json).unwrap(),
        json!({"a": 7, "b": true, "c": [1, 2], "d": {"x": 1}, "e": "plain", "f": {"x": 1}})
    );
    assert_eq!(
        set("{}", &edits, Values::Strings).unwrap(),
        json!({"a": "7", "b": "true", "c": [1, 2], "d": {"x": 1}, "e": "plain", "f": {"x": 1}})
    );
}

#[test]
fn what_a_reference_names_cannot_be_set() {
    let message = set(
        "environment: azureml:e:1\n",
        &["environment.image=x"],
        Values::Strings,
    );
    assert_eq!(
        message.unwrap_err(),
        "Cannot use '--set' on properties defined by reference strings: --set environment.image"
    );
    for (edit, message) in [
        (
            "list[5]=x",
            "`list[5]` asks for place 5 of a list with 1 values",
        ),
        ("list.x=1", "`list.x` leads into a list"),
        ("number.x=1", "`number.x` leads into an integer"),
        ("a..b=1", "`a..b` is not the path of a key"),
        ("list[x]=1", "`list[x]` is not the path of a key"),
    ] {
        let text = "list: [1]\nnumber: 5\n";
        assert_eq!(set(text, &[edit], Values::Strings).unwrap_err(), message);
    }
    assert!(Edit::set("no value").is_err());
}

#[test]
fn a_name_that_is_nearly_another_is_told_from_a_new_one() {
    let text = "inputs: {rate: 1}\noutputs: {model: }\njobs: {train: {inputs: {data: x}}}\n";
    let said = |edit: &str| {
        let mut document = load::parse(text.to_owned(), Path::new("f.yml"), "f.yml");
        let edits = [Edit::set(edit).unwrap()];
        document.edit(&edits, Values::Strings).unwrap();
        let issue = document.issues.pop()?;
        let place = document.sources.place(issue.span);
        Some((issue.is_error(), place, issue.message, issue.hint.unwrap()))
    };
    let (is_error, place, message, hint) = said("jobs.tran.inputs.data=y").unwrap();
    assert!(is_error);
    assert_eq!(place, "--set jobs.tran.inputs.data");
    assert_eq!(message, "There is no step `tran`");
    assert_eq!(hint, "Did you mean `train`?");
    for (edit, nearest) in [
        ("inputs.rat=2", "rate"),
        ("outputs.modle.type=uri_file", "model"),
        ("jobs.train.inputs.dta=y", "data"),
    ] {
        let (is_error, _, message, hint) = said(edit).unwrap();
        assert!(!is_error, "{message}");
        assert_eq!(hint, format!("Did you mean `{nearest}`?"));
    }
    for edit in [
        "inputs.rate=2",
        "inputs.epochs=2",
        "jobs.score.command=x",
        "jobs.trains={command: x}",
        "tag=x",
    ] {
        assert_eq!(said(edit), None, "{edit}");
    }
}

#[test]
fn add_and_remove_change_lists_and_keys() {
    let text = "list: [a, b, c]\nmap: {x: 1, y: 2}\n";
    let add = |path: &str, value: &str| Edit::Add {
        path: path.to_owned(),
        values: vec![value.to_owned()],
    };
    let remove = |path: &str, index| Edit::Remove {
        path: path.to_owned(),
        index,
    };
    let edits = [
        add("list", "d"),
        add("fresh", "name=n"),
        remove("list", Some(0)),
        remove("map.x", None),
    ];
    assert_eq!(
        edited(text, &edits, Values::Json).unwrap(),
        json!({"list": ["b", "c", "d"], "map": {"y": 2}, "fresh": [{"name": "n"}]})
    );
    for wrong in [
        remove("list", Some(9)),
        remove("none", None),
        remove("map.x.z", None),
    ] {
        assert!(edited(text, &[wrong], Values::Json).is_err());
    }
    assert!(edited(text, &[add("map", "x")], Values::Json).is_err());
}

#[test]
fn pairs_that_follow_each_other_are_added_as_one_mapping() {
    let add = |words: &[&str], values| {
        let values_given = words.iter().map(|word| (*word).to_owned()).collect();
        let edit = Edit::Add {
            path: "list".to_owned(),
            values: values_given,
        };
        edited("list: [0]\n", &[edit], values).unwrap()["list"].clone()
    };
    let words = ["a=1", "b=x=y", "word", "a=2", "a=3"];
    assert_eq!(
        add(&words, Values::Json),
        json!([0, {"a": 1, "b": "x=y"}, "word", {"a": 3}])
    );
    assert_eq!(
        add(&["a=1", "{\"k\": \"x=y\"}"], Values::Strings),
        json!([0, {"a": "1"}, {"k": "x=y"}])
    );
}

#[test]
fn places_are_named_by_a_value_and_from_the_end() {
    let text = "list: [{name: a, n: 1}, {name: b.c, n: 2}, {name: c, n: 2}]\n";
    let edits = [
        "list[name=a].k[0]=x=y",
        "list[name=b.c].n=3",
        "list[-1].n=4",
    ];
    assert_eq!(
        set(text, &edits, Values::Json).unwrap(),
        json!({"list": [
            {"name": "a", "n": 1, "k": ["x=y"]}, {"name": "b.c", "n": 3}, {"name": "c", "n": 4},
        ]})
    );
    for (edit, message) in [
        (
            "list[n=2].k=1",
            "`list[n=2].k` asks for the one with the n `2`: there is more than one",
        ),
        (
            "list[n=5].k=1",
            "`list[n=5].k` asks for the one with the n `5`: there is none",
        ),
        (
            "list[-4].k=1",
            "`list[-4].k` asks for place -4 of a list with 3 values",
        ),
    ] {
        assert_eq!(set(text, &[edit], Values::Json).unwrap_err(), message);
    }
    let remove = |path: &str, index| Edit::Remove {
        path: path.to_owned(),
        index,
    };
    let edits = [
        remove("list", Some(-1)),
        remove("list[name=a]", None),
        remove("list[-1].n", None),
    ];
    assert_eq!(
        edited(text, &edits, Values::Json).unwrap(),
        json!({"list": [{"name": "b.c"}]})
    );
    assert_eq!(
        edited(text, &[remove("list", Some(-4))], Values::Json).unwrap_err(),
        "There is no `list` to remove"
    );
}

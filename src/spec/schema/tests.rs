//! The schema says what the check says.

use serde_json::{Value, json};

use super::of_kind;
use crate::list::{KINDS, named};

/// Every `$ref` of a schema leads to a definition.
fn check_references(schema: &Value, root: &Value) {
    match schema {
        Value::Object(members) => {
            if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                let name = target.strip_prefix("#/definitions/").unwrap();
                assert!(root["definitions"][name].is_object(), "{target}");
            }
            members
                .values()
                .for_each(|value| check_references(value, root));
        }
        Value::Array(items) => items.iter().for_each(|item| check_references(item, root)),
        _ => {}
    }
}

#[test]
fn every_kind_has_a_schema_that_is_whole() {
    for kind in KINDS {
        let schema = of_kind(kind);
        check_references(&schema, &schema);
        assert_eq!(schema["title"], kind.name);
    }
}

#[test]
fn keys_have_types_defaults_and_descriptions() {
    let schema = of_kind(named("environment").unwrap());
    let properties = &schema["properties"];
    assert_eq!(properties["os_type"]["default"], "linux");
    assert_eq!(
        properties["os_type"]["anyOf"][0],
        json!({"enum": ["linux", "windows"]})
    );
    assert_eq!(properties["creation_context"], json!({"readOnly": true}));
    assert!(
        properties["conda_file"]["description"]
            .as_str()
            .unwrap()
            .contains("conda file")
    );
    assert_eq!(schema["additionalProperties"], false);
    // `--name` may give it.
    assert_eq!(schema.get("required"), None);
    let data = of_kind(named("datastore").unwrap());
    assert_eq!(
        data["anyOf"][0]["required"],
        json!(["type", "account_name", "container_name"])
    );
}

#[test]
fn words_match_in_any_style() {
    let pattern = super::any_style("ro_mount");
    let regex = regex_lite::Regex::new(&format!("^{pattern}$")).unwrap();
    for word in ["ro_mount", "RoMount", "RO-MOUNT", "romount"] {
        assert!(regex.is_match(word), "{word}");
    }
    assert!(!regex.is_match("rw_mount"));
}

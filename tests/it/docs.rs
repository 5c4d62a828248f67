//! Generated documents are what the code generates; `UPDATE_DOCS=1 cargo test` writes them.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use crate::support::{Aml, Operation, operations, root};

/// Compares a committed file with what it should be, or writes it when asked to.
#[track_caller]
pub fn assert_fresh(file: &str, text: &str) {
    let path = root().join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("makes the folder");
        fs::write(&path, text).expect("writes the document");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{file} is stale; write it with: UPDATE_DOCS=1 cargo test"
    );
}

#[test]
fn command_reference_and_man_pages_are_fresh() {
    let aml = Aml::local();
    aml.ok("docs out");
    assert_fresh("docs/cli-reference.md", &aml.read("out/cli-reference.md"));
    let names = |folder: &Path| -> BTreeSet<String> {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = files.map(|file| file.file_name().to_string_lossy().into_owned());
        names.collect()
    };
    let pages = names(&aml.path("out/man"));
    for page in &pages {
        let text = aml.read(&format!("out/man/{page}"));
        assert_fresh(&format!("docs/man/{page}"), &text);
    }
    let committed = names(&root().join("docs/man"));
    assert_eq!(committed, pages, "pages of commands that are no more");
}

#[test]
fn what_a_run_may_find_is_all_said() {
    let said = fs::read_to_string(root().join("docs/runs.md")).expect("reads");
    let source = |file: &str| fs::read_to_string(root().join(file)).expect("reads");
    let quoted = |text: &str| {
        let words = text.split('"').skip(1).step_by(2);
        let is_variable = |word: &&str| {
            let mut parts = word.chars();
            !word.is_empty() && parts.all(|c| c.is_ascii_alphabetic() || c == '_')
        };
        words
            .filter(is_variable)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let between = |text: &str, begin: &str, end: &str| {
        let (_, rest) = text.split_once(begin).expect("it begins");
        rest.split_once(end).expect("it ends").0.to_owned()
    };
    let config = source("src/cli/config.rs");
    let passed_on = quoted(&between(&config, "const PASSED_ON", "];"));
    assert!(passed_on.len() > 40, "{passed_on:?}");
    let own = source("src/worker/variables.rs");
    let own = quoted(&between(&own, "let own = [", "];"));
    assert!(own.contains(&"MLFLOW_RUN_ID".to_owned()), "{own:?}");
    for name in passed_on.iter().chain(&own) {
        let is_value = ["run", "true"].contains(&name.as_str());
        assert!(is_value || said.contains(&format!("`{name}`")), "{name}");
    }
    let said = said.to_lowercase();
    for file in fs::read_dir(root().join("src/spec/curated")).expect("reads") {
        let name = file.expect("reads").path();
        let name = name
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .to_lowercase();
        assert!(said.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_list_of_operations_is_fresh() {
    let mut text = "# Operations\n\n\
        Generated from `src/api/`; the tests fail when it is stale.\n\n\
        Each is a `POST /api/v1/<name>` with the fields as a JSON object, `Authorization: Bearer \
        <token>` where the server needs a token, and answers its output as JSON or an error (see \
        [errors.md](errors.md)).\n"
        .to_owned();
    let mut area = String::new();
    for operation in operations() {
        if operation.area != area {
            area.clone_from(&operation.area);
            let _ = write!(text, "\n## {area}\n");
        }
        let Operation {
            name, output, says, ..
        } = &operation;
        assert!(
            !says.is_empty(),
            "`{}` has no doc comment",
            operation.request
        );
        let _ = write!(text, "\n### {name} → `{output}`\n\n{says}\n");
        if !operation.fields.is_empty() {
            text.push_str("\n| field | type | |\n|---|---|---|\n");
        }
        for field in &operation.fields {
            let optional = if field.optional { ", optional" } else { "" };
            let says = field.says.replace('|', "\\|");
            let _ = writeln!(
                text,
                "| `{}` | `{}`{optional} | {says} |",
                field.name, field.kind
            );
        }
    }
    assert_fresh("docs/operations.md", &text);
}

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

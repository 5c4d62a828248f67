//! Rules of the house that a compiler does not know.

use std::{collections::BTreeSet, fs};

use regex_lite::Regex;

use crate::support::{operations, root, rust_files, texts};

/// Module → modules it may import besides itself.
const MAY_IMPORT: [(&str, &[&str]); 22] = [
    ("main", &[]),
    ("lib", &["cli"]),
    (
        "wiring",
        &[
            "api",
            "cli",
            "client",
            "courier",
            "executor",
            "host",
            "protocols",
            "server",
            "service",
            "spec",
            "store",
            "worker",
        ],
    ),
    (
        "cli",
        &["api", "client", "exchange", "monitor", "spec", "table"],
    ),
    ("kinds", &["api"]),
    ("spec", &["api", "kinds"]),
    ("client", &["api"]),
    ("table", &["api", "spec"]),
    ("exchange", &["api", "client"]),
    ("monitor", &["api", "table"]),
    ("api", &[]),
    ("server", &["api", "operations", "protocols", "service"]),
    ("protocols", &["api", "graphql", "service", "spec"]),
    ("graphql", &[]),
    ("operations", &["api", "service"]),
    ("courier", &["api", "protocols", "service"]),
    ("service", &["api", "spec", "store"]),
    ("store", &["api"]),
    ("executor", &["api"]),
    ("worker", &["api", "client", "executor", "spec", "table"]),
    ("host", &["api", "client", "executor", "native", "spec"]),
    ("native", &["api"]),
];

/// The layers that are crates of their own: inside, `crate::` is the layer itself.
const CRATES: [&str; 18] = [
    "api",
    "cli",
    "client",
    "exchange",
    "executor",
    "graphql",
    "host",
    "kinds",
    "monitor",
    "native",
    "operations",
    "protocols",
    "server",
    "service",
    "spec",
    "store",
    "table",
    "worker",
];

const LINES: usize = 600;

/// The file's text without comments, line by line.
fn code(text: &str) -> String {
    let line = |line: &str| match line.find("//") {
        Some(at) => line[..at].to_owned(),
        None => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The layers with which a path of the code begins.
fn crates_used(code: &str) -> BTreeSet<String> {
    let import = Regex::new(r"\buse (\w+)::[^;]*;").expect("right");
    let path = Regex::new(r"(?:^|[^\w:])(\w+)::").expect("right");
    let rest = import.replace_all(code, "");
    let imports = import.captures_iter(code);
    let paths = path.captures_iter(&rest);
    let roots = imports.chain(paths).map(|found| found[1].to_owned());
    roots
        .filter(|root| CRATES.contains(&root.as_str()))
        .collect()
}

/// The modules that follow `crate::`, also in a list in braces.
fn modules_used(code: &str) -> BTreeSet<String> {
    let word = |text: &str| {
        let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        text.chars().take_while(is_name).collect::<String>()
    };
    let mut used = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        if code[..at].ends_with('$') {
            continue;
        }
        let rest = &code[at + path.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            used.insert(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = 0;
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    used.insert(word(list[item..at].trim()));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    used.insert(word(list[item..at].trim()));
                    item = at + 1;
                }
                _ => (),
            }
        }
    }
    used.remove("");
    used
}

#[test]
fn modules_import_only_what_they_may() {
    let mut wrong = Vec::new();
    for (file, text) in rust_files() {
        let Some(inner) = file.strip_prefix("src/") else {
            continue;
        };
        let module = inner.split(['/', '.']).next().expect("a first part");
        let (_, allowed) = MAY_IMPORT
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("`{module}` has no line in the table of tidy.rs"));
        let code = code(&text);
        let mut used = crates_used(&code);
        if !CRATES.contains(&module) {
            used.append(&mut modules_used(&code));
        }
        for used in used {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{file}: `{module}` may not use `{used}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found_in_lists() {
    let code =
        "use crate::{\n api::{Error, files::Hash},\n client,\n};\nfn f() { crate::store::x() }";
    let used: Vec<_> = modules_used(code).into_iter().collect();
    assert_eq!(used, ["api", "client", "store"]);
    let code =
        "use api::{Error, files::Hash};\nfn f() { crate::api::x(); myspec::y(); store::z() }";
    let used: Vec<_> = crates_used(code).into_iter().collect();
    assert_eq!(used, ["api", "store"]);
}

#[test]
fn files_say_why_they_exist_and_are_not_long() {
    for (file, text) in rust_files() {
        assert!(text.starts_with("//!"), "{file} does not begin with `//!`");
        let lines = text.lines().count();
        assert!(
            lines <= LINES,
            "{file} has {lines} lines; {LINES} are too many"
        );
    }
}

#[test]
fn nothing_is_left_for_later() {
    // In pieces, so that this file does not match.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("#[ig", "nore"),
        concat!("un", "implemented!"),
        concat!("to", "do!("),
        concat!("not supported", " yet"),
        concat!("not implemented", " yet"),
    ];
    assert_absent(&words);
}

#[test]
fn two_files_are_trusted_with_what_the_compiler_cannot_check() {
    let word = concat!("uns", "afe_code");
    let with = |(file, text): (String, String)| text.contains(word).then_some(file);
    let files: Vec<String> = rust_files().into_iter().filter_map(with).collect();
    assert_eq!(files, ["src/executor/succession.rs", "src/server/rest.rs"]);
}

#[test]
fn no_paths_of_a_machine() {
    assert_absent(&[
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/opt/", "wheels"),
        concat!(".pye", "nv/"),
    ]);
}

#[track_caller]
fn assert_absent(words: &[&str]) {
    let mut found = Vec::new();
    for (file, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                found.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_operation_is_mounted() {
    let table = fs::read_to_string(root().join("src/operations/mod.rs")).expect("reads the table");
    let mounted = &table[table.find("operations![").expect("the list of operations")..];
    let names: BTreeSet<&str> = mounted
        .split(|c: char| !c.is_ascii_alphanumeric())
        .collect();
    let missing: Vec<String> = operations()
        .into_iter()
        .filter(|operation| !names.contains(operation.request.as_str()))
        .map(|operation| operation.request)
        .collect();
    assert!(missing.is_empty(), "not in operations/mod.rs: {missing:?}");
}

//! The operations of `api/`, read from its sources.

use regex_lite::Regex;

use super::rust_files;

/// An operation as `api/` declares it.
pub struct Operation {
    pub name: String,
    pub request: String,
    pub output: String,
    /// File below `src/api/`, without its ending.
    pub area: String,
    /// What its doc comment says.
    pub says: String,
    /// Its fields: name, type, doc comment.
    pub fields: Vec<(String, String, String)>,
}

/// Every operation of `api/`, in the order of the files.
pub fn operations() -> Vec<Operation> {
    let declared = Regex::new(r#"operation!\((\w+) => (.+), "([a-z_.]+)"\);"#).expect("right");
    let mut found = Vec::new();
    for (file, text) in rust_files() {
        let Some(area) = file.strip_prefix("src/api/") else {
            continue;
        };
        // Where the macro is, there is only an example of its use.
        if area == "mod.rs" {
            continue;
        }
        for parts in declared.captures_iter(&text) {
            let (says, fields) = declaration(&text, &parts[1]);
            found.push(Operation {
                name: parts[3].to_owned(),
                request: parts[1].to_owned(),
                output: parts[2].to_owned(),
                area: area.trim_end_matches(".rs").to_owned(),
                says,
                fields,
            });
        }
    }
    found
}

/// The doc comment and the fields of a struct in a file.
fn declaration(text: &str, name: &str) -> (String, Vec<(String, String, String)>) {
    let doc_of = |line: &str| {
        let doc = line.trim().strip_prefix("///")?;
        Some(doc.trim().to_owned())
    };
    let lines: Vec<&str> = text.lines().collect();
    let start = lines
        .iter()
        .position(|line| line.starts_with(&format!("pub struct {name} {{")))
        .unwrap_or_else(|| panic!("`{name}` is declared beside its operation"));
    let above = lines[..start].iter().rev();
    let mut says: Vec<String> = above
        .take_while(|line| line.starts_with("///") || line.starts_with("#["))
        .filter_map(|line| doc_of(line))
        .collect();
    says.reverse();
    let mut fields = Vec::new();
    let mut doc = Vec::new();
    for line in lines[start + 1..]
        .iter()
        .take_while(|line| !line.starts_with('}'))
    {
        if let Some(part) = doc_of(line) {
            doc.push(part);
        } else if let Some(field) = line.trim().strip_prefix("pub ")
            && let Some((name, kind)) = field.split_once(": ")
        {
            let kind = kind.trim_end_matches(',').to_owned();
            fields.push((name.to_owned(), kind, doc.join(" ")));
            doc.clear();
        }
    }
    (says.join(" "), fields)
}

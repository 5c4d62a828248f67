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
    pub fields: Vec<Field>,
}

pub struct Field {
    pub name: String,
    pub kind: String,
    pub says: String,
    pub optional: bool,
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
fn declaration(text: &str, name: &str) -> (String, Vec<Field>) {
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
    if lines[start].ends_with("{}") {
        return (says.join(" "), Vec::new());
    }
    let body = lines[start + 1..].iter();
    let (mut fields, mut doc, mut optional) = (Vec::new(), Vec::new(), false);
    for line in body.take_while(|line| !line.starts_with('}')) {
        optional |= line.contains("#[serde(default");
        if let Some(part) = doc_of(line) {
            doc.push(part);
        } else if let Some(field) = line.trim().strip_prefix("pub ")
            && let Some((name, kind)) = field.split_once(": ")
        {
            fields.push(Field {
                name: name.to_owned(),
                kind: kind.trim_end_matches(',').to_owned(),
                says: std::mem::take(&mut doc).join(" "),
                optional: std::mem::take(&mut optional),
            });
        }
    }
    (says.join(" "), fields)
}

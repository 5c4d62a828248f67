//! Files that say what is put beside a component's code: `c.additional_includes` beside `c.yml`.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    reference,
    yaml::{self, Data, Entry, Node, Sources},
};

/// The key, and the ending of the files.
const KEY: &str = "additional_includes";

/// Adds what such a file names to the component at `path`, unless the component says it itself. The
/// file is a list of lines, or YAML with the key.
pub fn add(root: &mut Node, path: &Path, name: &str, sources: &mut Sources) {
    let Data::Map(entries) = &mut root.data else {
        return;
    };
    let said = |key: &str| entries.iter().any(|entry| entry.key == key);
    // A pipeline has no code of its own.
    if said(KEY) || said("jobs") {
        return;
    }
    let Ok(text) = fs::read_to_string(path.with_extension(KEY)) else {
        return;
    };
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    let name = Path::new(name).with_extension(KEY).display().to_string();
    let source = sources.add(name, folder, text);
    let text = &sources.get(source).text;
    let described = yaml::compose(text, source, &mut Vec::new()).map(|node| node.to_value());
    let listed = match described {
        Ok(Value::Object(mut fields)) => fields.remove(KEY).unwrap_or_default(),
        _ => {
            let lines = text.lines().map(str::trim);
            lines
                .filter(|line| !line.is_empty())
                .map(Value::from)
                .collect()
        }
    };
    let span = sources.whole(source);
    entries.push(Entry {
        key: KEY.to_owned(),
        key_span: span,
        value: Node::from_value(&listed, span),
    });
}

/// The file's name as seen from where the user is: beside the file that names it.
pub fn display_name(from: &str, path: &str) -> String {
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let joined = folder.join(path);
    reference::tidy(&joined).display().to_string()
}

//! What the strings of Azure ML files point to: assets, data, models, code, computes.

mod text;

#[cfg(test)]
mod tests;

use std::path::{Component, Path, PathBuf};

pub use text::*;

/// What a path or reference points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `azureml:name:version` and its longer forms.
    Asset(Asset),
    /// `azureml://datastores/NAME/paths/PATH`, with or without a workspace before it.
    Datastore { name: String, path: String },
    /// `azureml://jobs/NAME/outputs/OUTPUT/paths/PATH`; the outputs `artifacts` and `default` are
    /// what the run keeps itself.
    Job {
        name: String,
        output: String,
        path: String,
    },
    /// `runs:/RUN/PATH`, as MLflow writes it.
    Run { run: String, path: String },
    /// `git+https://…`.
    Git(String),
    /// `https://…`, `wasbs://…`, `abfss://…`, `adl://…`, `s3://…`.
    Url(String),
    /// A file or folder of this machine.
    Local(PathBuf),
    /// Has a `${{…}}`: known when its graph is run.
    Expression(String),
}

/// A registered thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The registry that holds it; the workspace if none.
    pub registry: Option<String>,
    /// Another workspace that holds it.
    pub workspace: Option<String>,
    /// `data`, `models`, `environments`, …, where the reference says so.
    pub kind: Option<String>,
    pub name: String,
    pub pick: Pick,
}

/// Which version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    Version(String),
    /// `latest` and labels of the user's own.
    Label(String),
    /// The reference does not say.
    Unsaid,
}

const SCHEMES: [&str; 12] = [
    "https", "http", "wasbs", "wasb", "abfss", "abfs", "adl", "s3", "gs", "hdfs", "dbfs", "file",
];

/// Reads a reference; a string in no other form is a path, from `folder`.
pub fn parse(text: &str, folder: &Path) -> Result<Reference, String> {
    if text.contains("${{") {
        return Ok(Reference::Expression(text.to_owned()));
    }
    if let Some(rest) = text.strip_prefix("azureml://") {
        return long(rest).ok_or_else(|| format!("`{text}` is no `azureml://` address"));
    }
    if let Some(rest) = text.strip_prefix("azureml:") {
        if let Some(rest) = rest.strip_prefix("//").or_else(|| rest.strip_prefix('/')) {
            return long(rest).ok_or_else(|| format!("`{text}` is no ARM id of an asset"));
        }
        return short(rest).map(Reference::Asset);
    }
    if text.starts_with("/subscriptions/") {
        let found = long(&text[1..]);
        return found.ok_or_else(|| format!("`{text}` is no ARM id of an asset"));
    }
    if let Some(rest) = text.strip_prefix("runs:/") {
        let (run, path) = rest.split_once('/').unwrap_or((rest, ""));
        return Ok(Reference::Run {
            run: run.to_owned(),
            path: path.to_owned(),
        });
    }
    if text.starts_with("git+") {
        return Ok(Reference::Git(text.to_owned()));
    }
    if let Some((scheme, _)) = text.split_once("://")
        && SCHEMES.contains(&scheme.to_lowercase().as_str())
        && scheme != "file"
    {
        return Ok(Reference::Url(text.to_owned()));
    }
    let path = text.strip_prefix("file://").unwrap_or(text);
    let path = path.strip_prefix("file:").unwrap_or(path);
    Ok(Reference::Local(absolute(path, folder)))
}

/// `name:version`, `name@label`, `name`.
fn short(text: &str) -> Result<Asset, String> {
    let (name, pick) = match (text.split_once('@'), text.split_once(':')) {
        (Some((name, label)), None) => (name, Pick::Label(label.to_owned())),
        (None, Some((name, version))) => (name, Pick::Version(version.to_owned())),
        (None, None) => (text, Pick::Unsaid),
        (Some(_), Some(_)) => {
            return Err(format!("`azureml:{text}` has both a version and a label"));
        }
    };
    let empty = match &pick {
        Pick::Version(pick) | Pick::Label(pick) => pick.is_empty() || pick.contains([':', '@']),
        Pick::Unsaid => false,
    };
    if empty || name.is_empty() {
        return Err(format!("`azureml:{text}` is not `azureml:NAME:VERSION`"));
    }
    Ok(Asset {
        registry: None,
        workspace: None,
        kind: None,
        name: name.to_owned(),
        pick,
    })
}

/// What comes after `azureml://`, or an ARM id.
fn long(text: &str) -> Option<Reference> {
    let mut parts = text.trim_matches('/').split('/');
    let mut registry = None;
    let mut workspace = None;
    loop {
        let key = parts.next()?;
        match key.to_ascii_lowercase().as_str() {
            "subscriptions" | "resourcegroups" | "providers" | "locations" => {
                parts.next()?;
            }
            "workspaces" => workspace = Some(parts.next()?.to_owned()),
            "registries" | "feeds" => registry = Some(parts.next()?.to_owned()),
            "datastores" => {
                let name = parts.next()?.to_owned();
                let path = rest_after(parts, "paths")?;
                return Some(Reference::Datastore { name, path });
            }
            "jobs" => {
                let name = parts.next()?.to_owned();
                if !parts.next()?.eq_ignore_ascii_case("outputs") {
                    return None;
                }
                let output = parts.next()?.to_owned();
                let path = rest_after(parts, "paths")?;
                return Some(Reference::Job { name, output, path });
            }
            kind => {
                let name = parts.next()?.to_owned();
                let rest: Vec<&str> = parts.collect();
                let pick = match rest[..] {
                    [] => Pick::Unsaid,
                    ["versions", version] => Pick::Version(version.to_owned()),
                    ["labels", label] | ["versions", "labels", label] => {
                        Pick::Label(label.to_owned())
                    }
                    _ => return None,
                };
                if name.is_empty() {
                    return None;
                }
                return Some(Reference::Asset(Asset {
                    registry,
                    workspace,
                    kind: Some(kind.to_owned()),
                    name,
                    pick,
                }));
            }
        }
    }
}

fn rest_after<'a>(mut parts: impl Iterator<Item = &'a str>, key: &str) -> Option<String> {
    match parts.next() {
        None => Some(String::new()),
        Some(found) if found.eq_ignore_ascii_case(key) => Some(parts.collect::<Vec<_>>().join("/")),
        Some(_) => None,
    }
}

/// The folder that is meant by `NAME.zip` where there is no such file: it is to be packed.
pub fn packed(path: &Path) -> Option<PathBuf> {
    let is_zip = path.extension().is_some_and(|end| end == "zip");
    let folder = path.with_extension("");
    (is_zip && !path.exists() && folder.is_dir()).then_some(folder)
}

/// The path of a file that a text names: `file:` may stand before it, and `azureml:` where it begins with
/// a dot or slash, so that it is no name.
pub fn file_path(text: &str) -> &str {
    if let Some(path) = text.strip_prefix("file:") {
        return path;
    }
    let path = text.strip_prefix("azureml:");
    let begins = |path: &&str| ["./", "../"].iter().any(|begin| path.starts_with(begin));
    path.filter(begins).unwrap_or(text)
}

/// `path` from `folder`, without `.` and `..` in it.
pub fn absolute(path: &str, folder: &Path) -> PathBuf {
    tidy(&folder.join(path.replace('\\', "/")))
}

/// The path without `.` and, where it can be told, without `..`.
pub fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(tidy.components().next_back(), Some(Component::Normal(_))) =>
            {
                tidy.pop();
            }
            part => tidy.push(part),
        }
    }
    if tidy.as_os_str().is_empty() {
        tidy.push(".");
    }
    tidy
}

//! Where files are, in every form in which files and commands say it.

use serde::{Deserialize, Serialize};

use super::{Error, Result, assets::AssetRef, files::Hash, lineage::Node, operation};

/// Where files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A path of the machine that reads it.
    Local(String),
    /// A version of data or of a model.
    Asset(AssetRef),
    /// Below a datastore; of another workspace when one is named.
    Datastore {
        workspace: Option<String>,
        datastore: String,
        path: String,
    },
    /// What a run has put out: a named output, or its artifacts when there is no name.
    Run {
        run: String,
        output: Option<String>,
        path: String,
    },
    /// Any other address: `https`, `wasbs`, `abfss`, `adl`, `s3`, `gs`.
    Url(String),
    /// A git repository: URL, branch, tag or commit, folder.
    Git {
        url: String,
        revision: Option<String>,
        path: String,
    },
}

/// Names of the output that is all of a run's artifacts.
const WHOLE: [&str; 2] = ["artifacts", "default"];

/// Whether a text names a path of this machine rather than an address or an asset.
pub fn is_local(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_address = lower.starts_with("azureml:")
        || lower.starts_with("runs:/")
        || lower.starts_with("/subscriptions/")
        || scheme(&lower).is_some_and(|scheme| scheme != "file");
    !is_address
}

/// A text with its `%20` and the like decoded; what is no such sequence, or no UTF-8, is kept or replaced.
pub fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// An address of the web without its credentials, and those.
pub fn apart(url: &str) -> (String, Option<String>) {
    let found = url.split_once("://").and_then(|(scheme, rest)| {
        let host_end = rest.find('/').unwrap_or(rest.len());
        let at = rest[..host_end].rfind('@')?;
        let over = scheme.strip_prefix("git+").unwrap_or(scheme);
        let web = over.eq_ignore_ascii_case("https") || over.eq_ignore_ascii_case("http");
        web.then(|| (format!("{scheme}://{}", &rest[at + 1..]), &rest[..at]))
    });
    match found {
        Some((plain, credentials)) => (plain, Some(credentials.to_owned())),
        None => (url.to_owned(), None),
    }
}

/// Refuses an address of the web with a name and password in it, which all would see who see what it
/// is kept with.
pub fn check_open(address: &str) -> Result<()> {
    match apart(address) {
        (_, None) => Ok(()),
        (plain, Some(_)) => Err(Error::invalid(format!(
            "The address of `{plain}` has credentials in it, and all would see them"
        ))
        .at("path")
        .hint("Leave them out; git uses its credential helper, data a datastore with credentials")),
    }
}

/// The part of an address before `://`.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    (!scheme.is_empty() && scheme.chars().all(plain)).then_some(scheme)
}

impl Location {
    /// Reads any form. `azureml:NAME` forms are assets.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::invalid("The path is empty").at("path"));
        }
        let lower = text.to_ascii_lowercase();
        if let Some(rest) = strip(text, &lower, "runs:/") {
            return run(text, rest.trim_start_matches('/'));
        }
        if lower.starts_with("git+") {
            return Ok(git(&text[4..]));
        }
        if let Some(rest) = strip(text, &lower, "azureml://") {
            return azureml(text, rest);
        }
        if lower.starts_with("azureml:") || lower.starts_with("/subscriptions/") {
            return AssetRef::parse(text).map(Location::Asset);
        }
        match scheme(&lower) {
            None => Ok(Location::Local(text.to_owned())),
            Some("file") => Ok(Location::Local(text[7..].to_owned())),
            Some(_) => Ok(Location::Url(text.to_owned())),
        }
    }
}

fn strip<'a>(text: &'a str, lower: &str, prefix: &str) -> Option<&'a str> {
    lower.starts_with(prefix).then(|| &text[prefix.len()..])
}

fn run(text: &str, rest: &str) -> Result<Location> {
    let (run, path) = rest.split_once('/').unwrap_or((rest, ""));
    if run.is_empty() {
        return Err(Error::invalid(format!("`{text}` names no run")).hint("Write runs:/RUN/PATH"));
    }
    Ok(Location::Run {
        run: run.to_owned(),
        output: None,
        path: path.trim_end_matches('/').to_owned(),
    })
}

/// `URL[@REVISION][#PATH]`, and pip's `#subdirectory=PATH`.
fn git(rest: &str) -> Location {
    let (rest, path) = rest.split_once('#').unwrap_or((rest, ""));
    let path = path.strip_prefix("subdirectory=").unwrap_or(path);
    // An `@` before the path of the URL belongs to the user.
    let path_at = rest
        .find("://")
        .and_then(|at| Some(at + 3 + rest[at + 3..].find('/')?))
        .unwrap_or(0);
    let (url, revision) = match rest[path_at..].rfind('@') {
        Some(at) => (
            &rest[..path_at + at],
            Some(rest[path_at + at + 1..].to_owned()),
        ),
        None => (rest, None),
    };
    Location::Git {
        url: url.to_owned(),
        revision,
        path: path.trim_matches('/').to_owned(),
    }
}

/// What follows `azureml://`.
fn azureml(text: &str, rest: &str) -> Result<Location> {
    let parts: Vec<&str> = rest.split('/').collect();
    let find = |word: &str| {
        parts
            .iter()
            .position(|part| part.eq_ignore_ascii_case(word))
    };
    let name_after = |at: usize| parts.get(at + 1).filter(|name| !name.is_empty());
    let after_paths = |from: usize| -> Option<String> {
        match parts.get(from) {
            None | Some(&"") => Some(String::new()),
            Some(word) if word.eq_ignore_ascii_case("paths") => {
                Some(parts[from + 1..].join("/").trim_end_matches('/').to_owned())
            }
            Some(_) => None,
        }
    };
    if find("registries").is_none()
        && let Some(at) = find("datastores")
        && let Some(name) = name_after(at)
        && let Some(path) = after_paths(at + 2)
    {
        let workspace = find("workspaces").filter(|w| *w < at).and_then(name_after);
        return Ok(Location::Datastore {
            workspace: workspace.map(|name| (*name).to_owned()),
            datastore: (*name).to_owned(),
            path,
        });
    }
    if parts
        .first()
        .is_some_and(|word| word.eq_ignore_ascii_case("jobs"))
        && let [_, job, word, output, ..] = parts.as_slice()
        && word.eq_ignore_ascii_case("outputs")
        && let Some(path) = after_paths(4)
    {
        let whole = WHOLE.iter().any(|name| output.eq_ignore_ascii_case(name));
        return Ok(Location::Run {
            run: (*job).to_owned(),
            output: (!whole).then(|| (*output).to_owned()),
            path,
        });
    }
    AssetRef::parse(text).map(Location::Asset).map_err(|_| {
        Error::invalid(format!("`{text}` is no address of a workspace"))
            .at("path")
            .hint("Such are azureml://datastores/NAME/paths/PATH, azureml://jobs/JOB/outputs/NAME/paths/PATH and azureml://registries/NAME/KIND/ASSET/versions/VERSION")
    })
}

/// What a path means now: an asset's files, a run's, a datastore's.
///
/// Every form is taken but paths of a machine, which only that machine can read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResolvePath {
    pub workspace: String,
    pub path: String,
    /// A short reference such as `azureml:iris:1` is a model's.
    #[serde(default)]
    pub model: bool,
}
operation!(ResolvePath => Resolved, "paths.resolve");

/// Where files are now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The address that goes on meaning these files.
    pub uri: String,
    /// Of an asset: `uri_file`, `uri_folder`, `mltable`, `mlflow_model`, ….
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The asset that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<Node>,
    pub files: Files,
}

/// How the files of a path are fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Files {
    /// Below a path of a stored tree.
    Tree {
        workspace: String,
        hash: Hash,
        path: String,
    },
    /// Below a path of a run's artifacts.
    Artifacts {
        workspace: String,
        run: String,
        path: String,
    },
    /// Below a path of a datastore.
    Datastore {
        workspace: String,
        datastore: String,
        path: String,
        /// Its address outside of Azure ML; empty for folders.
        url: String,
        /// Where they are on the machine of the state directory; only for admins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
    },
    /// Anywhere else.
    Url { url: String },
    /// A git repository.
    Git {
        url: String,
        revision: Option<String>,
        path: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::Pick;

    #[test]
    fn every_form_of_a_path_is_understood() {
        let parse = |text: &str| Location::parse(text).unwrap();
        let datastore = |workspace: Option<&str>, path: &str| Location::Datastore {
            workspace: workspace.map(str::to_owned),
            datastore: "blob".into(),
            path: path.into(),
        };
        assert_eq!(
            parse("azureml://datastores/blob/paths/a/b.csv"),
            datastore(None, "a/b.csv")
        );
        assert_eq!(
            parse("azureml://datastores/blob/paths/a/"),
            datastore(None, "a")
        );
        assert_eq!(parse("azureml://datastores/blob"), datastore(None, ""));
        let long =
            "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/blob/paths/a";
        assert_eq!(parse(long), datastore(Some("w"), "a"));
        let run = |output: Option<&str>, path: &str| Location::Run {
            run: "j".into(),
            output: output.map(str::to_owned),
            path: path.into(),
        };
        assert_eq!(
            parse("azureml://jobs/j/outputs/model/paths/a"),
            run(Some("model"), "a")
        );
        assert_eq!(
            parse("azureml://jobs/j/outputs/artifacts/paths/a/b"),
            run(None, "a/b")
        );
        assert_eq!(parse("azureml://jobs/j/outputs/default"), run(None, ""));
        assert_eq!(parse("runs:/j/model"), run(None, "model"));
        for local in ["a/b", "./x", "/abs", "C-d", "../x:y"] {
            assert_eq!(parse(local), Location::Local(local.into()));
            assert!(is_local(local), "{local}");
        }
        assert_eq!(parse("file:///abs/x"), Location::Local("/abs/x".into()));
        for url in [
            "https://h/p?x#y",
            "wasbs://c@a.blob.core.windows.net/p",
            "s3://b/k",
        ] {
            assert_eq!(parse(url), Location::Url(url.into()));
            assert!(!is_local(url), "{url}");
        }
        let Location::Asset(asset) = parse("azureml:iris@latest") else {
            panic!("an asset");
        };
        assert_eq!((asset.name.as_str(), asset.pick), ("iris", Pick::Latest));
        assert!(matches!(
            parse("azureml://registries/r/data/d/versions/1"),
            Location::Asset(_)
        ));
        for wrong in [
            "",
            "runs:/",
            "azureml://",
            "azureml://jobs/j",
            "azureml://datastores",
        ] {
            assert!(Location::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_repository_has_a_revision_and_a_folder() {
        let git = |text: &str| match Location::parse(text).unwrap() {
            Location::Git {
                url,
                revision,
                path,
            } => format!("{url} {} {path}", revision.unwrap_or_default()),
            other => panic!("{other:?}"),
        };
        assert_eq!(git("git+https://h/o/r"), "https://h/o/r  ");
        assert_eq!(git("git+https://h/o/r@v1#src/x"), "https://h/o/r v1 src/x");
        assert_eq!(
            git("git+ssh://git@h/o/r.git@main#subdirectory=a"),
            "ssh://git@h/o/r.git main a"
        );
    }
}

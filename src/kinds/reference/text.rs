//! The strings of files by what they may point to, with what is checked of each.

use std::{io, path::Path};

use super::{Pick, Reference, parse};
use crate::{declare::text, shape::Fault};
use api::Error;

text! {
    /// Source code: a local file or folder, `git+https://…`, `https://…`, a registry's code or `azureml:NAME:VERSION`.
    Code = "source code (a folder, `git+…`, a URL or `azureml:…`)", code;
    /// Data: a local path, `azureml:NAME:VERSION`, `azureml://…`, `https://…`, `wasbs://…` and the like.
    DataPath = "a path of data", path;
    /// A file or folder of this machine.
    LocalPath = "a path on this machine", local_path;
    /// A file or folder of this machine; `NAME.zip` is the folder `NAME`, packed, where no such file is.
    IncludePath = "a path on this machine", include_path;
    /// A folder of this machine or a URL, with what an image is built from.
    BuildPath = "a folder or URL with a Dockerfile", build_path;
    /// `azureml:NAME:VERSION`, `azureml:NAME@latest`, `azureml:NAME` or `azureml://registries/…`.
    EnvironmentName = "an environment (`azureml:NAME:VERSION` or `azureml://registries/…`)", versioned_or_newest;
    /// `azureml:NAME:VERSION`, `azureml:NAME@latest` or `azureml://registries/…`.
    ModelName = "a model (`azureml:NAME:VERSION` or `azureml://registries/…`)", versioned;
    /// `azureml:NAME:VERSION`, `azureml:NAME@latest` or `azureml://registries/…`.
    ComponentReference = "a component (`azureml:NAME:VERSION` or `azureml://registries/…`)", versioned_or_newest;
    /// `azureml:NAME` of a job.
    JobName = "a job (`azureml:NAME`)", job;
    /// `azureml:NAME`, the name alone, `local`, `serverless` or an ARM id.
    ComputeName = "a compute", any;
    /// `azureml:NAME` or the name alone.
    DatastoreName = "a datastore", any;
    /// Small letters, digits and underscores, beginning with a letter.
    ComponentName = "a component name", component_name, pattern: Some("^[a-z][a-z0-9_]*$");
    /// Letters, digits and dashes, 3 to 32 of them, beginning with a letter.
    EndpointName = "an endpoint name", endpoint_name, pattern: Some("^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$");
    /// `${{parent.outputs.NAME}}`.
    Binding = "an expression (`${{…}}`)", binding, pattern: Some(r"\$\{\{");
    /// `/subscriptions/…/resourceGroups/…/providers/…`.
    ArmId = "an ARM id", arm_id;
    /// `https://…`.
    Url = "a URL", url;
    /// Never shown unless asked for.
    Secret = "a string", any, secret: true;
    /// `2026-11-30T08:00:00`.
    DateTime = "a date and time", any;
}

impl ComputeName {
    /// The name without `azureml:`.
    pub fn name(&self) -> &str {
        self.strip_prefix("azureml:").unwrap_or(self)
    }
}

impl DatastoreName {
    /// The name without `azureml:`.
    pub fn name(&self) -> &str {
        let text = self.strip_prefix("azureml:").unwrap_or(self);
        text.rsplit('/').next().unwrap_or(text)
    }
}

macro_rules! points {
    ($($Name:ident)*) => {$(
        impl $Name {
            /// What it points to. It was checked, so only a string from elsewhere can be wrong.
            pub fn reference(&self) -> Result<Reference, String> {
                parse(&self.0, Path::new("/"))
            }
        }
    )*};
}
points!(Code DataPath BuildPath EnvironmentName ModelName ComponentReference JobName);

#[expect(clippy::unnecessary_wraps, reason = "one of many rules")]
fn any(text: &str, _: &Path) -> Result<String, Fault> {
    Ok(text.to_owned())
}

/// Any reference; a local path is made absolute and need not exist.
fn path(text: &str, folder: &Path) -> Result<String, Fault> {
    match parse(text, folder).map_err(Fault::new)? {
        Reference::Local(path) => Ok(path.display().to_string()),
        _ => Ok(text.to_owned()),
    }
}

fn code(text: &str, folder: &Path) -> Result<String, Fault> {
    match parse(text, folder).map_err(Fault::new)? {
        Reference::Local(path) => existing(text, &path),
        Reference::Asset(asset) if asset.registry.is_none() && asset.pick == Pick::Unsaid => {
            Err(without_version(text))
        }
        _ => Ok(text.to_owned()),
    }
}

fn local_path(text: &str, folder: &Path) -> Result<String, Fault> {
    match parse(text, folder).map_err(Fault::new)? {
        Reference::Local(path) => existing(text, &path),
        Reference::Expression(_) => Ok(text.to_owned()),
        _ => Err(Fault::new(format!(
            "`{text}` is not a path on this machine"
        ))),
    }
}

fn include_path(text: &str, folder: &Path) -> Result<String, Fault> {
    match parse(text, folder).map_err(Fault::new)? {
        Reference::Local(path) if super::packed(&path).is_some() => Ok(path.display().to_string()),
        _ => local_path(text, folder),
    }
}

fn build_path(text: &str, folder: &Path) -> Result<String, Fault> {
    match parse(text, folder).map_err(Fault::new)? {
        Reference::Local(path) => existing(text, &path),
        _ => Ok(text.to_owned()),
    }
}

fn existing(text: &str, path: &Path) -> Result<String, Fault> {
    if path.exists() {
        return Ok(path.display().to_string());
    }
    let fault = Fault::new(format!("There is no file or folder `{text}`"));
    Err(fault.hint(where_it_may_be(path)))
}

/// What to try where nothing is at a path: the nearest name beside it, else where it was looked for.
pub fn where_it_may_be(path: &Path) -> String {
    match nearest_sibling(path) {
        Some(near) => format!("Did you mean `{near}`?"),
        None => format!("It was looked for at {}", path.display()),
    }
}

/// Says that a file or folder of this machine is not there: what it is for, how it was named, and
/// where it was looked for. The nearest name beside it is suggested.
pub fn missing(what: &str, text: &str, path: &Path) -> Error {
    let error = Error::invalid(format!("There is no {what} `{text}`"));
    if let Some(near) = nearest_sibling(path) {
        let near = Path::new(text).with_file_name(near);
        return error.hint(format!("Did you mean `{}`?", near.display()));
    }
    let said = Path::new(text);
    match (path.parent(), said.parent()) {
        (Some(above), Some(said)) if !said.as_os_str().is_empty() && !above.exists() => {
            let near = nearest_sibling(above).map(|near| said.with_file_name(near));
            let said = said.display();
            error.hint(match near {
                Some(near) => format!(
                    "There is no folder `{said}`; did you mean `{}`?",
                    near.display()
                ),
                None => format!("There is no folder `{said}`"),
            })
        }
        _ => error,
    }
}

/// Says why a file of this machine cannot be read.
pub fn unreadable(what: &str, text: &str, path: &Path, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing(what, text, path),
        io::ErrorKind::IsADirectory => Error::invalid(format!("`{text}` is a folder, not a file")),
        io::ErrorKind::InvalidData => Error::invalid(format!("`{text}` is not UTF-8 text")),
        _ => Error::invalid(format!("Cannot read `{text}`: {error}")),
    }
}

/// The name beside `path` that is most like its own.
pub fn nearest_sibling(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let above = path.parent()?;
    let here = above.as_os_str().is_empty();
    let entries = std::fs::read_dir(if here { Path::new(".") } else { above }).ok()?;
    let names: Vec<String> = entries
        .take(1000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let near = api::names::nearest(name, names.iter().map(String::as_str));
    near.map(str::to_owned)
}

fn asset(text: &str, folder: &Path, newest: bool) -> Result<String, Fault> {
    match parse(text, folder).map_err(Fault::new)? {
        Reference::Asset(asset) if asset.pick != Pick::Unsaid || newest => Ok(text.to_owned()),
        Reference::Asset(_) => Err(without_version(text)),
        Reference::Expression(_) => Ok(text.to_owned()),
        _ => Err(
            Fault::new(format!("`{text}` is not `azureml:NAME:VERSION`")).hint(format!(
                "Registered things begin with `azureml:`, as in `azureml:{text}@latest`"
            )),
        ),
    }
}

fn versioned(text: &str, folder: &Path) -> Result<String, Fault> {
    asset(text, folder, false)
}

fn versioned_or_newest(text: &str, folder: &Path) -> Result<String, Fault> {
    asset(text, folder, true)
}

fn without_version(text: &str) -> Fault {
    Fault::new(format!("`{text}` does not say which version"))
        .hint(format!("Write `{text}@latest` or `{text}:VERSION`"))
}

fn job(text: &str, _: &Path) -> Result<String, Fault> {
    if text.starts_with("azureml:") {
        Ok(text.to_owned())
    } else {
        Err(Fault::new(format!("`{text}` is not `azureml:JOB`"))
            .hint(format!("Write `azureml:{text}`")))
    }
}

fn arm_id(text: &str, _: &Path) -> Result<String, Fault> {
    let lower = text.to_lowercase();
    let parts: Vec<&str> = lower.split('/').collect();
    let is_id = match parts.as_slice() {
        [
            "",
            "subscriptions",
            id,
            "resourcegroups",
            _,
            "providers",
            _,
            _,
            rest @ ..,
        ] => !rest.is_empty() && !id.is_empty() && !text.contains(['<', '>']),
        _ => false,
    };
    if is_id {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("`{text}` is not an ARM id"))
        .hint("It looks like /subscriptions/ID/resourceGroups/GROUP/providers/PROVIDER/TYPE/NAME"))
}

fn url(text: &str, _: &Path) -> Result<String, Fault> {
    let host = text.split_once("://").map_or("", |(_, rest)| rest);
    if host.is_empty() || host.contains(['<', '>', ' ']) {
        return Err(Fault::new(format!("`{text}` is not a URL")));
    }
    Ok(text.to_owned())
}

fn binding(text: &str, _: &Path) -> Result<String, Fault> {
    if text.contains("${{") {
        return Ok(text.to_owned());
    }
    Err(Fault::new(format!("`{text}` is not an expression"))
        .hint("Write `${{parent.outputs.NAME}}`, or a mapping with `type` and `path`"))
}

fn component_name(text: &str, _: &Path) -> Result<String, Fault> {
    let letter = text.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if letter && text.chars().all(rest) {
        return Ok(text.to_owned());
    }
    let mut better: String = text
        .to_lowercase()
        .chars()
        .map(|c| if rest(c) { c } else { '_' })
        .collect();
    if !better.starts_with(|c: char| c.is_ascii_lowercase()) {
        better.insert_str(0, "c_");
    }
    Err(Fault::new(format!(
        "The component name `{text}` may only have small letters, digits and underscores, and begins with a letter"
    ))
    .hint(format!("Call it `{better}`")))
}

fn endpoint_name(text: &str, _: &Path) -> Result<String, Fault> {
    let letter = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let all = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !letter || !all || text.ends_with('-') {
        return Err(Fault::new(format!(
            "The endpoint name `{text}` may only have letters, digits and dashes, begins with a letter and does not end with a dash"
        )));
    }
    if !(3..=32).contains(&text.len()) {
        return Err(Fault::new(format!(
            "The endpoint name `{text}` has {} characters; 3 to 32 are possible",
            text.len()
        )));
    }
    Ok(text.to_owned())
}

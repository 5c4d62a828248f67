//! The configuration of `az`: its files in `AZURE_CONFIG_DIR`, and `AZURE_<SECTION>_<NAME>` in the
//! environment, which goes before them.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{no_home, turn, unwritable, variable};
use api::{Error, Result};

/// The one cloud there is.
pub const CLOUD: &str = "AzureCloud";

/// Where `az` keeps its settings, and what they say.
#[derive(Debug, Clone)]
pub struct AzConfig {
    /// The file of defaults and options.
    pub file: PathBuf,
    sections: Sections,
    /// The file that knows which subscription was chosen.
    clouds: PathBuf,
}

/// One setting and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub section: String,
    pub name: String,
    pub value: String,
    /// A file, or the variable of the environment.
    pub source: String,
}

type Sections = Vec<(String, Vec<(String, String)>)>;

impl AzConfig {
    pub fn load() -> Result<Self> {
        let folder = match variable("AZURE_CONFIG_DIR") {
            Some(folder) => PathBuf::from(folder),
            None => dirs::home_dir()
                .ok_or_else(|| no_home("AZURE_CONFIG_DIR"))?
                .join(".azure"),
        };
        let file = folder.join("config");
        Ok(Self {
            sections: read(&file)?,
            clouds: folder.join("clouds.config"),
            file,
        })
    }

    /// A setting, from the environment or the file.
    pub fn get(&self, section: &str, name: &str) -> Option<Setting> {
        let overriding = overriding(section, name);
        let (value, source) = match variable(&overriding) {
            Some(value) => (value, overriding),
            None => (
                find(&self.sections, section, name)?,
                self.file.display().to_string(),
            ),
        };
        Some(Setting {
            section: section.to_owned(),
            name: name.to_owned(),
            value,
            source,
        })
    }

    /// What was given to `az configure --defaults`, such as the `group`.
    pub fn default(&self, name: &str) -> Option<String> {
        let found = self.get("defaults", name)?;
        Some(found.value).filter(|value| !value.is_empty())
    }

    /// All settings of the file, or of one section, with what the environment says of them.
    pub fn all(&self, section: Option<&str>) -> Vec<Setting> {
        let sections = self
            .sections
            .iter()
            .filter(|(name, _)| section.is_none_or(|section| name.eq_ignore_ascii_case(section)));
        let mut all: Vec<Setting> = sections
            .flat_map(|(section, settings)| {
                settings
                    .iter()
                    .filter_map(|(name, _)| self.get(section, name))
            })
            .collect();
        if section.is_none_or(|section| section == "defaults") {
            for name in ["group", "location", "workspace"] {
                let known =
                    |setting: &Setting| setting.section == "defaults" && setting.name == name;
                if !all.iter().any(known) {
                    all.extend(self.get("defaults", name));
                }
            }
        }
        all
    }

    /// Writes settings into the file; an absent value removes one.
    pub fn set(&self, section: &str, settings: &[(String, Option<String>)]) -> Result<()> {
        write(&self.file, section, settings)
    }

    /// The storage account that the environment names, alone or in a connection string.
    pub fn storage_account(&self) -> Option<String> {
        variable("AZURE_STORAGE_ACCOUNT").or_else(|| {
            let string = variable("AZURE_STORAGE_CONNECTION_STRING")?;
            let mut parts = string.split(';');
            parts.find_map(|part| part.strip_prefix("AccountName=").map(str::to_owned))
        })
    }

    /// The subscription that was chosen.
    pub fn subscription(&self) -> Result<Option<String>> {
        Ok(find(&read(&self.clouds)?, CLOUD, "subscription"))
    }

    pub fn choose_subscription(&self, name: Option<String>) -> Result<()> {
        write(&self.clouds, CLOUD, &[("subscription".to_owned(), name)])
    }
}

/// The variable that goes before a setting.
fn overriding(section: &str, name: &str) -> String {
    format!("AZURE_{section}_{name}").to_uppercase()
}

fn find(sections: &Sections, section: &str, name: &str) -> Option<String> {
    let (_, settings) = sections
        .iter()
        .find(|(found, _)| found.eq_ignore_ascii_case(section))?;
    let (_, value) = settings
        .iter()
        .find(|(found, _)| found.eq_ignore_ascii_case(name))?;
    Some(value.clone())
}

fn read(file: &Path) -> Result<Sections> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            return Err(Error::invalid(format!(
                "Cannot read `{}`: {e}",
                file.display()
            )));
        }
    };
    let mut sections: Sections = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            sections.push((name.trim().to_owned(), Vec::new()));
            continue;
        }
        let pair = line.split_once(['=', ':']);
        match (pair, sections.last_mut()) {
            (Some((name, value)), Some((_, settings))) => {
                settings.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => {
                return Err(
                    Error::invalid("The line is neither `[SECTION]` nor `NAME = VALUE`")
                        .at(format!("{}:{}", file.display(), number + 1))
                        .hint("Correct the line or remove the file"),
                );
            }
        }
    }
    Ok(sections)
}

/// Changes settings of one section; the rest of the file stays, but for comments.
fn write(file: &Path, section: &str, changes: &[(String, Option<String>)]) -> Result<()> {
    let _turn = turn(file)?;
    let mut sections = read(file)?;
    let at = sections
        .iter()
        .position(|(name, _)| name.eq_ignore_ascii_case(section));
    let at = at.unwrap_or_else(|| {
        sections.push((section.to_owned(), Vec::new()));
        sections.len() - 1
    });
    let settings = &mut sections[at].1;
    for (name, value) in changes {
        settings.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        if let Some(value) = value {
            settings.push((name.clone(), value.replace(['\n', '\r'], " ")));
        }
    }
    let mut text = String::new();
    for (name, settings) in sections.iter().filter(|(_, settings)| !settings.is_empty()) {
        let _ = writeln!(text, "[{name}]");
        for (name, value) in settings {
            let _ = writeln!(text, "{name} = {value}");
        }
        text.push('\n');
    }
    let temporary = file.with_extension(format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, file))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .map_err(|e| unwritable(file, &e))
}

#[cfg(test)]
mod tests {
    use super::{find, read, write};

    #[test]
    fn settings_are_kept_by_section() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/config");
        let set = |name: &str, value: Option<&str>| {
            let change = [(name.to_owned(), value.map(str::to_owned))];
            write(&file, "defaults", &change).unwrap();
        };
        set("group", Some("g"));
        set("workspace", Some("w = x"));
        write(
            &file,
            "core",
            &[("output".to_owned(), Some("tsv".to_owned()))],
        )
        .unwrap();
        set("group", Some("h"));
        let sections = read(&file).unwrap();
        let get = |section: &str, name: &str| find(&sections, section, name);
        assert_eq!(get("DEFAULTS", "Group").as_deref(), Some("h"));
        assert_eq!(get("defaults", "workspace").as_deref(), Some("w = x"));
        assert_eq!(get("core", "output").as_deref(), Some("tsv"));
        set("group", None);
        assert_eq!(find(&read(&file).unwrap(), "defaults", "group"), None);
    }

    #[test]
    fn a_line_that_says_nothing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, "# mine\n[defaults]\ngroup=g\nnonsense\n").unwrap();
        let error = read(&file).unwrap_err();
        assert!(error.target.unwrap().ends_with("config:4"));
    }
}

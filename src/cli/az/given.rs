//! What a command line gave.

use std::collections::BTreeMap;

use clap::ArgMatches;

use api::{Error, Result};
use spec::overrides::{Edit, Values};

/// Whether tags have one that is asked for as `KEY=VALUE`, or KEY alone for any value.
pub fn is_tagged(tags: &BTreeMap<String, String>, asked: &str) -> bool {
    match asked.split_once('=') {
        Some((key, value)) => tags.get(key).is_some_and(|own| own == value),
        None => tags.contains_key(asked),
    }
}

/// The flags of one command, as they were given.
pub struct Given(pub ArgMatches);

impl Given {
    pub fn text(&self, flag: &str) -> Option<&str> {
        self.0
            .try_get_one::<String>(flag)
            .ok()
            .flatten()
            .map(String::as_str)
    }

    pub fn owned(&self, flag: &str) -> Option<String> {
        self.text(flag).map(str::to_owned)
    }

    /// A flag that the grammar demands.
    pub fn required(&self, flag: &str) -> Result<&str> {
        self.text(flag).ok_or_else(|| missing(&[flag]))
    }

    /// All words of a flag that takes several, however often it was given.
    pub fn words(&self, flag: &str) -> Vec<String> {
        let words = self.0.try_get_many::<String>(flag).ok().flatten();
        words.into_iter().flatten().cloned().collect()
    }

    /// Whether the flag was given at all, also without words.
    pub fn has(&self, flag: &str) -> bool {
        matches!(
            self.0.try_contains_id(flag),
            Ok(true) if self.0.value_source(flag) == Some(clap::parser::ValueSource::CommandLine)
        )
    }

    /// Whether the command takes the flag.
    pub fn takes(&self, flag: &str) -> bool {
        self.0.try_contains_id(flag).is_ok()
    }

    pub fn switch(&self, flag: &str) -> bool {
        matches!(self.0.try_get_one::<bool>(flag), Ok(Some(true)))
    }

    pub fn number(&self, flag: &str) -> Result<Option<u32>> {
        let Some(text) = self.text(flag) else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| Error::invalid(format!("argument --{flag}: invalid int value: '{text}'")))
    }

    /// A flag that takes yes or no.
    pub fn truth(&self, flag: &str) -> Result<Option<bool>> {
        let Some(text) = self.text(flag) else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" | "enabled" => Ok(Some(true)),
            "false" | "no" | "0" | "disabled" => Ok(Some(false)),
            _ => Err(Error::invalid(format!(
                "argument --{flag}: `{text}` is neither true nor false"
            ))),
        }
    }

    /// The words of a flag that takes `KEY=VALUE`, or KEY alone for an empty value.
    pub fn pairs(&self, flag: &str) -> BTreeMap<String, String> {
        let pair = |word: &String| match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (word.clone(), String::new()),
        };
        self.words(flag).iter().map(pair).collect()
    }

    /// The changes that `--set`, `--add` and `--remove` ask for.
    pub fn edits(&self) -> Result<Vec<Edit>> {
        let mut edits = Vec::new();
        for set in self.words("set") {
            edits.push(Edit::set(&set)?);
        }
        for path_and_values in self.occurrences("add") {
            let Some((path, values)) = path_and_values.split_first() else {
                continue;
            };
            if values.is_empty() {
                return Err(
                    Error::invalid(format!("argument --add: what is added to `{path}`?"))
                        .hint("usage: --add property.list value, or --add property.list key=value"),
                );
            }
            edits.push(Edit::Add {
                path: path.clone(),
                values: values.to_vec(),
            });
        }
        for words in self.occurrences("remove") {
            let index = words.get(1).map(|word| {
                word.parse().map_err(|_| {
                    Error::invalid(format!("argument --remove: `{word}` is no place in a list"))
                })
            });
            if let Some(path) = words.first() {
                edits.push(Edit::Remove {
                    path: path.clone(),
                    index: index.transpose()?,
                });
            }
        }
        Ok(edits)
    }

    /// How an update reads its values.
    pub fn values(&self) -> Values {
        if self.switch("force-string") {
            Values::Strings
        } else {
            Values::Json
        }
    }

    fn occurrences(&self, flag: &str) -> Vec<Vec<String>> {
        let found = self.0.try_get_occurrences::<String>(flag).ok().flatten();
        let found = found.into_iter().flatten();
        found.map(|words| words.cloned().collect()).collect()
    }
}

/// That flags are missing, as the parser says it.
pub fn missing(flags: &[&str]) -> Error {
    let flags: Vec<String> = flags.iter().map(|flag| format!("--{flag}")).collect();
    Error::invalid(format!(
        "the following arguments are required: {}",
        flags.join(", ")
    ))
}

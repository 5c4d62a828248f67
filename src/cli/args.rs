//! Arguments that several commands share.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Read},
};

use clap::ValueEnum;
use serde_json::{Map, Value};

use super::hidden::ask_hidden;
use api::{Error, Result, workspaces::Edition};
use client::Limit;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum EditionArg {
    Basic,
    Enterprise,
}

impl From<EditionArg> for Edition {
    fn from(edition: EditionArg) -> Self {
        match edition {
            EditionArg::Basic => Edition::Basic,
            EditionArg::Enterprise => Edition::Enterprise,
        }
    }
}

/// Reads `KEY=VALUE` arguments of `option`; a key given twice is invalid.
pub fn parse_pairs(option: &str, pairs: &[String]) -> Result<BTreeMap<String, String>> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            let form = match option {
                "--secret" | "--secret-file" => "VARIABLE=SECRET",
                "--env-var" => "NAME=VALUE",
                _ => "KEY=VALUE",
            };
            return Err(Error::invalid(format!("`{pair}` is not {form}")).at(option));
        };
        if map.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Error::invalid(format!("`{key}` is given twice")).at(option));
        }
    }
    Ok(map)
}

/// A value given on the command line that must not show up anywhere.
#[derive(Clone)]
pub struct Hidden(pub String);

impl std::str::FromStr for Hidden {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Reads `KEY=VALUE` credentials; `-` asks for the value on the terminal, or reads it from stdin
/// where there is none.
pub fn parse_credentials(pairs: &[Hidden]) -> anyhow::Result<Map<String, Value>> {
    let mut map = Map::new();
    for Hidden(pair) in pairs {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Error::invalid("A credential is not KEY=VALUE")
                .at("--credential")
                .into());
        };
        let value = match value {
            "-" if io::stdin().is_terminal() => ask_hidden(&format!("{key}: "))?,
            "-" => read_stdin()?.trim_end().to_owned(),
            value => value.to_owned(),
        };
        map.insert(key.to_owned(), Value::from(value));
    }
    Ok(map)
}

/// All of stdin, for a value that must not stand on the command line.
pub fn read_stdin() -> Result<String> {
    let mut text = String::new();
    let read = io::stdin().lock().take(1 << 20).read_to_string(&mut text);
    match read {
        Ok(_) => Ok(text),
        Err(e) => Err(Error::invalid(format!("Cannot read stdin: {e}"))),
    }
}

/// Reads a time such as `90`, `90s`, `10m`, `2h` or `1d` as seconds, which must be some.
pub fn parse_seconds(text: &str) -> Result<u64> {
    match parse_span(text) {
        Ok(0) => Err(Error::invalid("no time at all is too short")),
        other => other,
    }
}

/// Reads a time as seconds, of which there may be none.
pub fn parse_span(text: &str) -> Result<u64> {
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let factor = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    let seconds = digits.parse::<u64>().ok().zip(factor);
    seconds
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| Error::invalid("a time is a number of seconds, or such as 90s, 10m, 2h, 1d"))
}

/// How large a folder of code may be.
#[derive(Debug, Clone, clap::Args)]
pub struct CodeLimit {
    /// Largest folder to take, such as 500MB or 50GB [default: 2GB and 200,000 files]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_code_size: Option<u64>,
}

impl CodeLimit {
    /// A size given by hand is also for a folder of many files.
    pub fn limit(&self) -> Limit {
        self.max_code_size.map_or(Limit::default(), |bytes| Limit {
            bytes,
            files: u64::MAX,
        })
    }
}

/// Reads a size such as `800`, `10KB`, `500MB`, `50GB`, `1TB` as bytes; units are of 1024.
pub fn parse_size(text: &str) -> Result<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at(at.unwrap_or(text.len()));
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => Some(0),
        "K" | "KB" | "KIB" => Some(10),
        "M" | "MB" | "MIB" => Some(20),
        "G" | "GB" | "GIB" => Some(30),
        "T" | "TB" | "TIB" => Some(40),
        _ => None,
    };
    let bytes = digits.parse::<u64>().ok().zip(shift);
    bytes
        .and_then(|(number, shift)| number.checked_mul(1 << shift))
        .ok_or_else(|| Error::invalid("a size is a number of bytes, or such as 10KB, 500MB, 50GB"))
}

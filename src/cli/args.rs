//! Arguments that several commands share.

use std::collections::BTreeMap;

use clap::ValueEnum;

use crate::api::{Error, Result, workspaces::Edition};

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
            return Err(Error::invalid(format!("`{pair}` is not KEY=VALUE")).at(option));
        };
        if map.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Error::invalid(format!("`{key}` is given twice")).at(option));
        }
    }
    Ok(map)
}

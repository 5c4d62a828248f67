//! What was made ready for the process of a run, kept in its folder for whoever goes on with the run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::container::Containers;
use api::lineage::RunLink;

/// The file of it.
pub const BEGUN: &str = "begun.json";

#[derive(Default, Serialize, Deserialize)]
pub struct Begun {
    /// Said of the run with its start.
    pub messages: Vec<String>,
    pub uses: Vec<RunLink>,
    /// The folder of its own Python environment.
    pub environment: Option<PathBuf>,
    #[serde(default)]
    pub containers: Option<Containers>,
}

impl Begun {
    /// Whether something is kept in a run's folder: then its command is about to start, or has started.
    pub fn is_kept(folder: &Path) -> bool {
        fs::metadata(folder.join(BEGUN)).is_ok_and(|file| file.len() > 0)
    }

    /// What is kept in a run's folder; nothing where nothing is.
    pub fn read(folder: &Path) -> Self {
        let kept = fs::read(folder.join(BEGUN)).unwrap_or_default();
        serde_json::from_slice(&kept).unwrap_or_default()
    }
}

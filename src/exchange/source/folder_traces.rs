//! The traces of an `mlruns` folder: a folder for each, with its tags and spans in files.

use std::{fs, path::Path};

use serde_json::Value as Json;

use super::{
    RUNS,
    folder::{name_of, pairs, read_yaml},
    place::cannot_read,
    trace_answers,
};
use crate::record::Trace;
use api::{Page, Result};

const INFO: &str = "trace_info.yaml";

fn folders(experiment: &Path) -> Result<Vec<std::path::PathBuf>> {
    let folder = experiment.join("traces");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(cannot_read(&folder, &e)),
    };
    let mut folders: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| folder.join(INFO).is_file())
        .collect();
    folders.sort();
    Ok(folders)
}

pub fn count(experiment: &Path) -> Result<u64> {
    Ok(folders(experiment)?.len() as u64)
}

/// The page is the number of traces before it.
pub fn traces(experiment: &Path, page: Option<&str>) -> Result<Page<Trace>> {
    let skip: usize = page.and_then(|page| page.parse().ok()).unwrap_or(0);
    let folders = folders(experiment)?;
    let some = folders.iter().skip(skip).take(RUNS);
    let end = skip + RUNS;
    Ok(Page {
        items: some.map(|folder| read(folder)).collect::<Result<_>>()?,
        next: (end < folders.len()).then(|| end.to_string()),
    })
}

fn read(folder: &Path) -> Result<Trace> {
    let info: Json = read_yaml(&folder.join(INFO))?;
    let mut trace = trace_answers::trace(&info);
    trace.record.origin = name_of(folder);
    trace.record.metadata = pairs(&folder.join("request_metadata"))?;
    trace.record.tags = pairs(&folder.join("tags"))?;
    let below = folder.join("assessments");
    for file in super::place::files_in(&below)? {
        let json: Json = read_yaml(&below.join(&file.path))?;
        trace
            .record
            .assessments
            .push(trace_answers::assessment(&json));
    }
    trace.record.assessments.sort_by_key(|one| one.created_at);
    folder.clone_into(&mut trace.folder);
    Ok(trace)
}

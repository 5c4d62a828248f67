//! MLflow's `mlruns` folders: a folder for each experiment and run, a file for each metric, param and
//! tag.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::{
    Cursor, Options, POINTS, Points, RUNS,
    database_traces::in_file,
    folder_models, folder_registry, folder_traces,
    place::{Places, cannot_read, files_in},
};
use crate::record::{Experiment, File, Model, Owner, Pairs, Registered, Run, Trace};
use api::{
    Error, Page, Result, Time,
    metrics::{MetricPoint, Value},
    runs::RunStatus,
    traces::Span,
};

pub(super) const META: &str = "meta.yaml";
/// Deleted experiments.
const TRASH: &str = ".trash";
/// Folders of an experiment that are no runs.
const NO_RUNS: [&str; 4] = ["tags", "datasets", "traces", "models"];

pub struct Folder {
    root: PathBuf,
    places: Places,
}

#[derive(Deserialize)]
struct ExperimentMeta {
    name: String,
    #[serde(default)]
    lifecycle_stage: String,
    #[serde(default)]
    creation_time: Option<i64>,
    #[serde(default)]
    last_update_time: Option<i64>,
}

#[derive(Deserialize)]
struct RunMeta {
    #[serde(default)]
    artifact_uri: String,
    #[serde(default)]
    run_name: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    user_id: Option<String>,
    status: i64,
    start_time: Option<i64>,
    end_time: Option<i64>,
    #[serde(default)]
    lifecycle_stage: String,
}

impl Folder {
    pub fn open(root: &Path, options: Options) -> Result<Self> {
        let folder = Self {
            root: root.to_owned(),
            places: Places {
                base: root.parent().unwrap_or(root).to_owned(),
                artifacts: options.artifacts,
            },
        };
        if folder.experiment_folders()?.is_empty() {
            let error = Error::invalid(format!(
                "`{}` has no experiments of MLflow's",
                root.display()
            ))
            .at("--from");
            let below = root.join("mlruns");
            return Err(if below.is_dir() {
                error.hint(format!("Did you mean {}?", below.display()))
            } else {
                error
            });
        }
        Ok(folder)
    }

    /// Folders of experiments, those of deleted ones last.
    fn experiment_folders(&self) -> Result<Vec<PathBuf>> {
        let mut folders = folders_with_meta(&self.root)?;
        folders.extend(folders_with_meta(&self.root.join(TRASH))?);
        Ok(folders)
    }

    pub(super) fn experiment_folder(&self, experiment: &Experiment) -> PathBuf {
        let folder = self.root.join(&experiment.id);
        if folder.is_dir() {
            folder
        } else {
            self.root.join(TRASH).join(&experiment.id)
        }
    }

    pub fn experiments(&self) -> Result<Vec<Experiment>> {
        let mut experiments = Vec::new();
        for folder in self.experiment_folders()? {
            let meta: ExperimentMeta = read_yaml(&folder.join(META))?;
            let created_at = Time(meta.creation_time.unwrap_or_default());
            experiments.push(Experiment {
                id: name_of(&folder),
                name: meta.name,
                deleted: meta.lifecycle_stage == "deleted"
                    || folder.parent() == Some(&self.root.join(TRASH)),
                tags: pairs(&folder.join("tags"))?,
                created_at,
                updated_at: meta.last_update_time.map_or(created_at, Time),
            });
        }
        Ok(experiments)
    }

    fn run_folders(experiment: &Path) -> Result<Vec<PathBuf>> {
        let mut folders = folders_with_meta(experiment)?;
        folders.retain(|folder| !NO_RUNS.contains(&name_of(folder).as_str()));
        Ok(folders)
    }

    /// How many runs and traces there are.
    pub fn count(&self) -> Result<u64> {
        let folders = self.experiment_folders()?;
        let counts = folders.iter().map(|folder| {
            Ok(Self::run_folders(folder)?.len() as u64 + folder_traces::count(folder)?)
        });
        counts.sum()
    }

    /// The page is the number of runs before it.
    pub fn runs(&self, experiment: &Experiment, page: Option<&str>) -> Result<Page<Run>> {
        let skip: usize = page.and_then(|page| page.parse().ok()).unwrap_or(0);
        let experiment = self.experiment_folder(experiment);
        let folders = Self::run_folders(&experiment)?;
        let runs = folders.iter().skip(skip).take(RUNS);
        let items = runs.map(|folder| read_run(&experiment, folder));
        let end = skip + RUNS;
        Ok(Page {
            items: items.collect::<Result<_>>()?,
            next: (end < folders.len()).then(|| end.to_string()),
        })
    }

    /// Metric by metric.
    pub fn points(&self, runs: &[Run], cursor: &mut Cursor) -> Result<Points> {
        let mut points = Vec::new();
        while let Some(run) = runs.get(cursor.run) {
            while let Some(latest) = run.latest.get(cursor.metric) {
                let file = run.folder.join("metrics").join(&latest.key);
                let found = read_points(&file, &latest.key)?;
                points.extend(found.into_iter().map(|point| (run.id.clone(), point)));
                cursor.metric += 1;
                if points.len() >= POINTS {
                    return Ok(Some(points));
                }
            }
            cursor.run += 1;
            cursor.metric = 0;
        }
        Ok(Some(points).filter(|points| !points.is_empty()))
    }

    pub fn models(&self, experiment: &Experiment) -> Result<Vec<Model>> {
        folder_models::models(&self.experiment_folder(experiment))
    }

    pub fn traces(&self, experiment: &Experiment, page: Option<&str>) -> Result<Page<Trace>> {
        folder_traces::traces(&self.experiment_folder(experiment), page)
    }

    /// None when they were kept elsewhere from the beginning.
    pub fn spans(&self, trace: &Trace) -> Result<Option<Vec<Span>>> {
        match self.places.find(Owner::Trace(trace)) {
            Some(folder) => in_file(&folder, &trace.record.origin).map(Some),
            None => Ok(None),
        }
    }

    pub fn registered(&self) -> Result<Vec<Registered>> {
        folder_registry::registered(&self.root.join("models"))
    }

    /// Files are beside the rest unless they were kept elsewhere from the beginning.
    pub fn files(&self, owner: Owner<'_>) -> Result<Option<Vec<File>>> {
        match self.places.find(owner) {
            Some(folder) => files_in(&folder).map(Some),
            None => Ok(None),
        }
    }
}

fn read_run(experiment: &Path, folder: &Path) -> Result<Run> {
    let meta: RunMeta = read_yaml(&folder.join(META))?;
    let tags = pairs(&folder.join("tags"))?;
    let id = name_of(folder);
    let own = folder.join("artifacts");
    let name = meta.run_name.or(meta.name).filter(|name| !name.is_empty());
    let mut latest = Vec::new();
    let metrics = folder.join("metrics");
    for file in files_in(&metrics)? {
        let points = read_points(&metrics.join(&file.path), &file.path)?;
        let rank = |point: &MetricPoint| (point.step, point.timestamp);
        latest.extend(points.into_iter().max_by_key(rank));
    }
    Ok(Run {
        name: name
            .or_else(|| tags.get("mlflow.runName").cloned())
            .unwrap_or_else(|| id.clone()),
        user: meta.user_id.unwrap_or_default(),
        status: status(meta.status),
        started_at: meta.start_time.map(Time),
        ended_at: meta.end_time.map(Time),
        deleted: meta.lifecycle_stage == "deleted",
        params: pairs(&folder.join("params"))?,
        latest,
        links: folder_models::links(experiment, folder)?,
        artifact_uri: if own.is_dir() || meta.artifact_uri.is_empty() {
            own.display().to_string()
        } else {
            meta.artifact_uri
        },
        folder: folder.to_owned(),
        tags,
        id,
    })
}

fn status(number: i64) -> RunStatus {
    match number {
        2 => RunStatus::NotStarted,
        3 => RunStatus::Completed,
        4 => RunStatus::Failed,
        5 => RunStatus::Canceled,
        _ => RunStatus::Running,
    }
}

/// Lines of time, value and step; the oldest stores have no steps, newer ones name a dataset.
fn read_points(file: &Path, key: &str) -> Result<Vec<MetricPoint>> {
    let text = read(file)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let points = lines.map(|line| {
        parse_point(line, key).ok_or_else(|| cannot_read(file, &format!("`{line}` is no point")))
    });
    points.collect()
}

pub(super) fn parse_point(line: &str, key: &str) -> Option<MetricPoint> {
    let mut parts = line.split_whitespace();
    let timestamp = Some(parts.next()?.parse().ok()?);
    let value = Value::parse(parts.next()?)?;
    let step = parts.next().map_or(Some(0), |step| step.parse().ok())?;
    Some(MetricPoint {
        key: key.to_owned(),
        value,
        step,
        timestamp,
    })
}

/// Files of a folder as names and texts.
pub(super) fn pairs(folder: &Path) -> Result<Pairs> {
    let files = files_in(folder)?;
    let pair = |file: File| Ok((file.path.clone(), read(&folder.join(&file.path))?));
    files.into_iter().map(pair).collect()
}

pub(super) fn read(file: &Path) -> Result<String> {
    let bytes = fs::read(file).map_err(|e| cannot_read(file, &e))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub(super) fn read_yaml<T: DeserializeOwned>(file: &Path) -> Result<T> {
    serde_saphyr::from_str(&read(file)?).map_err(|e| cannot_read(file, &e))
}

/// The folders in a folder that have a meta file, by name.
pub(super) fn folders_with_meta(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(cannot_read(folder, &e)),
    };
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| folder.join(META).is_file())
        .collect();
    folders.sort();
    Ok(folders)
}

pub(super) fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

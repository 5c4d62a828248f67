//! A run in a container of podman or docker: its image, and what starts its command in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Settings, io_error, persist,
    ports::Bound,
    private_dir,
    task::{Prepared, Programs},
};
use api::{
    Error, Result, deployments::ImageBase, environments::Environment, runs::Job, work::Assignment,
};
use client::Client;
use executor::{
    engine::{self, Engine, of_runs},
    limits::Limits,
};
use spec::run_image;

/// Names the run of a container.
const LABEL: &str = "aml.run";
/// The folder that the image is built from, and the file with the variables, in the run's folder.
const CONTEXT: &str = "image";
const VARIABLES: &str = "variables";
/// Where the container has `aml`.
const TOOLS: &str = "/opt/amlite/bin";
/// What a container has of shared memory when nothing is said, as in Azure.
const SHARED_MEMORY: &str = "2g";
/// What containers get of the machine's variables.
const PASSED_ON: [&str; 9] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "TZ",
    "CUDA_VISIBLE_DEVICES",
    "PIP_INDEX_URL",
];
/// The first process of a container hears only signals that it asks for, and it alone gets those that the
/// engine passes on. Both streams are one, so that the log is in order.
const FIRST: &str = "\
exec 2>&1
PATH=$PATH:/opt/amlite/bin; export PATH
\"$@\" & command=$!
trap 'test $$ -eq 1 && kill -TERM -1 2>/dev/null || kill -TERM $command' TERM INT
wait $command; code=$?
while kill -0 $command 2>/dev/null; do wait $command; code=$?; done
exit $code";

/// An image that is there, for one run.
pub struct Image {
    engine: Engine,
    name: String,
    /// The machine's variables, for the engine.
    variables: BTreeMap<String, String>,
    /// Held while something runs in it.
    pub lock: Option<PathBuf>,
}

/// The containers of a run, for whoever comes after the worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Containers {
    engine: String,
    label: String,
}

impl Containers {
    /// Ends them, should something of them be left.
    pub async fn remove(&self) {
        engine::remove_containers(&self.engine, LABEL, &self.label).await;
    }
}

/// Whether a job is run in a container.
pub fn wants(job: &Job, by_default: bool) -> bool {
    job.container.unwrap_or_else(|| {
        let Environment::Python { image, .. } = &job.environment else {
            return false;
        };
        by_default && image.is_some()
    })
}

impl Image {
    /// Makes the image of a run's environment ready, unless it is there. `folder` is the run's, `say` gets
    /// lines for people.
    pub async fn make(
        (client, settings): (&Client, &Settings),
        assignment: &Assignment,
        (folder, log): (&Path, PathBuf),
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self> {
        let job = &assignment.job;
        let Environment::Python { image, name, .. } = &job.environment else {
            return Err(Error::invalid(
                "The run is to be in a container, and its environment is the machine itself",
            )
            .hint("Name an environment: --env, or an image: --image"));
        };
        let mut variables = settings.variables.clone();
        if let Some(path) = job.environment.path() {
            variables.insert("PATH".to_owned(), path.to_owned());
        }
        let engine = Engine::find(&variables, log).map_err(|error| {
            error.hint("Or run it as a process of this machine: without --container")
        })?;
        let context = folder.join(CONTEXT);
        private_dir(&context)?;
        let written = run_image::write(&context, &job.environment)?;
        let mut made = Self {
            engine,
            name: String::new(),
            variables,
            lock: None,
        };
        let base = image.as_ref().map(|image| &image.base);
        if let (Some(ImageBase::Named(image)), false) = (base, written) {
            made.name.clone_from(image);
            if !made.engine.has(image).await {
                say(&format!(
                    "Pulling the image {image} with {}",
                    made.engine.name
                ));
                made.engine.run(&["pull", image], "pull the image").await?;
            }
            return Ok(made);
        }
        let (file, arguments) = match image.as_deref() {
            Some(image) if !written => {
                let ImageBase::Build { folder, dockerfile } = &image.base else {
                    return Err(Error::internal("An image is made of nothing"));
                };
                let lay_out = || client.download_tree(&image.workspace, *folder, &context, None);
                persist(lay_out).await?;
                (context.join(dockerfile), image.arguments.clone())
            }
            _ => (context.join("Dockerfile"), BTreeMap::new()),
        };
        let key = match image.as_deref() {
            Some(image) if !written => json(image)?,
            _ => contents(&context)?,
        };
        let key = blake3::hash(&key).to_hex()[..20].to_owned();
        made.name = of_runs::name(&settings.home, &key);
        let lock = of_runs::use_of(&settings.home, &key)?;
        let _turn = of_runs::turn(&lock).await?;
        made.lock = Some(lock);
        if made.engine.has(&made.name).await {
            return Ok(made);
        }
        say(&format!(
            "Building the image of {name} with {}",
            made.engine.name
        ));
        let (file, context) = (text(&file), text(&context));
        let mut words = vec![
            "build",
            "--network",
            "host",
            "--tag",
            &made.name,
            "--file",
            &file,
        ];
        let given: Vec<String> = arguments
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        // Their values may let one in somewhere, and are not for the list of processes.
        let of_machine = run_image::INDEX
            .into_iter()
            .filter(|name| written && made.variables.contains_key(*name));
        for argument in given.iter().map(String::as_str).chain(of_machine) {
            words.extend(["--build-arg", argument]);
        }
        words.push(&context);
        made.engine.run(&words, "build the image").await?;
        Ok(made)
    }

    /// The variables of the machine that a container gets.
    pub fn passed_on(settings: &Settings) -> BTreeMap<String, String> {
        let passed_on = PASSED_ON.into_iter();
        let found = passed_on.filter_map(|name| {
            let value = settings.variables.get(name)?;
            Some((name.to_owned(), value.clone()))
        });
        found.collect()
    }

    /// Puts what is to be started into containers of the image, and says what finds them again.
    pub async fn contain(
        &self,
        prepared: &mut Prepared,
        settings: &Settings,
        assignment: &Assignment,
        bound: &Bound,
    ) -> Result<Containers> {
        let engine = &self.engine;
        let task = &mut prepared.task;
        let folder = task.directory.parent().unwrap_or(&task.directory);
        let key = format!(
            "{}/{}/{}",
            settings.home.display(),
            assignment.workspace,
            assignment.run
        );
        let label = blake3::hash(key.as_bytes()).to_hex()[..20].to_owned();
        let mut inside = std::mem::replace(&mut task.variables, self.variables.clone());
        if !assignment.job.environment_variables.contains_key("PATH") {
            // What the image says.
            inside.remove("PATH");
        }
        let mut words = vec![
            engine.name.to_owned(),
            "run".to_owned(),
            "--rm".to_owned(),
            "--network=host".to_owned(),
            format!("--label={LABEL}={label}"),
            format!("--workdir={}", text(&task.directory)),
            "--entrypoint=sh".to_owned(),
        ];
        words.extend(engine.as_owner());
        words.extend(["--log-driver=none", "--security-opt=label=disable"].map(str::to_owned));
        words.extend(limited(task.limits, engine.limits().await));
        words.extend(resources(assignment));
        let own = ["code", "inputs", "named"].map(|name| folder.join(name));
        for place in own.iter().filter(|place| place.is_dir()) {
            words.push(volume(place, ""));
        }
        for place in read_by(bound, folder) {
            words.push(volume(&place, ":ro"));
        }
        for place in written_by(bound, folder) {
            words.push(volume(&place, ""));
        }
        if let Ok(program) = fs::canonicalize(&settings.program) {
            words.push(format!("--volume={}:{TOOLS}/aml:ro", text(&program)));
        }
        let file = folder.join(VARIABLES);
        let long = engine::write_variables(&file, inside.iter())?;
        words.push(format!("--env-file={}", text(&file)));
        let each = task.processes.iter().chain(&task.helpers).next();
        let each = each.into_iter().flat_map(BTreeMap::keys);
        for name in long.keys().chain(each) {
            words.push(format!("--env={name}"));
        }
        task.variables.extend(long);
        words.push(self.name.clone());
        words.extend(["-c", FIRST, "sh"].map(str::to_owned));
        if let [line] = &task.command[..] {
            words.extend(["sh", "-c", line].map(str::to_owned));
        } else {
            words.append(&mut task.command);
        }
        task.command = words;
        task.holds.extend(self.lock.clone());
        Ok(Containers {
            engine: engine.name.to_owned(),
            label,
        })
    }

    /// Where the image has programs that the job may need beside its command.
    pub async fn programs(&self, job: &Job) -> Programs {
        let described = job.described.as_ref();
        let wanted = described.map(|described| Programs::wanted(described));
        let mut found = BTreeMap::new();
        if let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) {
            let wanted = wanted.join(" ");
            let ask = format!("for name in {wanted}; do echo $name $(command -v $name); done");
            let words = ["run", "--rm", "--entrypoint=sh", &self.name, "-c", &ask];
            let answer = self.engine.answer(&words).await.unwrap_or_default();
            let pairs = answer.lines().filter_map(|line| line.split_once(' '));
            let pairs = pairs.filter(|(_, place)| place.starts_with('/'));
            found.extend(pairs.map(|(name, place)| (name.to_owned(), place.to_owned())));
        }
        Programs::OfImage(found)
    }

    /// What people are told of it.
    pub fn note(&self) -> String {
        format!(
            "It runs in a container of {}, by {}",
            self.name, self.engine.name
        )
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::internal(e.to_string()))
}

/// What is in the files of a folder.
fn contents(folder: &Path) -> Result<Vec<u8>> {
    let failed = |e: std::io::Error| io_error("read", folder, &e);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let content = fs::read(&path).map_err(failed)?;
        files.push((path.to_string_lossy().into_owned(), content));
    }
    files.sort();
    json(&files.iter().map(|(_, content)| content).collect::<Vec<_>>())
}

/// Folders of the machine that the command reads, beside its own.
fn read_by(bound: &Bound, own: &Path) -> Vec<PathBuf> {
    let held = bound.holds.iter().filter_map(|hold| hold.file.parent());
    let paths = bound.paths().map(Path::new);
    let mut all: Vec<PathBuf> = held
        .chain(paths)
        .filter(|path| path.is_absolute() && path.exists() && !path.starts_with(own))
        .map(Path::to_owned)
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Folders of the machine that it writes to.
fn written_by(bound: &Bound, own: &Path) -> Vec<PathBuf> {
    let paths = bound.outputs.values().map(Path::new);
    let outside = paths.filter(|path| path.is_absolute() && !path.starts_with(own));
    let folder = |path: &Path| {
        if path.is_dir() {
            path.to_owned()
        } else {
            path.parent().unwrap_or(path).to_owned()
        }
    };
    outside.map(folder).filter(|path| path.is_dir()).collect()
}

/// Mounts a place at its own path.
fn volume(place: &Path, mode: &str) -> String {
    let place = text(place);
    if place.contains(':') {
        let mode = if mode.is_empty() { "" } else { ",readonly" };
        return format!("--mount=type=bind,source={place},target={place}{mode}");
    }
    format!("--volume={place}:{place}{mode}")
}

fn limited(limits: Option<Limits>, possible: bool) -> Vec<String> {
    match limits.filter(|_| possible) {
        Some(Limits { cores, memory }) => {
            vec![format!("--cpus={cores}"), format!("--memory={memory}b")]
        }
        None => Vec::new(),
    }
}

/// What the job says of its container.
fn resources(assignment: &Assignment) -> Vec<String> {
    let described = assignment.job.described.as_ref();
    let resources = described.and_then(|described| described.definition.get("resources"));
    let said = |key: &str| resources.and_then(|resources| resources.get(key));
    let memory = said("shm_size").and_then(Value::as_str);
    let mut words = vec![format!("--shm-size={}", memory.unwrap_or(SHARED_MEMORY))];
    match said("docker_args") {
        Some(Value::String(line)) => words.extend(line.split_whitespace().map(str::to_owned)),
        Some(Value::Array(all)) => {
            words.extend(all.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        _ => {}
    }
    words
}

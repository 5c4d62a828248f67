//! A deployment in containers of podman or docker: its image is built and pushed, and each of its
//! processes is a container that answers on a port of loopback.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    Settings,
    layout::Named,
    process::{Unpushed, tell},
    registry,
};
use api::{
    Error, Result,
    environments::Environment,
    work::{Imaged, Kept},
};
use executor::engine::{self, Engine, home_label, local};
use spec::image::{self, Described};

/// Seconds that a container may take to end, fewer than the watching process waits.
const STOP: u32 = 5;
/// Names the deployment of a container.
const LABEL: &str = "aml.deployment";
/// The file of its variables, beside the folder of its image.
const VARIABLES: &str = "variables";
/// Waits between attempts to push an image.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// How long the first attempt may take, and the longest later one: each has twice as long as the one
/// before that was not done by then.
const FIRST_LIMIT: Duration = Duration::from_mins(10);
const LONGEST_LIMIT: Duration = Duration::from_hours(4);
/// How long an attempt waits for another image that is being pushed to the same registry.
const PATIENCE: Duration = Duration::from_mins(1);

/// An image that is there.
pub struct Made {
    /// The line for `sh` that runs a container of it.
    pub line: String,
    /// Variables that it gets from the engine's own.
    pub long: BTreeMap<String, String>,
    /// What the machine is called in the container.
    pub machine: &'static str,
    /// Goes on pushing the image, until it is dropped.
    pub pushing: JoinSet<()>,
    /// Where the image was not pushed yet.
    pub unpushed: Option<Unpushed>,
    /// To be removed once this one answers.
    pub outdated: Outdated,
}

/// Makes the image of a deployment, unless it was made before. In `folder` is what
/// [`image::write`] asks for.
pub async fn made(
    served: &Named<'_>,
    settings: &Settings,
    folder: &Path,
    environment: &Environment,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<Made> {
    let orders = served.orders;
    let log = settings.log_of(orders.id);
    let engine = Engine::find(&settings.variables, log).map_err(|error| {
        error.hint("Or deploy without --container, as a process of this machine")
    })?;
    // Of all state directories of the machine, whose images are in one place.
    let label = label(&settings.home, orders.id);
    let image = format!("{}:{}", local(&label), orders.generation);
    remove_left(&engine, &label).await;
    let is_new = !engine.has(&image).await;
    if is_new {
        registry::make(&settings.home)?;
        say(&format!("Building the image with {}", engine.name));
        let described = Described {
            name: &orders.name,
            generation: orders.generation,
            deployment: &orders.deployment,
            environment,
        };
        image::write(folder, &described)?;
        let context = folder.display().to_string();
        let words = ["build", "--tag", &image, &context];
        engine.run(&words, "build the image").await?;
    }
    let file = folder.with_file_name(VARIABLES);
    let variables = orders.deployment.environment_variables.iter();
    let long = engine::write_variables(&file, variables.filter(|(name, _)| *name != "PORT"))?;
    let mut made = Made {
        line: line(&engine, (&image, &label), (&file, &long), served),
        long,
        machine: engine.machine(),
        pushing: JoinSet::new(),
        unpushed: None,
        outdated: Outdated {
            engine: engine.clone(),
            name: local(&label),
            generation: orders.generation,
        },
    };
    let mut push = Push::of(engine, &image, served, settings);
    if !is_new {
        if !push.is_done() {
            made.pushing.spawn(push.again(None));
        }
        return Ok(made);
    }
    say("Pushing the image");
    if let Err(error) = push.attempt().await {
        let why = format!(
            "The image was not pushed, which is tried again: {}",
            error.message
        );
        let (sender, pushed) = oneshot::channel();
        made.unpushed = Some(Unpushed { why, pushed });
        made.pushing.spawn(push.again(Some(sender)));
    }
    Ok(made)
}

/// Names a deployment among those of all state directories.
fn label(home: &Path, deployment: i64) -> String {
    format!("{}-{deployment}", home_label(home))
}

/// Removes, or with `dry_run` counts, the images of a state directory whose deployments are not `kept`:
/// how many, and their bytes in the registries. Waits for the engines, so it is for where that can be.
pub fn free_images(home: &Path, kept: &Kept<'_>, dry_run: bool) -> Result<(u64, u64)> {
    let runtime = Handle::current();
    let of_runs = runtime.block_on(engine::of_runs::free(home, dry_run));
    if !registry::root(home).exists() {
        // No image of a deployment was ever made.
        return Ok((of_runs, 0));
    }
    let (mut images, bytes) = registry::free(home, kept, dry_run)?;
    images += of_runs;
    let begin = local(&home_label(home)) + "-";
    let found = runtime.block_on(engine::images(&begin));
    // What was built since has a deployment.
    let kept = kept()?;
    for (engine, image) in found {
        let id = image
            .strip_prefix(&begin)
            .and_then(|rest| rest.split_once(':'));
        let id = id.and_then(|(id, _)| id.parse().ok());
        let unused = id.is_some_and(|id: i64| !kept.contains_key(&id));
        if unused && (dry_run || runtime.block_on(engine::remove(engine, &image))) {
            images += 1;
        }
    }
    Ok((images, bytes))
}

/// Where an image is pushed to.
struct Push {
    engine: Engine,
    image: String,
    target: Target,
    /// How long the next attempt may take.
    limit: Duration,
}

enum Target {
    Named(String),
    /// The workspace's own, which is made when it is first needed; under this name.
    Own(PathBuf, String),
}

impl Push {
    fn of(engine: Engine, image: &str, served: &Named<'_>, settings: &Settings) -> Self {
        let orders = served.orders;
        let generation = orders.generation;
        let imaged = Imaged {
            workspace: served.workspace.to_owned(),
            endpoint: served.endpoint.to_owned(),
            deployment: orders.name.clone(),
            generation,
        };
        let name = imaged.name();
        let named = orders.deployment.container.as_ref();
        let named = named.and_then(|container| container.registry.as_ref());
        Self {
            engine,
            image: image.to_owned(),
            limit: FIRST_LIMIT,
            target: match named {
                Some(registry) => {
                    let registry = registry.trim_end_matches('/');
                    Target::Named(format!("{registry}/{name}:{generation}"))
                }
                None => Target::Own(
                    registry::folder(&settings.home, served.workspace),
                    format!("{name}-{generation}"),
                ),
            },
        }
    }

    /// Whether it is known to be there.
    fn is_done(&self) -> bool {
        match &self.target {
            Target::Named(_) => false,
            Target::Own(folder, name) => registry::has(folder, name),
        }
    }

    /// Tries once; what hangs is ended.
    async fn attempt(&mut self) -> Result<()> {
        let limit = self.limit;
        if let Ok(outcome) = timeout(limit, self.once()).await {
            return outcome;
        }
        self.limit = (limit * 2).min(LONGEST_LIMIT);
        Err(Error::unavailable(format!(
            "`{} push` was not done within {} s and was ended",
            self.engine.name,
            limit.as_secs_f32()
        )))
    }

    async fn once(&self) -> Result<()> {
        let (engine, image) = (&self.engine, &self.image);
        let (folder, name) = match &self.target {
            Target::Named(target) if engine.name == "podman" => {
                return engine.run(&["push", image, target], "push the image").await;
            }
            Target::Named(target) => {
                let words = ["tag", image, target];
                engine.run(&words, "name the image").await?;
                let pushed = engine.run(&["push", target], "push the image").await;
                // An image of two names is kept by the other one.
                let _ = engine.answer(&["rmi", target]).await;
                return pushed;
            }
            Target::Own(folder, name) => (folder, name),
        };
        let alone = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || registry::alone(&folder, PATIENCE)).await
        };
        let lock = alone.map_err(|e| Error::internal(format!("Cannot push: {e}")))??;
        let lock = lock.ok_or_else(|| {
            Error::unavailable(format!(
                "Another image has been written to `{}` for a minute",
                folder.display()
            ))
        })?;
        let place = folder.display();
        if engine.name == "podman" {
            let target = format!("oci:{place}:{name}");
            let words = ["push", image, &target];
            return engine.run_alone(&words, "push the image", lock).await;
        }
        let file = format!("{place}/{name}.tar");
        let words = ["save", "--output", &file, image];
        engine.run_alone(&words, "save the image", lock).await
    }

    /// Tries until it is there, with growing waits; where that has failed before, somebody is told when it
    /// has not any more.
    async fn again(mut self, told: Option<oneshot::Sender<()>>) {
        let mut wait = FIRST_WAIT;
        if told.is_some() {
            sleep(wait).await;
        }
        while let Err(error) = self.attempt().await {
            let text = format!("The image was not pushed: {error}");
            tell(&self.engine.log, 'I', &text);
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        tell(&self.engine.log, 'I', "The image was pushed");
        if let Some(told) = told {
            let _ = told.send(());
        }
    }
}

/// What the images of a deployment were before a generation.
#[derive(Debug)]
pub struct Outdated {
    pub engine: Engine,
    pub name: String,
    pub generation: u64,
}

impl Outdated {
    /// Removes them. The last one that answered is wanted until another one does.
    pub async fn remove(self) {
        self.engine.remove_old(&self.name, self.generation).await;
    }
}

/// Ends containers of the deployment that a host which was killed has left.
async fn remove_left(engine: &Engine, label: &str) {
    let filter = format!("label={LABEL}={label}");
    let words = ["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"];
    let own = format!("aml-{label}-{}-", std::process::id());
    for name in engine.answer(&words).await.unwrap_or_default().lines() {
        if !name.starts_with(&own) {
            let _ = engine.answer(&["rm", "--force", name]).await;
        }
    }
}

/// The line for `sh` that runs a container until it is told to end. A program that is the first of its
/// container hears no signal that it does not ask for; so the engine ends it.
fn line(
    engine: &Engine,
    (image, label): (&str, &str),
    (file, long): (&Path, &BTreeMap<String, String>),
    served: &Named<'_>,
) -> String {
    let deployment = &served.orders.deployment;
    let inside = image::port(deployment);
    let (tool, pid) = (engine.name, std::process::id());
    let mut line = format!(
        "name=aml-{label}-{pid}-$PORT; trap \"{tool} stop -t {STOP} $name >/dev/null 2>&1\" TERM; \
         {tool} run --rm --name $name --label {LABEL}={label} --publish 127.0.0.1:$PORT:{inside} \
         --env-file {} --env PORT={inside}",
        spec::words::quoted(&file.to_string_lossy())
    );
    for name in deployment.secrets.keys().chain(long.keys()) {
        // Their values are not for the list of processes.
        let _ = write!(line, " --env {name}");
    }
    let mut files: Vec<&str> = deployment.secret_files.keys().map(String::as_str).collect();
    if deployment.collector.is_some() {
        for name in super::collecting::VARIABLES {
            let _ = write!(line, " --env {name}");
        }
        files.push(super::collecting::FILE);
        if engine.name == "docker" {
            let _ = write!(line, " --add-host {}:host-gateway", engine.machine());
        }
    }
    for name in files {
        let _ = write!(line, " --env {name} --volume \"${name}:${name}:ro\"");
    }
    let _ = write!(
        line,
        " {image} & wait $!; code=$?; wait; {tool} rm --force $name >/dev/null 2>&1; exit $code"
    );
    line
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[tokio::test]
    async fn a_push_that_hangs_is_ended_and_has_longer_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let podman = folder.path().join("podman");
        let pid = folder.path().join("pid");
        let script = format!("#!/bin/sh\necho $$ > {}\nexec sleep 600\n", pid.display());
        fs::write(&podman, script).unwrap();
        fs::set_permissions(&podman, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.path().display());
        let log = folder.path().join("log");
        let engine = Engine::find(&[("PATH".to_owned(), path)].into(), log).unwrap();
        let mut push = Push {
            engine,
            image: "localhost/aml/x:1".to_owned(),
            target: Target::Named("registry/x:1".to_owned()),
            limit: Duration::from_secs(1),
        };
        let error = push.attempt().await.unwrap_err();
        let said = "`podman push` was not done within 1 s and was ended";
        assert_eq!(error.message, said);
        assert_eq!(push.limit, Duration::from_secs(2));
        let pid = fs::read_to_string(pid).unwrap();
        let process = format!("/proc/{}/cmdline", pid.trim());
        // What was killed has no command line, whether or not it was waited for.
        let gone = async {
            while fs::read(&process).is_ok_and(|line| !line.is_empty()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(20), gone).await.unwrap();
    }
}

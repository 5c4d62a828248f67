//! Inputs and outputs of a job by name: brought, and given a place, before its command starts.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};

use super::{Settings, folders::Folders, io_error, keep::Target, persist, recent::Recent, shell};
use api::{
    Error, Result,
    assets::AssetRef,
    jobs::{Described, InputMode, JobInput, JobOutput, OutputMode},
    lineage::{Node, NodeKind, RunLink},
    mirrors::Mirrors,
    paths::{Location, apart},
    work::Assignment,
};
use client::{
    Client,
    inputs::{At, Fetched, Hold, Located, Mounts, Wanted},
};
use spec::expression::{Expression, Template};

/// How the addresses begin of what jobs make.
const OF_JOBS: &str = "azureml://jobs/";
/// Places that are kept, at most.
const PLACES: usize = 4096;
/// For so long a datastore counts as one that can be written to.
const WRITABLE: Duration = Duration::from_secs(1);
/// Inputs that are brought at once, at most.
const AT_ONCE: usize = 4;
/// Where the tables are of what the rounds of loops made: they name places of the workspace.
const GATHERED: &str = "/azureml/gathered/";

/// The ports of one run.
pub struct Ports<'a> {
    pub client: &'a Client,
    pub settings: &'a Settings,
    pub places: &'a Places,
    pub folders: &'a Folders,
    pub assignment: &'a Assignment,
    pub described: &'a Described,
    /// The run's folder.
    pub folder: &'a Path,
    /// What stands for addresses.
    pub mirrors: Mirrors,
}

/// Where the outputs of steps are which others of their pipeline read, by the number of the pipeline's run:
/// of the many that read one, only the first asks, and none where this worker has stored it.
#[derive(Debug, Default)]
pub struct Places {
    known: Mutex<HashMap<String, Located>>,
    /// By the facts of datastores that can be written to: a path of each, and where that is.
    stores: Mutex<HashMap<String, (String, Located)>>,
    /// What was mounted of them, and of others.
    pub mounts: Mounts,
    pub recent: Recent,
}

impl Places {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Located>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stores(&self) -> MutexGuard<'_, HashMap<String, (String, Located)>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &str) -> Option<Located> {
        self.known().get(key).cloned()
    }

    fn keep(&self, key: String, located: &Located) {
        let mut known = self.known();
        if known.len() >= PLACES {
            known.clear();
        }
        known.insert(key, located.clone());
    }
}

/// The value of an input, what keeps its files, what it is.
type Brought = (String, Vec<Hold>, RunLink);

/// What the command finds.
#[derive(Debug, Default)]
pub struct Bound {
    pub inputs: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, String>,
    /// Those whose value is text, as it was written; all others are paths or addresses.
    literals: BTreeSet<String>,
    /// Texts that other steps wrote.
    made: BTreeSet<String>,
    /// Keep shared files while the command reads them.
    pub holds: Vec<Hold>,
    /// What could not be done as it was asked for.
    pub notes: Vec<String>,
    /// What the run uses.
    pub uses: Vec<RunLink>,
}

impl Bound {
    /// A text with what its expressions stand for. An input that is not given is nothing, and with it
    /// the optional block around it.
    pub fn fill(&self, text: &str, name: &str) -> Result<String> {
        Template::parse(text).fill(&mut |expression| self.value(expression, name))
    }

    /// A line for a shell, in which paths, addresses and what steps wrote stay one word each, whatever
    /// is in them. A literal is the text that was written.
    pub fn fill_line(&self, line: &str, name: &str) -> Result<String> {
        // No quotes hold there.
        let open = line.contains("<<") || line.contains('`');
        let line = Template::parse(line).fill_after(&mut |expression, before| {
            let value = self.value(expression, name)?;
            if let (true, Expression::Input(input), Some(value)) = (open, expression, &value)
                && self.made.contains(input)
                && !shell::is_harmless(value)
            {
                return Err(Error::invalid(format!(
                    "The input `{input}` is a text of another step that a shell could take for commands, in a line with `<<` or backticks"
                ))
                .at("command")
                .hint(format!("Write $AZURE_ML_INPUT_{input} in place of it")));
            }
            let literal = match expression {
                Expression::Input(input) => self.literals.contains(input),
                Expression::Output(_) => false,
                _ => true,
            };
            Ok(match value {
                Some(value) if !literal => Some(shell::word(before, &value)),
                value => value,
            })
        })?;
        // What is left of these is text; bash would take it for arithmetic.
        Ok(shell::keep_text(&line, "$[["))
    }

    fn value(&self, expression: &Expression, name: &str) -> Result<Option<String>> {
        match expression {
            Expression::Input(input) | Expression::SearchSpace(input) => {
                Ok(self.inputs.get(input).cloned())
            }
            Expression::Output(output) => match self.outputs.get(output) {
                Some(path) => Ok(Some(path.clone())),
                None => {
                    Err(Error::invalid(format!("The job has no output `{output}`")).at("command"))
                }
            },
            Expression::Name => Ok(Some(name.to_owned())),
            other => Err(Error::invalid(format!("`{other}` means nothing here")).at("command")),
        }
    }

    /// Inputs that are paths or addresses.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        let is_text = |name: &String| self.literals.contains(name) || self.made.contains(name);
        let inputs = self.inputs.iter().filter(move |(name, _)| !is_text(name));
        inputs.map(|(_, value)| value)
    }

    /// Variables by which Azure ML's libraries find inputs and outputs.
    pub fn variables(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let variable = |prefix: &'static str| {
            move |(name, value): (&String, &String)| (format!("{prefix}{name}"), value.clone())
        };
        let inputs = self.inputs.iter().map(variable("AZURE_ML_INPUT_"));
        inputs.chain(self.outputs.iter().map(variable("AZURE_ML_OUTPUT_")))
    }
}

impl Ports<'_> {
    /// Brings the inputs and makes the folders of the outputs.
    pub async fn bind(&self) -> Result<Bound> {
        let mut bound = Bound {
            uses: self.made_of(),
            ..Bound::default()
        };
        let mut files = Vec::new();
        for (name, input) in &self.described.inputs {
            match input {
                JobInput::Value { value, made } => {
                    bound.inputs.insert(name.clone(), value.clone());
                    let words = if *made {
                        &mut bound.made
                    } else {
                        &mut bound.literals
                    };
                    words.insert(name.clone());
                }
                JobInput::Files {
                    kind,
                    path,
                    mode,
                    path_on_compute,
                } => {
                    if let Some(place) = path_on_compute {
                        bound.notes.push(format!(
                            "The input {name} is not at {place} but where {{inputs.{name}}} says"
                        ));
                    }
                    files.push((name, kind.as_str(), path.as_str(), *mode));
                }
            }
        }
        let mut all = Vec::new();
        for (name, kind, path, mode) in files {
            all.push(self.bring_named(name, kind, path, mode).boxed());
        }
        let mut brought = stream::iter(all).buffered(AT_ONCE);
        while let Some((name, (value, holds, link))) = brought.try_next().await? {
            bound.inputs.insert(name.to_owned(), value);
            bound.holds.extend(holds);
            bound.uses.push(link);
        }
        for placed in self.placed() {
            let value = self.place(&placed).await.map_err(|error| Error {
                message: format!("The output `{}`: {}", placed.name, error.message),
                ..error
            })?;
            bound.outputs.insert(placed.name.to_owned(), value);
        }
        Ok(bound)
    }

    /// The same as [`bring`](Self::bring), with the input's name, which errors have too.
    async fn bring_named<'b>(
        &self,
        name: &'b str,
        kind: &str,
        path: &str,
        mode: InputMode,
    ) -> Result<(&'b str, Brought)> {
        let brought = self.bring(name, kind, path, mode).await;
        let brought = brought.map_err(|error| Error {
            message: format!("The input `{name}`: {}", error.message),
            ..error
        })?;
        Ok((name, brought))
    }

    /// The value of one input, and what is known of it.
    async fn bring(&self, name: &str, kind: &str, path: &str, mode: InputMode) -> Result<Brought> {
        let located = self.locate(path, kind.ends_with("_model")).await?;
        let own = self.folder.join("inputs").join(name);
        let mut held = Vec::new();
        let kind_of_job = self.described.definition.get("type");
        let by_spark = kind_of_job.is_some_and(|kind| kind == "spark");
        let mode = match mode {
            // Spark reads paths alone.
            InputMode::Direct if by_spark && located.is_kept_content() => InputMode::RoMount,
            mode => mode,
        };
        let value = match mode {
            InputMode::Direct => located.direct(),
            InputMode::EvalMount | InputMode::EvalDownload => {
                let copies = mode == InputMode::EvalDownload;
                let (path, holds) = self.evaluated(name, &located, copies).await?;
                held = holds;
                path.to_string_lossy().into_owned()
            }
            InputMode::RoMount | InputMode::Download => {
                let mut path = if mode == InputMode::Download {
                    self.fetch(&located, &own).await?.path
                } else {
                    self.mounted(&located, &own, &mut held).await?
                };
                if kind == "mltable" && located.uri.contains(GATHERED) {
                    path = self.at_hand(name, path, &mut held).await?;
                }
                path.to_string_lossy().into_owned()
            }
        };
        // What is recorded can be read by all who see the run.
        let (uri, _) = apart(&located.uri);
        let node = located
            .asset
            .clone()
            .or_else(|| job_of(path))
            .unwrap_or_else(|| Node::new(NodeKind::Path, uri.clone(), None));
        let link = RunLink {
            name: name.to_owned(),
            node,
            uri: Some(uri),
            kind: Some(kind.to_owned()),
        };
        Ok((value, held, link))
    }

    pub(super) async fn locate(&self, path: &str, model: bool) -> Result<Located> {
        let Assignment {
            workspace,
            root,
            root_id,
            ..
        } = self.assignment;
        // What it needs of the other steps is there, and stays where it is.
        let of_root = path.strip_prefix(OF_JOBS).is_some_and(|job| {
            let step = job.strip_prefix(root.as_str());
            step.is_some_and(|step| step.starts_with('-'))
        });
        let known = root_id.filter(|_| of_root).map(|id| format!("{id} {path}"));
        if let Some(known) = known.as_ref().and_then(|key| self.places.get(key)) {
            return Ok(known);
        }
        let wanted = Wanted {
            workspace,
            path,
            model,
            mirrors: &self.mirrors,
        };
        let located = persist(|| self.client.locate(wanted)).await?;
        if let Some(key) = known {
            self.places.keep(key, &located);
        }
        Ok(located)
    }

    /// Notes where an output was stored, for the steps that read it would ask. Of a datastore that was not
    /// looked at lately they do.
    pub(super) fn note_stored(
        &self,
        placed: &Placed<'_>,
        (workspace, datastore, path): (&str, &str, &str),
    ) {
        let Some(id) = self.assignment.root_id else {
            return;
        };
        let address = [OF_JOBS, &self.assignment.run, "/outputs/", placed.name].concat();
        // An address means another thing in another workspace.
        if !workspace.eq_ignore_ascii_case(&self.assignment.workspace) {
            return;
        }
        let writable = writable(workspace, datastore);
        if self.mirrors.find(&address).is_some() || !self.places.recent.was(&writable, WRITABLE) {
            return;
        }
        let found = {
            let stores = self.places.stores();
            let known = stores.get(&writable);
            known.and_then(|(inside, at)| at.moved(inside, path))
        };
        if let Some(found) = found {
            let kind = Some(placed.output.kind.clone());
            let located = Located { kind, ..found };
            self.places.keep(format!("{id} {address}"), &located);
        }
    }

    pub(super) async fn fetch(&self, located: &Located, to: &Path) -> Result<Fetched> {
        self.patiently(located, || self.client.fetch(located, to, None))
            .await
    }

    /// Does what asks the workspace's server again when that comes back; other servers may be gone for
    /// good.
    pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(
        &self,
        located: &Located,
        call: impl Fn() -> F,
    ) -> Result<T> {
        match located.at {
            At::Tree { .. } | At::Artifacts { .. } | At::Datastore { .. } => persist(call).await,
            At::Here(_) | At::Url(_) | At::Git { .. } => call().await,
        }
    }

    /// Where the command finds an output. What cannot be kept there is an error before it runs.
    async fn place(&self, placed: &Placed<'_>) -> Result<String> {
        let path = &placed.output.path;
        if placed.output.mode == OutputMode::Direct {
            let located = self.locate(path, false).await?;
            if let At::Here(path) = &located.at {
                let folder = match placed.output.kind.as_str() {
                    "uri_file" => path.parent().unwrap_or(path),
                    _ => path,
                };
                check_writable(folder)?;
            }
            return Ok(located.direct());
        }
        match self.target(path)? {
            Target::Folder(folder) => check_writable(&folder)?,
            Target::Datastore {
                workspace,
                datastore,
                path: inside,
            } => {
                let writable = writable(&workspace, &datastore);
                if !self.places.recent.was(&writable, WRITABLE) {
                    let located = self.locate(path, false).await?;
                    if let At::Here(path) = &located.at
                        && let Some(folder) = path.ancestors().find(|above| above.is_dir())
                    {
                        check_writable(folder)?;
                    }
                    // As it is called there.
                    if workspace.eq_ignore_ascii_case(&self.assignment.workspace) {
                        let mut stores = self.places.stores();
                        stores.insert(writable.clone(), (inside, located));
                    }
                    self.places.recent.is(writable);
                }
            }
        }
        self.folders.place(&placed.folder)?;
        Ok(placed.path().to_string_lossy().into_owned())
    }

    /// The code and the environment of the job.
    pub fn made_of(&self) -> Vec<RunLink> {
        let definition = &self.described.definition;
        let link = |(key, kind): (&str, NodeKind)| {
            let text = definition.get(key)?.as_str()?;
            let asset = AssetRef::parse(text).ok()?;
            let name = asset.holder.in_lineage(&asset.name);
            Some(RunLink {
                name: key.to_owned(),
                node: Node::new(kind, name, asset.pick.version()),
                uri: None,
                kind: None,
            })
        };
        let keys = [
            ("code", NodeKind::Code),
            ("environment", NodeKind::Environment),
        ];
        keys.into_iter().filter_map(link).collect()
    }

    /// The outputs with their places in the run's folder.
    pub(super) fn placed(&self) -> impl Iterator<Item = Placed<'_>> {
        self.described.outputs.iter().map(|(name, output)| Placed {
            name,
            output,
            folder: self.folder.join("named").join(name),
        })
    }
}

/// The fact that a datastore can be written to.
fn writable(workspace: &str, datastore: &str) -> String {
    format!("writable {workspace}/{datastore}")
}

/// Makes a folder, and sees that files can be made in it.
fn check_writable(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| io_error("make", folder, &e))?;
    // Without a name that another run, which looks at the same folder now, could take away.
    tempfile::tempfile_in(folder)
        .map(drop)
        .map_err(|e| io_error("write to", folder, &e))
}

/// An output and where the command writes it.
pub(super) struct Placed<'a> {
    pub name: &'a str,
    pub output: &'a JobOutput,
    pub folder: PathBuf,
}

impl Placed<'_> {
    /// The folder, or the file in it.
    pub fn path(&self) -> PathBuf {
        if self.output.kind != "uri_file" {
            return self.folder.clone();
        }
        let last = self.output.path.rsplit('/').next().unwrap_or_default();
        let name = if last.is_empty() { self.name } else { last };
        self.folder.join(name)
    }
}

/// The job whose output a path names.
fn job_of(path: &str) -> Option<Node> {
    match Location::parse(path).ok()? {
        Location::Run { run, .. } => Some(Node::run(run)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, check_writable};

    #[test]
    fn what_a_step_wrote_is_one_word() {
        let bound = |text: &str| Bound {
            inputs: [("x".to_owned(), text.to_owned())].into(),
            made: ["x".to_owned()].into(),
            ..Bound::default()
        };
        let line = |line: &str, text: &str| bound(text).fill_line(line, "run");
        let label = "$(touch /tmp/x) 'a' `b`; c";
        for (written, made) in [
            ("printf %s ${{inputs.x}}", label),
            ("printf %s \"${{inputs.x}}\"", label),
            ("printf %s '${{inputs.x}}'", label),
            ("cat <<E\n${{inputs.x}}\nE", "plain"),
        ] {
            let filled = line(written, made).expect("a line");
            let output = std::process::Command::new("bash")
                .args(["-c", &filled])
                .output();
            let said = output.expect("bash").stdout;
            assert_eq!(String::from_utf8_lossy(&said).trim(), made, "{filled}");
        }
        for open in ["cat <<E\n${{inputs.x}}\nE", "echo `echo ${{inputs.x}}`"] {
            let error = line(open, label).expect_err("no quotes hold there");
            assert!(error.hints[0].contains("$AZURE_ML_INPUT_x"), "{error}");
        }
    }

    #[test]
    fn runs_may_look_at_one_folder_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let look = || (0..200).all(|_| check_writable(folder.path()).is_ok());
        std::thread::scope(|scope| {
            let looks = [scope.spawn(look), scope.spawn(look)];
            assert!(looks.into_iter().all(|look| look.join().expect("a look")));
        });
        let mut left = folder.path().read_dir().expect("entries");
        assert!(left.next().is_none());
    }
}

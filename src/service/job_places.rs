//! What a job reads, writes and starts, looked at as the caller: the worker that does it may do more.

use super::{Action, Caller, Perform, Service, jobs::MOST_PROCESSES};
use api::{
    Error, Result,
    jobs::{Described, Distribution, Framework, JobInput, JobOutput},
    models::{Which, check_version_name},
    names,
    paths::{Location, ResolvePath, check_open},
};

impl Service {
    /// Refuses what is known not to work before anything is run.
    pub(super) async fn check_described(
        &self,
        caller: &Caller,
        workspace: &str,
        described: &Described,
    ) -> Result<()> {
        for (name, input) in &described.inputs {
            names::check_port(name).map_err(|error| error.at("inputs"))?;
            if let JobInput::Files { kind, path, .. } = input {
                self.check_input(caller, workspace, kind, path)
                    .await
                    .map_err(|error| error.at(format!("inputs.{name}.path")))?;
            }
        }
        for (name, output) in &described.outputs {
            names::check_port(name).map_err(|error| error.at("outputs"))?;
            self.check_output(caller, workspace, output)
                .await
                .map_err(|error| error.at(format!("outputs.{name}")))?;
            check_registered(name, output)?;
        }
        described
            .distribution
            .as_ref()
            .map_or(Ok(()), check_distribution)
    }

    async fn check_input(
        &self,
        caller: &Caller,
        workspace: &str,
        kind: &str,
        path: &str,
    ) -> Result<()> {
        let stored = match Location::parse(path)? {
            Location::Local(_) => {
                return Err(Error::invalid(format!(
                    "`{path}` is a path of one machine; the workspace cannot look there"
                ))
                .hint("Upload it first: aml data create --path"));
            }
            Location::Url(_) | Location::Git { .. } => {
                check_open(path)?;
                false
            }
            // One of its own workspace need not be there: a mirror may stand for it.
            Location::Datastore {
                workspace: other, ..
            } => is_other(other.as_deref(), workspace),
            Location::Asset(_) | Location::Run { .. } => true,
        };
        if stored {
            let resolve = ResolvePath {
                workspace: workspace.to_owned(),
                path: path.to_owned(),
                model: kind.ends_with("_model"),
            };
            resolve.perform(self, caller).await?;
        }
        Ok(())
    }

    /// Accepts what can be written; an address elsewhere can where a mirror stands for it.
    async fn check_output(
        &self,
        caller: &Caller,
        workspace: &str,
        output: &JobOutput,
    ) -> Result<()> {
        let path = &output.path;
        check_open(path)?;
        if path.split('/').any(|part| part == "..") {
            return Err(Error::invalid(format!(
                "`{path}` leads up with `..`: an output cannot be kept there"
            ))
            .hint("Write the path without `..`"));
        }
        let problem = match Location::parse(path)? {
            Location::Datastore {
                workspace: Some(other),
                datastore,
                ..
            } if is_other(Some(&other), workspace) => {
                let row = self.enter(caller, &other, Action::StoreFiles).await?;
                return self.find_datastore(&row, Some(&datastore)).await.map(drop);
            }
            Location::Datastore { .. } | Location::Url(_) => return Ok(()),
            Location::Local(_) => "is no address",
            Location::Asset(_) => "is an asset, which never changes",
            Location::Run { .. } => "belongs to a run",
            Location::Git { .. } => "is a repository",
        };
        Err(Error::invalid(format!(
            "`{path}` {problem}: an output cannot be kept there"
        ))
        .hint("Write azureml://datastores/NAME/paths/PATH, or leave the path out"))
    }
}

/// Where an output is kept that is given no place.
pub fn place_of_output(datastore: &str, run: &str, output: &str) -> String {
    format!("azureml://datastores/{datastore}/paths/azureml/{run}/{output}/")
}

/// The run and the output whose such place it is.
pub fn output_of_place(place: &str) -> Option<(String, String)> {
    let Ok(Location::Datastore {
        workspace: None,
        path,
        ..
    }) = Location::parse(place)
    else {
        return None;
    };
    let below = path.trim_end_matches('/').strip_prefix("azureml/")?;
    let (run, output) = below.split_once('/')?;
    (!output.contains('/')).then(|| (run.to_owned(), output.to_owned()))
}

/// Whether a path names another workspace than the one it stands in.
fn is_other(named: Option<&str>, here: &str) -> bool {
    named.is_some_and(|named| !named.eq_ignore_ascii_case(here))
}

/// Accepts the name and version that an output is registered under when the job has completed.
fn check_registered(output: &str, found: &JobOutput) -> Result<()> {
    let Some(name) = &found.name else {
        return Ok(());
    };
    let model = found.kind.ends_with("_model");
    let rule = if model { names::MODEL } else { names::ASSET };
    rule.check(name)
        .map_err(|error| error.at(format!("outputs.{output}.name")))?;
    let Some(version) = &found.version else {
        return Ok(());
    };
    let checked = match Which::version(version) {
        Which::Version(_) if model => Ok(()),
        Which::Named(name) if model => check_version_name(&name),
        _ => names::VERSION.check(version),
    };
    checked.map_err(|error| error.at(format!("outputs.{output}.version")))
}

/// Accepts as many processes as one machine can start.
fn check_distribution(found: &Distribution) -> Result<()> {
    let (processes, servers) = (
        u64::from(found.processes),
        u64::from(found.parameter_servers),
    );
    let all = match found.framework {
        // Its workers are counted in all.
        Framework::Tensorflow => processes + servers,
        _ => u64::from(found.nodes) * processes,
    };
    if (1..=u64::from(MOST_PROCESSES)).contains(&all) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "The job would be {all} processes; all run on one machine, where a job has 1 to {MOST_PROCESSES}"
    ))
    .at("distribution")
    .hint("Lower resources.instance_count or the number of processes"))
}

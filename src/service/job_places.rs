//! What a job reads and writes, looked at as the caller: the worker that goes there may do more.

use super::{Caller, Perform, Service};
use api::{
    Error, Result,
    jobs::{Described, JobInput, JobOutput},
    paths::{Location, ResolvePath},
};

impl Service {
    /// Refuses what is known not to work before anything is run.
    pub(super) async fn check_places(
        &self,
        caller: &Caller,
        workspace: &str,
        described: &Described,
    ) -> Result<()> {
        for (name, input) in &described.inputs {
            if let JobInput::Files { kind, path, .. } = input {
                self.check_input(caller, workspace, kind, path)
                    .await
                    .map_err(|error| error.at(format!("inputs.{name}.path")))?;
            }
        }
        for (name, output) in &described.outputs {
            check_output(output).map_err(|error| error.at(format!("outputs.{name}")))?;
        }
        Ok(())
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
            Location::Url(_) | Location::Git { .. } | Location::Datastore { .. } => false,
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
}

/// Accepts what can be written; an address elsewhere can where a mirror stands for it.
fn check_output(output: &JobOutput) -> Result<()> {
    let path = &output.path;
    let problem = match Location::parse(path)? {
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

//! Registered models and prompts: their files are those of the runs and logged models that were written,
//! or lie by themselves.

use super::{Export, Files, add, copy};
use crate::{
    origin::{Place, place},
    record::{Experiment, Owner, Registered, Version},
    tally::Tally,
    target::Database,
};
use api::{Result, imports::Outcome, registered_models::is_prompt};

impl Export<'_> {
    /// Writes the registry: all of it, or what came out of the experiments that were asked for.
    pub(super) async fn write_registry(
        &mut self,
        experiments: &[Experiment],
        tally: &mut Tally,
    ) -> Result<()> {
        for model in self.source.registered().await? {
            if !self.experiments.is_empty() && !comes_from(&model, experiments) {
                continue;
            }
            tally.registered_models.found += 1;
            tally.model_versions.found += model.versions.len() as u64;
            let mut places = Vec::with_capacity(model.versions.len());
            for version in &model.versions {
                places.push(self.place(&model, version, tally).await?);
            }
            let write = async |target: &mut Database| {
                let of_model = target.registered(&model)?;
                let mut outcomes = Vec::new();
                for (version, place) in model.versions.iter().zip(&places) {
                    outcomes.push(target.version(&model, version, place)?);
                }
                target.aliases(&model)?;
                Ok((of_model, outcomes))
            };
            let (of_model, of_versions): (Outcome, Vec<Outcome>) =
                self.target.at_once(write).await?;
            add(&mut tally.registered_models, of_model);
            for outcome in of_versions {
                add(&mut tally.model_versions, outcome);
            }
        }
        Ok(())
    }
}

fn comes_from(model: &Registered, experiments: &[Experiment]) -> bool {
    model.versions.iter().any(|version| {
        let folder = version.location.strip_prefix("mlflow-artifacts:/");
        let id = folder.and_then(|folder| folder.split('/').next());
        experiments
            .iter()
            .any(|experiment| Some(experiment.id.as_str()) == id)
    })
}

impl Export<'_> {
    /// Where the server finds the files of a version: where those of its run or logged model were
    /// written, else in a folder of their own. A version's files never change.
    async fn place(
        &self,
        model: &Registered,
        version: &Version,
        tally: &mut Tally,
    ) -> Result<String> {
        if is_prompt(&model.tags) {
            return Ok(version.location.clone());
        }
        if let Place::Run { id, path } | Place::Model { id, path } = place(version)
            && let Some(folder) = self.folders.get(&id)
        {
            let all = format!("mlflow-artifacts:/{folder}/{path}");
            return Ok(all.trim_end_matches('/').to_owned());
        }
        let own = format!("models/{}/{}/artifacts", model.name, version.number);
        let there = format!("mlflow-artifacts:/{own}");
        if self
            .target
            .has_version(&model.name, version.number, &there)?
        {
            return Ok(there);
        }
        let (owner, to) = (Owner::Version(version), (own.as_str(), Files::All));
        let copied = copy(self.source, self.target, owner, to, tally).await?;
        match copied.found {
            0 => Ok(version.location.clone()),
            _ => Ok(there),
        }
    }
}

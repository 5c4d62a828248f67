//! Bringing over registered models and prompts.

use super::{
    Action, Caller, Perform, Service, events, metrics::check_tags, model_files::check_kind,
};
use api::{
    Error, Result,
    imports::{ImportRegisteredModel, ImportedRegistration, ImportedVersion},
    models::{ModelSource, ModelType},
    names,
};
use async_trait::async_trait;
use store::{ModelImport, NewModel, VersionImport, WorkspaceRow};

#[async_trait]
impl Perform for ImportRegisteredModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<ImportedRegistration> {
        service.allow_person(caller)?;
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        names::MODEL.check(&self.name)?;
        check_tags(&self.tags)?;
        for alias in self.aliases.keys() {
            names::check_alias(alias)?;
        }
        let mut versions = Vec::with_capacity(self.versions.len());
        for version in self.versions {
            let number = version.version;
            let checked = service
                .check_version(caller, &row, &self.name, version)
                .await;
            versions.push(checked.map_err(|mut error| {
                error.message = format!("{} (version {number})", error.message);
                error
            })?);
        }
        let import = ModelImport {
            name: self.name,
            description: self.description,
            tags: self.tags,
            aliases: self.aliases,
            created_at: self.created_at,
            updated_at: self.updated_at,
            versions,
            again: self.again,
        };
        service.store.import_registered_model(row.id, import).await
    }
}

impl Service {
    /// What a logged model that was brought over is called here.
    async fn model_here(&self, row: &WorkspaceRow, origin: String) -> Result<String> {
        let here = self.store.imported_logged_model(row.id, &origin).await?;
        Ok(here.unwrap_or(origin))
    }

    async fn check_version(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        name: &str,
        mut version: ImportedVersion,
    ) -> Result<VersionImport> {
        if version.version == 0 {
            return Err(Error::invalid("Versions are numbered from 1 on").at("version"));
        }
        check_tags(&version.tags)?;
        if let ModelSource::LoggedModel { id, .. } = &mut version.source {
            *id = self.model_here(row, std::mem::take(id)).await?;
        }
        if let Some(id) = version.logged_model.take() {
            version.logged_model = Some(self.model_here(row, id).await?);
        }
        let mut found = self.model_files(caller, row, version.source, true).await?;
        let lineage = &mut found.lineage;
        lineage.run = version.run.or(lineage.run.take());
        self.lineage_of_run(caller, row, lineage).await;
        lineage.logged_model = version.logged_model.or(lineage.logged_model.take());
        lineage.run_link = version.run_link.or(lineage.run_link.take());
        let kind = match found.kind {
            Some(kind) => kind,
            None if found.tree.is_none() => ModelType::Custom,
            None => check_kind(None, &found.entries)?,
        };
        Ok(VersionImport {
            version: version.version,
            stage: version.stage,
            updated_at: version.updated_at,
            new: NewModel {
                name: name.to_owned(),
                version: Some(version.version),
                version_name: None,
                properties: [].into(),
                flavors: serde_json::Map::new(),
                existing: true,
                kind,
                description: version.description,
                tags: version.tags,
                tree: found.tree,
                source: version.uri,
                location: found.location,
                lineage: found.lineage,
                created_by: version.created_by,
                now: version.created_at,
                announce: events::of_registration,
            },
        })
    }
}

//! The registry that comes with every server: the curated environments, as assets.

use serde_json::{Map, Value, json};

use super::{Caller, Perform, Service, assets::prepare};
use api::{
    Code, Result,
    assets::{AssetKind, CreateAsset},
    registries::{CURATED, CreateRegistry, place},
};
use spec::environment;

impl Service {
    /// Sees to it that the registry is there and has every environment that this program knows, in
    /// the version that it knows.
    pub(super) async fn ensure_curated(&self) -> Result<()> {
        if self.store.registry(CURATED).await?.is_none() {
            let create = CreateRegistry {
                name: CURATED.to_owned(),
                description: "Environments that come with AMLite".to_owned(),
                display_name: None,
                location: None,
                tags: [].into(),
                spec: Map::new(),
            };
            match create.perform(self, &Caller::Owner).await {
                // Another process was here at the same time.
                Err(error) if error.code == Code::Conflict => {}
                made => drop(made?),
            }
        }
        let Some(row) = self.store.workspace(&place(CURATED)).await? else {
            return Ok(());
        };
        let kind = AssetKind::Environment;
        let there = self.store.asset_digests(row.id, kind).await?;
        for (name, requirements) in environment::curated_sets() {
            let create = CreateAsset {
                workspace: place(CURATED),
                kind,
                name: Some(name.to_owned()),
                version: None,
                spec: spec_of(name, &requirements),
                description: None,
                tags: [].into(),
                properties: [].into(),
                files: None,
                labels: Vec::new(),
            };
            // Entering the registry would come back here.
            let new = prepare(create, self, &Caller::Owner)?;
            if !there.contains(&new.digest) {
                // Another process, older or newer than this one, may do the same now.
                self.store.create_asset_once(row.id, new).await?;
            }
        }
        Ok(())
    }
}

/// A curated set as an environment of Azure's YAML.
fn spec_of(name: &str, requirements: &[String]) -> Map<String, Value> {
    let spec = json!({
        "image": format!("mcr.microsoft.com/azureml/curated/{}", name.to_lowercase()),
        "conda_file": {"name": name, "dependencies": [{"pip": requirements}]},
        "os_type": "linux",
    });
    match spec {
        Value::Object(spec) => spec,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support::Bench;
    use api::assets::{Archived, ListAssets};

    #[tokio::test]
    async fn the_registry_has_each_environment_once() {
        let bench = Bench::new().await;
        let list = || ListAssets {
            workspace: place(CURATED),
            kind: AssetKind::Environment,
            name: None,
            archived: Archived::Exclude,
            limit: None,
        };
        let first = bench.ask(list()).await.unwrap();
        assert_eq!(first.len(), environment::curated_names().count());
        assert!(first.iter().all(|asset| asset.version == "1"));
        assert_eq!(bench.ask(list()).await.unwrap(), first);
    }

    #[tokio::test]
    async fn programs_of_different_age_make_each_version_once() {
        let bench = Bench::new().await;
        let service = &bench.service;
        service.ensure_curated().await.unwrap();
        let row = service.store.workspace(&place(CURATED)).await.unwrap();
        let row = row.unwrap().id;
        let of = |version: &str| {
            let create = CreateAsset {
                workspace: place(CURATED),
                kind: AssetKind::Environment,
                name: Some("sklearn-1.5".to_owned()),
                version: None,
                spec: spec_of("sklearn-1.5", &[format!("scikit-learn=={version}")]),
                description: None,
                tags: [].into(),
                properties: [].into(),
                files: None,
                labels: Vec::new(),
            };
            prepare(create, service, &Caller::Owner).unwrap()
        };
        let newer = || service.store.create_asset_once(row, of("9"));
        let (one, two) = tokio::join!(newer(), newer());
        one.unwrap();
        two.unwrap();
        service.ensure_curated().await.unwrap();
        newer().await.unwrap();
        let list = ListAssets {
            workspace: place(CURATED),
            kind: AssetKind::Environment,
            name: Some("sklearn-1.5".to_owned()),
            archived: Archived::Include,
            limit: None,
        };
        assert_eq!(bench.ask(list).await.unwrap().len(), 2);
    }
}

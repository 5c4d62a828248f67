//! The data collector of deployments: what a description asks for, and keeping what hosts hand over as
//! lines of JSON in a datastore, where Azure keeps them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Action, Caller, Perform, Service};
use api::{
    Code, Done, Error, Result, Time,
    assets::{AssetKind, CreateAsset},
    collector::{Collected, Collector, ReportCollected, Rolling},
    names,
    paths::Location,
};
use spec::kinds::serving::{CollectionData, OnlineDeploymentBase, RollingRate, TrueOrFalse};
use store::{EndpointRow, WorkspaceRow};

/// Where collections lie that do not say another place.
const FOLDER: &str = "azureml://datastores/workspaceblobstore/paths/modelDataCollector";
const FIRST: &str = "1";

/// A collection as an asset.
pub(super) struct Collection {
    name: String,
    version: String,
    path: String,
}

/// What a description says of collecting, and the assets of its collections.
pub(super) fn written(
    base: &OnlineDeploymentBase,
    endpoint: &str,
    deployment: &str,
) -> Result<(Option<Collector>, Vec<Collection>)> {
    let Some(written) = &base.data_collector else {
        return Ok((None, Vec::new()));
    };
    let rate = written.sampling_rate.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&rate) {
        let error = Error::invalid(format!("{rate} is no share between 0 and 1"));
        return Err(error.at("data_collector.sampling_rate"));
    }
    let (mut collections, mut assets) = (BTreeMap::new(), Vec::new());
    for (name, collection) in written.collections.iter() {
        if collection.enabled != TrueOrFalse::True {
            continue;
        }
        let target = format!("data_collector.collections.{name}");
        // It becomes a folder, and the end of a type.
        names::SCHEDULE.check(name).map_err(|_| {
            Error::invalid(format!("`{name}` cannot name a collection"))
                .at(&target)
                .hint("Letters, digits, `-` and `_` can")
        })?;
        let mut asset = Collection {
            name: format!("{endpoint}-{deployment}-{name}"),
            version: FIRST.to_owned(),
            path: format!("{FOLDER}/{endpoint}/{deployment}/{name}"),
        };
        if let Some(CollectionData::Name(named)) = &collection.data {
            let plain = named.strip_prefix("azureml:").unwrap_or(named);
            let (name, version) = plain.split_once(':').unwrap_or((plain, FIRST));
            (asset.name, asset.version) = (name.to_owned(), version.to_owned());
        }
        if let Some(CollectionData::Asset(said)) = &collection.data {
            for (given, own) in [
                (&said.name, &mut asset.name),
                (&said.version, &mut asset.version),
                (&said.path, &mut asset.path),
            ] {
                if let Some(given) = given {
                    own.clone_from(given);
                }
            }
        }
        if !matches!(
            Location::parse(&asset.path)?,
            Location::Datastore {
                workspace: None,
                ..
            }
        ) {
            let error = format!("`{}` is no place of a datastore", asset.path);
            return Err(Error::invalid(error)
                .at(format!("{target}.data.path"))
                .hint("Write azureml://datastores/NAME/paths/PATH"));
        }
        collections.insert(name.to_lowercase(), asset.path.clone());
        assets.push(asset);
    }
    if collections.is_empty() {
        return Ok((None, assets));
    }
    let headers = written.request_logging.as_ref();
    let collector = Collector {
        collections,
        rolling: match written.rolling_rate {
            Some(RollingRate::Minute) => Rolling::Minute,
            None | Some(RollingRate::Hour) => Rolling::Hour,
            Some(RollingRate::Day) => Rolling::Day,
        },
        sampling_percent: rate * 100.0,
        headers: headers
            .map(|logged| logged.capture_headers.clone())
            .unwrap_or_default(),
    };
    Ok((Some(collector), assets))
}

impl Service {
    /// Makes the data assets of collections that are not there.
    pub(super) async fn register_collections(
        &self,
        caller: &Caller,
        workspace: &str,
        assets: Vec<Collection>,
    ) -> Result<()> {
        for asset in assets {
            let spec = [("type", "uri_folder"), ("path", asset.path.as_str())];
            let create = CreateAsset {
                workspace: workspace.to_owned(),
                kind: AssetKind::Data,
                name: Some(asset.name),
                version: Some(asset.version),
                spec: spec
                    .map(|(key, value)| (key.to_owned(), value.into()))
                    .into_iter()
                    .collect(),
                description: None,
                tags: BTreeMap::new(),
                properties: BTreeMap::new(),
                files: None,
                labels: Vec::new(),
            };
            match create.perform(self, caller).await {
                Err(error) if error.code != Code::Conflict => {
                    return Err(error.at("data_collector"));
                }
                // It may have been changed by hand.
                _ => {}
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Perform for ReportCollected {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.allow_admin(caller, "serve endpoints of the server")?;
        let Some(endpoint) = service.store.endpoint_by_id(self.endpoint).await? else {
            return Ok(Done {});
        };
        let known = endpoint
            .deployments
            .iter()
            .find(|one| one.id == self.deployment);
        let Some((deployment, collector)) =
            known.and_then(|one| Some((one, one.deployment.collector.as_ref()?)))
        else {
            return Ok(Done {});
        };
        names::ASSET.check(&self.instance)?;
        let workspace = &endpoint.workspace_name;
        let row = service.enter(caller, workspace, Action::StoreFiles).await?;
        let source = source(&row, &endpoint, &deployment.name);
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for one in self.events {
            if let Some(begin) = collector.collections.get(&one.collection) {
                let folder = folder(collector.rolling, one.time);
                let path = format!("{begin}/{folder}/{}.jsonl", self.instance);
                let lines = files.entry(path).or_default();
                serde_json::to_writer(&mut *lines, &line(one, &source))
                    .map_err(|e| Error::internal(e.to_string()))?;
                lines.push(b'\n');
            }
        }
        for (path, lines) in files {
            let Location::Datastore {
                datastore, path, ..
            } = Location::parse(&path)?
            else {
                continue;
            };
            let found = service.find_datastore(&row, Some(&datastore)).await?;
            let place = service.place(&row, &found)?;
            place.append(&path, lines, service.now()).await?;
        }
        Ok(Done {})
    }
}

fn source(row: &WorkspaceRow, endpoint: &EndpointRow, deployment: &str) -> String {
    let workspace = &row.workspace;
    format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}/onlineEndpoints/{}/deployments/{deployment}",
        workspace.subscription, workspace.resource_group, workspace.name, endpoint.name
    )
}

/// The folder of a time below a collection's.
fn folder(rolling: Rolling, time: Time) -> String {
    let format = match rolling {
        Rolling::Minute => "%Y/%m/%d/%H/%M",
        Rolling::Hour => "%Y/%m/%d/%H",
        Rolling::Day => "%Y/%m/%d",
    };
    time.datetime().format(format).to_string()
}

/// An event as it is kept, with where it is from.
fn line(collected: Collected, source: &str) -> Map<String, Value> {
    let mut line = Map::new();
    for (key, value) in collected.event {
        let first = key == "type";
        if first {
            line.insert("source".to_owned(), source.into());
        }
        line.insert(key, value);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_of_the_time_in_utc() {
        let time = Time(1_669_884_690_000);
        assert_eq!(folder(Rolling::Minute, time), "2022/12/01/08/51");
        assert_eq!(folder(Rolling::Hour, time), "2022/12/01/08");
        assert_eq!(folder(Rolling::Day, time), "2022/12/01");
    }
}

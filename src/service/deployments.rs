//! Deployments in Azure's words: what a description means, and changing what gets requests.

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Action, Caller, Perform, Service, collector,
    deploy::{Asked, CODE, check_endpoint_name},
    deployment_settings,
    endpoints::find_deployment,
};
use api::{
    Done, Error, Result,
    assets::{AssetKind, AssetRef, GetAsset, Pick},
    deployments::{DeleteDeployment, Deployed, Deployment, GetDeployment, PutDeployment},
    endpoints::{Endpoint, LOCAL, MOST_MIRRORED, PutEndpoint, Traffic},
    files::{CreateTree, GetTree, Hash},
    models::{LATEST, Model, Which},
};
use spec::{
    kinds::serving::{ModelSource, OnlineDeployment, OnlineDeploymentBase},
    shape::Described as _,
};
use store::{DeploymentRow, EndpointChange, EndpointRow, ModelRow, WorkspaceRow};

/// How often an endpoint is looked at again that others change meanwhile.
const TRIES: u32 = 10;

#[async_trait]
impl Perform for PutEndpoint {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Endpoint> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        for _ in 0..TRIES {
            let change = change_of(self.clone(), service, &row).await?;
            let Some(put) = service.store.put_endpoint(row.id, change).await? else {
                continue;
            };
            service.wake_host(put.id).await?;
            let put = service.store.endpoint_by_id(put.id).await?.unwrap_or(put);
            return Ok(service.show_endpoint(put));
        }
        Err(Error::conflict(format!(
            "The endpoint `{}` is changed by others again and again",
            self.name
        ))
        .hint("Try again in a moment"))
    }
}

/// What is to be changed of an endpoint as it is now.
async fn change_of(
    mut asked: PutEndpoint,
    service: &Service,
    row: &WorkspaceRow,
) -> Result<EndpointChange> {
    let found = if asked.existing {
        Some(service.find_endpoint(row, &asked.name).await?)
    } else {
        check_endpoint_name(&asked.name)?;
        service.store.endpoint(row.id, &asked.name).await?
    };
    asked.traffic = stored_names(found.as_ref(), asked.traffic.take(), "traffic")?;
    asked.mirror_traffic = stored_names(
        found.as_ref(),
        asked.mirror_traffic.take(),
        "mirror_traffic",
    )?;
    check_traffic(found.as_ref(), &asked)?;
    if let Some(port) = asked.port {
        service.check_port(row, &asked.name, port).await?;
    }
    Ok(EndpointChange {
        sealed_keys: service.seal_keys(row.id, &asked.name, &service.new_keys()?)?,
        name: asked.name,
        of: found.map(|found| (found.id, found.orders)),
        auth_mode: asked.auth_mode,
        traffic: asked.traffic,
        mirror_traffic: asked.mirror_traffic,
        description: asked.description,
        tags: asked.tags,
        properties: asked.properties,
        port: asked.port,
        now: service.now(),
    })
}

/// The shares under the names that their deployments have, however they were typed. Refuses those of
/// what is not there, and two of the same deployment.
fn stored_names(
    found: Option<&EndpointRow>,
    shares: Option<Traffic>,
    target: &str,
) -> Result<Option<Traffic>> {
    let Some(shares) = shares else {
        return Ok(None);
    };
    let mut named = Traffic::new();
    for (typed, share) in shares {
        let Some(row) = found else {
            let error = format!("There is no deployment `{typed}`: the endpoint is new");
            return Err(Error::not_found(error)
                .at(target)
                .hint("Deploy first, then share the requests"));
        };
        let known = find_deployment(row, &typed).map_err(|error| error.at(target))?;
        if named.insert(known.name.clone(), share).is_some() {
            let error = format!("The deployment `{}` is named twice", known.name);
            return Err(Error::invalid(error)
                .at(target)
                .hint("Give each deployment one share: upper and lower case are the same name"));
        }
    }
    Ok(Some(named))
}

/// Refuses shares that are not a whole, and copies that cannot be made.
fn check_traffic(found: Option<&EndpointRow>, asked: &PutEndpoint) -> Result<()> {
    if asked.traffic.is_none() && asked.mirror_traffic.is_none() {
        return Ok(());
    }
    if let Some(traffic) = &asked.traffic {
        let sum: u32 = traffic.values().map(|share| u32::from(*share)).sum();
        if sum != 0 && sum != 100 {
            return Err(Error::invalid(format!(
                "The shares of the requests are {sum} percent together, not 100 or 0"
            ))
            .at("traffic")
            .hint("For example: blue=90 green=10"));
        }
    }
    let kept = found.map(|row| &row.mirror_traffic);
    let Some(mirror) = asked.mirror_traffic.as_ref().or(kept) else {
        return Ok(());
    };
    let copied: Vec<_> = mirror.iter().filter(|(_, share)| **share > 0).collect();
    match copied.as_slice() {
        [] => Ok(()),
        [(name, share)] if **share > MOST_MIRRORED => Err(Error::invalid(format!(
            "At most {MOST_MIRRORED} percent of the requests can be copied, not {share} to `{name}`"
        ))
        .at("mirror_traffic")),
        [(name, _)] => {
            let own = asked.traffic.as_ref().or(found.map(|row| &row.traffic));
            match own.and_then(|own| own.get(*name)) {
                Some(own) if *own > 0 && asked.mirror_traffic.is_none() => Err(Error::conflict(
                    format!("`{name}` gets copies of requests, so it can get none of its own"),
                )
                .at("traffic")
                .hint(format!(
                    "End that with it: aml endpoint traffic {} {name}={own} … --mirror {name}=0",
                    asked.name
                ))),
                Some(own) if *own > 0 => Err(Error::conflict(format!(
                    "`{name}` gets requests of its own, so none can be copied to it"
                ))
                .at("mirror_traffic")),
                _ => Ok(()),
            }
        }
        _ => Err(
            Error::invalid("Requests can be copied to one deployment only").at("mirror_traffic"),
        ),
    }
}

#[async_trait]
impl Perform for PutDeployment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Deployed> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let endpoint = service.find_endpoint(&row, &self.endpoint).await?;
        let before = self
            .existing
            .then(|| find_deployment(&endpoint, &self.name).cloned())
            .transpose()?;
        let definition = Value::Object(self.definition.clone());
        let written = OnlineDeployment::read(Some(&definition)).map_err(|mismatch| {
            Error::invalid(format!("The deployment is not understood: {mismatch}"))
        })?;
        let mut base = match written {
            OnlineDeployment::Managed(managed) => managed.base,
            OnlineDeployment::Kubernetes(kubernetes) => kubernetes.base,
        };
        service.unpack(caller, &row, &mut base.base).await?;
        let (request, base) = (&self, &base);
        let model = service.written_model(caller, &row, base).await?;
        let mut deployment = service
            .written_deployment(caller, &row, request, base)
            .await?;
        let local = endpoint.name.strip_prefix(LOCAL);
        let plain = local.unwrap_or(&endpoint.name);
        let (collector, mut collections) = collector::written(base, plain, &self.name)?;
        deployment.collector = collector;
        if local.is_some() {
            // It only writes to its log.
            collections.clear();
        }
        let known = model.as_ref().map(|found| &found.model);
        service
            .add_program(caller, &row, &base.base, known, &mut deployment)
            .await?;
        if let Some(before) = &before {
            service
                .keep_unsaid(caller, &row, before, known, &mut deployment)
                .await;
        }
        let asked = Asked {
            // A local endpoint has one address for what is deployed last.
            first_traffic: endpoint.name.starts_with(LOCAL),
            endpoint: endpoint.name,
            name: self.name.clone(),
            all_traffic: self.all_traffic,
            port: None,
        };
        let deployed = service.deploy(caller, &row, asked, model, deployment);
        let deployed = deployed.await?;
        service
            .register_collections(caller, &row.workspace.name, collections)
            .await?;
        service.shown(deployed, &self.name)
    }
}

impl Service {
    fn shown(&self, row: EndpointRow, name: &str) -> Result<Deployed> {
        let endpoint = self.show_endpoint(row);
        let mut all = endpoint.deployments.into_iter();
        all.find(|one| one.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::conflict("The deployment was deleted meanwhile"))
    }

    async fn written_model(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        base: &OnlineDeploymentBase,
    ) -> Result<Option<ModelRow>> {
        let text: &str = match &base.base.model {
            None => return Ok(None),
            Some(ModelSource::Name(name)) => name,
            Some(ModelSource::Inline(_)) => {
                return Err(Error::invalid("The model was not uploaded").at("model"));
            }
        };
        let found = self.model_of(caller, row, text).await;
        found.map(Some).map_err(|error| error.at("model"))
    }

    /// The version of a model that a reference names, here or in a registry.
    pub(super) async fn model_of(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        text: &str,
    ) -> Result<ModelRow> {
        let asset = AssetRef::parse(text)?;
        let which = match &asset.pick {
            Pick::Latest => Which::Newest,
            Pick::Label(label) if label.eq_ignore_ascii_case(LATEST) => Which::Newest,
            Pick::Label(label) => Which::Alias(label.clone()),
            Pick::Version(version) => Which::version(version),
        };
        let place = asset.holder.workspace(&row.workspace.name);
        let holder = self.enter(caller, &place, Action::Read).await?;
        self.find_model(&holder, &asset.name, which).await
    }

    async fn written_deployment(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        request: &PutDeployment,
        base: &OnlineDeploymentBase,
    ) -> Result<Deployment> {
        let workspace = &row.workspace.name;
        let written = &base.base;
        let code = match written
            .code_configuration
            .as_ref()
            .and_then(|c| c.code.as_ref())
        {
            Some(code) => Some(self.code_of(caller, workspace, code).await?),
            None => None,
        };
        let script = written.code_configuration.as_ref();
        let script = script.and_then(|code| code.scoring_script.clone());
        let environment = match &written.environment {
            Some(source) => {
                let (found, _) = self.resolve_environment(caller, workspace, source).await?;
                Some(match &request.search_path {
                    Some(path) => found.found_in(path),
                    None => found,
                })
            }
            None => None,
        };
        Ok(Deployment {
            code,
            script,
            environment,
            definition: request.definition.clone(),
            ..deployment_settings::read(base)?
        })
    }

    /// Leaves code and environment of an updated deployment as they are when its description has never
    /// said them: they were given by flags.
    async fn keep_unsaid(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        before: &DeploymentRow,
        model: Option<&Model>,
        deployment: &mut Deployment,
    ) {
        let old = &before.deployment;
        if deployment.code.is_none() && deployment.script.is_some() {
            deployment.code = old.code;
        }
        deployment.secret_files.clone_from(&old.secret_files);
        let said = |of: &Deployment| of.definition.contains_key("environment");
        if deployment.environment.is_some() || said(old) || said(deployment) {
            return;
        }
        let served = old
            .model
            .as_ref()
            .map(|old| (old.model.as_str(), old.version));
        if served != model.map(|new| (new.name.as_str(), new.version)) {
            // What came with the old model goes with it.
            let run = before.model_lineage.as_ref().and_then(|l| l.run.as_deref());
            let inherited = self.environment_of_run(caller, row, run).await;
            if old.environment == inherited {
                return;
            }
        }
        deployment.environment.clone_from(&old.environment);
        deployment.image.clone_from(&old.image);
    }

    /// The files of code that the workspace, or a registry, has.
    pub(super) async fn code_of(
        &self,
        caller: &Caller,
        workspace: &str,
        text: &str,
    ) -> Result<Hash> {
        let asset = AssetRef::parse(text).map_err(|error| error.at(CODE))?;
        let place = asset.holder.workspace(workspace);
        let get = GetAsset {
            workspace: place.clone(),
            kind: AssetKind::Code,
            name: asset.name.clone(),
            version: asset.pick.version(),
            label: asset.pick.label(),
        };
        let found = get.perform(self, caller).await;
        let found = found.map_err(|error| error.at(CODE))?;
        let Some(files) = found.files else {
            return Err(Error::invalid(format!("The code `{text}` has no files")).at(CODE));
        };
        if !place.eq_ignore_ascii_case(workspace) {
            let get = GetTree {
                workspace: place,
                hash: files.hash,
            };
            let copy = CreateTree {
                workspace: workspace.to_owned(),
                tree: get.perform(self, caller).await?,
            };
            copy.perform(self, caller).await?;
        }
        Ok(files.hash)
    }
}

#[async_trait]
impl Perform for GetDeployment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Deployed> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let found = service.find_endpoint(&row, &self.endpoint).await?;
        let name = find_deployment(&found, &self.name)?.name.clone();
        service.shown(found, &name)
    }
}

#[async_trait]
impl Perform for DeleteDeployment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let found = service.find_endpoint(&row, &self.endpoint).await?;
        let deployment = find_deployment(&found, &self.name)?;
        let store = &service.store;
        let deleted = store
            .delete_deployment(found.id, &deployment.name, self.force, service.now())
            .await?;
        if let Err(share) = deleted {
            return Err(Error::conflict(format!(
                "`{}` gets {share} percent of the requests of `{}`",
                deployment.name, found.name
            ))
            .hint(format!(
                "Give them to another one: aml endpoint traffic {} OTHER=100",
                found.name
            )));
        }
        service.tell_host(&found).await?;
        store.remove_deployment_files(found.id, deployment.id);
        Ok(Done {})
    }
}

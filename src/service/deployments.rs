//! Deployments in Azure's words: what a description means, and changing what gets requests.

use async_trait::async_trait;
use serde_json::Value;

use super::{
    Action, Caller, Perform, Service,
    deploy::{Asked, check_endpoint_name},
    endpoints::find_deployment,
};
use api::{
    Done, Error, Result,
    assets::{AssetKind, AssetRef, GetAsset, Pick},
    deployments::{
        DeleteDeployment, Deployed, Deployment, GetDeployment, Probe, PutDeployment,
        RequestSettings, Scale,
    },
    endpoints::{Endpoint, LOCAL, MOST_MIRRORED, PutEndpoint, Traffic},
    files::{CreateTree, GetTree, Hash},
    models::{LATEST, Model, Which},
};
use spec::{
    kinds::serving::{self, ModelSource, OnlineDeployment, OnlineDeploymentBase, ScaleSettings},
    shape::Described as _,
};
use store::{DeploymentRow, EndpointChange, EndpointRow, ModelRow, WorkspaceRow};

/// What Azure takes when a file says no numbers.
const POLLING_SECONDS: u32 = 1;
const TARGET_PERCENT: u32 = 70;

#[async_trait]
impl Perform for PutEndpoint {
    async fn perform(mut self, service: &Service, caller: &Caller) -> Result<Endpoint> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let found = if self.existing {
            Some(service.find_endpoint(&row, &self.name).await?)
        } else {
            check_endpoint_name(&self.name)?;
            service.store.endpoint(row.id, &self.name).await?
        };
        self.traffic = stored_names(found.as_ref(), self.traffic.take(), "traffic")?;
        self.mirror_traffic =
            stored_names(found.as_ref(), self.mirror_traffic.take(), "mirror_traffic")?;
        check_traffic(found.as_ref(), &self)?;
        if let Some(port) = self.port {
            service.check_port(&row, &self.name, port).await?;
        }
        let change = EndpointChange {
            sealed_keys: service.seal_keys(row.id, &self.name, &service.new_keys()?)?,
            name: self.name,
            auth_mode: self.auth_mode,
            traffic: self.traffic,
            mirror_traffic: self.mirror_traffic,
            description: self.description,
            tags: self.tags,
            properties: self.properties,
            port: self.port,
            now: service.now(),
        };
        let Some(put) = service.store.put_endpoint(row.id, change).await? else {
            return Err(Error::conflict("The endpoint was deleted meanwhile"));
        };
        service.wake_host(put.id).await?;
        let put = service.store.endpoint_by_id(put.id).await?.unwrap_or(put);
        Ok(service.show_endpoint(put))
    }
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
    if let Some(traffic) = &asked.traffic {
        let sum: u32 = traffic.values().map(|share| u32::from(*share)).sum();
        if sum != 0 && sum != 100 {
            return Err(Error::invalid(format!(
                "The shares of the requests are {sum} percent together, not 100 or 0"
            ))
            .at("traffic")
            .hint("For example --traffic \"blue=90 green=10\""));
        }
    }
    let Some(mirror) = &asked.mirror_traffic else {
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
        let base = match &written {
            OnlineDeployment::Managed(managed) => &managed.base,
            OnlineDeployment::Kubernetes(kubernetes) => &kubernetes.base,
        };
        let request = &self;
        let model = service.written_model(caller, &row, base).await?;
        let mut deployment = service
            .written_deployment(caller, &row, request, base)
            .await?;
        if let Some(before) = &before {
            let model = model.as_ref().map(|found| &found.model);
            service
                .keep_unsaid(caller, &row, before, model, &mut deployment)
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
        service.shown(deployed.await?, &self.name)
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
        let variables = written.environment_variables.iter();
        Ok(Deployment {
            model: None,
            code,
            script,
            environment,
            environment_variables: variables
                .map(|(name, value)| (name.to_owned(), value.0.clone()))
                .collect(),
            instances: count(base.instance_count, 1, "instance_count")?,
            scale: scale(base)?,
            requests: requests(base)?,
            liveness: probe(base.liveness_probe.as_ref(), "liveness_probe")?,
            readiness: probe(base.readiness_probe.as_ref(), "readiness_probe")?,
            definition: request.definition.clone(),
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
    }

    /// The files of code that the workspace, or a registry, has.
    pub(super) async fn code_of(
        &self,
        caller: &Caller,
        workspace: &str,
        text: &str,
    ) -> Result<Hash> {
        let target = "code_configuration.code";
        let asset = AssetRef::parse(text).map_err(|error| error.at(target))?;
        let place = asset.holder.workspace(workspace);
        let get = GetAsset {
            workspace: place.clone(),
            kind: AssetKind::Code,
            name: asset.name.clone(),
            version: asset.pick.version(),
            label: asset.pick.label(),
        };
        let found = get.perform(self, caller).await;
        let found = found.map_err(|error| error.at(target))?;
        let Some(files) = found.files else {
            return Err(Error::invalid(format!("The code `{text}` has no files")).at(target));
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

/// A number of the file that is not negative.
fn count(written: Option<i64>, absent: u32, target: &str) -> Result<u32> {
    let Some(number) = written else {
        return Ok(absent);
    };
    u32::try_from(number)
        .map_err(|_| Error::invalid(format!("{number} is not a number from 0 up")).at(target))
}

fn scale(base: &OnlineDeploymentBase) -> Result<Option<Scale>> {
    let Some(ScaleSettings::TargetUtilization(written)) = &base.scale_settings else {
        return Ok(None);
    };
    let number =
        |written, absent, key: &str| count(written, absent, &format!("scale_settings.{key}"));
    let min = number(written.min_instances, 1, "min_instances")?;
    Ok(Some(Scale {
        min,
        max: number(written.max_instances, min.max(1), "max_instances")?,
        target_percent: number(
            written.target_utilization_percentage,
            TARGET_PERCENT,
            "target_utilization_percentage",
        )?,
        polling_seconds: number(
            written.polling_interval,
            POLLING_SECONDS,
            "polling_interval",
        )?
        .max(1),
    }))
}

fn requests(base: &OnlineDeploymentBase) -> Result<RequestSettings> {
    let Some(written) = &base.request_settings else {
        return Ok(RequestSettings::default());
    };
    let number = |written: Option<i64>, key: &str| {
        let target = format!("request_settings.{key}");
        let number = written.map(|number| count(Some(number), 0, &target));
        number.transpose()
    };
    Ok(RequestSettings {
        timeout_ms: number(written.request_timeout_ms, "request_timeout_ms")?.map(u64::from),
        max_concurrent: number(
            written.max_concurrent_requests_per_instance,
            "max_concurrent_requests_per_instance",
        )?
        .map(|most| most.max(1)),
        max_queue_wait_ms: number(written.max_queue_wait_ms, "max_queue_wait_ms")?.map(u64::from),
    })
}

fn probe(written: Option<&serving::Probe>, target: &str) -> Result<Option<Probe>> {
    let Some(written) = written else {
        return Ok(None);
    };
    let usual = Probe::default();
    let number = |written, absent, key: &str| count(written, absent, &format!("{target}.{key}"));
    Ok(Some(Probe {
        initial_delay: number(written.initial_delay, usual.initial_delay, "initial_delay")?,
        period: number(written.period, usual.period, "period")?.max(1),
        timeout: number(written.timeout, usual.timeout, "timeout")?.max(1),
        failure_threshold: number(
            written.failure_threshold,
            usual.failure_threshold,
            "failure_threshold",
        )?
        .max(1),
        success_threshold: number(
            written.success_threshold,
            usual.success_threshold,
            "success_threshold",
        )?
        .max(1),
    }))
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
        let share = found.traffic.get(&deployment.name).copied().unwrap_or(0);
        if share > 0 && !self.force {
            return Err(Error::conflict(format!(
                "`{}` gets {share} percent of the requests of `{}`",
                deployment.name, found.name
            ))
            .hint(format!(
                "Give them to another one: aml endpoint traffic {} OTHER=100",
                found.name
            )));
        }
        let store = &service.store;
        store
            .delete_deployment(found.id, &deployment.name, service.now())
            .await?;
        if found.desired && store.endpoint_hosted(found.id) {
            service.wake_host(found.id).await?;
        }
        store.remove_deployment_files(found.id, deployment.id);
        Ok(Done {})
    }
}

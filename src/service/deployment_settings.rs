//! What the description of a deployment says of its processes: their variables, how many they are, and
//! how they are asked.

use std::collections::BTreeMap;

use serde_json::Value;

use api::{
    Error, Result,
    deployments::{Container, Deployment, Probe, RequestSettings, Scale},
};
use spec::{
    described::{Map, Scalar, python_text},
    kinds::serving::{self, DeploymentBase, OnlineDeploymentBase, ScaleSettings},
};

/// What Azure takes when a file says no numbers.
const POLLING_SECONDS: u32 = 1;
const TARGET_PERCENT: u32 = 70;
/// The property of a deployment that asks for scoring without Python.
const NATIVE: &str = "aml.native";
/// Those that ask for containers, and name the registry of the image.
pub(super) const CONTAINER: &str = "aml.container";
const REGISTRY: &str = "aml.registry";

/// A deployment of nothing yet, with all that is said besides.
pub(super) fn read(base: &OnlineDeploymentBase) -> Result<Deployment> {
    let written = &base.base;
    let (mut variables, mut secrets) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in written.environment_variables.iter() {
        match secret_named(&value.0).map_err(|e| e.at("environment_variables"))? {
            Some(secret) => secrets.insert(name.to_owned(), secret.to_owned()),
            None => variables.insert(name.to_owned(), value.0.clone()),
        };
    }
    Ok(Deployment {
        container: wanted_container(written)?,
        native: says_yes(&written.properties, NATIVE)?.unwrap_or_default(),
        environment_variables: variables,
        secrets,
        instances: count(base.instance_count.map(|one| one.0), 1, "instance_count")?,
        scale: scale(base)?,
        requests: requests(base)?,
        liveness: probe(base.liveness_probe.as_ref(), "liveness_probe")?,
        readiness: probe(base.readiness_probe.as_ref(), "readiness_probe")?,
        ..Deployment::default()
    })
}

/// The secret that the value of a variable stands for, as in Azure:
/// `${{keyvault:https://VAULT.vault.azure.net/secrets/NAME}}` or
/// `keyvaultref:https://VAULT.vault.azure.net/secrets/NAME`, with or without a version.
fn secret_named(value: &str) -> Result<Option<&str>> {
    let inside = value
        .strip_prefix("${{")
        .and_then(|rest| rest.strip_suffix("}}"));
    let address = match inside.map(str::trim) {
        Some(inside) => inside.strip_prefix("keyvault:"),
        None => match value.strip_prefix("keyvaultref:") {
            None => return Ok(None),
            found => found,
        },
    };
    let name = address.and_then(|address| address.split_once("/secrets/"));
    let name = name.and_then(|(_, path)| path.split('/').next());
    name.filter(|name| !name.is_empty())
        .map(Some)
        .ok_or_else(|| {
            Error::invalid(format!("`{value}` names no secret of a key vault"))
                .hint("Write ${{keyvault:https://VAULT.vault.azure.net/secrets/NAME}}")
        })
}

/// Whether a property asks for what Azure's files have no word for.
pub(super) fn says_yes(all: &Map<Scalar>, property: &str) -> Result<Option<bool>> {
    let said = all.get(property).map(|said| read_yes(&said.0, property));
    said.transpose()
}

/// The same of a property that stands for others.
pub(super) fn yes_or_no(said: &Value) -> Result<bool> {
    read_yes(&python_text(said), CONTAINER)
}

fn read_yes(said: &str, property: &str) -> Result<bool> {
    said.to_lowercase().parse().map_err(|_| {
        Error::invalid(format!("`{said}` is neither true nor false"))
            .at(format!("properties.{property}"))
    })
}

fn wanted_container(written: &DeploymentBase) -> Result<Option<Container>> {
    let registry = written.properties.get(REGISTRY).map(|said| said.0.clone());
    let asked = says_yes(&written.properties, CONTAINER)?.unwrap_or_default();
    let wanted = registry.is_some() || asked;
    Ok(wanted.then_some(Container { registry }))
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

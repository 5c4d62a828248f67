//! Manifests for Kubernetes.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    Exported, FRONT_PORT, asked,
    front::{PRIMARY, SECONDARY},
    save, save_secret, variables, yaml,
};
use api::{
    Error, Result,
    deployments::{Deployed, Probe},
};
use spec::image;

/// The longest name of a service.
const LONGEST_NAME: usize = 63;

/// Writes the manifests, the keys in a file of their own; answers what to do next.
pub fn write(exported: &Exported, folder: &Path) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for one in &exported.endpoint.deployments {
        let name = exported.container(&one.name);
        check_name(&name)?;
        all.push(workload(exported, one));
        all.push(service(exported, &name, asked(one).port, asked(one).port));
        all.extend(scaler(exported, one));
    }
    all.push(front(exported));
    all.push(service(exported, &exported.own("front"), 80, FRONT_PORT));
    let documents = all.iter().map(yaml).collect::<Result<Vec<_>>>()?;
    save(folder, "kubernetes.yaml", &documents.join("---\n"))?;
    let keys = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(exported, &exported.own("keys")),
        "type": "Opaque",
        "stringData": {
            (PRIMARY): exported.keys.primary,
            (SECONDARY): exported.keys.secondary,
        },
    });
    save_secret(folder, "keys.yaml", &yaml(&keys)?)?;
    let place = folder.display();
    Ok(vec![format!(
        "Build and push the images, then: kubectl apply -f {place}/keys.yaml -f {place}/kubernetes.yaml"
    )])
}

/// Refuses a name that no service may have.
fn check_name(name: &str) -> Result<()> {
    if name.len() <= LONGEST_NAME && name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{name}` cannot name a service of Kubernetes: it begins with a letter and has at most {LONGEST_NAME}"
    ))
    .hint("Deploy it behind an endpoint of another name, and export that"))
}

fn metadata(exported: &Exported, name: &str) -> Value {
    json!({"name": name, "labels": labels(exported, name)})
}

fn labels(exported: &Exported, name: &str) -> Value {
    json!({
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/part-of": exported.name,
        "app.kubernetes.io/managed-by": "aml",
    })
}

fn probe(path: &str, port: u16, probe: Probe) -> Value {
    json!({
        "httpGet": {"path": path, "port": port},
        "initialDelaySeconds": probe.initial_delay,
        "periodSeconds": probe.period,
        "timeoutSeconds": probe.timeout,
        "failureThreshold": probe.failure_threshold,
    })
}

fn pod(exported: &Exported, name: &str, container: &Value) -> Value {
    // What an image of somebody else needs is not known.
    let is_users = container["securityContext"] == locked_down();
    json!({
        "metadata": {"labels": labels(exported, name)},
        "spec": {
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 40,
            "securityContext": {
                "runAsNonRoot": is_users,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
        },
    })
}

fn deployment(exported: &Exported, name: &str, replicas: Option<u32>, container: &Value) -> Value {
    let mut spec = json!({
        "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
        // The new ones answer before the old ones end.
        "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": pod(exported, name, container),
    });
    if let Some(replicas) = replicas {
        spec["replicas"] = json!(replicas);
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(exported, name),
        "spec": spec,
    })
}

fn locked_down() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
    })
}

fn workload(exported: &Exported, one: &Deployed) -> Value {
    let asked = asked(one);
    let deployment = &one.deployment;
    let all = variables(one);
    let env: Vec<_> = all
        // A `$(NAME)` would be replaced.
        .map(|(name, value)| json!({"name": name, "value": value.replace("$(", "$$(")}))
        .collect();
    let mut readiness = probe(&asked.routes.readiness, asked.port, asked.readiness);
    readiness["successThreshold"] = json!(asked.readiness.success_threshold);
    let mut container = json!({
        "name": "scoring",
        "image": exported.deployment_image(one),
        "ports": [{"containerPort": asked.port}],
        "livenessProbe": probe(&asked.routes.liveness, asked.port, asked.liveness),
        "readinessProbe": readiness,
    });
    if image::runs_as_a_user(deployment) {
        container["securityContext"] = locked_down();
    }
    if !env.is_empty() {
        container["env"] = Value::Array(env);
    }
    if let Some(resources) = resources(one) {
        container["resources"] = resources;
    }
    let replicas = deployment.scale.is_none().then_some(deployment.instances);
    let name = exported.container(&one.name);
    self::deployment(exported, &name, replicas, &container)
}

/// What the description asks for, in Azure's words the same but for the name of a GPU. Without it as
/// much as the scaler needs to know a share of.
fn resources(one: &Deployed) -> Option<Value> {
    let written = one.deployment.definition.get("resources");
    let Some(Value::Object(written)) = written else {
        return one
            .deployment
            .scale
            .map(|_| json!({"requests": {"cpu": "500m"}}));
    };
    let mut all = written.clone();
    for amounts in all.values_mut().filter_map(Value::as_object_mut) {
        if let Some(gpus) = amounts.remove("gpu") {
            amounts.insert("nvidia.com/gpu".to_owned(), gpus);
        }
    }
    Some(Value::Object(all))
}

fn scaler(exported: &Exported, one: &Deployed) -> Option<Value> {
    let scale = one.deployment.scale?;
    let name = exported.container(&one.name);
    Some(json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(exported, &name),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": scale.min.max(1),
            "maxReplicas": scale.max,
            "metrics": [{
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": scale.target_percent},
                },
            }],
        },
    }))
}

fn front(exported: &Exported) -> Value {
    let alive = json!({"httpGet": {"path": "/", "port": FRONT_PORT}, "periodSeconds": 10});
    let container = json!({
        "name": "front",
        "image": exported.front_image(),
        "ports": [{"containerPort": FRONT_PORT}],
        "envFrom": [{"secretRef": {"name": exported.own("keys")}}],
        "livenessProbe": alive,
        "readinessProbe": alive,
        "securityContext": locked_down(),
    });
    deployment(exported, &exported.own("front"), Some(2), &container)
}

fn service(exported: &Exported, name: &str, port: u16, target: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(exported, name),
        "spec": {
            "selector": {"app.kubernetes.io/name": name},
            "ports": [{"port": port, "targetPort": target}],
        },
    })
}

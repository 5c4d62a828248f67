//! What `az ml model deploy` and its like are told: inference and deployment configurations, and the
//! flags that go before them, as a deployment of today.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{at, environment, folder, mapping, model, object_at, submit::found, text_at};
use crate::az::{
    Az,
    given::{Given, missing},
    grammar::{Flag, flag, switch},
    ids,
};
use api::{Error, Result};

/// The size of machine that deployments name, which have none of their own here.
const SIZE: &str = "Standard_DS3_v2";

/// What is served.
pub const WHAT: &[Flag] = &[
    flag("model", "Model, as NAME:VERSION")
        .short('m')
        .repeated(),
    flag(
        "model-metadata-file",
        "Answer of register, which says the model",
    )
    .short('f')
    .repeated(),
    flag(
        "inference-config-file",
        "JSON or YAML file with script and environment",
    )
    .alias(&["ic"]),
    flag("entry-script", "Scoring script").alias(&["es"]),
    flag("source-directory", "Folder of the script").alias(&["sd"]),
    flag("conda-file", "Conda file of the environment").alias(&["cf"]),
    flag("environment-name", "Registered environment").short('e'),
    flag("environment-version", "Its version").alias(&["ev"]),
    flag("environment-directory", "Folder of an environment").alias(&["ed"]),
];

/// How it is served.
pub const HOW: &[Flag] = &[
    flag(
        "deploy-config-file",
        "JSON or YAML file with how it is served",
    )
    .alias(&["dc"]),
    flag("auth-enabled", "Accepted: a key is always asked for")
        .alias(&["ae"])
        .maybe(),
    flag("token-auth-enabled", "Ask for tokens that expire").maybe(),
    flag("enable-app-insights", "Accepted")
        .alias(&["ai"])
        .maybe(),
    flag(
        "autoscale-enabled",
        "As many processes as the load asks for",
    )
    .alias(&["as"])
    .maybe(),
    flag("autoscale-refresh-seconds", "Seconds between two looks").alias(&["ar"]),
    flag(
        "autoscale-target-utilization",
        "Percent of load that is aimed at",
    )
    .alias(&["at"]),
    flag("autoscale-min-replicas", "At least so many processes").alias(&["mi"]),
    flag("autoscale-max-replicas", "At most so many processes").alias(&["ma"]),
    flag("num-replicas", "Number of processes").alias(&["nr"]),
    flag("cpu-cores", "Accepted").alias(&["cc"]),
    flag("memory-gb", "Accepted").alias(&["gb"]),
    flag("gpu-cores", "Accepted").alias(&["gc"]),
    flag("scoring-timeout-ms", "Milliseconds for an answer").alias(&["tm"]),
    flag("replica-max-concurrent-requests", "Requests at once").alias(&["rm"]),
    flag("max-request-wait-time", "Milliseconds in the queue").alias(&["mr"]),
    flag("failure-threshold", "Failed looks until it is ended").alias(&["ft"]),
    flag("success-threshold", "Looks until it is well").alias(&["st"]),
    flag("timeout-seconds", "Seconds for a look").alias(&["ts"]),
    flag("period-seconds", "Seconds between two looks at its health").alias(&["ps"]),
    flag("initial-delay-seconds", "Seconds until the first look").alias(&["id"]),
    flag("collect-model-data", "Accepted")
        .alias(&["md"])
        .maybe(),
    flag("description", "Description"),
    flag("tag", "Tag, as KEY=VALUE").repeated(),
    flag("property", "Property, as KEY=VALUE").repeated(),
];

/// Of services that are new.
pub const NEW: &[Flag] = &[
    flag("name", "Name of the service").short('n').required(),
    switch("overwrite", "Replace one that is there"),
    flag("compute-target", "Accepted: it is served on this machine").alias(&["ct"]),
    flag("compute-type", "Accepted: it is served on this machine").alias(&["cp"]),
    flag("dns-name-label", "Accepted").alias(&["dn"]),
    flag("location", "Accepted").alias(&["lo"]),
    flag("port", "Port of this machine to answer on").alias(&["po"]),
    flag("namespace", "Accepted"),
    flag("profile-input", "Accepted").alias(&["pi"]),
    flag("key-name", "Accepted"),
    flag("kp", "Accepted"),
    flag("ks", "Accepted"),
    flag("se", "Accepted: TLS is the server's").maybe(),
    flag("sc", "Accepted"),
    flag("sk", "Accepted"),
    flag("sp", "Accepted"),
    flag("vnet-name", "Accepted"),
    flag("subnet-name", "Accepted"),
    flag("version-name", "Version of the endpoint").alias(&["vn"]),
    flag("traffic-percentile", "Percent of the requests it gets").alias(&["tp"]),
];

/// A configuration file named by a flag, else nothing.
fn configured(az: &Az, given: &Given, flag: &str) -> Result<Map<String, Value>> {
    match given.text(flag) {
        Some(file) => mapping(&found(&[&az.ctx.folder, &folder(az, given)], file)),
        None => Ok(Map::new()),
    }
}

/// The ids of the models that are named by flags and by files.
pub fn models(az: &Az, given: &Given) -> Result<Vec<String>> {
    let mut all = given.words("model");
    for file in given.words("model-metadata-file") {
        let described = mapping(&az.ctx.folder.join(&file))?;
        let id = text_at(&described, "modelId").or_else(|| text_at(&described, "id"));
        all.push(id.ok_or_else(|| {
            Error::invalid(format!("`{file}` names no model")).at("--model-metadata-file")
        })?);
    }
    Ok(all)
}

/// The script, its folder, and what it runs in.
struct Script {
    /// The folder, or the script alone.
    code: PathBuf,
    /// From the folder.
    script: String,
}

fn script(az: &Az, given: &Given, inference: &Map<String, Value>) -> Result<Option<Script>> {
    let base = folder(az, given);
    let entry = given
        .owned("entry-script")
        .or_else(|| text_at(inference, "entryScript"));
    let Some(entry) = entry else {
        return Ok(None);
    };
    if let Some(source) = source_directory(given, inference) {
        let code = found(&[&base, &az.ctx.folder], &source);
        if !code.join(&entry).is_file() {
            let shown = code.display();
            let message = format!("There is no script `{entry}` in `{shown}`");
            return Err(Error::invalid(message).at("entryScript"));
        }
        let script = entry;
        return Ok(Some(Script { code, script }));
    }
    let code = found(&[&base, &az.ctx.folder], &entry);
    if !code.is_file() {
        let message = format!("There is no script `{entry}`");
        return Err(Error::invalid(message).at("entryScript"));
    }
    let name = code.file_name().unwrap_or_default();
    let script = name.to_string_lossy().into_owned();
    Ok(Some(Script { code, script }))
}

fn source_directory(given: &Given, inference: &Map<String, Value>) -> Option<String> {
    let flagged = given.owned("source-directory");
    flagged.or_else(|| text_at(inference, "sourceDirectory"))
}

/// What the script runs in; none where nothing says it.
fn software(az: &Az, given: &Given, inference: &Map<String, Value>) -> Result<Option<Value>> {
    let base = folder(az, given);
    let here: [&Path; 2] = [&base, &az.ctx.folder];
    if let Some(name) = given.text("environment-name") {
        let version = given.text("environment-version");
        let version = version.map(|version| ("version".to_owned(), json!(version)));
        let said = version.into_iter().collect();
        return Ok(Some(json!(environment::reference(&said, name))));
    }
    if let Some(directory) = given.text("environment-directory") {
        let directory = az.ctx.folder.join(directory);
        let described = mapping(&directory.join("azureml_environment.json"))?;
        return environment::converted(Some(&described), &[&directory, &base]);
    }
    let conda = given
        .owned("conda-file")
        .or_else(|| text_at(inference, "condaFile"));
    if let Some(conda) = conda {
        // With a source directory all that the configuration names is in it.
        let source = source_directory(given, inference);
        let within = source.map(|source| found(&here, &source).join(&conda));
        let conda = match within.filter(|path| path.is_file()) {
            Some(conda) => conda,
            None => found(&here, &conda),
        };
        if !conda.is_file() {
            let message = format!("There is no conda file `{}`", conda.display());
            return Err(Error::invalid(message).at("condaFile"));
        }
        return Ok(Some(
            json!({"image": environment::IMAGE, "conda_file": conda}),
        ));
    }
    environment::converted(object_at(inference, "environment"), &here)
}

/// What the flags and files say of a deployment, in the words of today's file. What they do not say is
/// left out.
pub fn described(az: &Az, given: &Given) -> Result<Map<String, Value>> {
    let inference = configured(az, given, "inference-config-file")?;
    let deployment = configured(az, given, "deploy-config-file")?;
    let mut fields = Map::new();
    match models(az, given)?.as_slice() {
        [] => {}
        [model] => {
            let reference = if model.contains(':') {
                format!("azureml:{model}")
            } else {
                format!("azureml:{model}@latest")
            };
            fields.insert("model".to_owned(), json!(reference));
        }
        several => {
            let message = format!("A service serves one model here, not {}", several.len());
            return Err(Error::invalid(message)
                .at("--model")
                .hint("Register a folder with all of them: az ml model register --name NAME --model-path FOLDER"));
        }
    }
    if let Some(script) = script(az, given, &inference)? {
        let both = json!({"code": script.code, "scoring_script": script.script});
        fields.insert("code_configuration".to_owned(), both);
    }
    if let Some(software) = software(az, given, &inference)? {
        fields.insert("environment".to_owned(), software);
    }
    let variables = object_at(&inference, "environment");
    let variables = variables.and_then(|inner| at(inner, "environmentVariables"));
    if let Some(variables) = variables.filter(|variables| variables.is_object()) {
        fields.insert("environment_variables".to_owned(), variables.clone());
    }
    limits(given, &deployment, &mut fields)?;
    for (flag, key) in [("tag", "tags"), ("property", "properties")] {
        if given.has(flag) {
            fields.insert(key.to_owned(), json!(given.pairs(flag)));
        }
    }
    if let Some(text) = given.text("description") {
        fields.insert("description".to_owned(), json!(text));
    }
    Ok(fields)
}

/// Numbers of a flag, else of a section of the deployment's configuration.
fn numbers(
    given: &Given,
    section: Option<&Map<String, Value>>,
    keys: &[(&str, &str, &str)],
) -> Result<Option<Map<String, Value>>> {
    let mut all = Map::new();
    for (flag, own, key) in keys {
        let flagged = given.number(flag)?.map(Value::from);
        let number = flagged.or_else(|| section.and_then(|section| at(section, own).cloned()));
        all.extend(number.map(|number| ((*key).to_owned(), number)));
    }
    Ok((!all.is_empty()).then_some(all))
}

/// How many processes there are, and what they may take.
fn limits(
    given: &Given,
    deployment: &Map<String, Value>,
    fields: &mut Map<String, Value>,
) -> Result<()> {
    let count = given.number("num-replicas")?.map(Value::from);
    let count = count.or_else(|| at(deployment, "numReplicas").cloned());
    fields.extend(count.map(|count| ("instance_count".to_owned(), count)));
    let requests = [
        (
            "scoring-timeout-ms",
            "scoringTimeoutMs",
            "request_timeout_ms",
        ),
        (
            "replica-max-concurrent-requests",
            "maxConcurrentRequestsPerContainer",
            "max_concurrent_requests_per_instance",
        ),
        (
            "max-request-wait-time",
            "maxQueueWaitMs",
            "max_queue_wait_ms",
        ),
    ];
    let requests = numbers(given, Some(deployment), &requests)?;
    let probe = [
        ("failure-threshold", "failureThreshold", "failure_threshold"),
        ("success-threshold", "successThreshold", "success_threshold"),
        ("timeout-seconds", "timeoutSeconds", "timeout"),
        ("period-seconds", "periodSeconds", "period"),
        (
            "initial-delay-seconds",
            "initialDelaySeconds",
            "initial_delay",
        ),
    ];
    let probe = numbers(
        given,
        object_at(deployment, "livenessProbeRequirements"),
        &probe,
    )?;
    let scaler = object_at(deployment, "autoScaler");
    let scale = [
        ("autoscale-min-replicas", "minReplicas", "min_instances"),
        ("autoscale-max-replicas", "maxReplicas", "max_instances"),
        (
            "autoscale-refresh-seconds",
            "refreshPeriodInSeconds",
            "polling_interval",
        ),
        (
            "autoscale-target-utilization",
            "targetUtilization",
            "target_utilization_percentage",
        ),
    ];
    let scale = numbers(given, scaler, &scale)?;
    let wanted = given.truth("autoscale-enabled")?;
    let wanted = wanted.or_else(|| at(scaler?, "autoscaleEnabled")?.as_bool());
    let scale = scale.filter(|_| wanted != Some(false)).map(|mut scale| {
        scale.insert("type".to_owned(), json!("target_utilization"));
        scale
    });
    for (key, section) in [
        ("request_settings", requests),
        ("liveness_probe", probe),
        ("scale_settings", scale),
    ] {
        fields.extend(section.map(|section| (key.to_owned(), Value::Object(section))));
    }
    Ok(())
}

/// Whether tokens are asked for, not keys.
pub fn by_token(az: &Az, given: &Given) -> Result<bool> {
    let flagged = given.truth("token-auth-enabled")?;
    let deployment = configured(az, given, "deploy-config-file")?;
    let said = at(&deployment, "tokenAuthEnabled").and_then(Value::as_bool);
    Ok(flagged.or(said).unwrap_or(false))
}

/// The port that is asked for.
pub fn port(az: &Az, given: &Given) -> Result<Option<u16>> {
    let deployment = configured(az, given, "deploy-config-file")?;
    let said = at(&deployment, "port").and_then(Value::as_u64);
    let number = given.number("port")?.map(u64::from).or(said);
    let Some(number) = number else {
        return Ok(None);
    };
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.map(Some)
        .ok_or_else(|| Error::invalid(format!("`{number}` is no port")).at("--port"))
}

/// A deployment that is new says what kind of thing it is.
pub fn completed(mut fields: Map<String, Value>, endpoint: &str, name: &str) -> Map<String, Value> {
    for (key, value) in [("name", name), ("endpoint_name", endpoint)] {
        fields.insert(key.to_owned(), json!(value));
    }
    fields.entry("instance_type").or_insert_with(|| json!(SIZE));
    fields.entry("instance_count").or_insert_with(|| json!(1));
    fields
}

/// The folder of models in a package.
const MODELS: &str = "azureml-models";

/// Writes models, script and packages to a folder. There are no images here.
pub async fn package(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let to = az.ctx.folder.join(given.required("output-path")?);
    let fields = described(az, given)?;
    let ids = models(az, given)?;
    if ids.is_empty() {
        return Err(missing(&["model/-m"]).into());
    }
    for id in &ids {
        let found = model::named(az, id).await?;
        let folder = to.join(MODELS).join(&found.name);
        let folder = folder.join(found.version_called());
        // A folder keeps its own name, as where it is served.
        let path = found.lineage.path.as_deref().unwrap_or_default();
        let own = path.trim_end_matches('/').rsplit('/').next();
        let alone = found.files.as_ref().is_some_and(|files| files.files == 1);
        let is_file = alone && Path::new(own.unwrap_or_default()).extension().is_some();
        let own = own.filter(|_| !is_file).unwrap_or_default();
        model::fetch(az, &found, &folder.join(own)).await?;
    }
    let code = fields.get("code_configuration").cloned();
    let code = ids::fields(code.unwrap_or_default());
    if let Some(from) = ids::text(&code, "code") {
        let app = to.join("azureml-app");
        copy(Path::new(&from), &app, &written(&to, &app)?)?;
    }
    let described = serde_json::to_string_pretty(&json!({
        "environment": fields.get("environment"),
        "entryScript": code.get("scoring_script"),
        "models": ids,
    }))?;
    super::write(&to.join("model_config_map.json"), &described)?;
    az.note(given, &format!("Wrote the package to {}", to.display()));
    Ok(Value::Null)
}

/// The folders that the package is written to, as they are really called. They may be in the source.
fn written(to: &Path, app: &Path) -> Result<[PathBuf; 3]> {
    let real = |folder: &Path| {
        let made = std::fs::create_dir_all(folder).and_then(|()| folder.canonicalize());
        made.map_err(|e| {
            Error::invalid(format!("Cannot write to `{}`: {e}", folder.display()))
                .at("--output-path")
        })
    };
    Ok([real(to)?, real(app)?, real(&to.join(MODELS))?])
}

/// Copies a file into a folder, or what is in a folder but for some, and for links to folders: they may
/// lead back.
fn copy(from: &Path, to: &Path, skipped: &[PathBuf]) -> Result<()> {
    let failed = |e: std::io::Error| {
        Error::invalid(format!("Cannot copy `{}`: {e}", from.display())).at("--source-directory")
    };
    std::fs::create_dir_all(to).map_err(failed)?;
    if from.is_file() {
        let name = from.file_name().unwrap_or_default();
        return std::fs::copy(from, to.join(name)).map(drop).map_err(failed);
    }
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !path.is_dir() {
            copy(&path, to, skipped)?;
        } else if !path.is_symlink() && !skipped.contains(&path.canonicalize().map_err(failed)?) {
            copy(
                &path,
                &to.join(path.file_name().unwrap_or_default()),
                skipped,
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{copy, written};

    #[test]
    fn a_package_may_be_written_into_its_source() {
        let source = tempfile::tempdir().expect("a folder");
        let source = source.path();
        fs::create_dir(source.join("lib")).expect("a folder");
        fs::write(source.join("lib/a.py"), "").expect("a file");
        std::os::unix::fs::symlink("..", source.join("lib/up")).expect("a link");
        for out in ["out", "."] {
            let to = source.join(out);
            let app = to.join("azureml-app");
            // What was written before is not read either.
            for _ in 0..2 {
                let skipped = written(&to, &app).expect("folders");
                copy(source, &app, &skipped).expect("a copy");
            }
            assert!(app.join("lib/a.py").is_file());
            assert!(!app.join("lib/up").exists());
            assert!(!app.join("azureml-app").exists() && !app.join("out/azureml-app/out").exists());
            fs::remove_dir_all(&app).expect("no folder");
        }
    }
}

//! The environment of a run's process.

use std::collections::BTreeMap;

use super::Settings;
use api::work::Assignment;

/// All variables of the process, from what the machine and the environment give. What the job names
/// itself comes last and wins.
pub fn of_run(
    settings: &Settings,
    assignment: &Assignment,
    mut variables: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let path = variables
        .get("PATH")
        .map(String::as_str)
        .unwrap_or_default();
    let tools = settings.tools.display();
    // Last, so that nothing of the machine is hidden by what lies beside `aml`.
    let path = format!("{path}:{tools}");
    let Assignment {
        workspace,
        subscription,
        resource_group,
        run,
        root,
        experiment,
        experiment_id,
        token,
        owned,
        ..
    } = assignment;
    let base = settings.tracking_url.trim_end_matches('/');
    let own = [
        ("PATH", path.trim_start_matches(':')),
        // A pipe makes Python hold back what it prints until there is much of it.
        ("PYTHONUNBUFFERED", "1"),
        ("MLFLOW_TRACKING_URI", &format!("{base}/ws/{workspace}")),
        ("MLFLOW_TRACKING_TOKEN", token),
        // Clients prefer a name and password that they find in a file of the user's to a token.
        ("MLFLOW_TRACKING_USERNAME", "run"),
        ("MLFLOW_TRACKING_PASSWORD", token),
        ("MLFLOW_RUN_ID", run),
        ("MLFLOW_EXPERIMENT_ID", experiment_id),
        // The links would lead to pages that are not there; and nothing here phones home.
        ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("AZUREML_RUN_ID", run),
        (
            "AZUREML_ROOT_RUN_ID",
            if root.is_empty() { run } else { root },
        ),
        ("AZUREML_EXPERIMENT_ID", experiment_id),
        ("AZUREML_ARM_PROJECT_NAME", experiment),
        ("AZUREML_ARM_WORKSPACE_NAME", workspace),
        ("AZUREML_ARM_SUBSCRIPTION", subscription),
        ("AZUREML_ARM_RESOURCEGROUP", resource_group),
    ];
    variables.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if *owned {
        variables.extend(settings.owner_variables.clone());
    }
    variables.extend(assignment.job.environment_variables.clone());
    variables.extend(assignment.secrets.clone());
    variables
}

//! The verdicts of the official loader on the files of Azure/azureml-examples, as far as they are here:
//! `AZUREML_EXAMPLES` names the `cli` folder of a clone.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::support::Aml;

/// What the official loader refuses as it is: mistakes, placeholders, and templates that a script
/// fills in first. (Also what is no file of a kind but looks like one.)
const REFUSED: [&str; 35] = [
    "endpoints/batch/deploy-models/openai-embeddings/model/model.yaml",
    "endpoints/batch/deploy-pipelines/training-with-components/deployment-onehot/pipeline.yml",
    "endpoints/batch/deploy-pipelines/training-with-components/deployment-ordinal/pipeline.yml",
    "endpoints/online/custom-container/minimal/multimodel/minimal-multimodel-deployment.yml",
    "endpoints/online/custom-container/minimal/multimodel/minimal-multimodel-endpoint.yml",
    "endpoints/online/custom-container/minimal/single-model/conda-in-dockerfile/minimal-single-model-conda-in-dockerfile-deployment.yml",
    "endpoints/online/custom-container/minimal/single-model/conda-in-dockerfile/minimal-single-model-conda-in-dockerfile-endpoint.yml",
    "endpoints/online/custom-container/minimal/single-model/minimal-single-model-endpoint.yml",
    "endpoints/online/custom-container/minimal/single-model/pip-in-dockerfile/minimal-single-model-pip-in-dockerfile-deployment.yml",
    "endpoints/online/custom-container/mlflow/multideployment-scikit/mlflow-deployment.yml",
    "endpoints/online/custom-container/mlflow/multideployment-scikit/mlflow-endpoint.yml",
    "endpoints/online/custom-container/r/multimodel-plumber/r-deployment.yml",
    "endpoints/online/custom-container/tfserving/half-plus-two-integrated/half-plus-two-integrated-deployment.yml",
    "endpoints/online/custom-container/tfserving/half-plus-two/tfserving-deployment.yml",
    "endpoints/online/custom-container/torchserve/densenet/torchserve-deployment.yml",
    "endpoints/online/custom-container/triton/single-model/triton-cc-deployment.yml",
    "endpoints/online/custom-container/triton/single-model/triton-cc-endpoint.yml",
    "endpoints/online/data-collector/custom-blob-storage/custom-blob-storage.YAML",
    "endpoints/online/data-collector/workspace-blob-storage/workspace-blob-storage-custom1.YAML",
    "endpoints/online/data-collector/workspace-blob-storage/workspace-blob-storage-custom2.YAML",
    "endpoints/online/data-collector/workspace-blob-storage/workspace-blob-storage-payload1.YAML",
    "endpoints/online/data-collector/workspace-blob-storage/workspace-blob-storage-payload2.YAML",
    "endpoints/online/managed/minimal/single-model-registered/deployment.yml",
    "endpoints/online/managed/minimal/single-model-registered/model.yml",
    "generative-ai/promptflow/deploy-flow/deployment-with-docker-context-environment.yaml",
    "jobs/automl-standalone-jobs/cli-automl-classification-task-bankmarketing/cli-automl-classification-task-bankmarketing-serverless.yml",
    "jobs/deepspeed/deepspeed-autotuning/job.yml",
    "jobs/nebulaml/cifar10_deepspeed/job.yml",
    "jobs/pipelines-with-components/basics/6c_r_iris/component.yml",
    "jobs/pipelines/automl/cli-aml-demand-forecast-pipeline/cli-aml-demand-forecast-hts/automl_settings_hts.yml",
    "jobs/pipelines/automl/cli-aml-demand-forecast-pipeline/cli-aml-demand-forecast-mm/automl_settings_many_models.yml",
    "jobs/single-step/java/iris/job-template.yml",
    "monitoring/generation-safety-quality-monitoring.yaml",
    "resources/workspace/cmk.yml",
    "resources/workspace/with-existing-resources.yml",
];

/// How many load once a flag gives their name, endpoint or compute; two say that a step gives its
/// component an input that it does not have, and one that an input is none of the values it may be.
const NOTED: usize = 56 + 3;

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.extension().unwrap_or_default().to_ascii_lowercase();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if name == "yml" || name == "yaml" || path.ends_with("MLTable") {
            found.push(path);
        }
    }
}

#[test]
fn the_same_files_load_and_fail_as_with_the_official_loader() {
    let Some(folder) = std::env::var_os("AZUREML_EXAMPLES").map(PathBuf::from) else {
        eprintln!("AZUREML_EXAMPLES is not set: the official examples are not compared");
        return;
    };
    let mut files = Vec::new();
    yaml_files(&folder, &mut files);
    let aml = Aml::local();
    let names = files.iter().map(|file| file.strip_prefix(&folder).unwrap());
    let mut command = aml.command(["validate", "--output", "json"]);
    command.args(names).current_dir(&folder);
    let output = command.output().unwrap();
    let verdicts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut refused = BTreeSet::new();
    let mut noted = 0;
    let mut loaded = 0;
    for verdict in verdicts.as_array().unwrap() {
        let file = verdict["file"].as_str().unwrap();
        if verdict["kind"].is_null() && !REFUSED.contains(&file) {
            continue;
        }
        match (verdict["errors"].as_u64(), verdict["notes"].as_u64()) {
            (Some(0), Some(0)) => loaded += 1,
            (Some(0), _) => noted += 1,
            _ => _ = refused.insert(file),
        }
    }
    assert_eq!(refused, BTreeSet::from(REFUSED));
    assert_eq!(noted, NOTED);
    assert!(loaded > 420, "{loaded} files load");
}

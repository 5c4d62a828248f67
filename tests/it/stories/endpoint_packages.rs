//! Models that are packed with what they need.

use serde_json::json;

use crate::support::each_mode;

const SCRIPT: &str = "import glob, os\n\
    def init():\n    global weight\n    root = os.environ['AZUREML_MODEL_DIR']\n    \
    weight = int(open(glob.glob(root + '/**/weight.txt', recursive=True)[0]).read())\n\
    def run(data):\n    return weight + int(os.environ['PLUS'])\n";

const PACKAGE: &str = "\
$schema: http://azureml/sdk-2-0/ModelVersionPackage.json
base_environment_source: {type: environment_asset, resource_id: 'azureml:plain:1'}
target_environment: packed
environment_variables: {PLUS: '100'}
inferencing_server:
  type: azureml_online
  code_configuration: {code: src, scoring_script: score.py}
model_configuration: {mode: copy}
";

#[test]
fn a_deployment_in_a_packed_environment_names_nothing_else() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.az("configure --defaults group=g workspace=churn").ok();
        aml.write("model/weight.txt", "42");
        aml.write("src/score.py", SCRIPT);
        aml.write("package.yml", PACKAGE);
        aml.az("ml model create -n echo --path model --type custom_model")
            .ok();
        aml.write(
            "conda.yml",
            "dependencies: [python=3.11, pip: [azureml-inference-server-http]]\n",
        );
        aml.az("ml environment create -n plain --image python --conda-file conda.yml")
            .ok();
        let made = aml
            .az("ml model package -n echo -v 1 --file package.yml")
            .json();
        assert_eq!(
            (&made["name"], &made["version"]),
            (&json!("packed"), &json!("1"))
        );
        assert_eq!(made["inferencing_server"]["type"], "azureml_online");
        let again = aml
            .az("ml model package -n echo -v 1 --file package.yml")
            .json();
        assert_eq!(again["version"], "2");
        // A version does not become one of another model.
        aml.write(
            "second.yml",
            PACKAGE.replace("environment: packed", "environment: 'packed:1'"),
        );
        aml.az("ml model package -n echo -v 1 --file second.yml")
            .ok();
        aml.write("other/weight.txt", "7");
        aml.az("ml model create -n other --path other --type custom_model")
            .ok();
        aml.az("ml model package -n other -v 1 --file second.yml")
            .failed(1);
        aml.write(
            "batch.yml",
            PACKAGE.replace("azureml_online", "azureml_batch"),
        );
        let error = aml
            .az("ml model package -n echo -v 1 --file batch.yml")
            .failed(1);
        assert!(error.contains("inferencing_server.type"), "{error}");
        aml.az("ml online-endpoint create -n shop").ok();
        aml.write(
            "blue.yml",
            "name: blue\nendpoint_name: shop\nenvironment: azureml:packed@latest\n\
             instance_type: Standard_DS3_v2\ninstance_count: 1\n",
        );
        let blue = aml
            .az("ml online-deployment create -f blue.yml --all-traffic")
            .json();
        assert_eq!(blue["provisioning_state"], "Succeeded");
        assert_eq!(aml.json("endpoint score shop -d 1"), 142);
        // What the deployment says itself counts.
        aml.write("model/weight.txt", "43");
        aml.az("ml model create -n echo --path model --type custom_model")
            .ok();
        aml.az("ml online-deployment update -n blue -e shop --set model=azureml:echo:2")
            .ok();
        assert_eq!(aml.json("endpoint score shop -d 1"), 143);
        aml.write("none.yml", "inferencing_server: {type: azureml_online}\n");
        let error = aml
            .az("ml model package -n echo -v 1 --file none.yml")
            .failed(1);
        assert!(error.contains("target_environment"), "{error}");
    });
}

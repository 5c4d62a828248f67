//! The frame of `az`: defaults, mistakes, workspaces, groups, the extension.

use expect_test::expect;
use serde_json::json;

use super::{error, with_workspace};
use crate::support::{Aml, each_mode, http};

#[test]
fn a_workspace_is_made_as_scripts_make_it() {
    each_mode(|aml| {
        with_workspace(aml);
        let shown = aml.az("ml workspace show").json();
        let id = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/\
                  Microsoft.MachineLearningServices/workspaces/w";
        assert_eq!(shown["id"], id);
        assert_eq!(shown["location"], "eastus");
        assert_eq!(shown["resourceGroup"], "g");
        let registry = shown["container_registry"].as_str().expect("an id");
        assert!(
            registry
                .split('/')
                .nth(8)
                .is_some_and(|name| !name.is_empty())
        );
        // One that is there is changed.
        aml.az("ml workspace create -n w --tags a=1 --public-network-access Disabled")
            .ok();
        let show = "ml workspace show -n w --query '[tags.a, public_network_access]' -o tsv";
        assert_eq!(aml.az(show).ok(), "1\nDisabled\n");
        aml.az("ml workspace update -n w --set tags.b=2 description='mine' --remove tags.a")
            .ok();
        let show = "ml workspace show -n w --query '{t:tags,d:description}'";
        assert_eq!(aml.az(show).json(), json!({"t": {"b": "2"}, "d": "mine"}));
        aml.az("ml workspace create -n w --display-name W").ok();
        assert_eq!(aml.az(show).json(), json!({"t": {"b": "2"}, "d": "mine"}));
        aml.az("ml workspace update -n w --remove tags --remove description")
            .ok();
        assert_eq!(aml.az(show).json(), json!({"t": {}, "d": ""}));
        let shown = "ml workspace update -n w --remove display_name --query display_name";
        assert_eq!(aml.az(shown).json(), "w");
        // A workspace of another group is left alone.
        let taken = error(aml, 1, "ml workspace create -n w -g prod --tags a=2");
        assert!(
            taken.contains("taken by a workspace in the resource group `g`"),
            "{taken}"
        );
        for line in ["show -n w -g prod", "delete -n w -g prod --yes"] {
            let elsewhere = error(aml, 3, &format!("ml workspace {line}"));
            assert!(
                elsewhere.contains("in the resource group `prod`"),
                "{elsewhere}"
            );
        }
        aml.az("ml workspace show -n w -g G").ok();
        // What scripts compare with the text `[]`.
        let list = r#"ml workspace list --query "[?name=='other']""#;
        assert_eq!(aml.az(list).ok(), "[]\n");
        let list = r#"ml workspace list --query "[?name==`w`].{z:name,a:resource_group}" -o tsv"#;
        assert_eq!(aml.az(list).ok(), "w\tg\n");
        aml.write("part.yml", "tags: {z: last, a: first}\n");
        aml.az("ml workspace update -n w -f part.yml").ok();
        let tags = "ml workspace show -n w --query tags -o";
        assert_eq!(aml.az(format!("{tags} tsv")).ok(), "first\tlast\n");
        assert_eq!(
            aml.az(format!("{tags} table")).ok(),
            "A      Z\n-----  ----\nfirst  last\n"
        );
        aml.write("part.yml", "description: from a file\n");
        aml.az("ml workspace update -n w -f part.yml").ok();
        let show = "ml workspace show --query description -o tsv";
        assert_eq!(aml.az(show).ok(), "from a file\n");
        aml.az("ml workspace delete -n w --yes").ok();
        assert_eq!(aml.az("ml workspace list").ok(), "[]\n");
    });
}

#[test]
fn a_group_goes_with_its_workspaces() {
    each_mode(|aml| {
        with_workspace(aml);
        assert_eq!(aml.az("group exists -n G").ok(), "true\n");
        assert_eq!(aml.az("group exists -n other -o tsv").ok(), "false\n");
        assert_eq!(
            aml.az("group show --query location -o tsv").ok(),
            "eastus\n"
        );
        aml.az("group create -n empty --tags a=b").ok();
        aml.az("ml workspace create -n second -g g").ok();
        aml.az("ml registry create -n shared -g g").ok();
        aml.az("ml registry create -n elsewhere -g empty").ok();
        aml.az("ml registry create -n gone -g g").ok();
        aml.az("ml registry delete -n gone").ok();
        error(aml, 3, "ml registry show -n gone");
        aml.az("group wait -n g --created").ok();
        let never = error(aml, 1, "group wait -n g --deleted --timeout 0");
        assert!(never.contains("timed-out"), "{never}");
        let tags = "group list --tag a=b --query [].name -o tsv";
        assert_eq!(aml.az(tags).ok(), "empty\n");
        let shared = aml.az("ml registry show -n shared").json();
        assert_eq!(shared["resourceGroup"], "g");
        let id = shared["id"].as_str().expect("a text");
        assert!(id.contains("/resourceGroups/g/"), "{id}");
        aml.az("group delete -n g --yes").ok();
        aml.az("group wait -n g --deleted").ok();
        assert_eq!(
            error(aml, 3, "ml workspace show"),
            "ERROR: No workspace `w`\nCreate it: az ml workspace create -n w\n"
        );
        assert_eq!(aml.az("group exists -n g").ok(), "false\n");
        assert_eq!(aml.az("ml workspace list --query [].name -o tsv").ok(), "");
        let registries = aml.az("ml registry list --query [].name -o tsv").ok();
        assert_eq!(registries, "azureml\nelsewhere\n");
    });
}

#[test]
fn defaults_come_from_files_and_the_environment() {
    let aml = Aml::local();
    assert_eq!(
        error(&aml, 2, "ml workspace show"),
        "ERROR: the following arguments are required: --workspace-name/-w\n\
         Set a default: az configure --defaults workspace=NAME\n"
    );
    with_workspace(&aml);
    let value = r#"configure -l --query "[?name=='group'].value" -o tsv"#;
    assert_eq!(aml.az(value).ok(), "g\n");
    let value = r#"config get --query "defaults[?name == 'workspace'].value" -o tsv"#;
    assert_eq!(aml.az(value).ok(), "w\n");
    aml.az("config set defaults.group=h core.output=tsv").ok();
    assert_eq!(
        aml.az("config get defaults.group --query value").ok(),
        "h\n"
    );
    aml.az("config unset core.output").ok();
    let other = aml.with("AZURE_DEFAULTS_WORKSPACE", "other");
    assert!(error(&other, 3, "ml workspace show").starts_with("ERROR: No workspace `other`"));
    let elsewhere = aml.with("AZURE_CONFIG_DIR", aml.root().join("config-of-another"));
    assert_eq!(elsewhere.az("configure --list-defaults").json(), json!([]));
    aml.az("configure -d group=").ok();
    let value = r#"configure -l --query "[?name=='group'].value" -o tsv"#;
    assert_eq!(aml.az(value).ok(), "");
}

#[test]
fn mistakes_on_the_line_end_with_2() {
    let aml = Aml::local();
    let cases = [
        (
            "ml dta create",
            "'dta' is misspelled or not recognized by the system.\nDid you mean 'data' ?",
        ),
        (
            "ml data creat",
            "'creat' is misspelled or not recognized by the system.\nDid you mean 'create' ?",
        ),
        (
            "ml data show",
            "the following arguments are required: --name/-n",
        ),
        (
            "ml data show --nam x --frob y",
            "unrecognized arguments: --frob",
        ),
        (
            "ml data create --de x",
            "ambiguous option: --de could match --description, --debug",
        ),
        (
            "ml data list -o html",
            "argument --output/-o: 'html' is not a valid value. Allowed values: \
                                  table, json, jsonc, yaml, yamlc, tsv, none.",
        ),
        (
            "ml data list --archived-only --include-archived",
            "argument --archived-only: not allowed with argument --include-archived",
        ),
        (
            "ml workspace create",
            "the following arguments are required: --name/-n",
        ),
        (
            "ml compute create",
            "the following arguments are required: --name/-n",
        ),
        (
            "ml compute create -n c",
            "the following arguments are required: --type/-t",
        ),
        (
            "group wait -n g",
            "the following arguments are required: --created | --updated | --deleted | --exists | \
             --custom JMESPATH",
        ),
        (
            "ml data list --name",
            "argument --name/-n: expected one argument",
        ),
    ];
    for (line, message) in cases {
        let said = error(&aml, 2, line);
        assert!(
            said.starts_with(&format!("ERROR: {message}\n")),
            "{line}: {said}"
        );
    }
    let said = error(&aml, 2, "account show --query [");
    assert!(
        said.starts_with("ERROR: argument --query: invalid jmespath_type value: '['"),
        "{said}"
    );
}

#[test]
fn who_uses_which_subscription() {
    each_mode(|aml| {
        let id = "11111111-2222-3333-4444-555555555555";
        aml.az(format!("account set -s {id}")).ok();
        assert_eq!(
            aml.az("account show --query id -o tsv").ok(),
            format!("{id}\n")
        );
        assert_eq!(aml.az("account list --query length(@)").ok(), "1\n");
        assert_eq!(
            aml.az("login --identity --query [0].state -o tsv").ok(),
            "Enabled\n"
        );
        with_workspace(aml);
        let found = aml.az("ml workspace show --query id -o tsv").ok();
        assert!(
            found.starts_with(&format!("/subscriptions/{id}/")),
            "{found}"
        );
        if !aml.is_remote() {
            // Scripts get one first, though nobody asks for it.
            let any = aml.az("account get-access-token --query accessToken -o tsv");
            assert_eq!(any.ok(), "not-needed\n");
        }
        let token = aml.with("AML_TOKEN", "amltoken");
        let get =
            "account get-access-token --resource https://ml.azure.com --query accessToken -o tsv";
        if !aml.is_remote() {
            assert_eq!(token.az(get).ok(), "amltoken\n");
        }
    });
}

#[test]
fn the_extension_is_there_and_stays() {
    let aml = Aml::local();
    aml.az("extension remove -n ml").ok();
    aml.az("extension add -n ml -y").ok();
    aml.az("extension add --upgrade --yes --source https://host/ml-2.9.0-py3-none-any.whl")
        .ok();
    assert_eq!(aml.az("extension list --query [].name -o tsv").ok(), "ml\n");
    assert_eq!(
        error(&aml, 1, "extension remove -n azure-cli-ml"),
        "ERROR: The extension azure-cli-ml is not installed.\n"
    );
    let version = aml.az("version").json();
    assert_eq!(
        version["extensions"]["ml"],
        aml.az("extension show -n ml").json()["version"]
    );
    assert!(aml.az("--version").ok().starts_with("azure-cli "));
}

#[test]
fn a_link_is_made() {
    let aml = Aml::local();
    aml.ok("az-link bin");
    aml.ok("az-link bin");
    let version = aml
        .sh("PATH=$PWD/bin:$PATH az version --query amlite -o tsv")
        .ok();
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    aml.write("other/az", "mine");
    expect![[r"
        Error: `$ROOT/here/other/az` is there already and is no link
        Hint: Choose another folder, or remove it first
    "]]
    .assert_eq(&aml.fails(5, "az-link other"));
}

#[test]
fn the_tracking_uri_is_answered() {
    each_mode(|aml| {
        with_workspace(aml);
        let show = "ml workspace show --query mlflow_tracking_uri -o tsv";
        let uri = aml.az(show).ok().trim().to_owned();
        assert!(
            uri.starts_with("http://127.0.0.1:") && uri.ends_with("/ws/w"),
            "{uri}"
        );
        assert_eq!(aml.az(show).ok().trim(), uri, "the same server");
        let ask = "api/2.0/mlflow/experiments/get-by-name?experiment_name=Default";
        let (status, body) = http::send("GET", &format!("{uri}/{ask}"), &[], "");
        assert_eq!(status, 200, "{body}");
    });
}

#[test]
fn what_means_nothing_here_says_so() {
    let aml = Aml::local();
    with_workspace(&aml);
    for (line, why) in [
        ("ml compute connect-ssh -n c", "no other machine"),
        ("upgrade", "does not replace itself"),
        ("ml pipeline list", "az ml run submit-pipeline"),
        ("rest --method get --url x", "no resource manager"),
        ("monitor metrics list", "means nothing here"),
    ] {
        let said = error(&aml, 1, line);
        assert!(
            said.starts_with("ERROR: ") && said.contains(why),
            "{line}: {said}"
        );
    }
}

//! Assets and registries as people use them.

use expect_test::expect;
use serde_json::json;

use crate::support::{Aml, each_mode};

fn with_data(aml: &Aml) {
    aml.ok("workspace create -n churn");
    aml.write("data/iris.csv", "a,b\n1,2\n");
    aml.write("table/MLTable", "paths:\n  - file: ./t.csv\n");
    aml.write("table/t.csv", "x\n1\n");
}

#[test]
fn data_has_versions_with_files_stored_once() {
    each_mode(|aml| {
        with_data(aml);
        let first = aml.json("data create -n iris --path data/iris.csv --tag a=1 --description d");
        assert_eq!(first["version"], "1");
        assert_eq!(first["type"], "uri_file");
        assert_eq!(first["files"]["files"], 1);
        assert_eq!(first["labels"], json!(["latest"]));
        let path = first["path"].as_str().expect("has a path");
        assert!(path.starts_with("azureml://datastores/workspaceblobstore/paths/LocalUpload/"));
        assert!(path.ends_with("/iris.csv"));
        let again = aml.json("data create -n iris --path data/iris.csv --label prod");
        assert_eq!(again["version"], "2");
        assert_eq!(again["digest"], first["digest"]);
        assert_eq!(aml.json("data show iris@prod")["version"], "2");
        assert_eq!(
            aml.json("data show azureml:IRIS:1")["tags"],
            json!({"a": "1"})
        );
        let folder = aml.json("data create -n folder --path ./data/");
        assert_eq!(folder["type"], "uri_folder");
        let table = aml.json("data create -n table --path table");
        assert_eq!(table["type"], "mltable");
        let url = aml.json("data create -n remote --path https://host/x.csv --type uri_file -v 3");
        assert_eq!(
            (&url["path"], &url["version"]),
            (&json!("https://host/x.csv"), &json!("3"))
        );
        let names = aml.json("data list --query [].name");
        assert_eq!(names, json!(["remote", "table", "folder", "iris"]));
        aml.ok("data update iris:1 --tag a= --tag b=2 --label old");
        assert_eq!(
            aml.json("data show iris@old --query tags"),
            json!({"b": "2"})
        );
        aml.ok("data archive iris:2");
        assert_eq!(aml.json("data show iris")["version"], "1");
        aml.ok("data restore iris:2");
        assert_eq!(
            aml.json("data list -n iris --query [].version"),
            json!(["2", "1"])
        );
        aml.ok("data delete iris --all-versions --yes");
        assert_eq!(
            aml.json("data create -n iris --path data/iris.csv")["version"],
            "3"
        );
    });
}

#[test]
fn environments_and_code_are_assets_too() {
    each_mode(|aml| {
        with_data(aml);
        aml.write(
            "conda.yml",
            "name: x\ndependencies:\n  - python=3.10\n  - pip:\n    - mlflow\n",
        );
        aml.write("context/Dockerfile", "FROM python\n");
        let env = aml.json("environment create -n e --image python:3.11 --conda-file conda.yml");
        assert_eq!(
            env["conda_file"]["dependencies"][1],
            json!({"pip": ["mlflow"]})
        );
        assert_eq!(env["os_type"], "linux");
        let built = aml.json("environment create -n built --build-context context");
        let path = built["build"]["path"].as_str().expect("has a path");
        assert!(
            path.contains("/LocalUpload/") && path.ends_with("/context/"),
            "{path}"
        );
        assert_eq!(built["build"]["dockerfile_path"], "Dockerfile");
        aml.write("src/train.py", "");
        aml.write("src/.amlignore", "*.log\n");
        aml.write("src/big.log", "x");
        let code = aml.json("code create -n trainer --path src");
        assert_eq!(code["files"]["files"], 2);
        assert_eq!(aml.json("code show trainer:1")["digest"], code["digest"]);
    });
}

#[test]
fn a_registry_is_shared() {
    each_mode(|aml| {
        with_data(aml);
        aml.ok("registry create -n Team --tag a=b");
        aml.ok("data create -n iris --path data/iris.csv");
        let shared = aml.json("data share iris:1 --to team --share-with-version 7");
        assert_eq!(shared["version"], "7");
        aml.ok("data create -n direct --path data --registry-name team --label prod");
        let names = aml.json("data list --registry-name team --query [].name");
        assert_eq!(names, json!(["direct", "iris"]));
        let show = "data show azureml://registries/team/data/iris/versions/7 --query files.files";
        assert_eq!(aml.json(show), json!(1));
        aml.write(
            "job.yml",
            "command: ls ${{inputs.d}}\nenvironment: {image: python}\ncompute: local\n\
             inputs: {d: {type: uri_file, path: azureml://registries/TEAM/data/iris/versions/7}}\n",
        );
        aml.ok("job create -f job.yml -n reads --stream");
        let of_data = aml.json("lineage azureml://registries/team/data/iris/versions/7");
        assert_eq!(of_data["edges"][0]["to"]["name"], "reads", "{of_data}");
        assert_eq!(of_data["nodes"][0]["name"], "registries/Team/iris");
        assert!(of_data["nodes"][0].get("gone").is_none(), "{of_data}");
        let of_job = aml.json("lineage job:reads");
        assert_eq!(of_job["edges"][0]["from"]["name"], "registries/Team/iris");
        let of_label = aml.json("lineage azureml://registries/team/data/direct/labels/prod");
        assert_eq!(of_label["of"]["version"], "1", "{of_label}");
        let none = "lineage azureml://registries/team/data/iris/labels/none";
        assert!(aml.fails(3, none).contains("has the label `none`"));
        aml.ok("registry update -n team --description ours");
        assert_eq!(aml.json("registry show -n TEAM")["description"], "ours");
        assert_eq!(
            aml.json("registry list --query \"[?description=='ours'].tags\""),
            json!([{"a": "b"}])
        );
        aml.ok("registry delete -n team --yes");
        expect![[r#"
            Error: No registry `team`
            Hint: See which there are: aml registry list
        "#]]
        .assert_eq(&aml.fails(3, "data list --registry-name team"));
    });
}

#[test]
fn what_is_wrong_with_an_asset_is_said() {
    each_mode(|aml| {
        with_data(aml);
        aml.ok("data create -n iris --path data/iris.csv");
        let check = |status, line: &str, expected: expect_test::Expect| {
            expected.assert_eq(&aml.fails(status, line));
        };
        check(
            2,
            "data create -n x --path dat",
            expect![[r#"
                Error: --path: There is no file or folder `dat`
                Hint: Did you mean `data`?
            "#]],
        );
        check(
            2,
            "data create -n x --path data --type mltable",
            expect![[r#"
                Error: --type: `$ROOT/here/data` has no file `MLTable`, which says how to read the table
            "#]],
        );
        check(
            5,
            "data create -n iris --path data",
            expect![[r#"
                Error: The versions of `iris` are of type uri_file, and so must this one be
                Hint: Say --type uri_file, or choose another name
            "#]],
        );
        check(
            5,
            "data create -n iris -v 1 --path https://h/x --type uri_file",
            expect![[r#"
                Error: The data `iris` version 1 exists with other content; versions do not change
                Hint: Leave the version out, and it becomes the next one
                Hint: See it: aml data show iris:1
            "#]],
        );
        check(
            3,
            "data show irsi",
            expect![[r#"
                Error: No data `irsi` in workspace `churn`
                Hint: Did you mean `iris`?
            "#]],
        );
        check(
            3,
            "data show iris:9",
            expect![[r#"
                Error: No data `iris` version 9 in workspace `churn`
                Hint: The one created last is 1; see all: aml data list --name iris
            "#]],
        );
        check(
            2,
            "data delete iris --yes",
            expect![[r#"
                Error: Which version of `iris`?
                Hint: Name it, as in iris:1, or add --all-versions
                Hint: See all: aml data list --name iris
            "#]],
        );
        check(
            2,
            "environment create -n e",
            expect![[r#"
                Error: Nothing says what the environment is made of
                Hint: Name an --image, a --conda-file or a --build-context
            "#]],
        );
    });
}

#[test]
fn tables_are_previewed_and_profiled() {
    each_mode(|aml| {
        with_data(aml);
        aml.write("sales/10/a.csv", "id;price\n1;1.5\n2;2.5\n");
        aml.write("sales/20/b.csv", "id;price\n3;\n");
        aml.write(
            "sales/MLTable",
            "paths:\n  - pattern: ./**/*.csv\ntransformations:\n  - read_delimited: {delimiter: ';'}\n  \
             - extract_columns_from_partition_format: {partition_format: '/{Store}/{Name}.csv'}\n  \
             - drop_columns: [Name]\n",
        );
        aml.ok("data create -n sales --path sales");
        let rows = aml.json("data preview sales:1 --rows 2");
        assert_eq!(
            rows,
            json!([{"Store": "10", "id": 1, "price": 1.5}, {"Store": "10", "id": 2, "price": 2.5}])
        );
        let shown = aml.ok("data preview sales -o table");
        assert_eq!(
            shown,
            "STORE  ID  PRICE\n10     1   1.5\n10     2   2.5\n20     3\n"
        );
        let profile = aml.json("data profile azureml:sales:1");
        assert_eq!(profile["rows"], 3);
        let first = aml.json("data profile azureml:sales:1 --rows 1");
        assert_eq!(first["rows"], 1);
        let price = &profile["columns"][2];
        assert_eq!(
            (&price["type"], &price["missing"], &price["mean"]),
            (&json!("float"), &json!(1), &json!(2.0))
        );
        assert_eq!(
            aml.json("data preview data/iris.csv"),
            json!([{"a": 1, "b": 2}])
        );
        aml.ok("data create -n iris --path data/iris.csv");
        aml.write(
            "far/MLTable",
            "paths:\n  - file: azureml:iris:1\ntransformations:\n  - read_delimited\n",
        );
        assert_eq!(aml.json("data preview far"), json!([{"a": 1, "b": 2}]));
        let error = aml.fails(3, "data preview nothing");
        assert!(error.starts_with("Error: No data `nothing`"), "{error}");
        aml.write(
            "bad/MLTable",
            "paths: [{file: ../data/iris.csv}]\ntransformations: [read_delimted]\n",
        );
        expect![[r#"
            Error: MLTable:2:19: No transformation `read_delimted`
            Hint: Did you mean `read_delimited`?
        "#]]
        .assert_eq(&aml.fails(3, "data preview bad"));
        assert_eq!(
            aml.fails(3, "data create -n bad --path bad")
                .lines()
                .count(),
            2
        );
        assert!(
            aml.fails(1, "validate bad/MLTable")
                .contains("bad/MLTable:2:19")
        );
    });
}

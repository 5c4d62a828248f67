//! Datastores and the files in them as people use them.

use expect_test::expect;
use serde_json::json;

use crate::support::{Aml, each_mode};

fn files(aml: &Aml) {
    aml.ok("workspace create -n churn");
    aml.write("data/iris.csv", "a,b\n1,2\n");
    aml.write("data/deep/x.txt", "x");
}

#[test]
fn files_go_to_a_datastore_and_come_back() {
    each_mode(|aml| {
        files(aml);
        let listed = aml.json("datastore list --query [].name");
        assert_eq!(
            listed,
            json!([
                "workspaceartifactstore",
                "workspaceblobstore",
                "workspacefilestore",
                "workspaceworkingdirectory"
            ])
        );
        assert_eq!(
            aml.json("datastore show --query name"),
            "workspaceblobstore"
        );
        aml.ok("datastore upload data workspaceblobstore example-data");
        aml.ok("datastore upload data/iris.csv workspaceblobstore single/");
        let uploaded =
            aml.json("datastore upload data/iris.csv workspaceblobstore renamed.csv -o json");
        assert_eq!(
            uploaded,
            json!({"datastore": "workspaceblobstore", "path": "renamed.csv", "files": 1, "bytes": 8})
        );
        let paths = aml.json("datastore ls workspaceblobstore --query [].path");
        assert_eq!(
            paths,
            json!([
                "example-data/deep/x.txt",
                "example-data/iris.csv",
                "renamed.csv",
                "single/iris.csv"
            ])
        );
        aml.ok("datastore download workspaceblobstore example-data --output got");
        assert_eq!(aml.read("got/iris.csv"), "a,b\n1,2\n");
        assert_eq!(aml.read("got/deep/x.txt"), "x");
        aml.ok("datastore download workspaceblobstore single/iris.csv --output one");
        assert_eq!(aml.read("one/iris.csv"), "a,b\n1,2\n");
        let removed = aml.json("datastore rm workspaceblobstore example-data --yes -o json");
        assert_eq!(
            removed,
            json!({"datastore": "workspaceblobstore", "path": "example-data"})
        );
        assert_eq!(
            aml.json("datastore ls workspaceblobstore example-data"),
            json!([])
        );
        let error = aml.fails(
            3,
            "datastore download workspaceblobstore example-data --output got",
        );
        expect![[r#"
            Error: Nothing is at `example-data` in datastore `workspaceblobstore`
            Hint: See what is there: aml datastore ls workspaceblobstore
        "#]]
        .assert_eq(&error);
    });
}

#[test]
fn what_opens_a_datastore_is_not_shown() {
    each_mode(|aml| {
        files(aml);
        let create = "datastore create -n cloud -t azure_blob --account-name a --container-name c";
        let made = aml.run(format!("{create} --credential account_key=hunter2"));
        assert!(!made.ok().contains("hunter2"));
        let made = aml.run_with_stdin(format!("{create} --credential account_key=-"), "hunter3\n");
        assert!(!made.ok().contains("hunter3"));
        for line in [
            "datastore show -n cloud",
            "datastore list",
            "datastore show -n cloud -o table",
        ] {
            let output = aml.ok(line);
            assert!(!output.contains("hunter"), "{output}");
        }
        let told = aml.json("datastore show -n cloud --populate-secrets");
        assert_eq!(told["credentials"], json!({"account_key": "hunter3"}));
        aml.ok("datastore update -n cloud --default --description x");
        assert_eq!(aml.json("datastore show --query name"), "cloud");
        aml.ok("datastore delete -n cloud --yes");
        assert_eq!(
            aml.json("datastore show --query name"),
            "workspaceblobstore"
        );
        expect![[r#"
            Error: No datastore `workspaceblobstor` in workspace `churn`
            Hint: Did you mean `workspaceblobstore`?
        "#]]
        .assert_eq(&aml.fails(3, "datastore show -n workspaceblobstor"));
        expect![[r#"
            Error: A datastore of type azure_blob needs `container_name`
        "#]]
        .assert_eq(&aml.fails(2, "datastore create -n x -t azure_blob --account-name a"));
        aml.ok("datastore create -n old -t azure_data_lake_gen1 --store-name s");
        expect![[r#"
            Error: A datastore of type azure_data_lake_gen1 cannot be reached: Azure has shut Data Lake Storage Gen1 down
            Hint: Use azure_data_lake_gen2
            Hint: Name a folder with its files in [mirrors] of config.toml
        "#]]
        .assert_eq(&aml.fails(7, "datastore test -n old"));
    });
}

//! Models: versions, what they come from, what is refused.

use expect_test::expect;
use serde_json::json;

use crate::support::{Aml, each_mode};

fn with_model(aml: &Aml) {
    aml.ok("workspace create -n Churn");
    aml.write("model/weights.txt", "42");
    aml.ok("model register -n iris --path model --tag stage=test --description first");
}

#[test]
fn versions_count_up_and_are_not_used_again() {
    each_mode(|aml| {
        with_model(aml);
        aml.ok("model register -n IRIS --path model/weights.txt");
        aml.ok("model delete iris:2 --yes");
        let named = aml.ok("model register -n other --path model -v first -o table");
        assert!(named.contains("Version     first (1)\n"), "{named}");
        let listed = aml.ok("model list -n other -o table");
        assert!(listed.contains("other  first (1)"), "{listed}");
        let third = aml.json("model register -n iris --path model");
        assert_eq!(third["version"], 3);
        assert_eq!(third["name"], "iris");
        let versions = aml.json("model list -n iris --query [].version");
        assert_eq!(versions, serde_json::json!([3, 1]));
        let newest = aml.json("model list --query '[].[name, version]'");
        assert_eq!(newest, serde_json::json!([["iris", 3], ["other", 1]]));
        assert_eq!(aml.json("model show iris@latest")["version"], 3);
        let first = aml.json("model show iris:1");
        assert_eq!(first["tags"]["stage"], "test");
        assert_eq!(first["files"]["files"], 1);
        aml.ok("model update iris:1 --tag stage= --tag owner=ann");
        assert_eq!(
            aml.json("model show iris:1 --query tags"),
            serde_json::json!({"owner": "ann"})
        );
        aml.ok("model delete iris --all-versions --yes");
        assert_eq!(
            aml.json("model register -n iris --path model")["version"],
            4
        );
    });
}

#[test]
fn a_version_is_named_in_every_way_that_people_type() {
    each_mode(|aml| {
        with_model(aml);
        aml.ok("model register -n iris --path model");
        for one in [
            "iris:1",
            "iris --version 1",
            "iris -v 1",
            "-n iris -v 1",
            "--name iris --version 1",
            "--name iris:1",
        ] {
            assert_eq!(aml.json(format!("model show {one}"))["version"], 1, "{one}");
        }
        aml.ok("model alias set iris champion --version 1");
        assert_eq!(aml.json("model show -n iris@champion")["version"], 1);
        expect![[r#"
            Error: --version: `iris:2` names a version already
        "#]]
        .assert_eq(&aml.fails(2, "model show iris:2 --version 1"));
        expect![[r#"
            Error: model: Which version of `iris`?
            Hint: Name it, as in iris:2
            Hint: See all: aml model list --name iris
            Hint: All of them: aml model delete iris --all-versions
        "#]]
        .assert_eq(&aml.fails(2, "model delete iris --yes"));
        aml.ok("model delete iris --version 2 --yes");
        assert_eq!(
            aml.json("model list -n iris --query [].version"),
            json!([1])
        );
        aml.ok("data create -n rows --path model --type uri_folder");
        let data = aml.json("data show -n rows --version 1");
        assert_eq!(aml.json("data show rows:1"), data);
        aml.fails(2, "data show rows:1 --version 1");
        let error = aml.fails(2, "model show iris:0");
        assert!(
            error.contains("tip: Write NAME:VERSION, NAME@ALIAS, or NAME for the newest version"),
            "{error}"
        );
    });
}

#[test]
fn a_port_that_is_taken_is_said_with_what_to_do() {
    let aml = Aml::local();
    with_model(&aml);
    aml.write("score.py", "def init(): pass\ndef run(data): return data\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = taken.local_addr().expect("an address").port();
    let error = aml.fails(
        12,
        format!("deploy iris:1 --name late --script score.py --port {port}"),
    );
    let said = "in use by another program of this machine\n\
                Hint: Free it, or choose another: aml endpoint start late --port PORT\n";
    assert!(error.contains(said), "{error}");
    let listed = aml.ok("endpoint list -o table");
    assert!(
        listed.contains("in use by another program of this machine\n"),
        "{listed}"
    );
}

#[test]
fn an_archived_version_is_hidden_until_it_is_restored() {
    each_mode(|aml| {
        with_model(aml);
        aml.ok("model register -n iris --path model");
        aml.ok("model archive iris:2");
        assert_eq!(aml.json("model show iris")["version"], 1);
        aml.ok("model archive iris:1");
        let error = aml.fails(3, "model show iris");
        expect![[r#"
            Error: Every version of `iris` is archived
            Hint: aml model restore iris:2
        "#]]
        .assert_eq(&error);
        assert_eq!(aml.json("model list"), serde_json::json!([]));
        aml.ok("model restore iris:2");
        assert_eq!(aml.json("model show iris")["version"], 2);
    });
}

#[test]
fn an_alias_is_another_name_of_a_version() {
    each_mode(|aml| {
        with_model(aml);
        aml.ok("model register -n iris --path model");
        aml.ok("model alias set iris:1 champion");
        assert_eq!(aml.json("model show iris@champion")["version"], 1);
        aml.ok("model alias set iris Champion");
        let newest = aml.json("model list --query '[].[version, aliases]'");
        assert_eq!(newest, serde_json::json!([[2, ["Champion"]]]));
        aml.ok("model download iris@champion --output got");
        assert!(aml.path("got/weights.txt").exists());
        expect![[r#"
            Error: No alias `champoin` of the model `iris`
            Hint: Did you mean `Champion`?
        "#]]
        .assert_eq(&aml.fails(3, "model show iris@champoin"));
        expect![[r#"
            Error: model: `iris:1` names no alias
            Hint: Name it, as in iris@champion
        "#]]
        .assert_eq(&aml.fails(2, "model alias delete iris:1"));
        expect![[r#"
            Error: The alias `latest` is always the newest version
            Hint: An alias has letters, digits, `-` and `_`, such as `champion`
        "#]]
        .assert_eq(&aml.fails(2, "model alias set iris:1 latest"));
        aml.ok("model alias delete iris@champion");
        aml.fails(3, "model show iris@champion");
        aml.ok("model update iris:2 --stage production");
        aml.ok("model update iris:1 --stage production --archive-others");
        assert_eq!(aml.json("model show iris")["version"], 1);
        let stages = aml.json("model list -n iris --include-archived --query [].stage");
        assert_eq!(stages, serde_json::json!(["Archived", "Production"]));
    });
}

#[test]
fn files_come_back_as_they_were() {
    each_mode(|aml| {
        aml.ok("workspace create -n Churn");
        aml.write("model/MLmodel", "flavors: {}");
        aml.write("model/data/weights.bin", [0, 159, 146, 150]);
        // What would be left out of code belongs to a model.
        aml.write("model/.gitignore", "*.bin\n");
        let model = aml.json("model register -n iris --path ./model/");
        assert_eq!(model["type"], "mlflow");
        assert_eq!(model["files"]["files"], 3);
        aml.ok("model download iris --output got");
        let got = std::fs::read(aml.path("got/data/weights.bin")).expect("was downloaded");
        assert_eq!(got, [0, 159, 146, 150]);
    });
}

#[test]
fn what_is_wrong_is_said() {
    each_mode(|aml| {
        with_model(aml);
        let check = |status, line: &str, expected: expect_test::Expect| {
            expected.assert_eq(&aml.fails(status, line));
        };
        check(
            3,
            "model show irsi",
            expect![[r#"
                Error: No model `irsi` in workspace `Churn`
                Hint: Did you mean `iris`?
            "#]],
        );
        check(
            3,
            "model show iris:7",
            expect![[r#"
                Error: No model `iris` version 7 in workspace `Churn`
                Hint: The newest version is 1; see all: aml model list --name iris
            "#]],
        );
        check(
            2,
            "model register -n iris --path modle",
            expect![[r#"
                Error: --path: There is no file or folder `modle`
                Hint: Did you mean `model`?
            "#]],
        );
        check(
            2,
            "model register -n iris --path model --type mlflow",
            expect![[r#"
                Error: A model of type mlflow has a file `MLmodel` at its top, and this one does not
                Hint: Name the folder that holds MLmodel, or register it with --type custom
            "#]],
        );
        check(
            2,
            "model delete iris --yes",
            expect![[r#"
                Error: model: Which version of `iris`?
                Hint: Name it, as in iris:1
                Hint: See all: aml model list --name iris
                Hint: All of them: aml model delete iris --all-versions
            "#]],
        );
        check(
            2,
            ["model", "register", "-n", "a/b", "--path", "model"]
                .join(" ")
                .as_str(),
            expect![[r#"
                Error: The model name `a/b` has the character `/`
                Hint: A model name has 1 to 255 characters, no `/`, no `:`, no line breaks, and no blanks at its ends
            "#]],
        );
    });
}

#[test]
fn a_model_whose_run_is_gone_is_deployed_with_a_warning() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.write(
            "src/made.sh",
            "mkdir -p outputs/m && echo 1 > outputs/m/w\n",
        );
        aml.write("empty.txt", "");
        aml.write(
            "score.py",
            "def init():\n    pass\n\ndef run(data):\n    return data\n",
        );
        aml.within_seconds(180)
            .ok("run submit --name maker --code ./src --env empty.txt --stream -- sh made.sh");
        aml.ok("model register -n m --from-run maker --path outputs/m --type custom");
        let deploy = "deploy m:1 --name ep --script score.py --no-wait";
        let kept = aml.run(deploy);
        assert!(!kept.stderr.contains("Warning"), "{kept}");
        assert!(kept.stdout.contains("empty"), "{kept}");
        aml.ok("endpoint delete ep --yes");
        aml.ok("run delete maker --yes");
        let warning = "Warning: The run `maker` that made the model is gone, and with it the environment \
                       `empty.txt`; the script is served with the scoring server alone. Give it one: --env FILE";
        let lost = aml.run(deploy);
        assert!(lost.stderr.contains(warning), "{lost}");
        let given = aml.run(format!("{deploy} --env empty.txt"));
        assert!(!given.stderr.contains("Warning"), "{given}");
        aml.ok("endpoint delete ep --yes");
    });
}

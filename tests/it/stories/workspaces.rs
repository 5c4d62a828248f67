//! Workspaces: names, editions, associated resources, the one worked in, roles, keys.

use expect_test::expect;
use serde_json::json;

use crate::support::{Aml, each_mode};

#[test]
fn a_workspace_is_created_upgraded_and_deleted() {
    each_mode(|aml| {
        let churn = aml.json("workspace create -n Churn --edition basic");
        assert_eq!(churn["name"], "Churn");
        assert_eq!(churn["edition"], "basic");
        assert_eq!(aml.json("workspace show -n churn"), churn);
        let upgraded = aml.json("workspace upgrade -n churn --edition enterprise");
        assert_eq!(upgraded["edition"], "enterprise");
        assert_eq!(upgraded["id"], churn["id"]);
        aml.ok("workspace upgrade -n churn --edition enterprise");
        expect![[r#"
            Error: edition: `Churn` is an enterprise workspace and cannot be downgraded
            Hint: Create another workspace: aml workspace create -n NAME --edition basic
        "#]]
        .assert_eq(&aml.fails(5, "workspace upgrade -n churn --edition basic"));
        aml.ok("workspace delete -n CHURN --yes");
        assert_eq!(aml.json("workspace list"), json!([]));
        aml.fails(3, "workspace show -n churn");
    });
}

#[test]
fn editions_asked_for_at_once_never_go_back() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        let asked = [
            "enterprise",
            "basic",
            "enterprise",
            "basic",
            "enterprise",
            "basic",
        ];
        let commands = asked
            .map(|edition| aml.start(format!("workspace upgrade -n churn --edition {edition}")));
        for (edition, command) in asked.into_iter().zip(commands) {
            let output = command.wait(60);
            // Basic is no error as long as it is that.
            let fine: &[i32] = if edition == "basic" { &[0, 5] } else { &[0] };
            assert!(
                fine.contains(&output.status),
                "{edition}: {}",
                output.stderr
            );
        }
        assert_eq!(
            aml.json("workspace show -n churn --query edition"),
            "enterprise"
        );
    });
}

#[test]
fn subscription_and_group_tell_which_workspace_is_meant() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn --subscription s1 -g g1");
        assert_eq!(
            aml.json("workspace show -n churn --subscription S1 -g g1 --query name"),
            "churn"
        );
        expect![[r#"
            Error: No workspace `churn` in the subscription `s2`
            Hint: It is in `s1`
        "#]]
        .assert_eq(&aml.fails(3, "workspace show -n churn --subscription s2"));
        aml.fails(3, "workspace delete -n churn -g g2 --yes");
        aml.ok("workspace delete -n churn -g g1 --yes");
    });
}

#[test]
fn a_workspace_that_is_gone_is_not_worked_in_any_more() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.ok("workspace create -n fraud");
        aml.ok("workspace use churn");
        let deleted = aml.run("workspace delete -n CHURN --yes");
        assert!(
            deleted
                .stderr
                .contains("choose another: aml workspace use NAME"),
            "{}",
            deleted.stderr
        );
        assert_eq!(aml.json("workspace show --query name"), "fraud");
        // Chosen for a folder, it can only be found out when it is asked for.
        aml.ok("workspace use fraud --folder");
        aml.ok("workspace delete -n fraud --yes");
        expect![[r#"
            Error: No workspace `fraud`
            Hint: Create it: aml workspace create -n fraud
            Hint: `$ROOT/here/.aml/config.toml` says to work in it; choose another: aml workspace use NAME
        "#]]
        .assert_eq(&aml.fails(3, "run list"));
    });
}

#[test]
fn associated_resources_come_with_a_workspace() {
    each_mode(|aml| {
        let made = aml.json("workspace create -n churn")["resources"].clone();
        for (resource, state) in [
            ("storage_account", "ready"),
            ("key_vault", "ready"),
            ("application_insights", "ready"),
            ("container_registry", "pending"),
        ] {
            assert_eq!(made[resource]["state"], state, "{resource}");
            assert_eq!(made[resource]["owned"], true, "{resource}");
        }
        let named = aml.json("workspace create -n fraud --storage-account store7 --key-vault kv7")
            ["resources"]
            .clone();
        assert_eq!(
            named["storage_account"],
            json!({"name": "store7", "state": "ready", "owned": false})
        );
        assert_eq!(named["key_vault"]["name"], "kv7");
        assert_eq!(named["application_insights"]["owned"], true);
        let premium = aml.fails(
            2,
            "workspace create -n other --storage-account 'x?sku=Premium_LRS'",
        );
        expect![[r#"
            Error: storage_account: a premium account cannot be the default store of a workspace
            Hint: Give a standard account without hierarchical namespace, or leave it out and one is made
        "#]].assert_eq(&premium);
        let hierarchical = aml.fails(
            2,
            "workspace create -n other --storage-account 'x?hns=true'",
        );
        expect![[r#"
            Error: storage_account: an account with a hierarchical namespace cannot be the default store of a workspace
            Hint: Give a standard account without hierarchical namespace, or leave it out and one is made
        "#]].assert_eq(&hierarchical);
        assert_eq!(aml.json("workspace list --query 'length(@)'"), 2);
    });
}

#[test]
fn names_are_checked_and_do_not_differ_by_case_alone() {
    each_mode(|aml| {
        aml.ok("workspace create -n Churn");
        expect![[r#"
            Error: name: There is a workspace `Churn` already
            Hint: Names do not differ by case alone; choose another name
            Hint: Or work in it: aml workspace use Churn
        "#]]
        .assert_eq(&aml.fails(5, "workspace create -n CHURN"));
        expect![[r#"
            Error: The workspace name cannot be empty
            Hint: A workspace name has 1 to 33 letters, digits and `-` `_`, and begins with a letter, digit or `_`
        "#]].assert_eq(&aml.fails(2, "workspace create -n ''"));
        expect![[r#"
            Error: The workspace name `a b` has the character ` `
            Hint: A workspace name has 1 to 33 letters, digits and `-` `_`, and begins with a letter, digit or `_`
        "#]].assert_eq(&aml.fails(2, "workspace create -n 'a b'"));
        expect![[r#"
            Error: The workspace name `-a` begins with `-`
            Hint: A workspace name has 1 to 33 letters, digits and `-` `_`, and begins with a letter, digit or `_`
        "#]].assert_eq(&aml.fails(2, "workspace create -n=-a"));
        let long = "a".repeat(34);
        expect![[r#"
            Error: The workspace name is longer than 33 characters
            Hint: A workspace name has 1 to 33 letters, digits and `-` `_`, and begins with a letter, digit or `_`
        "#]].assert_eq(&aml.fails(2, ["workspace", "create", "-n", &long]));
        expect![[r#"
            Error: The workspace name `größe` has the character `ö`
            Hint: A workspace name has 1 to 33 letters, digits and `-` `_`, and begins with a letter, digit or `_`
        "#]].assert_eq(&aml.fails(2, "workspace create -n größe"));
        expect![[r#"
            Error: The workspace name `ünder` has the character `ü`
            Hint: A workspace name has 1 to 33 letters, digits and `-` `_`, and begins with a letter, digit or `_`
        "#]].assert_eq(&aml.fails(2, "workspace create -n ünder"));
        expect![[r#"
            Error: The workspace name `../../etc` has the character `.`
            Hint: A workspace name has 1 to 33 letters, digits and `-` `_`, and begins with a letter, digit or `_`
        "#]].assert_eq(&aml.fails(2, "workspace create -n ../../etc"));
        expect![[r#"
            Error: No workspace `chrun`
            Hint: Did you mean `Churn`?
        "#]]
        .assert_eq(&aml.fails(3, "workspace show -n chrun"));
        expect![[r#"
            Error: No workspace `nothing-like-it`
            Hint: See which there are: aml workspace list
        "#]]
        .assert_eq(&aml.fails(3, "workspace delete -n nothing-like-it --yes"));
    });
}

#[test]
fn what_is_given_is_updated_and_the_rest_stays() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn --description 'who leaves' --tags team=a area=b");
        let updated =
            aml.json("workspace update -n churn --tags area= cost=7 --display-name Churn!");
        assert_eq!(updated["description"], "who leaves");
        assert_eq!(updated["display_name"], "Churn!");
        assert_eq!(updated["tags"], json!({"team": "a", "cost": "7"}));
        let moved = aml.fails(2, "workspace update -n churn --subscription another");
        expect![[r#"
            Error: A workspace cannot be moved to another subscription: `churn` belongs to `<uuid>`, and its associated resources, role assignments and endpoints are bound to that
            Hint: Create a workspace in the other subscription and register the models there
        "#]].assert_eq(&moved);
        expect![[r#"
            Error: --tag: `novalue` is not KEY=VALUE
        "#]]
        .assert_eq(&aml.fails(2, "workspace update -n churn --tags novalue"));
    });
}

#[test]
fn the_workspace_worked_in() {
    each_mode(|aml| {
        expect![[r#"
            Error: There is no workspace yet
            Hint: Create one: aml workspace create -n main
        "#]]
        .assert_eq(&aml.fails(3, "workspace show"));
        aml.ok("workspace create -n churn");
        assert_eq!(aml.json("workspace show")["name"], "churn", "the only one");
        aml.ok("workspace create -n fraud");
        aml.ok("workspace create -n spam");
        expect![[r#"
            Error: Which workspace? There are `churn`, `fraud`, `spam`
            Hint: Name it, as in -w churn
            Hint: Or from now on: aml workspace use churn
        "#]]
        .assert_eq(&aml.fails(2, "workspace show"));

        aml.ok("workspace use FRAUD");
        assert_eq!(aml.json("workspace show")["name"], "fraud", "the default");
        let project = aml.within("project");
        project.ok("workspace use churn --folder");
        let deep = project.within("src/deep");
        assert_eq!(deep.json("workspace show")["name"], "churn", "the folder's");
        assert_eq!(aml.json("workspace show")["name"], "fraud", "not outside");
        let chosen = deep.with("AML_WORKSPACE", "spam");
        assert_eq!(
            chosen.json("workspace show")["name"],
            "spam",
            "the variable"
        );
        let named = chosen.json("workspace show -w fraud");
        assert_eq!(named["name"], "fraud", "the option");
        expect![[r#"
            Error: No workspace `spma`
            Hint: Did you mean `spam`?
        "#]]
        .assert_eq(&aml.fails(3, "workspace use spma"));
    });
}

#[test]
fn keys_are_shown_to_the_owner() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        let keys = aml.json("workspace keys -n churn");
        let key = keys["storage_key"].as_str().expect("a key").to_owned();
        assert!(key.len() > 30);
        assert!(!aml.ok("workspace show -n churn").contains(&key));
        aml.ok("workspace update -n churn --container-registry images");
        let keys = aml.json("workspace keys -n churn");
        assert_eq!(keys["storage_key"], key.as_str(), "a key stays the same");
        // What was there before has its own keys, which are not ours to tell.
        aml.ok("workspace create -n fraud --storage-account accounts --application-insights apm");
        let keys = aml.json("workspace keys -n fraud");
        assert_eq!(keys, json!({"storage_account": "accounts"}));
    });
}

#[test]
fn a_workspace_is_shared_by_roles() {
    // The owner of the machine makes users; as a server's first user takes over, tokens are
    // tested in the story of servers.
    let aml = Aml::local();
    aml.ok("workspace create -n churn");
    aml.ok("user create root");
    aml.ok("user create ann");
    let given = aml.json("workspace share add -n churn --user Ann --role data-scientist");
    assert_eq!(given["user"], "ann");
    assert_eq!(given["role"], "AzureML Data Scientist");
    aml.ok("workspace share add -n churn --user ann --role reader");
    let roles = aml.json("workspace share list -n churn --query '[].[user, role]'");
    assert_eq!(roles, json!([["ann", "Reader"]]), "one user has one role");
    expect![[r#"
        Error: No user `anna`
        Hint: Did you mean `ann`?
    "#]]
    .assert_eq(&aml.fails(3, "workspace share add -n churn --user anna --role Owner"));
    expect![[r#"
        Error: No user `bob`
        Hint: See which there are: aml user list
        Hint: Or make one: aml user create bob
    "#]]
    .assert_eq(&aml.fails(3, "workspace share add -n churn --user bob --role Owner"));
    expect![[r#"
        Error: --role: No role `Reder`
        Hint: Did you mean `Reader`?
    "#]]
    .assert_eq(&aml.fails(3, "workspace share add -n churn --user ann --role Reder"));
    aml.ok("workspace share remove -n churn --user ann");
    expect![[r#"
        Error: `ann` has no role in `churn`
        Hint: See who has: aml workspace share list -n churn
    "#]]
    .assert_eq(&aml.fails(3, "workspace share remove -n churn --user ann"));
}

#[test]
fn deleting_asks_first() {
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        expect![[r#"
            Error: Delete the workspace `churn` with its runs, models, endpoints and secrets? There is no terminal to ask on
            Hint: Add --yes to go ahead
        "#]].assert_eq(&aml.fails(2, "workspace delete -n churn"));
        assert_eq!(aml.json("workspace show")["name"], "churn");
    });
}

#[test]
fn groups_and_subscriptions_are_recorded_and_narrow_lists() {
    each_mode(|aml| {
        aml.ok("workspace create -n a -g team --subscription s1");
        aml.ok("workspace create -n b");
        let names = |options: &str| aml.json(format!("workspace list {options} --query '[].name'"));
        assert_eq!(names(""), json!(["a", "b"]));
        assert_eq!(names("-g TEAM"), json!(["a"]));
        assert_eq!(names("--subscription s2"), json!([]));
        // Scripts written for Azure give them everywhere.
        aml.ok("workspace show -n a -g team --subscription s1");
        aml.ok("workspace update -n a -g Team --description x");
        let error = aml.fails(2, "workspace update -n a -g other --description y");
        assert!(
            error.contains("cannot be moved to another resource group"),
            "{error}"
        );
        let error = aml.fails(2, "workspace update -n a");
        assert!(error.contains("Nothing to change was given"), "{error}");
        assert_eq!(aml.json("workspace show -n a")["description"], "x");
        expect![[r#"
            Error: A workspace cannot be moved to another subscription: `a` belongs to `s1`, and its associated resources, role assignments and endpoints are bound to that
            Hint: Create a workspace in the other subscription and register the models there
        "#]]
        .assert_eq(&aml.fails(2, "workspace update -n a --subscription s2"));
    });
}

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
        let error = aml.fails(5, "workspace upgrade -n churn --edition basic");
        expect![[r#"
            Error: edition: `Churn` is an enterprise workspace and cannot be downgraded
            Hint: Create another workspace: aml workspace create -n NAME --edition basic
        "#]]
        .assert_eq(&error);
        aml.ok("workspace delete -n CHURN --yes");
        assert_eq!(aml.json("workspace list"), json!([]));
    });
}

//! Roles, users and tokens.

use super::support::{Bench, ended, submission};
use crate::{Action, Caller, Perform, access::allows};
use api::{
    Code,
    access::{AssignRole, CreateUser, DeleteUser, ListRoles, ListUsers, Role, RotateToken, WhoAmI},
    endpoints::GetEndpointKeys,
    runs::ListRuns,
    secrets::{GetSecret, ListSecrets, SetSecret},
    work::Outcome,
    workspaces::{CreateWorkspace, GetWorkspace, ListWorkspaceKeys, ListWorkspaces},
};

/// Every role × every action, as documented in `docs/security.md`.
#[test]
fn each_role_allows_what_the_documents_say() {
    let table = [
        ("Reader", "Read"),
        (
            "AzureML Data Scientist",
            "Read StoreFiles WriteRuns WriteAssets WriteModels Deploy Score ReadSecrets",
        ),
        (
            "Contributor",
            "Read StoreFiles WriteRuns WriteAssets WriteModels Deploy Score ManageWorkspace ReadSecrets WriteSecrets",
        ),
        (
            "Owner",
            "Read StoreFiles WriteRuns WriteAssets WriteModels Deploy Score ManageWorkspace ReadSecrets WriteSecrets ManageAccess",
        ),
    ];
    assert_eq!(table.len(), Role::ALL.len());
    for (name, expected) in table {
        let role = Role::ALL
            .into_iter()
            .find(|role| role.name() == name)
            .unwrap();
        let allowed: Vec<String> = Action::ALL
            .into_iter()
            .filter(|action| allows(role, *action))
            .map(|action| format!("{action:?}"))
            .collect();
        assert_eq!(allowed.join(" "), expected, "{name}");
    }
}

impl Bench {
    /// A user with a token, who is an admin when the first, and a role in `ws` when one is given.
    pub(super) async fn user(&self, name: &str, role: Option<Role>) -> Caller {
        let created = self
            .ask(CreateUser {
                name: name.to_owned(),
                admin: false,
            })
            .await
            .unwrap();
        if let Some(role) = role {
            self.ask(AssignRole {
                workspace: "ws".to_owned(),
                user: name.to_owned(),
                role,
            })
            .await
            .unwrap();
        }
        self.service
            .authenticate(&created.token)
            .await
            .unwrap()
            .unwrap()
    }

    async fn code<O: Perform>(&self, caller: &Caller, operation: O) -> Option<Code> {
        let answer = operation.perform(&self.service, caller).await;
        answer.err().map(|error| error.code)
    }
}

fn whoami() -> WhoAmI {
    WhoAmI {}
}

fn list_runs() -> ListRuns {
    ListRuns {
        workspace: "ws".to_owned(),
        ..ListRuns::default()
    }
}

fn get_secret() -> GetSecret {
    GetSecret {
        workspace: "ws".to_owned(),
        name: "db".to_owned(),
    }
}

#[tokio::test]
async fn a_role_is_asked_for_at_every_door() {
    let bench = Bench::new().await;
    let admin = bench.user("root", None).await;
    bench
        .ask(SetSecret {
            workspace: "ws".to_owned(),
            name: "db".to_owned(),
            value: "hunter2".to_owned(),
        })
        .await
        .unwrap();
    let roles = [
        None,
        Some(Role::Reader),
        Some(Role::DataScientist),
        Some(Role::Contributor),
    ];
    let expected = [
        // nobody, Reader, Data Scientist, Contributor
        ("list runs", [false, true, true, true]),
        ("submit", [false, false, true, true]),
        ("read a secret", [false, false, true, true]),
        ("see keys", [false, false, false, true]),
        ("assign roles", [false, false, false, false]),
        ("list users", [false, false, false, false]),
    ];
    for (position, role) in roles.into_iter().enumerate() {
        let name = format!("user{position}");
        let caller = bench.user(&name, role).await;
        for (what, allowed) in expected {
            let code = match what {
                "list runs" => bench.code(&caller, list_runs()).await,
                "submit" => bench.code(&caller, submission(&name)).await,
                "read a secret" => bench.code(&caller, get_secret()).await,
                "see keys" => {
                    let workspace = "ws".to_owned();
                    bench.code(&caller, ListWorkspaceKeys { workspace }).await
                }
                "assign roles" => {
                    let assign = AssignRole {
                        workspace: "ws".to_owned(),
                        user: name.clone(),
                        role: Role::Owner,
                    };
                    bench.code(&caller, assign).await
                }
                _ => bench.code(&caller, ListUsers {}).await,
            };
            // To who has no role the workspace is not there.
            let refusal = match role {
                None if what != "list users" => Code::NotFound,
                _ => Code::Denied,
            };
            let wanted = (!allowed[position]).then_some(refusal);
            assert_eq!(code, wanted, "{what} as {role:?}");
        }
    }
    assert_eq!(bench.code(&admin, get_secret()).await, None);
}

#[tokio::test]
async fn a_refusal_names_the_role_that_would_allow_it() {
    let bench = Bench::new().await;
    bench.user("root", None).await;
    let reader = bench.user("ann", Some(Role::Reader)).await;
    let refused = submission("r")
        .perform(&bench.service, &reader)
        .await
        .unwrap_err();
    assert_eq!(
        refused.message,
        "`ann` has the role Reader and may not change runs in `ws`"
    );
    let keys = GetEndpointKeys {
        workspace: "ws".to_owned(),
        name: "e".to_owned(),
    };
    let unscored = keys.perform(&bench.service, &reader).await.err().unwrap();
    assert_eq!(
        unscored.message,
        "`ann` has the role Reader and may not score with endpoints, or see their keys, in `ws`"
    );
    assert_eq!(
        refused.hints,
        [
            "The role AzureML Data Scientist allows it; an owner can assign it: \
             aml workspace share add -n ws --user ann --role \"AzureML Data Scientist\""
        ]
    );
}

#[tokio::test]
async fn a_workspace_without_a_role_is_not_listed_nor_suggested() {
    let bench = Bench::new().await;
    bench.user("root", None).await;
    bench.workspace("churn").await;
    let ann = bench.user("ann", Some(Role::Reader)).await;
    let listed = ListWorkspaces {}
        .perform(&bench.service, &ann)
        .await
        .unwrap();
    let names: Vec<_> = listed.into_iter().map(|w| w.name).collect();
    assert_eq!(names, ["ws"]);
    let workspace = "chur".to_owned();
    let unknown = GetWorkspace { workspace }
        .perform(&bench.service, &ann)
        .await
        .unwrap_err();
    assert_eq!(unknown.hints, ["See which there are: aml workspace list"]);
}

#[tokio::test]
async fn a_run_token_is_good_for_its_own_workspace_and_for_no_secret() {
    let bench = Bench::new().await;
    bench.workspace("other").await;
    bench.submit("r1").await;
    let token = bench.sync("w", 1, &[]).await.take.remove(0).token;
    let run = bench.service.authenticate(&token).await.unwrap().unwrap();
    assert!(matches!(run, Caller::Run { .. }));
    let workspace = || "other".to_owned();
    let denied = Some(Code::Denied);
    assert_eq!(bench.code(&run, get_secret()).await, denied);
    let own = "ws".to_owned();
    assert_eq!(
        bench.code(&run, ListSecrets { workspace: own }).await,
        denied
    );
    let own = "ws".to_owned();
    assert_eq!(bench.code(&run, ListRoles { workspace: own }).await, denied);
    assert_eq!(bench.code(&run, ListUsers {}).await, denied);
    assert_eq!(
        bench
            .code(
                &run,
                GetWorkspace {
                    workspace: workspace()
                }
            )
            .await,
        // It does not even learn that it is there.
        Some(Code::NotFound)
    );
    let user = CreateUser {
        name: "eve".to_owned(),
        admin: true,
    };
    assert_eq!(bench.code(&run, user).await, denied);
    assert_eq!(bench.code(&run, whoami()).await, None);
}

#[tokio::test]
async fn a_run_token_ends_with_its_run() {
    let bench = Bench::new().await;
    bench.submit("r1").await;
    let token = bench.sync("w", 1, &[]).await.take.remove(0).token;
    let caller = || bench.service.authenticate(&token);
    assert!(caller().await.unwrap().is_some());
    bench
        .report("w", "r1", ended(Outcome::Completed))
        .await
        .unwrap();
    assert_eq!(caller().await.unwrap(), None);
}

#[tokio::test]
async fn a_token_works_until_it_is_rotated_or_its_user_deleted() {
    let bench = Bench::new().await;
    let create = |name: &str| CreateUser {
        name: name.to_owned(),
        admin: false,
    };
    let root = bench.ask(create("root")).await.unwrap();
    assert!(
        root.user.admin,
        "the first user must be able to make others"
    );
    let ann = bench.ask(create("ann")).await.unwrap();
    assert!(!ann.user.admin);
    assert_eq!(
        bench.code(&Caller::Owner, create("ANN")).await,
        Some(Code::Conflict)
    );
    let knows = async |token: &str| bench.service.authenticate(token).await.unwrap().is_some();
    assert!(knows(&ann.token).await);
    assert!(!knows("aml_0000").await);
    let caller = bench
        .service
        .authenticate(&ann.token)
        .await
        .unwrap()
        .unwrap();
    let rotate = |user: &str| RotateToken {
        user: user.to_owned(),
    };
    assert_eq!(
        bench.code(&caller, rotate("root")).await,
        Some(Code::Denied)
    );
    let newer = rotate("Ann")
        .perform(&bench.service, &caller)
        .await
        .unwrap();
    assert!(!knows(&ann.token).await);
    assert!(knows(&newer.token).await);
    let delete = |user: &str| DeleteUser {
        user: user.to_owned(),
    };
    assert_eq!(
        bench.code(&Caller::Owner, delete("root")).await,
        Some(Code::Conflict)
    );
    assert_eq!(bench.code(&Caller::Owner, delete("ann")).await, None);
    assert!(!knows(&newer.token).await);
    assert_eq!(bench.code(&Caller::Owner, delete("root")).await, None);
}

#[tokio::test]
async fn only_admins_make_workspaces() {
    let bench = Bench::new().await;
    bench.user("root", None).await;
    let ann = bench.user("ann", Some(Role::Owner)).await;
    let create: CreateWorkspace =
        serde_json::from_value(serde_json::json!({"name": "mine", "edition": "basic"})).unwrap();
    assert_eq!(bench.code(&ann, create).await, Some(Code::Denied));
}

//! Values that cannot be, such as numbers out of their range, and what an answer says besides.

use serde_json::json;

use super::{right, wrong};
use kinds::{job::CommandJob, schedule::Schedule, serving::OnlineEndpoint};

#[test]
fn the_shares_of_an_endpoint_are_looked_at_though_something_else_is_wrong() {
    assert_eq!(
        wrong::<OnlineEndpoint>(
            "name: ep-one\nauth_mod: key\ntraffic: {blue: 90, green: 20}\nmirror_traffic: {red: 101}\n"
        ),
        [
            "f:2:1: An online endpoint has no key `auth_mod` | Did you mean `auth_mode`?",
            "f:3:1: The traffic adds up to 110 percent, not 100 or 0 | Let the shares make 100 together, such as 90 and 10",
            "f:4:23: 101 is not a number from 0 to 100 | At most 100 is possible",
        ]
    );
    // Where a share is wrong it is not known what they add up to.
    assert_eq!(
        wrong::<OnlineEndpoint>("name: ep-one\ntraffic: {blue: 90, green: ten}\n"),
        ["f:2:28: Expected an integer, found a string"]
    );
    right::<OnlineEndpoint>("name: ep-one\ntraffic: {blue: 0, green: 0}\n");
    right::<OnlineEndpoint>("name: ep-one\ntraffic: {}\n");
}

#[test]
fn a_cron_expression_has_fields_in_their_ranges() {
    for (expression, problem) in [
        ("61 8 * * *", "`61` is no minute"),
        ("0 24 * * *", "`24` is no hour"),
        ("0 8 32 13 *", "`32` is no day of the month"),
        ("0 8 * *", "it has 4 parts"),
    ] {
        let text = format!(
            "name: s\ntrigger:\n  type: cron\n  expression: '{expression}'\ncreate_job: azureml:j\n"
        );
        let found = wrong::<Schedule>(&text);
        let begins = format!("f:4:15: `{expression}` is no cron expression: ");
        let [error] = found.as_slice() else {
            panic!("{found:?}")
        };
        let told = error.strip_prefix(&begins).expect(error).to_lowercase();
        let hint = told.contains(" | it has five parts: minute (0-59), hour");
        assert!(told.contains(problem) && hint, "{error}");
    }
}

#[test]
fn what_only_an_answer_says_is_dropped_when_it_is_used_again() {
    let (_, job) = right::<CommandJob>(
        "command: echo\nenvironment: azureml:e:1\nstatus: Failed\nerror: {message: m}\nresourceGroup: g\n\
         services:\n  Studio: {type: Studio, endpoint: http://x}\n  Tracking: {type: Tracking}\n  \
         own: {type: jupyter_lab, status: Running}\n",
    );
    assert_eq!(job["services"], json!({"own": {"type": "jupyter_lab"}}));
    assert!(job.get("resourceGroup").is_none() && job.get("error").is_none());
    let (_, job) = right::<CommandJob>(
        "command: echo\nenvironment: azureml:e:1\noutputs:\n  default: {path: azureml://jobs/j/outputs/artifacts}\n  \
         own: {mode: upload}\n",
    );
    assert_eq!(job["outputs"], json!({"own": {"mode": "upload"}}));
    assert_eq!(
        wrong::<CommandJob>(
            "command: echo\nenvironment: azureml:e:1\nservices: {a: {type: studio}}\n"
        )
        .len(),
        1
    );
    let whole =
        "{type: pipeline, inputs: {x: 1}, jobs: {a: {type: command, component: azureml:c:1}}}";
    let (_, schedule) = right::<Schedule>(&format!(
        "name: s\ntrigger: {{type: cron, expression: '0 8 * * *'}}\nresourceGroup: g\ncreate_job: {whole}\n"
    ));
    assert_eq!(
        schedule["create_job"]["jobs"]["a"]["component"],
        "azureml:c:1"
    );
}

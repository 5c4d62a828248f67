//! Values that cannot be: paths where nothing is, numbers out of their range.

use super::{right, wrong};
use kinds::{
    assets::{Data, Model},
    batch::BatchDeployment,
    job::CommandJob,
    schedule::Schedule,
    serving::{OnlineDeployment, OnlineEndpoint},
};

/// What is on this machine must be there, whichever kind of file names it.
#[test]
fn a_local_path_that_is_not_there_is_an_error() {
    let at = "It was looked for at /files/gone";
    let gone = |place: &str| format!("f:{place}: There is no file or folder `gone` | {at}");
    assert_eq!(wrong::<Data>("name: d\npath: gone\n"), [gone("2:7")]);
    assert_eq!(wrong::<Model>("name: m\npath: gone\n"), [gone("2:7")]);
    assert_eq!(
        wrong::<CommandJob>(
            "command: ls\nenvironment: azureml:e:1\ninputs:\n  x: {type: uri_folder, path: gone}\ncode: gone\n"
        ),
        [gone("4:31"), gone("5:7")]
    );
    let of_deployment = "name: blue\nendpoint_name: ep-one\nmodel: {name: m, path: gone}\n\
                         code_configuration: {code: gone, scoring_script: score.py}\n\
                         environment: {image: i, conda_file: gone}\n";
    assert_eq!(
        wrong::<OnlineDeployment>(&format!(
            "{of_deployment}instance_type: t\ninstance_count: 0\n"
        )),
        [
            gone("3:24"),
            gone("4:28"),
            format!("f:5:37: There is no file `gone` | {at}"),
            "f:7:17: 0 is not a number from 1 to 64 | At least 1 is possible".to_owned(),
        ]
    );
    assert_eq!(
        wrong::<BatchDeployment>(&format!(
            "{of_deployment}type: model\ncompute: azureml:c\nsettings: {{instance_count: 0}}\n"
        ))
        .last()
        .unwrap(),
        "f:8:28: 0 is not a number from 1 up | At least 1 is possible"
    );
    // What is elsewhere is not looked for, nor where data is put.
    for path in [
        "azureml:d:1",
        "azureml://datastores/d/paths/gone",
        "https://e.com/gone",
    ] {
        right::<Data>(&format!("name: d\npath: {path}\n"));
    }
}

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

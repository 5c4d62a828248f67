//! Schedules: created from files, due, triggered, changed, by both doors.

use serde_json::{Value, json};

use crate::support::{Aml, each_mode, eventually};

const JOB: &str = "\
command: echo ${{inputs.who}} && cat a.txt
code: src
environment: {image: python}
inputs: {who: nobody, at: then}
";
const SCHEDULE: &str = "\
name: often
display_name: Often
trigger:
  type: cron
  expression: \"0 * * * *\"
  start_time: \"2022-07-10T10:00:00\"
  time_zone: \"Pacific Standard Time\"
create_job: ./job.yml
";

fn with_files(aml: &Aml) {
    aml.ok("workspace create -n w -g g");
    aml.write("src/a.txt", "A\n");
    aml.write("job.yml", JOB);
    aml.write("schedule.yml", SCHEDULE);
}

#[test]
fn a_schedule_is_created_triggered_and_changed() {
    each_mode(|aml| {
        with_files(aml);
        let said = aml.run("schedule create -f schedule.yml");
        // A server does it by itself.
        assert_eq!(
            said.stderr
                .contains("a timer that calls `aml schedule run-due`"),
            !aml.is_remote(),
            "{said}"
        );
        let made = said.json();
        assert_eq!(made["enabled"], true);
        assert_eq!(made["next"].as_array().map(Vec::len), Some(5));
        let code = made["create_job"]["code"].as_str().expect("a reference");
        assert!(code.starts_with("azureml:"), "{code}");
        let listed = aml.ok("schedule list -o table");
        assert!(
            listed.contains("often") && listed.contains("0 * * * *, Pacific Standard Time"),
            "{listed}"
        );
        let fired = aml.json("schedule trigger -n often");
        let job = fired["job"].as_str().expect("a job").to_owned();
        assert!(
            aml.ok(format!("job stream -n {job}"))
                .contains("nobody\nA\n")
        );
        let off = aml.json("schedule disable -n often");
        assert_eq!(
            (&off["enabled"], &off["next"]),
            (&json!(false), &Value::Null)
        );
        aml.ok("schedule enable -n often");
        let update = "schedule update -n often --set trigger.expression='30 6 * * *' description=Daily tags.a=b";
        let changed = aml.json(update);
        assert_eq!(changed["trigger"]["expression"], "30 6 * * *");
        assert_eq!(changed["description"], "Daily");
        assert_eq!(changed["firings"][0]["job"], json!(job));
        let error = aml.fails(
            2,
            "schedule update -n often --set trigger.time_zone=Nowhere",
        );
        assert!(
            error.contains("trigger.time_zone: There is no time zone `Nowhere`"),
            "{error}"
        );
        let error = aml.fails(3, "schedule show -n oftn");
        assert!(error.contains("Did you mean `often`?"), "{error}");
        aml.ok("schedule run-due");
        aml.ok("schedule delete -n often --yes");
        assert_eq!(aml.json("schedule list"), json!([]));
    });
}

#[test]
fn a_job_is_created_when_it_is_due() {
    each_mode(|aml| {
        with_files(aml);
        aml.write(
            "soon.yml",
            "name: soon\ntrigger: {type: recurrence, frequency: minute, interval: 1}\n\
             create_job:\n  type: command\n  job: ./job.yml\n  \
             inputs: {who: \"${{name}}\", at: \"${{creation_context.trigger_time}}\"}\n",
        );
        // Counted from a second that is about to come.
        let now = chrono::Utc::now() + chrono::TimeDelta::seconds(3);
        let start = now.format("%Y-%m-%dT%H:%M:%S");
        aml.ok(format!(
            "schedule create -f soon.yml --set trigger.start_time={start}"
        ));
        let job = eventually("a job", 60, || {
            if !aml.is_remote() {
                aml.ok("schedule run-due");
            }
            let shown = aml.json("schedule show -n soon");
            let job = shown["firings"][0].clone();
            job["done_at"].as_str()?;
            Some(job)
        });
        assert_eq!(job["error"], Value::Null);
        let name = job["job"].as_str().expect("a job");
        assert!(name.starts_with("soon-20"), "{name}");
        let log = aml.ok(format!("job stream -n {name}"));
        assert!(log.contains(&format!("{name}\nA\n")), "{log}");
        let input = aml.json(format!("job show -n {name} --query inputs.at"));
        assert_eq!(input, json!(now.format("%Y-%m-%dT%H:%M:%SZ").to_string()));
    });
}

#[test]
fn schedules_by_az() {
    each_mode(|aml| {
        with_files(aml);
        aml.az("configure --defaults group=g workspace=w").ok();
        let made = aml
            .az("ml schedule create -f schedule.yml --no-wait")
            .json();
        assert_eq!(made["provisioning_state"], "Succeeded");
        assert_eq!(made["is_enabled"], true);
        let id = made["id"].as_str().expect("an id");
        assert!(id.ends_with("/workspaces/w/schedules/often"), "{id}");
        assert_eq!(
            aml.az("ml schedule list --query [].name -o tsv").ok(),
            "often\n"
        );
        assert_eq!(aml.az("ml schedule disable -n often").ok(), "");
        assert_eq!(aml.az("ml schedule list").ok(), "[]\n");
        let all = "ml schedule list --include-disabled --query [].is_enabled";
        assert_eq!(aml.az(all).json(), json!([false]));
        let fired = aml.az("ml schedule trigger -n often").json();
        assert_eq!(fired["schedule_action_type"], "CreateJob");
        let job = fired["job_name"].as_str().expect("a job");
        aml.az(format!("ml job show -n {job}")).ok();
        let set = "ml schedule update -n often --set display_name=Seldom is_enabled=true";
        assert_eq!(aml.az(set).json()["display_name"], "Seldom");
        aml.az("ml schedule enable -n often").ok();
        assert_eq!(aml.az("ml schedule delete -n often").ok(), "");
        aml.az("ml schedule show -n often").failed(3);
    });
}

#[test]
fn what_cannot_be_scheduled_is_said() {
    each_mode(|aml| {
        with_files(aml);
        for never in [
            "trigger.expression=0 0 30 2 *",
            "trigger.end_time=2022-07-10T11:00:00",
        ] {
            let line = [
                "schedule",
                "create",
                "-f",
                "schedule.yml",
                "-n",
                "never",
                "--set",
                never,
            ];
            let said = aml.run(line);
            assert!(said.stderr.contains("It is never due"), "{said}");
        }
        aml.ok("schedule delete -n never --yes");
        let create = |text: &str| {
            aml.write("bad.yml", text);
            aml.fails(2, "schedule create -f bad.yml")
        };
        let error =
            create("name: s\ntrigger: {type: cron, expression: '* *'}\ncreate_job: ./job.yml\n");
        assert!(
            error.contains("bad.yml:2:35: `* *` is no cron expression: it has 2 parts"),
            "{error}"
        );
        let error = create(
            "name: s\ntrigger: {type: cron, expression: '0 * * * *'}\ncreate_job: ./jobs.yml\n",
        );
        assert!(
            error.contains("bad.yml:3") && error.contains("There is no file `jobs.yml`"),
            "{error}"
        );
        let error = create("name: s\ncreate_job: ./job.yml\n");
        assert!(error.contains("The schedule has no trigger"), "{error}");
        // What is wrong with a job that has a file of its own is at its line in that file.
        let refused = |exit: i32, named: &str, job: &str| {
            aml.write("bad.yml", SCHEDULE.replace("./job.yml", named));
            aml.write("jobs/bad-job.yml", job);
            aml.fails(exit, "schedule create -f bad.yml")
        };
        let absent = "command: ls\nenvironment: azureml:nosuch:1\n";
        for named in [
            "./jobs/bad-job.yml",
            "file:jobs/bad-job.yml",
            "azureml:./jobs/bad-job.yml",
            "{type: command, job: ./jobs/bad-job.yml, description: changed}",
        ] {
            let error = refused(3, named, absent);
            let begins = "Error: jobs/bad-job.yml:2:1: No environment `nosuch`";
            assert!(error.starts_with(begins), "{named}: {error}");
        }
        let error = refused(
            3,
            "{type: command, job: ./jobs/bad-job.yml, environment: 'azureml:none:1'}",
            absent,
        );
        let begins = "Error: bad.yml:8:54: No environment `none`";
        assert!(error.starts_with(begins), "{error}");
        let folder = "command: ls\nenvironment: {image: python}\n\
                      inputs: {d: {type: uri_file, path: ../src}}\n";
        let error = refused(2, "./jobs/bad-job.yml", folder);
        let begins = "Error: jobs/bad-job.yml:3:30: `";
        assert!(
            error.starts_with(begins) && error.contains("is a folder, not a file"),
            "{error}"
        );
        let missing = |job: &str| refused(3, "./jobs/bad-job.yml", job);
        let step =
            "type: pipeline\njobs:\n  a: {component: 'azureml:nosuch:1', compute: 'azureml:c'}\n";
        let error = missing(step);
        assert!(
            error.starts_with("Error: jobs/bad-job.yml:3:7: No component `nosuch`"),
            "{error}"
        );
        assert_eq!(aml.json("schedule list"), json!([]));
    });
}

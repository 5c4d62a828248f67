//! Schedules: what they create, when, and that no time is done twice.

use serde_json::{Value, json};

use super::support::{Bench, create_job, members, wait_seconds};
use crate::{Caller, Perform};
use api::{
    Code, Result, Time,
    access::{AssignRole, CreateUser, DeleteUser, Role},
    runs::RunStatus,
    schedules::*,
};

fn job() -> Value {
    json!({
        "type": "command",
        "command": "echo ${{inputs.who}}",
        "environment": "azureml:sklearn-1.5@latest",
        "inputs": {"who": "${{name}}", "at": "${{creation_context.trigger_time}}", "n": 1},
    })
}

fn create(name: &str, create_job: Value) -> CreateSchedule {
    CreateSchedule {
        workspace: "ws".to_owned(),
        name: name.to_owned(),
        trigger: members(json!({"type": "cron", "expression": "0 * * * *"})),
        create_job,
        experiment: "exp".to_owned(),
        ..CreateSchedule::default()
    }
}

impl Bench {
    /// A user who may create jobs and is no admin.
    async fn scientist(&self, name: &str) -> Caller {
        let user = |name: &str| CreateUser {
            name: name.to_owned(),
            admin: false,
        };
        // The first is an admin.
        self.ask(user("boss")).await.unwrap();
        let token = self.ask(user(name)).await.unwrap().token;
        let assign = AssignRole {
            workspace: "ws".to_owned(),
            user: name.to_owned(),
            role: Role::DataScientist,
        };
        self.ask(assign).await.unwrap();
        self.service.authenticate(&token).await.unwrap().unwrap()
    }

    async fn schedule(&self, name: &str) -> Schedule {
        let get = GetSchedule {
            workspace: "ws".to_owned(),
            name: name.to_owned(),
        };
        self.ask(get).await.unwrap()
    }

    async fn due(&self) -> Vec<Firing> {
        let due = self.ask(RunDueSchedules {}).await.unwrap();
        due.fired.into_iter().map(|fired| fired.firing).collect()
    }

    async fn switch(&self, name: &str, enabled: bool) -> Schedule {
        let update = UpdateSchedule {
            workspace: "ws".to_owned(),
            name: name.to_owned(),
            enabled: Some(enabled),
            ..UpdateSchedule::default()
        };
        self.ask(update).await.unwrap()
    }
}

#[tokio::test]
async fn a_job_is_created_when_it_is_due_and_what_was_missed_once() {
    let bench = Bench::new().await;
    let made = bench.ask(create("hourly", job())).await.unwrap();
    assert_eq!(made.next.len(), 5);
    assert!(
        made.next
            .windows(2)
            .all(|two| two[1].since(two[0]) == 3_600_000)
    );
    assert!(bench.due().await.is_empty());
    wait_seconds(3600);
    let fired = bench.due().await;
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0].due_at, made.next[0]);
    assert_eq!(fired[0].error, None);
    let run = bench.run(&fired[0].job).await;
    assert_eq!(run.status, RunStatus::Queued);
    let described = run.job.unwrap().described.unwrap();
    assert_eq!(described.definition["inputs"]["who"], json!(fired[0].job));
    let at = described.definition["inputs"]["at"].as_str().unwrap();
    let at = chrono::DateTime::parse_from_rfc3339(at).unwrap();
    assert_eq!(Time(at.timestamp_millis()), made.next[0]);
    assert!(bench.due().await.is_empty(), "a time is done once");
    // Three times are missed: the last one is caught up.
    wait_seconds(3 * 3600);
    let fired = bench.due().await;
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0].due_at, made.next[3]);
    assert!(bench.due().await.is_empty());
    let shown = bench.schedule("HOURLY").await;
    assert_eq!(shown.next[0], made.next[4]);
    assert_eq!(shown.firings.len(), 2);
    assert_eq!(shown.firings[0], fired[0]);
}

#[tokio::test]
async fn of_several_processes_one_creates_the_job() {
    let bench = Bench::new().await;
    let names: Vec<String> = (0..10).map(|n| format!("s{n}")).collect();
    for name in &names {
        bench.ask(create(name, job())).await.unwrap();
    }
    wait_seconds(3600);
    let others: Vec<_> = (0..4).map(|_| bench.reopened()).collect();
    let all = others.iter().map(|other| async { other.due().await.len() });
    let fired: Vec<usize> = futures_util::future::join_all(all).await;
    assert_eq!(fired.iter().sum::<usize>(), names.len(), "{fired:?}");
    let runs = api::runs::ListRuns {
        workspace: "ws".to_owned(),
        ..api::runs::ListRuns::default()
    };
    assert_eq!(bench.ask(runs).await.unwrap().items.len(), names.len());
}

#[tokio::test]
async fn what_a_process_left_undone_is_done_by_the_next() {
    let bench = Bench::new().await;
    let made = bench.ask(create("hourly", job())).await.unwrap();
    let row = bench.service.store.workspace("ws").await.unwrap().unwrap();
    let schedule = bench.service.store.schedule(row.id, "hourly").await;
    let schedule = schedule.unwrap().unwrap();
    wait_seconds(3600);
    let claim = store::Claim {
        due_at: made.next[0],
        job: "left".to_owned(),
        schedule,
        by_hand: false,
    };
    let until = bench.service.now().plus_ms(60_000);
    let next = Some(made.next[1]);
    let claimed = bench.service.store.claim_due(claim.clone(), next, until);
    assert!(claimed.await.unwrap());
    let again = bench.service.store.claim_due(claim, next, until);
    assert!(!again.await.unwrap());
    assert!(bench.due().await.is_empty(), "it may still be at it");
    wait_seconds(61);
    let fired = bench.due().await;
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0].job, "left");
    assert_eq!(bench.run("left").await.status, RunStatus::Queued);
    assert!(bench.due().await.is_empty());
}

#[tokio::test]
async fn a_disabled_schedule_creates_nothing_but_when_it_is_triggered() {
    let bench = Bench::new().await;
    bench.ask(create("hourly", job())).await.unwrap();
    let off = bench.switch("hourly", false).await;
    assert!(!off.enabled && off.next.is_empty());
    wait_seconds(7200);
    assert!(bench.due().await.is_empty());
    let trigger = TriggerSchedule {
        workspace: "ws".to_owned(),
        name: "hourly".to_owned(),
        job: "by-hand".to_owned(),
    };
    let fired = bench.ask(trigger.clone()).await.unwrap();
    assert_eq!(fired.job, "by-hand");
    bench.ask(trigger).await.unwrap();
    assert_eq!(bench.schedule("hourly").await.firings.len(), 1);
    let on = bench.switch("hourly", true).await;
    assert!(on.enabled);
    assert!(
        bench.due().await.is_empty(),
        "what was due meanwhile is over"
    );
    wait_seconds(3600);
    assert_eq!(bench.due().await.len(), 1);
}

#[tokio::test]
async fn a_job_is_copied_and_changed() {
    let bench = Bench::new().await;
    let model = create_job(
        "model",
        members(json!({
            "type": "command", "name": "model", "command": "echo",
            "environment": "azureml:sklearn-1.5@latest",
            "inputs": {"a": 1, "b": 2}, "tags": {"x": "1"},
        })),
    );
    bench.ask(model).await.unwrap();
    let changed = json!({"type": "command", "job": "azureml:model",
                         "inputs": {"b": 3}, "tags": {"y": "2"}, "display_name": "${{name}}"});
    let made = bench.ask(create("copy", changed)).await.unwrap();
    assert_eq!(made.create_job["inputs"], json!({"a": 1, "b": 3}));
    assert_eq!(made.create_job["tags"], json!({"x": "1", "y": "2"}));
    assert!(!made.create_job.contains_key("name"));
    wait_seconds(3600);
    let fired = bench.due().await;
    let run = bench.run(&fired[0].job).await;
    assert_eq!(run.display_name, fired[0].job);
    assert_eq!(run.tags["y"], "2");

    bench.submit("plain").await;
    let refused = [
        (json!("azureml:plain"), "not described by a job file"),
        (json!("azureml:nothing"), "No run `nothing`"),
        (
            json!({"type": "pipeline", "job": "azureml:model"}),
            "is of type `command`",
        ),
        (
            json!({"type": "command", "job": "azureml:model",
                "tags": {"x": "${{creation_context.time}}"}}),
            "means nothing",
        ),
    ];
    for (job, message) in refused {
        let error = bench.ask(create("bad", job)).await.unwrap_err();
        assert!(error.message.contains(message), "{error}");
    }
}

#[tokio::test]
async fn jobs_are_created_with_the_rights_of_who_made_the_schedule() {
    let bench = Bench::new().await;
    let ann = bench.scientist("ann").await;
    let made = create("hers", job()).perform(&bench.service, &ann).await;
    assert_eq!(made.unwrap().created_by, "ann");
    wait_seconds(3600);
    let fired = bench.due().await;
    assert_eq!(bench.run(&fired[0].job).await.user, "ann");
    let due: Result<_> = RunDueSchedules {}.perform(&bench.service, &ann).await;
    assert_eq!(due.unwrap_err().code, Code::Denied);
    let delete = DeleteUser {
        user: "ann".to_owned(),
    };
    bench.ask(delete).await.unwrap();
    wait_seconds(3600);
    let fired = bench.due().await;
    let error = fired[0].error.as_deref().unwrap();
    assert!(
        error.contains("`ann`, who made the schedule, was deleted"),
        "{error}"
    );
}

#[tokio::test]
async fn whoever_changes_the_job_of_a_schedule_is_its_maker() {
    let bench = Bench::new().await;
    let ann = bench.scientist("ann").await;
    let made = bench.ask(create("s", job())).await.unwrap();
    let update = |create_job: Value| UpdateSchedule {
        workspace: "ws".to_owned(),
        name: "s".to_owned(),
        create_job: Some(create_job),
        ..UpdateSchedule::default()
    };
    let same = update(job()).perform(&bench.service, &ann).await;
    assert_eq!(same.unwrap().created_by, made.created_by);
    let mut other = job();
    other["command"] = json!("echo other");
    let changed = update(other).perform(&bench.service, &ann).await;
    assert_eq!(changed.unwrap().created_by, "ann");
    wait_seconds(3600);
    let fired = bench.due().await;
    assert_eq!(bench.run(&fired[0].job).await.user, "ann");
}

#[tokio::test]
async fn what_was_left_of_a_trigger_by_hand_is_not_done_with_other_rights() {
    let bench = Bench::new().await;
    bench.ask(create("s", job())).await.unwrap();
    let row = bench.service.store.workspace("ws").await.unwrap().unwrap();
    let schedule = bench.service.store.schedule(row.id, "s").await;
    let claim = store::Claim {
        due_at: bench.service.now(),
        job: "left".to_owned(),
        schedule: schedule.unwrap().unwrap(),
        by_hand: true,
    };
    let until = bench.service.now().plus_ms(10_000);
    let claimed = bench.service.store.claim_triggered(claim, until).await;
    assert!(claimed.unwrap());
    let trigger = |job: &str| TriggerSchedule {
        workspace: "ws".to_owned(),
        name: "s".to_owned(),
        job: job.to_owned(),
    };
    let busy = bench.ask(trigger("left")).await.unwrap_err();
    assert_eq!(busy.code, Code::Unavailable);
    wait_seconds(11);
    let fired = bench.due().await;
    assert!(
        fired[0]
            .error
            .as_deref()
            .unwrap()
            .contains("Trigger it again")
    );
    assert!(bench.due().await.is_empty());
    let again = bench.ask(trigger("left")).await.unwrap();
    assert_eq!(again.error, None);
    assert_eq!(bench.run("left").await.tags["aml.schedule"], "s");
    bench.submit("mine").await;
    let taken = bench.ask(trigger("mine")).await.unwrap_err();
    assert!(taken.message.contains("has not created"), "{taken}");
    let run = Caller::Run {
        workspace: row.id,
        run: 1,
    };
    let denied = trigger("by-run").perform(&bench.service, &run).await;
    assert_eq!(denied.unwrap_err().code, Code::Denied);
    assert!(
        bench
            .schedule("s")
            .await
            .firings
            .iter()
            .all(|f| f.job != "by-run")
    );
}

#[tokio::test]
async fn a_schedule_changes_and_goes() {
    let bench = Bench::new().await;
    bench.ask(create("s", job())).await.unwrap();
    let trigger = json!({"type": "recurrence", "frequency": "day", "interval": 1,
                         "schedule": {"hours": 3, "minutes": 0}});
    let update = UpdateSchedule {
        workspace: "ws".to_owned(),
        name: "s".to_owned(),
        description: Some("Nightly".to_owned()),
        tags: Some([("team".to_owned(), "a".to_owned())].into()),
        trigger: Some(members(trigger)),
        ..UpdateSchedule::default()
    };
    let changed = bench.ask(update).await.unwrap();
    assert_eq!(changed.description.as_deref(), Some("Nightly"));
    assert!(
        changed
            .next
            .windows(2)
            .all(|two| two[1].since(two[0]) == 86_400_000)
    );
    let list = ListSchedules {
        workspace: "ws".to_owned(),
    };
    assert_eq!(bench.ask(list.clone()).await.unwrap().len(), 1);
    let delete = DeleteSchedule {
        workspace: "ws".to_owned(),
        name: "s".to_owned(),
    };
    bench.ask(delete.clone()).await.unwrap();
    assert!(bench.ask(list).await.unwrap().is_empty());
    assert_eq!(bench.ask(delete).await.unwrap_err().code, Code::NotFound);
    wait_seconds(2 * 86_400);
    assert!(bench.due().await.is_empty());
}

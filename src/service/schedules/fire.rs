//! Creating the jobs of schedules when they are due.

use std::time::Duration;

use super::{
    super::{Caller, Perform, Service},
    stamp,
    trigger::Due,
};
use api::{
    Code, Error, Result, Time,
    jobs::CreateJob,
    runs::GetRun,
    schedules::{DueSchedules, Fired, Firing},
};
use serde_json::{Map, Value};
use store::{Claim, ScheduleRow};

/// The tag of a job that says which schedule created it.
const SCHEDULE_TAG: &str = "aml.schedule";

/// Whoever claimed a time has this long to create its job.
const LEASE_SECONDS: i64 = 60;
/// The clock of the machine may be set, and other processes make schedules.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

impl Service {
    pub(super) fn lease(&self) -> Time {
        self.now().plus_ms(LEASE_SECONDS * 1000)
    }

    /// Creates jobs when schedules are due, until `stop` is done.
    pub async fn keep_schedules(&self, stop: impl Future<Output = ()>) {
        let keep = async {
            loop {
                let due = self.fire_due().await;
                let next = due.ok().and_then(|due| due.next_at);
                let wait = next.map_or(LOOK_AGAIN, |next| {
                    let ms = next.since(self.now()).max(0);
                    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
                });
                tokio::select! {
                    () = self.schedules.notified() => {}
                    () = tokio::time::sleep(wait.min(LOOK_AGAIN)) => {}
                }
            }
        };
        tokio::select! {
            () = keep => {}
            // A job that is being created then is created by the next one.
            () = stop => {}
        }
    }

    /// Creates the jobs of all schedules that are due, and of what another process left undone.
    pub(super) async fn fire_due(&self) -> Result<DueSchedules> {
        let now = self.now();
        let (due, next_at) = self.store.due_schedules(now).await?;
        let mut next_at = next_at;
        let mut fired = Vec::new();
        let mut refused = None;
        // What cannot be created for now holds up nothing else.
        let mut note = |outcome: Result<Fired>| match outcome {
            Ok(done) => fired.push(done),
            Err(error) => refused = refused.take().or(Some(error)),
        };
        let open = self.store.open_firings_until().await?;
        if open.is_some_and(|until| until <= now) {
            while let Some(claim) = self.store.claim_abandoned(now, self.lease()).await? {
                note(self.fire(claim).await);
            }
        }
        for schedule in due {
            let (claim, next) = claim(schedule, now);
            next_at = [next_at, next].into_iter().flatten().min();
            let until = self.lease();
            match self.store.claim_due(claim.clone(), next, until).await {
                Ok(true) => note(self.fire(claim).await),
                Ok(false) => {}
                Err(error) => note(Err(error)),
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        if let Some(open) = self.store.open_firings_until().await? {
            next_at = Some(next_at.map_or(open, |next| next.min(open)));
        }
        Ok(DueSchedules { fired, next_at })
    }

    async fn fire(&self, claim: Claim) -> Result<Fired> {
        let created = if claim.by_hand {
            self.left_by_hand(&claim).await
        } else {
            match self.maker_of(&claim.schedule).await {
                Ok(caller) => self.create_scheduled(&caller, &claim).await,
                Err(error) => Err(error),
            }
        };
        let error = match created {
            // Whoever looks next after the lease tries again.
            Err(error) if error.code == Code::Unavailable => return Err(error),
            created => created.err().map(|error| error.explained()),
        };
        let done_at = self.now();
        self.store
            .end_firing(claim.schedule.id, claim.job.clone(), error.clone(), done_at)
            .await?;
        Ok(Fired {
            workspace: claim.schedule.workspace,
            schedule: claim.schedule.name,
            firing: Firing {
                due_at: claim.due_at,
                job: claim.job,
                error,
                done_at: Some(done_at),
            },
        })
    }

    /// With whose rights jobs are created: those that the maker of the schedule has now.
    async fn maker_of(&self, schedule: &ScheduleRow) -> Result<Caller> {
        let Some(id) = schedule.created_by_id else {
            return Ok(Caller::Owner);
        };
        let Some(user) = self.store.user(id).await? else {
            return Err(Error::denied(format!(
                "The user `{}`, who made the schedule, was deleted",
                schedule.created_by
            )));
        };
        Ok(Caller::User {
            id,
            name: user.user.name,
            admin: user.user.admin,
        })
    }

    /// What came of a firing by hand whose process did not bring it to an end. Nobody goes on with it:
    /// it was to be done with the rights of whoever asked for it, and as the schedule was then.
    async fn left_by_hand(&self, claim: &Claim) -> Result<()> {
        if self.is_created(&Caller::Owner, claim).await? {
            return Ok(());
        }
        Err(
            Error::conflict("The process that was to create it ended before that").hint(format!(
                "Trigger it again: aml schedule trigger -n {}",
                claim.schedule.name
            )),
        )
    }

    /// Whether the job of a claim is there; an error when another run has its name.
    async fn is_created(&self, caller: &Caller, claim: &Claim) -> Result<bool> {
        let get = GetRun {
            workspace: claim.schedule.workspace.clone(),
            run: claim.job.clone(),
        };
        match get.perform(self, caller).await {
            Ok(run) if run.tags.get(SCHEDULE_TAG) == Some(&claim.schedule.name) => Ok(true),
            Ok(run) => Err(Error::conflict(format!(
                "There is a run `{}` already, which the schedule `{}` has not created",
                run.name, claim.schedule.name
            ))
            .hint("Delete that run, or trigger the schedule under another name")),
            Err(error) if error.code == Code::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates the job of a claim, unless it is there: whoever claimed it before may have come so far.
    pub(super) async fn create_scheduled(&self, caller: &Caller, claim: &Claim) -> Result<()> {
        if self.is_created(caller, claim).await? {
            return Ok(());
        }
        let spec = &claim.schedule.spec;
        let mut definition = super::job::filled(&spec.create_job, &claim.job, claim.due_at)?;
        let tags = definition.entry("tags");
        if let Value::Object(tags) = tags.or_insert_with(|| Value::Object(Map::new())) {
            let schedule = claim.schedule.name.clone();
            tags.insert(SCHEDULE_TAG.to_owned(), Value::from(schedule));
        }
        let create = CreateJob {
            workspace: claim.schedule.workspace.clone(),
            name: claim.job.clone(),
            experiment: spec.experiment.clone(),
            definition,
            git: None,
            search_path: spec.search_path.clone(),
        };
        create.perform(self, caller).await.map(drop)
    }
}

/// What is due of a schedule, of several times the latest; and when it is due next.
fn claim(schedule: ScheduleRow, now: Time) -> (Claim, Option<Time>) {
    let counted_from = schedule.spec.counted_from.unwrap_or(schedule.created_at);
    let due = Due::read(&schedule.spec.trigger, counted_from).ok();
    let planned = schedule.next_at.unwrap_or(now);
    let last = due.as_ref().and_then(|due| due.last_until(now));
    let due_at = last.unwrap_or(planned).max(planned);
    let next = due.and_then(|due| due.next_after(now));
    let claim = Claim {
        job: format!("{}-{}", schedule.name, stamp(due_at)),
        schedule,
        due_at,
        by_hand: false,
    };
    (claim, next)
}

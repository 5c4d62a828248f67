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
use store::{Claim, ScheduleRow};

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
        let mut claims = Vec::new();
        let open = self.store.open_firings_until().await?;
        if open.is_some_and(|until| until <= now) {
            claims = self.store.claim_abandoned(now, self.lease()).await?;
        }
        for schedule in due {
            let (claim, next) = claim(schedule, now);
            next_at = [next_at, next].into_iter().flatten().min();
            if self
                .store
                .claim_due(claim.clone(), next, self.lease())
                .await?
            {
                claims.push(claim);
            }
        }
        let mut fired = Vec::new();
        for claim in claims {
            fired.push(self.fire(claim).await?);
        }
        if let Some(open) = self.store.open_firings_until().await? {
            next_at = Some(next_at.map_or(open, |next| next.min(open)));
        }
        Ok(DueSchedules { fired, next_at })
    }

    async fn fire(&self, claim: Claim) -> Result<Fired> {
        let created = match self.maker_of(&claim.schedule).await {
            Ok(caller) => self.create_scheduled(&caller, &claim).await,
            Err(error) => Err(error),
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

    /// Creates the job of a claim, unless it is there: whoever claimed it before may have come so far.
    pub(super) async fn create_scheduled(&self, caller: &Caller, claim: &Claim) -> Result<()> {
        let spec = &claim.schedule.spec;
        let workspace = claim.schedule.workspace.clone();
        let get = GetRun {
            workspace: workspace.clone(),
            run: claim.job.clone(),
        };
        match get.perform(self, caller).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code == Code::NotFound => {}
            Err(error) => return Err(error),
        }
        let definition = super::job::filled(&spec.create_job, &claim.job, claim.due_at)?;
        let create = CreateJob {
            workspace,
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
    };
    (claim, next)
}

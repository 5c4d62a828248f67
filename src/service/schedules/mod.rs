//! Schedules: what they say, when they are due, the jobs they create.

mod fire;
mod job;
mod monitor;
mod recurrence;
#[cfg(test)]
mod tests;
mod trigger;
mod zone;

use std::collections::BTreeMap;

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Result, Time, names,
    schedules::{
        CreateSchedule, DeleteSchedule, DueSchedules, Firing, GetSchedule, ListSchedules,
        RunDueSchedules, Schedule, TriggerSchedule, UpdateSchedule,
    },
};
use async_trait::async_trait;
use store::{Claim, ScheduleRow, ScheduleSpec, WorkspaceRow};
use trigger::Due;
pub(super) use zone::Zone;

/// Times to come that are shown.
const SHOWN: usize = 5;
/// Firings of one schedule that are shown.
const FIRINGS: u32 = 20;

impl Service {
    async fn find_schedule(&self, row: &WorkspaceRow, name: &str) -> Result<ScheduleRow> {
        if let Some(found) = self.store.schedule(row.id, name).await? {
            return Ok(found);
        }
        let all = self.store.list_schedules(row.id).await?;
        let nearest = names::nearest(name, all.iter().map(|row| row.name.as_str()));
        let place = format!(" in workspace `{}`", row.workspace.name);
        Err(Error::unknown("schedule", name, &place, nearest)
            .or_hint("See which there are: aml schedule list"))
    }

    async fn shown_schedule(&self, row: ScheduleRow) -> Result<Schedule> {
        let firings = self.store.firings(row.id, FIRINGS).await?;
        Ok(Schedule {
            firings,
            ..shown(row)
        })
    }

    /// What came of a firing that was asked for once more, as when the first answer was lost.
    async fn triggered_before(&self, claim: &Claim) -> Result<Firing> {
        let job = &claim.job;
        let known = self.store.firing(claim.schedule.id, job).await?;
        match known {
            Some(firing) if firing.done_at.is_some() && firing.error.is_none() => Ok(firing),
            Some(Firing {
                error: Some(error), ..
            }) => Err(Error::conflict(format!(
                "The schedule `{}` was to create the job `{job}` before: {error}",
                claim.schedule.name
            ))
            .hint("Trigger it under another name")),
            _ => Err(Error::unavailable(format!(
                "The schedule `{}` is creating the job `{job}` already",
                claim.schedule.name
            ))
            .hint("Ask again in a minute, or trigger it under another name")),
        }
    }

    /// Whoever waits for the next time looks at it again.
    fn ring_schedules(&self) {
        self.schedules.notify_one();
    }

    /// The number by which a caller's rights are found again; none of the owner.
    fn caller_id(caller: &Caller) -> Result<Option<i64>> {
        match caller {
            Caller::Owner => Ok(None),
            Caller::User { id, .. } => Ok(Some(*id)),
            Caller::Run { .. } => Err(Error::denied(
                "A run's token may neither make nor trigger schedules",
            )),
        }
    }
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    tags.keys().try_for_each(|key| names::TAG.check(key))
}

/// What a schedule is now, without what it did.
fn shown(row: ScheduleRow) -> Schedule {
    let counted_from = row.spec.counted_from.unwrap_or(row.created_at);
    let due = Due::read(&row.spec.trigger, counted_from);
    let next = match (row.next_at, due) {
        (Some(next_at), Ok(due)) => {
            let mut next = due.next(next_at, SHOWN - 1);
            next.insert(0, next_at);
            next
        }
        _ => Vec::new(),
    };
    Schedule {
        name: row.name,
        display_name: row.spec.display_name,
        description: row.spec.description,
        tags: row.spec.tags,
        properties: row.spec.properties,
        trigger: row.spec.trigger,
        create_job: row.spec.create_job,
        create_monitor: row.spec.create_monitor,
        enabled: row.enabled,
        next,
        firings: Vec::new(),
        created_by: row.created_by,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

#[async_trait]
impl Perform for CreateSchedule {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Schedule> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        names::SCHEDULE.check(&self.name)?;
        check_tags(&self.tags)?;
        let created_by_id = Service::caller_id(caller)?;
        let now = service.now();
        let due = Due::read(&self.trigger, now)?;
        let create_job = match &self.create_monitor {
            Some(monitor) => service.job_of_monitor(&row, &self.name, monitor).await?,
            None => self.create_job,
        };
        let create_job = service
            .job_of_schedule(caller, &self.workspace, create_job)
            .await?;
        let spec = ScheduleSpec {
            display_name: self.display_name.filter(|name| !name.is_empty()),
            description: self.description.filter(|text| !text.is_empty()),
            tags: self.tags,
            properties: self.properties,
            trigger: self.trigger,
            create_job,
            create_monitor: self.create_monitor,
            experiment: self.experiment,
            search_path: self.search_path,
            counted_from: Some(now),
        };
        let new = ScheduleRow {
            id: 0,
            workspace: row.workspace.name.clone(),
            name: self.name,
            spec,
            enabled: true,
            next_at: due.next_after(now),
            created_by: caller.name().to_owned(),
            created_by_id,
            created_at: now,
            updated_at: now,
        };
        let put = service.store.put_schedule(row.id, new).await?;
        service.ring_schedules();
        let put = put.ok_or_else(|| Error::internal("A schedule was not written"))?;
        service.shown_schedule(put).await
    }
}

#[async_trait]
impl Perform for ListSchedules {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Schedule>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let rows = service.store.list_schedules(row.id).await?;
        Ok(rows.into_iter().map(shown).collect())
    }
}

#[async_trait]
impl Perform for GetSchedule {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Schedule> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let found = service.find_schedule(&row, &self.name).await?;
        service.shown_schedule(found).await
    }
}

/// The row as it shall be.
async fn changed(
    update: &UpdateSchedule,
    service: &Service,
    caller: &Caller,
    mut row: ScheduleRow,
) -> Result<ScheduleRow> {
    let now = service.now();
    let replace = |old: &mut Option<String>, new: &Option<String>| {
        if let Some(new) = new {
            *old = Some(new.clone()).filter(|text| !text.is_empty());
        }
    };
    replace(&mut row.spec.display_name, &update.display_name);
    replace(&mut row.spec.description, &update.description);
    let replace = |old: &mut BTreeMap<_, _>, new: &Option<BTreeMap<_, _>>| {
        if let Some(new) = new {
            old.clone_from(new);
        }
    };
    replace(&mut row.spec.tags, &update.tags);
    replace(&mut row.spec.properties, &update.properties);
    if let Some(job) = &update.create_job {
        let job = service
            .job_of_schedule(caller, &update.workspace, job.clone())
            .await?;
        if row.spec.create_job != job {
            // It runs with the rights of whoever says what it is.
            row.spec.create_job = job;
            row.spec.create_monitor = None;
            caller.name().clone_into(&mut row.created_by);
            row.created_by_id = Service::caller_id(caller)?;
        }
    }
    let was_enabled = row.enabled;
    row.enabled = update.enabled.unwrap_or(row.enabled);
    if let Some(trigger) = &update.trigger
        && row.spec.trigger != *trigger
    {
        row.spec.trigger.clone_from(trigger);
        row.spec.counted_from = Some(now);
        row.next_at = None;
    }
    let due = Due::read(
        &row.spec.trigger,
        row.spec.counted_from.unwrap_or(row.created_at),
    )?;
    if !row.enabled {
        row.next_at = None;
    } else if row.next_at.is_none() || !was_enabled {
        row.next_at = due.next_after(now);
    }
    row.updated_at = now;
    check_tags(&row.spec.tags)?;
    Ok(row)
}

#[async_trait]
impl Perform for UpdateSchedule {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Schedule> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        Service::caller_id(caller)?;
        loop {
            let found = service.find_schedule(&row, &self.name).await?;
            let known = found.updated_at;
            let changed = changed(&self, service, caller, found).await?;
            // Somebody else changed it meanwhile: once more, from what it is now.
            if let Some(updated) = service.store.update_schedule(changed, known).await? {
                service.ring_schedules();
                return service.shown_schedule(updated).await;
            }
        }
    }
}

#[async_trait]
impl Perform for DeleteSchedule {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        Service::caller_id(caller)?;
        if service.store.delete_schedule(row.id, &self.name).await? {
            return Ok(Done {});
        }
        service
            .find_schedule(&row, &self.name)
            .await
            .map(|_| Done {})
    }
}

#[async_trait]
impl Perform for TriggerSchedule {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Firing> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        Service::caller_id(caller)?;
        names::RUN.check(&self.job)?;
        let schedule = service.find_schedule(&row, &self.name).await?;
        let claim = Claim {
            schedule,
            due_at: service.now(),
            job: self.job,
            by_hand: true,
        };
        let until = service.lease();
        if !service.store.claim_triggered(claim.clone(), until).await? {
            return service.triggered_before(&claim).await;
        }
        let job = service.create_scheduled(caller, &claim).await;
        let error = job.as_ref().err().map(|error| error.message.clone());
        let done_at = service.now();
        service
            .store
            .end_firing(claim.schedule.id, claim.job.clone(), error, done_at)
            .await?;
        job?;
        Ok(Firing {
            due_at: claim.due_at,
            job: claim.job,
            error: None,
            done_at: Some(done_at),
        })
    }
}

#[async_trait]
impl Perform for RunDueSchedules {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<DueSchedules> {
        service.allow_admin(caller, "run the schedules of all workspaces")?;
        service.fire_due().await
    }
}

/// The time by which a schedule's job is called.
fn stamp(time: Time) -> String {
    time.datetime().format("%Y%m%dT%H%M%SZ").to_string()
}

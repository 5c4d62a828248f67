//! Scaling deployments by rules: what is asked for, and how many processes there shall be now.

use std::cmp::Ordering;

use async_trait::async_trait;
use chrono::{Datelike, NaiveTime, Timelike};

use super::{
    Action, Caller, Perform, Service, endpoints::find_deployment, programs::check_one_port,
    schedules::Zone,
};
use api::{
    Done, Error, Result, Time,
    autoscale::{
        AskScale, Autoscale, Autoscaled, Change, Comparison, DeleteAutoscale, ListAutoscale,
        PutAutoscale, Recurring, ScaleMetric, ScaleProfile, ScaleRule, Statistic,
    },
    deployments::{Deployment, MOST_INSTANCES},
    endpoint_metrics::{GetEndpointMetrics, Measurement},
    names,
};
use store::WorkspaceRow;

/// Days as they begin in English.
const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

#[async_trait]
impl Perform for PutAutoscale {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Autoscaled> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let endpoint = service.find_endpoint(&row, &self.endpoint).await?;
        let found = find_deployment(&endpoint, &self.deployment)?;
        check(&self.autoscale, &found.deployment)?;
        let taken = service.autoscaled(&row, &self.autoscale.name).await?;
        if let Some((_, other)) = taken.filter(|(_, other)| {
            !other.endpoint.eq_ignore_ascii_case(&endpoint.name) || other.deployment != found.name
        }) {
            return Err(Error::conflict(format!(
                "`{}` scales the deployment `{}` of `{}`",
                self.autoscale.name, other.deployment, other.endpoint
            ))
            .hint("Choose another name"));
        }
        let put = Autoscaled {
            endpoint: endpoint.name.clone(),
            deployment: found.name.clone(),
            autoscale: self.autoscale,
        };
        let new = Some(put.autoscale.clone());
        let store = &service.store;
        if !store.put_autoscale(found.id, new, self.before).await? {
            let name = &put.autoscale.name;
            return Err(Error::conflict(format!(
                "The setting `{name}` was changed by somebody else meanwhile"
            ))
            .hint("Try again"));
        }
        service.tell_host(&endpoint).await?;
        Ok(put)
    }
}

#[async_trait]
impl Perform for ListAutoscale {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Autoscaled>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let all = service.all_autoscaled(&row).await?;
        Ok(all.into_iter().map(|(_, one)| one).collect())
    }
}

#[async_trait]
impl Perform for DeleteAutoscale {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let found = service.autoscaled(&row, &self.name).await?;
        let Some((id, one)) = found else {
            let all = service.all_autoscaled(&row).await?;
            let known = all.iter().map(|(_, one)| one.autoscale.name.as_str());
            let nearest = names::nearest(&self.name, known);
            return Err(Error::unknown("autoscale setting", &self.name, "", nearest));
        };
        service.store.put_autoscale(id, None, None).await?;
        let endpoint = service.find_endpoint(&row, &one.endpoint).await?;
        service.tell_host(&endpoint).await?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for AskScale {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<u32> {
        service.allow_admin(caller, "serve endpoints of the server")?;
        let Some(row) = service.store.endpoint_by_id(self.endpoint).await? else {
            return Ok(self.instances);
        };
        let mut all = row.deployments.iter();
        let Some(one) = all.find(|one| one.id == self.deployment) else {
            return Ok(self.instances);
        };
        let Some(autoscale) = one.autoscale.as_ref().filter(|scale| scale.enabled) else {
            return Ok(self.instances);
        };
        let Some(profile) = counting(autoscale, service.now())? else {
            return Ok(self.instances);
        };
        let mut values = Vec::new();
        for rule in &profile.rules {
            let get = GetEndpointMetrics {
                workspace: row.workspace_name.clone(),
                name: row.name.clone(),
                deployment: (!rule.of_endpoint).then(|| one.name.clone()),
                seconds: Some(i64::from(rule.window_seconds)),
                points: None,
            };
            let measured = get.perform(service, caller).await?;
            let mut totals = Vec::new();
            let mut points = Vec::new();
            for of_one in measured.deployments {
                totals.push(of_one.total);
                points.extend(of_one.points);
            }
            values.push(value(rule, &totals, &points));
        }
        Ok(decide(profile, &values, self.instances, self.since_seconds))
    }
}

impl Service {
    /// The deployments that are scaled by rules, with their numbers.
    async fn all_autoscaled(&self, row: &WorkspaceRow) -> Result<Vec<(i64, Autoscaled)>> {
        let mut all = Vec::new();
        for endpoint in self.store.list_endpoints(Some(row.id)).await? {
            for one in endpoint.deployments {
                if let Some(autoscale) = one.autoscale {
                    let scaled = Autoscaled {
                        endpoint: endpoint.name.clone(),
                        deployment: one.name,
                        autoscale,
                    };
                    all.push((one.id, scaled));
                }
            }
        }
        Ok(all)
    }

    async fn autoscaled(
        &self,
        row: &WorkspaceRow,
        name: &str,
    ) -> Result<Option<(i64, Autoscaled)>> {
        let all = self.all_autoscaled(row).await?;
        let mut named = all.into_iter();
        Ok(named.find(|(_, one)| one.autoscale.name.eq_ignore_ascii_case(name)))
    }
}

/// Refuses to scale by rules what cannot be, whichever of the two is new.
pub(super) fn check_scalable(autoscale: &Autoscale, deployment: &Deployment) -> Result<()> {
    if deployment.native {
        return Err(Error::conflict(
            "What is scored natively is one process, however much it has to do",
        ));
    }
    if deployment.scale.is_some() {
        return Err(
            Error::conflict("The deployment is scaled by its scale_settings")
                .hint("Set them to type: default in its file first"),
        );
    }
    let most = autoscale.profiles.iter().map(|profile| profile.max).max();
    check_one_port(most.unwrap_or(1), deployment)
}

/// Refuses what could not be done.
fn check(autoscale: &Autoscale, deployment: &Deployment) -> Result<()> {
    names::SCHEDULE.check(&autoscale.name)?;
    check_scalable(autoscale, deployment)?;
    let Some(first) = autoscale.profiles.first() else {
        return Err(Error::invalid("Nothing says how many there shall be").at("profiles"));
    };
    if first.recurring.is_some() {
        let error = Error::invalid("The first profile is the one that always counts");
        return Err(error.at("profiles"));
    }
    for profile in &autoscale.profiles {
        let (min, max, count) = (profile.min, profile.max, profile.count);
        if !(1..=MOST_INSTANCES).contains(&min)
            || max > MOST_INSTANCES
            || !(min..=max).contains(&count)
        {
            return Err(Error::invalid(format!(
                "{count} instances of {min} to {max} make no sense: there are 1 to {MOST_INSTANCES}"
            ))
            .at(format!("profiles.{}", profile.name)));
        }
        if let Some(recurring) = &profile.recurring {
            is_now(recurring, Time(0)).map_err(|e| e.at(format!("profiles.{}", profile.name)))?;
        }
    }
    Ok(())
}

/// The profile that counts at a time.
fn counting(autoscale: &Autoscale, now: Time) -> Result<Option<&ScaleProfile>> {
    for profile in autoscale.profiles.iter().rev() {
        match &profile.recurring {
            Some(recurring) if !is_now(recurring, now)? => {}
            _ => return Ok(Some(profile)),
        }
    }
    Ok(None)
}

fn is_now(recurring: &Recurring, now: Time) -> Result<bool> {
    let local = now
        .datetime()
        .with_timezone(&Zone::of(&recurring.time_zone)?);
    let time = |text: &str| {
        NaiveTime::parse_from_str(text, "%H:%M")
            .map_err(|_| Error::invalid(format!("`{text}` is no time of day such as 08:00")))
    };
    let (from, until) = (time(&recurring.from)?, time(&recurring.until)?);
    let mut days = Vec::new();
    for day in &recurring.days {
        let named = day.to_lowercase();
        let is_it = |known: &&str| named.len() >= 3 && known.starts_with(&named);
        let place = DAYS.iter().position(is_it);
        days.push(place.ok_or_else(|| Error::invalid(format!("`{day}` is no day of the week")))?);
    }
    let today = local.weekday().num_days_from_monday() as usize;
    let Some(minute) = NaiveTime::from_hms_opt(local.hour(), local.minute(), 0) else {
        return Ok(false);
    };
    if from <= until {
        return Ok((from..=until).contains(&minute) && days.contains(&today));
    }
    // Beyond midnight it is still that of the day before.
    let yesterday = (today + DAYS.len() - 1) % DAYS.len();
    Ok(minute >= from && days.contains(&today) || minute <= until && days.contains(&yesterday))
}

/// What a rule looks at: of the deployments together, in their time as a whole or in its steps.
fn value(rule: &ScaleRule, totals: &[Measurement], points: &[Measurement]) -> Option<f64> {
    match rule.statistic {
        Statistic::Average => together(rule.metric, totals),
        Statistic::Min | Statistic::Max => {
            let each = points.iter();
            let each = each.filter_map(|point| together(rule.metric, std::slice::from_ref(point)));
            each.reduce(match rule.statistic {
                Statistic::Min => f64::min,
                _ => f64::max,
            })
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of requests and processes"
)]
fn together(metric: ScaleMetric, all: &[Measurement]) -> Option<f64> {
    let sum = |of: fn(&Measurement) -> f64| all.iter().map(of).sum::<f64>();
    let requests = sum(|one| one.requests as f64);
    let longest = |of: fn(&Measurement) -> Option<f64>| all.iter().filter_map(of).reduce(f64::max);
    match metric {
        ScaleMetric::CpuUtilizationPercentage => {
            let lived = sum(|one| one.process_seconds);
            (lived > 0.0).then(|| sum(|one| one.cpu * one.measured_seconds as f64) / lived * 100.0)
        }
        ScaleMetric::RequestsPerMinute => {
            let seconds = all.iter().map(|one| one.measured_seconds).max();
            let seconds = seconds.filter(|seconds| *seconds > 0);
            seconds.map(|seconds| requests * 60.0 / seconds as f64)
        }
        ScaleMetric::RequestLatency => {
            let took = sum(|one| one.mean_ms.unwrap_or(0.0) * one.requests as f64);
            (requests > 0.0).then_some(took / requests)
        }
        ScaleMetric::RequestLatencyP50 => longest(|one| one.p50_ms),
        ScaleMetric::RequestLatencyP90 => longest(|one| one.p90_ms),
        ScaleMetric::RequestLatencyP95 => longest(|one| one.p95_ms),
        ScaleMetric::RequestLatencyP99 => longest(|one| one.p99_ms),
    }
}

#[expect(clippy::float_cmp, reason = "who asks for equality gets it")]
fn holds(rule: &ScaleRule, value: f64) -> bool {
    let threshold = rule.threshold;
    match rule.comparison {
        Comparison::Equals => value == threshold,
        Comparison::NotEquals => value != threshold,
        Comparison::GreaterThan => value > threshold,
        Comparison::GreaterThanOrEqual => value >= threshold,
        Comparison::LessThan => value < threshold,
        Comparison::LessThanOrEqual => value <= threshold,
    }
}

/// How many there shall be, as Azure decides it: more when any rule asks for more, fewer when all that
/// could do; nothing is changed while a change is younger than a rule's cooldown.
fn decide(profile: &ScaleProfile, values: &[Option<f64>], now: u32, since_seconds: u64) -> u32 {
    let within = |count: u32| count.clamp(profile.min, profile.max);
    if within(now) != now {
        return within(now);
    }
    if values.iter().all(Option::is_none) {
        return now.max(profile.count);
    }
    let wanted = |rule: &ScaleRule| match rule.change {
        Change::More(count) => now.saturating_add(count),
        Change::Fewer(count) => now.saturating_sub(count),
        Change::Exactly(count) => count,
    };
    let asks = |rule: &ScaleRule, value: Option<f64>| {
        let rested = since_seconds >= u64::from(rule.cooldown_seconds);
        rested && value.is_some_and(|value| holds(rule, value))
    };
    let mut more: Vec<u32> = Vec::new();
    let mut fewer: Vec<(u32, bool)> = Vec::new();
    for (rule, value) in profile.rules.iter().zip(values) {
        let (wanted, asks) = (wanted(rule), asks(rule, *value));
        match wanted.cmp(&now) {
            Ordering::Greater if asks => more.push(wanted),
            Ordering::Less => fewer.push((wanted, asks)),
            _ => {}
        }
    }
    if let Some(most) = more.into_iter().max() {
        return within(most);
    }
    if fewer.iter().all(|(_, asks)| *asks)
        && let Some(most) = fewer.into_iter().map(|(wanted, _)| wanted).max()
    {
        return within(most);
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(comparison: Comparison, threshold: f64, change: Change) -> ScaleRule {
        ScaleRule {
            metric: ScaleMetric::CpuUtilizationPercentage,
            of_endpoint: false,
            statistic: Statistic::Average,
            comparison,
            threshold,
            window_seconds: 300,
            change,
            cooldown_seconds: 60,
        }
    }

    fn profile(rules: Vec<ScaleRule>) -> ScaleProfile {
        ScaleProfile {
            name: "default".to_owned(),
            min: 2,
            max: 5,
            count: 2,
            rules,
            recurring: None,
        }
    }

    #[test]
    fn any_rule_makes_more_and_all_make_fewer() {
        let profile = profile(vec![
            rule(Comparison::GreaterThan, 70.0, Change::More(2)),
            rule(Comparison::LessThan, 25.0, Change::Fewer(1)),
            rule(Comparison::LessThan, 10.0, Change::Fewer(2)),
        ]);
        let of = |values: [f64; 3], now, since| decide(&profile, &values.map(Some), now, since);
        assert_eq!(of([71.0, 71.0, 71.0], 2, 60), 4);
        assert_eq!(of([71.0, 71.0, 71.0], 4, 60), 5, "no more than the most");
        assert_eq!(of([71.0, 71.0, 71.0], 2, 59), 2, "not so soon");
        assert_eq!(of([20.0, 20.0, 20.0], 4, 60), 4, "one rule is against it");
        assert_eq!(of([5.0, 5.0, 5.0], 4, 60), 3, "by the least");
        assert_eq!(of([5.0, 5.0, 5.0], 2, 60), 2, "no fewer than the least");
        assert_eq!(of([50.0, 50.0, 50.0], 1, 0), 2, "at once");
        assert_eq!(of([50.0, 50.0, 50.0], 9, 0), 5);
        assert_eq!(decide(&profile, &[None, None, None], 3, 60), 3);
        let four = ScaleProfile {
            count: 4,
            ..profile
        };
        assert_eq!(decide(&four, &[None, None, None], 3, 0), 4, "unmeasured");
        assert_eq!(decide(&four, &[None, Some(50.0), None], 3, 60), 3);
    }

    #[test]
    fn a_profile_counts_on_its_days_in_its_zone() {
        let weekend = Recurring {
            days: vec!["sat".to_owned(), "Sunday".to_owned()],
            time_zone: "Pacific Standard Time".to_owned(),
            from: "08:00".to_owned(),
            until: "23:59".to_owned(),
        };
        let at = |text: &str| {
            let time = chrono::DateTime::parse_from_rfc3339(text).unwrap();
            is_now(&weekend, Time(time.timestamp_millis())).unwrap()
        };
        assert!(
            !at("2026-11-28T12:00:00Z"),
            "it is four in the morning there"
        );
        assert!(at("2026-11-28T16:00:00Z"));
        assert!(at("2026-11-30T07:59:30Z"), "still Sunday");
        assert!(!at("2026-11-30T16:00:00Z"));
        let night = Recurring {
            days: vec!["fri".to_owned()],
            time_zone: "UTC".to_owned(),
            from: "22:00".to_owned(),
            until: "06:00".to_owned(),
        };
        for (time, counts) in [
            ("2026-11-27T05:00:00Z", false),
            ("2026-11-27T22:00:00Z", true),
            ("2026-11-28T06:00:30Z", true),
            ("2026-11-28T06:01:00Z", false),
            ("2026-11-28T23:00:00Z", false),
        ] {
            let time = chrono::DateTime::parse_from_rfc3339(time).unwrap();
            let is = is_now(&night, Time(time.timestamp_millis())).unwrap();
            assert_eq!(is, counts, "{time}");
        }
        let odd = Recurring {
            days: vec!["someday".to_owned()],
            ..weekend.clone()
        };
        assert!(is_now(&odd, Time(0)).is_err());
    }
}

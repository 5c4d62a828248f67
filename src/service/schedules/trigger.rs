//! When a schedule is due: what its trigger means.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};
use croner::Cron;
use serde_json::{Map, Value};

use super::{
    recurrence::{On, Recurrence, Unit, instant},
    zone::Zone,
};
use api::{Error, Result, Time};
use spec::{
    kinds::{
        compute::{Frequency, WeekDay},
        described::{OneOrMore, Within},
        schedule::{OneOrMoreDays, Recurrence as Written, Times, Trigger, crontab},
    },
    shape::{Described as _, Fault},
};

/// The times at which a schedule is due.
#[derive(Debug, Clone)]
pub struct Due {
    rule: Rule,
    zone: Zone,
    start: DateTime<Utc>,
    end: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
enum Rule {
    Cron(Box<Cron>),
    /// Every so often by a clock that is never put forward or back.
    Every(TimeDelta),
    Recurrence(Recurrence),
}

impl Due {
    /// Reads a trigger; without a start, times are counted from `counted_from`.
    pub fn read(trigger: &Map<String, Value>, counted_from: Time) -> Result<Self> {
        let wrong = |mismatch| Error::invalid(format!("The trigger is not understood: {mismatch}"));
        let read = Trigger::read(Some(&Value::Object(trigger.clone())));
        let trigger = read.map_err(|mismatch| wrong(mismatch).at("trigger"))?;
        let (start, end, name) = match &trigger {
            Trigger::Cron(cron) => (&cron.start_time, &cron.end_time, &cron.time_zone),
            Trigger::Recurrence(written) => {
                (&written.start_time, &written.end_time, &written.time_zone)
            }
        };
        let zone = Zone::of(name).map_err(|error| error.at("trigger.time_zone"))?;
        let time = |text: Option<&str>, key: &str| {
            let time = text.map(|text| moment(text, &zone));
            time.transpose()
                .map_err(|error| error.at(format!("trigger.{key}")))
        };
        let start = time(start.as_deref(), "start_time")?;
        let end = time(end.as_deref(), "end_time")?;
        let start = start.unwrap_or_else(|| whole_second(counted_from));
        if end.is_some_and(|end| end < start) {
            return Err(Error::invalid("It ends before it starts").at("trigger.end_time"));
        }
        let rule = match &trigger {
            Trigger::Cron(cron) => {
                let read = crontab(&cron.expression);
                let wrong = |fault: Fault| fault.into_error().at("trigger.expression");
                Rule::Cron(Box::new(read.map_err(wrong)?))
            }
            Trigger::Recurrence(written) => recurrence(written, &zone, start)?,
        };
        Ok(Self {
            rule,
            zone,
            start,
            end,
        })
    }

    /// The first time after `time`.
    pub fn next_after(&self, time: Time) -> Option<Time> {
        let time = time.datetime();
        let next = match &self.rule {
            Rule::Cron(cron) => {
                let from = time.max(self.start - TimeDelta::seconds(1));
                let from = from.with_timezone(&self.zone);
                let next = cron.find_next_occurrence(&from, false).ok()?;
                next.with_timezone(&Utc)
            }
            Rule::Every(step) => {
                let steps = steps(self.start, time, *step);
                let next = self.start + *step * i32::try_from(steps + 1).ok()?;
                if time < self.start { self.start } else { next }
            }
            Rule::Recurrence(recurrence) => recurrence.next_after(time)?,
        };
        (self.end.is_none_or(|end| next <= end)).then_some(Time(next.timestamp_millis()))
    }

    /// The last time up to `time`.
    pub fn last_until(&self, time: Time) -> Option<Time> {
        let time = time.datetime();
        let time = self.end.map_or(time, |end| end.min(time));
        if time < self.start {
            return None;
        }
        let last = match &self.rule {
            Rule::Cron(cron) => {
                let from = time.with_timezone(&self.zone);
                let last = cron.find_previous_occurrence(&from, true).ok()?;
                last.with_timezone(&Utc)
            }
            Rule::Every(step) => {
                let steps = i32::try_from(steps(self.start, time, *step)).ok()?;
                self.start + *step * steps
            }
            Rule::Recurrence(recurrence) => recurrence.last_until(time)?,
        };
        (last >= self.start).then_some(Time(last.timestamp_millis()))
    }

    /// The next `count` times after `time`.
    pub fn next(&self, time: Time, count: usize) -> Vec<Time> {
        std::iter::successors(self.next_after(time), |time| self.next_after(*time))
            .take(count)
            .collect()
    }
}

/// Whole steps from `start` to `time`.
fn steps(start: DateTime<Utc>, time: DateTime<Utc>, step: TimeDelta) -> i64 {
    (time - start).num_milliseconds().max(0) / step.num_milliseconds()
}

fn whole_second(time: Time) -> DateTime<Utc> {
    let time = time.datetime();
    time.with_nanosecond(0).unwrap_or(time)
}

/// Reads a point in time; without an offset it is one of the zone's clock.
fn moment(text: &str, zone: &Zone) -> Result<DateTime<Utc>> {
    const FORMATS: [&str; 4] = [
        "%Y-%m-%dT%H:%M:%S%.f",
        "%Y-%m-%dT%H:%M",
        "%Y-%m-%d %H:%M:%S%.f",
        "%Y-%m-%d %H:%M",
    ];
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    let mut local = FORMATS
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        local = Some(day.and_time(NaiveTime::MIN));
    }
    local.and_then(|local| instant(zone, local)).ok_or_else(|| {
        Error::invalid(format!("`{text}` is no date and time"))
            .hint("Write it as 2026-11-30T08:00:00, in the time zone of the trigger")
    })
}

fn recurrence(written: &Written, zone: &Zone, start: DateTime<Utc>) -> Result<Rule> {
    let interval = checked(written.interval, "trigger.interval")?;
    let steps = i64::from(interval);
    let unit = match written.frequency {
        Frequency::Minute => return every(written, TimeDelta::minutes(steps)),
        Frequency::Hour => return every(written, TimeDelta::hours(steps)),
        Frequency::Day => Unit::Day,
        Frequency::Week => Unit::Week,
        Frequency::Month => Unit::Month,
    };
    let local = start.with_timezone(zone).naive_local();
    let on = days(written.schedule.as_ref(), unit, local)?;
    let at = match &written.schedule {
        None => vec![local.time()],
        Some(times) => times_of_day(times)?,
    };
    let recurrence = Recurrence {
        zone: zone.clone(),
        start,
        unit,
        interval,
        on,
        at,
    };
    Ok(Rule::Recurrence(recurrence))
}

fn every(written: &Written, step: TimeDelta) -> Result<Rule> {
    if written.schedule.is_some() {
        return Err(Error::invalid(
            "Times of the day mean nothing with the frequencies minute and hour",
        )
        .at("trigger.schedule")
        .hint("Use the frequency day, week or month, or remove `schedule`"));
    }
    Ok(Rule::Every(step))
}

fn numbers<const FROM: i64, const TO: i64>(
    written: &OneOrMore<Within<FROM, TO>>,
    key: &str,
) -> Result<Vec<u32>> {
    let all = written.as_slice();
    let at = format!("trigger.schedule.{key}");
    if all.is_empty() {
        return Err(Error::invalid(format!("There are no {key}")).at(at));
    }
    all.iter().map(|number| checked(*number, &at)).collect()
}

fn checked<const FROM: i64, const TO: i64>(number: Within<FROM, TO>, at: &str) -> Result<u32> {
    let wrong = |problem| Error::invalid(problem).at(at);
    let number = number.checked().map_err(wrong)?;
    u32::try_from(number).map_err(|e| wrong(e.to_string()))
}

fn times_of_day(times: &Times) -> Result<Vec<NaiveTime>> {
    let hours = numbers(&times.hours, "hours")?;
    let minutes = numbers(&times.minutes, "minutes")?;
    let pairs = hours
        .iter()
        .flat_map(|hour| minutes.iter().map(|minute| (*hour, *minute)));
    Ok(pairs
        .filter_map(|(hour, minute)| NaiveTime::from_hms_opt(hour, minute, 0))
        .collect())
}

fn days(times: Option<&Times>, unit: Unit, start: NaiveDateTime) -> Result<On> {
    use chrono::Datelike;
    let week_days = times.and_then(|times| times.week_days.as_ref());
    let month_days = times.and_then(|times| times.month_days.as_ref());
    let misplaced = |key: &str, right: &str| {
        Err(
            Error::invalid(format!("`{key}` need the frequency {right}"))
                .at(format!("trigger.schedule.{key}")),
        )
    };
    match (unit, week_days, month_days) {
        (Unit::Day | Unit::Month, Some(_), _) => misplaced("week_days", "week"),
        (Unit::Day | Unit::Week, _, Some(_)) => misplaced("month_days", "month"),
        (Unit::Day, None, None) => Ok(On::First),
        (Unit::Week, None, None) => {
            let day = start.weekday().num_days_from_monday();
            Ok(On::WeekDays(vec![day]))
        }
        (Unit::Week, Some(days), None) => {
            let all = match days {
                OneOrMoreDays::One(one) => std::slice::from_ref(one),
                OneOrMoreDays::More(all) => all.as_slice(),
            };
            if all.is_empty() {
                let error = Error::invalid("There are no week_days");
                return Err(error.at("trigger.schedule.week_days"));
            }
            Ok(On::WeekDays(all.iter().copied().map(day_number).collect()))
        }
        (Unit::Month, None, None) => Ok(On::MonthDays(vec![start.day()])),
        (Unit::Month, None, Some(days)) => Ok(On::MonthDays(numbers(days, "month_days")?)),
    }
}

fn day_number(day: WeekDay) -> u32 {
    match day {
        WeekDay::Monday => 0,
        WeekDay::Tuesday => 1,
        WeekDay::Wednesday => 2,
        WeekDay::Thursday => 3,
        WeekDay::Friday => 4,
        WeekDay::Saturday => 5,
        WeekDay::Sunday => 6,
    }
}

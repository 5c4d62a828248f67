//! Settings as Azure's command line shows them.

use serde_json::{Value, json};

use api::autoscale::{Change, ScaleProfile, ScaleRule};

pub fn shown_profile(profile: &ScaleProfile) -> Value {
    let recurrence = profile.recurring.as_ref().map(|recurring| {
        json!({
            "frequency": "Week",
            "schedule": {
                "days": recurring.days,
                "from": recurring.from,
                "timeZone": recurring.time_zone,
                "until": recurring.until,
            },
        })
    });
    let rules: Vec<Value> = profile.rules.iter().map(shown_rule).collect();
    json!({
        "capacity": {
            "default": profile.count.to_string(),
            "maximum": profile.max.to_string(),
            "minimum": profile.min.to_string(),
        },
        "fixedDate": null,
        "name": profile.name,
        "recurrence": recurrence,
        "rules": rules,
    })
}

pub fn shown_rule(rule: &ScaleRule) -> Value {
    let (direction, kind, count) = match rule.change {
        Change::More(count) => ("Increase", "ChangeCount", count),
        Change::Fewer(count) => ("Decrease", "ChangeCount", count),
        Change::Exactly(count) => ("None", "ExactCount", count),
    };
    json!({
        "metricTrigger": {
            "metricName": rule.metric,
            "operator": rule.comparison,
            "statistic": rule.statistic,
            "threshold": rule.threshold,
            "timeAggregation": rule.statistic,
            "timeWindow": span(rule.window_seconds),
        },
        "scaleAction": {
            "cooldown": span(rule.cooldown_seconds),
            "direction": direction,
            "type": kind,
            "value": count.to_string(),
        },
    })
}

/// A time as ISO 8601 has it, with seconds where they matter.
fn span(seconds: u32) -> String {
    match (seconds / 60, seconds % 60) {
        (minutes, 0) => format!("PT{minutes}M"),
        (0, seconds) => format!("PT{seconds}S"),
        (minutes, seconds) => format!("PT{minutes}M{seconds}S"),
    }
}

#[cfg(test)]
mod tests {
    use super::span;

    #[test]
    fn times_are_shown_to_the_second() {
        let shown = [0, 30, 90, 300, 5400].map(span);
        assert_eq!(shown, ["PT0M", "PT30S", "PT1M30S", "PT5M", "PT90M"]);
    }
}

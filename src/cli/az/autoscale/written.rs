//! What words of a command line say: ids, conditions, changes.

use api::{
    Error, Result,
    autoscale::{Change, Comparison, ScaleMetric, Statistic},
};

/// What an id of a deployment or endpoint says: the workspace, the endpoint, the deployment.
pub fn parts(id: &str) -> Result<(&str, &str, Option<&str>)> {
    let words: Vec<&str> = id.trim_matches('/').split('/').collect();
    let after = |word: &str| {
        let at = words
            .iter()
            .position(|known| known.eq_ignore_ascii_case(word))?;
        words.get(at + 1).copied()
    };
    match (after("workspaces"), after("onlineEndpoints")) {
        (Some(workspace), Some(endpoint)) => Ok((workspace, endpoint, after("deployments"))),
        _ => Err(
            Error::unsupported(format!("Deployments are scaled here; `{id}` is none"))
                .hint("Its id: az ml online-deployment show -e ENDPOINT -n NAME --query id -o tsv"),
        ),
    }
}

/// What a condition says: `METRIC > NUMBER avg TIME`.
pub fn condition(text: &str) -> Result<(ScaleMetric, Comparison, f64, Statistic, u32)> {
    let odd = |what: &str| {
        Error::invalid(format!("`{text}` is no condition: {what}"))
            .hint("Write it as \"CpuUtilizationPercentage > 70 avg 5m\"")
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    // A name of the metric's kind may stand before it.
    let words = match words.as_slice() {
        [kind, rest @ ..] if rest.len() == 5 && kind.starts_with(['"', '\'']) => rest,
        words => words,
    };
    let [metric, comparison, threshold, statistic, window] = words else {
        return Err(odd("it has five words"));
    };
    let mut known = ScaleMetric::ALL.into_iter();
    let metric = known.find(|(name, _)| name.eq_ignore_ascii_case(metric));
    let (_, metric) = metric.ok_or_else(|| {
        let all = ScaleMetric::ALL.map(|(name, _)| name).join(", ");
        Error::unsupported(format!("`{}` is not measured", words[0]))
            .hint(format!("There are {all}"))
    })?;
    let comparison = match *comparison {
        "==" => Comparison::Equals,
        "!=" => Comparison::NotEquals,
        ">" => Comparison::GreaterThan,
        ">=" => Comparison::GreaterThanOrEqual,
        "<" => Comparison::LessThan,
        "<=" => Comparison::LessThanOrEqual,
        _ => return Err(odd("it compares by ==, !=, >, >=, < or <=")),
    };
    let statistic = match *statistic {
        "avg" => Statistic::Average,
        "min" => Statistic::Min,
        "max" => Statistic::Max,
        _ => return Err(odd("it takes avg, min or max")),
    };
    let threshold: f64 = threshold.parse().map_err(|_| odd("it has no number"))?;
    let window = seconds(window).ok_or_else(|| odd("it has no time such as 5m"))?;
    Ok((metric, comparison, threshold, statistic, window))
}

/// A time such as `1h30m`.
fn seconds(text: &str) -> Option<u32> {
    let mut rest = text;
    let mut all = 0_u32;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..end].parse().ok()?;
        let unit = match rest[end..].chars().next()? {
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        all = all.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[end + 1..];
    }
    (all > 0).then_some(all)
}

pub fn change(words: &[String]) -> Result<Change> {
    let odd =
        || Error::invalid("argument --scale: write out, in or to, and how many, such as out 1");
    let [direction, count] = words else {
        return Err(odd());
    };
    let count: u32 = count.parse().map_err(|_| odd())?;
    match direction.as_str() {
        "out" => Ok(Change::More(count)),
        "in" => Ok(Change::Fewer(count)),
        "to" => Ok(Change::Exactly(count)),
        _ => Err(odd()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_azure_writes_them() {
        let read = condition("CpuUtilizationPercentage > 70 avg 5m").unwrap();
        let expected = (
            ScaleMetric::CpuUtilizationPercentage,
            Comparison::GreaterThan,
            70.0,
            Statistic::Average,
            300,
        );
        assert_eq!(read, expected);
        assert_eq!(
            condition("requestlatency_p95 <= 0.5 max 1h30m").unwrap().4,
            5400
        );
        for odd in [
            "",
            "CpuUtilizationPercentage > 70 avg",
            "CpuUtilizationPercentage ~ 70 avg 5m",
            "CpuUtilizationPercentage > x avg 5m",
            "CpuUtilizationPercentage > 70 sum 5m",
            "CpuUtilizationPercentage > 70 avg 5",
            "Dreams > 70 avg 5m",
        ] {
            assert!(condition(odd).is_err(), "{odd}");
        }
    }
}

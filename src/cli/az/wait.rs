//! Waiting for a resource until it is as it should be: the flags and rules of every `wait` of Azure's.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    given::Given,
    grammar::{Flag, flag, switch},
    output,
};
use crate::error::is_not_found;
use api::{Error, Result};

pub const FLAGS: &[Flag] = &[
    switch("created", "Until it is made, and that has succeeded"),
    switch("updated", "Until it is changed, and that has succeeded"),
    switch("exists", "Until it is there"),
    switch("deleted", "Until it is not there"),
    flag("custom", "Until this JMESPath query is true of it"),
    flag("interval", "Seconds between two looks [default: 1]"),
    flag("timeout", "Seconds to wait [default: 3600]"),
];

/// What is waited for, of which anything is enough, and how long.
pub struct Wait {
    created: bool,
    updated: bool,
    exists: bool,
    deleted: bool,
    custom: Option<String>,
    interval: Duration,
    timeout: Duration,
}

impl Wait {
    pub fn of(given: &Given) -> Result<Self> {
        let seconds = |flag, default| {
            let seconds = given.number(flag)?.unwrap_or(default);
            Ok::<_, Error>(Duration::from_secs(seconds.into()))
        };
        let custom = given.owned("custom");
        if let Some(custom) = &custom {
            output::check_query("custom", custom)?;
        }
        let wait = Self {
            created: given.switch("created"),
            updated: given.switch("updated"),
            exists: given.switch("exists"),
            deleted: given.switch("deleted"),
            custom,
            interval: seconds("interval", 1)?,
            timeout: seconds("timeout", 3600)?,
        };
        let says = wait.created || wait.updated || wait.exists || wait.deleted;
        if !says && wait.custom.is_none() {
            return Err(Error::invalid(
                "the following arguments are required: \
                 --created | --updated | --deleted | --exists | --custom JMESPATH",
            ));
        }
        Ok(wait)
    }

    /// Looks again and again. What failed is an error, and so is what does not come in time, and what
    /// is not there where it has to be.
    pub async fn until(
        &self,
        mut look: impl AsyncFnMut() -> anyhow::Result<Value>,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + self.timeout;
        loop {
            match look().await {
                Ok(found) if self.is_enough(&found)? => return Ok(()),
                Ok(_) => {}
                Err(error) if !is_not_found(&error) => return Err(error),
                Err(_) if self.deleted => return Ok(()),
                Err(_) if self.created || self.exists || self.custom.is_some() => {}
                Err(error) => return Err(error),
            }
            if Instant::now() + self.interval > end {
                sleep_until(end).await;
                let seconds = self.timeout.as_secs();
                return Err(Error::unavailable(format!(
                    "Wait operation timed-out after {seconds} seconds"
                ))
                .into());
            }
            sleep(self.interval).await;
        }
    }

    /// What says nothing of its state is made when it is there.
    fn is_enough(&self, found: &Value) -> Result<bool> {
        if self.exists {
            return Ok(true);
        }
        let state = found.pointer("/properties/provisioningState");
        let state = state.and_then(Value::as_str).unwrap_or("Succeeded");
        if state.eq_ignore_ascii_case("failed") {
            return Err(Error::unavailable("The operation failed"));
        }
        if (self.created || self.updated) && state.eq_ignore_ascii_case("succeeded") {
            return Ok(true);
        }
        match &self.custom {
            Some(query) => Ok(is_true(&output::search(query, found)?)),
            None => Ok(false),
        }
    }
}

/// Whether an answer counts as yes, as Python sees it.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::Wait;
    use api::Error;

    fn wait() -> Wait {
        Wait {
            created: false,
            updated: false,
            exists: false,
            deleted: false,
            custom: None,
            interval: Duration::ZERO,
            timeout: Duration::from_hours(1),
        }
    }

    /// How many looks it takes where the states follow one another, or what was said instead; None is
    /// not there.
    async fn looks(wait: Wait, states: &[Option<&str>]) -> Result<usize, String> {
        let mut looks = 0;
        let look = async || -> anyhow::Result<Value> {
            let state = states.get(looks).or(states.last()).copied().flatten();
            looks += 1;
            match state {
                Some(state) => Ok(json!({"properties": {"provisioningState": state}})),
                None => Err(Error::not_found("nothing is there").into()),
            }
        };
        let waited = wait.until(look).await;
        waited.map(|()| looks).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn it_looks_until_what_is_waited_for() {
        let created = || Wait {
            created: true,
            ..wait()
        };
        let coming = [None, Some("Creating"), Some("Succeeded")];
        assert_eq!(looks(created(), &coming).await, Ok(3));
        let failing = [Some("Creating"), Some("Failed")];
        let failed = Err("The operation failed".to_owned());
        assert_eq!(looks(created(), &failing).await, failed);
        let exists = Wait {
            exists: true,
            ..wait()
        };
        assert_eq!(looks(exists, &coming).await, Ok(2));
        let custom = Wait {
            custom: Some("properties.provisioningState=='Creating'".to_owned()),
            ..wait()
        };
        assert_eq!(looks(custom, &coming).await, Ok(2));
        let deleted = || Wait {
            deleted: true,
            ..wait()
        };
        let going = [Some("Succeeded"), Some("Succeeded"), None];
        assert_eq!(looks(deleted(), &going).await, Ok(3));
        let late = Err("Wait operation timed-out after 0 seconds".to_owned());
        let short = Wait {
            timeout: Duration::ZERO,
            ..deleted()
        };
        assert_eq!(looks(short, &[Some("Succeeded")]).await, late);
        let updated = Wait {
            updated: true,
            ..wait()
        };
        let missing = Err("nothing is there".to_owned());
        assert_eq!(looks(updated, &coming).await, missing);
    }
}

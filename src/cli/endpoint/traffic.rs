//! `aml endpoint traffic`

use clap::Args;

use crate::context::Context;
use api::{
    Error, Result,
    endpoints::{PutEndpoint, Traffic},
};

/// Share the requests of an endpoint among its deployments
///
/// The shares are percent and make 100 together; a deployment that is not named gets none. A caller
/// can choose a deployment by the header `azureml-model-deployment`, whatever its share.
#[derive(Debug, Args)]
pub struct TrafficArgs {
    /// Endpoint whose requests to share
    name: String,
    /// Share of a deployment, such as blue=90; may be repeated
    #[arg(value_name = "DEPLOYMENT=PERCENT")]
    shares: Vec<String>,
    /// Copy so many percent of the requests to a deployment, whose answers nobody gets
    #[arg(long, value_name = "DEPLOYMENT=PERCENT")]
    mirror: Option<String>,
}

pub async fn traffic(ctx: &Context, args: TrafficArgs) -> anyhow::Result<()> {
    if args.shares.is_empty() && args.mirror.is_none() {
        return Err(Error::invalid("There is nothing to share")
            .hint(format!(
                "aml endpoint traffic {} blue=90 green=10",
                args.name
            ))
            .into());
    }
    let request = PutEndpoint {
        workspace: ctx.workspace().await?,
        name: args.name,
        existing: true,
        traffic: shares(&args.shares)?,
        mirror_traffic: args.mirror.map(|one| parse(&[one])).transpose()?,
        ..PutEndpoint::default()
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

fn shares(words: &[String]) -> Result<Option<Traffic>> {
    if words.is_empty() {
        return Ok(None);
    }
    parse(words).map(Some)
}

/// Reads shares such as `blue=90`; several may stand in one word, with blanks between.
pub fn parse(words: &[String]) -> Result<Traffic> {
    let mut traffic = Traffic::new();
    for word in words.iter().flat_map(|word| word.split_whitespace()) {
        let pair = word.split_once('=');
        let share = pair.and_then(|(name, share)| {
            let share = share.trim_end_matches('%').parse::<u8>().ok();
            Some((name, share.filter(|share| *share <= 100)?))
        });
        let Some((name, share)) = share else {
            return Err(Error::invalid(format!("`{word}` is no share of requests"))
                .at("traffic")
                .hint("A share is DEPLOYMENT=PERCENT, such as blue=90"));
        };
        if traffic.insert(name.to_owned(), share).is_some() {
            return Err(Error::invalid(format!("`{name}` has two shares")).at("traffic"));
        }
    }
    Ok(traffic)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn shares_may_stand_in_one_word_or_in_several() {
        let words = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        let expected = [("blue".to_owned(), 90), ("green".to_owned(), 10)].into();
        assert_eq!(parse(&words(&["blue=90 green=10"])).unwrap(), expected);
        assert_eq!(parse(&words(&["blue=90%", "green=10"])).unwrap(), expected);
        for odd in ["blue", "blue=", "blue=101", "blue=-1", "blue=1 blue=2"] {
            assert!(parse(&words(&[odd])).is_err(), "{odd}");
        }
    }
}

//! `aml monitor drift`

use std::collections::BTreeMap;

use chrono::TimeDelta;
use clap::Args;

use crate::{
    args::parse_seconds,
    config::InsideRun,
    context::Context,
    data::table,
    error::{DRIFTED, Exit},
    run::inside,
};
use api::{
    Error, Result,
    endpoints::GetEndpoint,
    monitors::{Metric, RecordDrift, needs_enterprise},
    workspaces::{Edition, GetWorkspace},
};
use client::Client;
use monitor::{Columns, Comparison, Thresholds, Window};

/// Shares of change that are commonly read as large.
const PSI: f64 = 0.2;
/// How far back collected data is looked at.
const SINCE: u64 = 7 * 86_400;

/// Compare data with a reference, feature by feature, and say what has drifted
///
/// Numbers are compared by the population stability index, the distances of Jensen–Shannon and
/// Wasserstein and the test of Kolmogorov and Smirnov; categories by the first two and Pearson's χ²
/// test; all by the share of missing values, and of values that the reference does not have.
///
/// Where a measure is beyond its threshold the command ends with exit code 15, and webhooks that want
/// to know of `monitor.alerted` are told. Needs a workspace of edition Enterprise.
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Data to look at, as NAME:VERSION, NAME@LABEL or NAME; or a file, folder or address
    #[arg(long, value_name = "DATA", required_unless_present = "endpoint")]
    data: Option<String>,
    /// Look at what a deployment of this endpoint has collected
    #[arg(long, value_name = "NAME", conflicts_with = "data")]
    endpoint: Option<String>,
    /// Deployment of the endpoint [default: the only one that collects]
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    deployment: Option<String>,
    /// Collection of the deployment
    #[arg(long, value_name = "NAME", default_value = "model_inputs")]
    collection: String,
    /// Data to compare with, such as that of the training [default: with --endpoint or --since what was
    /// collected in the same time before]
    #[arg(long, value_name = "DATA", required_unless_present_any = ["endpoint", "since"])]
    reference: Option<String>,
    /// The data is an address at which a deployment collects, in folders of days
    #[arg(long, requires = "since", hide = true)]
    collected: bool,
    /// How far back collected data is looked at [default: 7d with --endpoint]
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    since: Option<u64>,
    /// Feature to compare; may be repeated [default: all that both have]
    #[arg(long = "feature", value_name = "NAME")]
    features: Vec<String>,
    /// Feature to leave out, such as the target; may be repeated
    #[arg(long = "exclude", value_name = "NAME")]
    excluded: Vec<String>,
    /// Feature whose numbers are names; may be repeated
    #[arg(long, value_name = "NAME")]
    categorical: Vec<String>,
    /// What is alarming, as METRIC=NUMBER, or numerical.METRIC=NUMBER and categorical.METRIC=NUMBER for
    /// one kind of features [default: a
    /// `population_stability_index` of 0.2]
    #[arg(long = "threshold", value_name = "METRIC=NUMBER")]
    thresholds: Vec<String>,
    /// Name to keep the report under [default: that of the endpoint and deployment; without one it is
    /// not kept]
    #[arg(short, long)]
    name: Option<String>,
    /// What the data is called in the report
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    data_name: Option<String>,
    /// What the reference is called in the report
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    reference_name: Option<String>,
    /// Tell no webhook
    #[arg(long)]
    no_alert: bool,
    /// End with exit code 0 in any case
    #[arg(long)]
    exit_zero: bool,
}

pub async fn drift(ctx: &Context, args: DriftArgs) -> anyhow::Result<()> {
    let thresholds = thresholds(&args.thresholds)?;
    let place = Place::of(ctx).await?;
    place.check_edition().await?;
    let mut sides = Sides::of(ctx, &place, &args).await?;
    for (side, name) in [
        (&mut sides.data, args.data_name),
        (&mut sides.reference, args.reference_name),
    ] {
        side.name = name.unwrap_or(std::mem::take(&mut side.name));
    }
    let data = sides.data.columns(ctx, &place, sides.window).await?;
    let reference = sides.reference.columns(ctx, &place, sides.earlier).await?;
    let comparison = Comparison {
        features: args.features,
        excluded: args.excluded,
        categorical: args.categorical.into_iter().collect(),
        thresholds,
    };
    let report = comparison.report(
        (&sides.data.name, &data),
        (&sides.reference.name, &reference),
    )?;
    if let Some(monitor) = args.name.or(sides.monitor) {
        let record = RecordDrift {
            workspace: place.workspace.clone(),
            monitor,
            run: place.run.clone(),
            quiet: args.no_alert,
            report: report.clone(),
        };
        place.client.call(&record).await?;
    }
    ctx.ui.show(&report)?;
    if report.drifted && !args.exit_zero {
        return Err(Exit(DRIFTED).into());
    }
    Ok(())
}

/// Where reports are kept: from the process of a run, in its workspace.
struct Place {
    client: Client,
    workspace: String,
    run: Option<String>,
}

impl Place {
    async fn of(ctx: &Context) -> Result<Self> {
        if let Some(run) = &ctx.config.inside_run {
            let InsideRun {
                workspace,
                run: name,
                ..
            } = run;
            return Ok(Self {
                client: inside(ctx, run).await?,
                workspace: workspace.clone(),
                run: Some(name.clone()),
            });
        }
        Ok(Self {
            client: ctx.client().await?.clone(),
            workspace: ctx.workspace().await?,
            run: None,
        })
    }

    /// Before anything is read.
    async fn check_edition(&self) -> Result<()> {
        let get = GetWorkspace {
            workspace: self.workspace.clone(),
        };
        let found = self.client.call(&get).await?;
        match found.edition {
            Edition::Enterprise => Ok(()),
            Edition::Basic => Err(needs_enterprise(&found.name)),
        }
    }
}

/// One side of the comparison.
struct Side {
    /// As it is called in the report.
    name: String,
    address: String,
    /// A deployment collects there, in folders of days.
    collected: bool,
}

impl Side {
    fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: name.to_owned(),
            collected: false,
        }
    }

    /// Reads it; of what a deployment has collected not more than the window asks for.
    async fn columns(
        &self,
        ctx: &Context,
        place: &Place,
        window: Option<Window>,
    ) -> anyhow::Result<Columns> {
        let at = (&place.client, place.workspace.as_str());
        let opened = match window.filter(|_| self.collected) {
            Some(window) => table::open_below(ctx, at, &self.address, &window.folders()).await?,
            None => Some(table::open(ctx, Some(at), &self.address, None).await?),
        };
        Ok(match opened {
            Some(opened) => Columns::read(&opened.table, window)?,
            None => Columns::default(),
        })
    }

    /// The same in the time before.
    fn before(&self) -> Self {
        Self {
            name: format!("{} before", self.name),
            address: self.address.clone(),
            collected: self.collected,
        }
    }
}

struct Sides {
    data: Side,
    reference: Side,
    /// Of which time collected data is looked at.
    window: Option<Window>,
    /// Of which time that of the reference is.
    earlier: Option<Window>,
    monitor: Option<String>,
}

impl Sides {
    async fn of(ctx: &Context, place: &Place, args: &DriftArgs) -> Result<Self> {
        let span = args.since.or(args.endpoint.as_ref().map(|_| SINCE));
        let now = ctx.wiring.now().datetime();
        let window = span.and_then(|seconds| {
            let span = TimeDelta::try_seconds(i64::try_from(seconds).ok()?)?;
            let from = now.checked_sub_signed(span)?;
            let before = from.checked_sub_signed(span)?;
            let until = now + TimeDelta::seconds(1);
            Some((
                Window { from, until },
                Window {
                    from: before,
                    until: from,
                },
            ))
        });
        let (window, before) = window.unzip();
        let (data, monitor) = match &args.endpoint {
            Some(endpoint) => {
                let (deployment, address) = collected(ctx, place, endpoint, args).await?;
                let name = format!("{endpoint}/{deployment}/{}", args.collection);
                let monitor = format!("{endpoint}-{deployment}");
                let data = Side {
                    name,
                    address,
                    collected: true,
                };
                (data, Some(monitor))
            }
            None => {
                let data = args.data.as_deref().unwrap_or_default();
                let data = Side {
                    collected: args.collected,
                    ..Side::named(data)
                };
                (data, None)
            }
        };
        Ok(Self {
            reference: match &args.reference {
                Some(reference) => Side::named(reference),
                None => data.before(),
            },
            earlier: before.filter(|_| args.reference.is_none()),
            data,
            window,
            monitor,
        })
    }
}

/// The deployment that is meant, and where what it collects is kept.
async fn collected(
    ctx: &Context,
    place: &Place,
    endpoint: &str,
    args: &DriftArgs,
) -> Result<(String, String)> {
    let get = GetEndpoint {
        workspace: place.workspace.clone(),
        name: endpoint.to_owned(),
    };
    let found = ctx.client().await?.call(&get).await?;
    let named = |name: &str| match &args.deployment {
        Some(asked) => name.eq_ignore_ascii_case(asked),
        None => true,
    };
    let collects = found.deployments.iter().filter_map(|one| {
        let collector = one.deployment.collector.as_ref()?;
        let path = collector.collections.get(&args.collection)?;
        named(&one.name).then(|| (one.name.clone(), path.clone()))
    });
    let mut collects: Vec<(String, String)> = collects.collect();
    match collects.len() {
        1 => Ok(collects.swap_remove(0)),
        0 => Err(Error::not_found(format!(
            "No deployment of `{endpoint}` collects `{}`",
            args.collection
        ))
        .hint("Let one: data_collector in its file; then aml deployment create -f FILE")),
        _ => Err(Error::invalid(format!(
            "Several deployments of `{endpoint}` collect `{}`",
            args.collection
        ))
        .at("--deployment")
        .hint("Say which: --deployment NAME")),
    }
}

/// Reads thresholds; the usual one when there are none.
fn thresholds(words: &[String]) -> Result<Thresholds> {
    let mut read = Thresholds::default();
    if words.is_empty() {
        let usual = BTreeMap::from([(Metric::PopulationStabilityIndex, PSI)]);
        (read.numerical, read.categorical) = (usual.clone(), usual);
    }
    for word in words {
        let pair = word.split_once('=').and_then(|(name, number)| {
            let number = number
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())?;
            let (kind, name) = match name.split_once('.') {
                Some((kind, name)) => (Some(kind), name),
                None => (None, name),
            };
            Some((kind, Metric::called(name)?, number))
        });
        let of_kind = match pair {
            Some((None, metric, number)) => vec![
                (&mut read.numerical, metric, number),
                (&mut read.categorical, metric, number),
            ],
            Some((Some("numerical"), metric, number)) => {
                vec![(&mut read.numerical, metric, number)]
            }
            Some((Some("categorical"), metric, number)) => {
                vec![(&mut read.categorical, metric, number)]
            }
            _ => return Err(odd(word)),
        };
        for (map, metric, number) in of_kind {
            map.insert(metric, number);
        }
    }
    Ok(read)
}

fn odd(word: &str) -> Error {
    let known = Metric::ALL.map(Metric::name).join(", ");
    Error::invalid(format!("`{word}` is no threshold"))
        .at("--threshold")
        .hint("A threshold is METRIC=NUMBER, such as population_stability_index=0.2")
        .hint(format!("There are {known}"))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "what is compared is exact")]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_for_all_features_or_for_one_kind() {
        let read = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            thresholds(&words)
        };
        let usual = read(&[]).unwrap();
        assert_eq!(usual.numerical[&Metric::PopulationStabilityIndex], PSI);
        let said = read(&["null_value_rate=0.1", "categorical.null_value_rate=0.3"]).unwrap();
        assert_eq!(said.numerical[&Metric::NullValueRate], 0.1);
        assert_eq!(said.categorical[&Metric::NullValueRate], 0.3);
        assert!(
            !said
                .numerical
                .contains_key(&Metric::PopulationStabilityIndex)
        );
        for word in [
            "psi=1",
            "null_value_rate",
            "null_value_rate=x",
            "other.null_value_rate=1",
        ] {
            assert!(read(&[word]).is_err(), "{word}");
        }
    }
}

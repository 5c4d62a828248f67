//! Services and versions of endpoints made and changed, from what flags and files say.

use std::time::Instant;

use serde_json::{Map, Value, json};

use super::{
    answer, deploy,
    service::{ask, get, remove, served, shown},
};
use crate::{
    az::{Az, given::Given},
    deployment::described::{self, Wanted},
    document::Draft,
    interrupt,
};
use api::{
    Code, Error, Result,
    deployments::{DEFAULT, GetDeployment},
    endpoints::{AuthMode, PutEndpoint, Traffic},
};

/// Makes or changes a deployment of what flags and files say, and of what is there.
async fn put(
    az: &Az,
    given: &Given,
    endpoint: &str,
    name: &str,
    before: Map<String, Value>,
    all_traffic: bool,
) -> anyhow::Result<()> {
    let existing = !before.is_empty();
    let mut fields = before;
    fields.extend(deploy::described(az, given)?);
    let mut draft = Draft::open(None, &az.ctx.folder)?;
    for (key, value) in deploy::completed(fields, endpoint, name) {
        draft.put(&key, value, "the configuration");
    }
    let checked = draft.check("online-deployment")?;
    let wanted = Wanted {
        existing,
        all_traffic,
        no_wait: given.switch("no-wait"),
        ..Wanted::default()
    };
    described::put(&az.ctx, &az.here().await?, checked, wanted).await?;
    Ok(())
}

/// What a deployment that is there says.
async fn before(az: &Az, endpoint: &str, name: &str) -> Result<Map<String, Value>> {
    let get = GetDeployment {
        workspace: az.here().await?,
        endpoint: endpoint.to_owned(),
        name: name.to_owned(),
    };
    let found = az.call(&get).await?;
    Ok(described::written(endpoint, &found))
}

/// The endpoint that was asked for, made if it is new; answers whether it was.
async fn make_endpoint(az: &Az, given: &Given, name: &str) -> Result<bool> {
    let token = deploy::by_token(az, given)?;
    let request = PutEndpoint {
        workspace: az.here().await?,
        name: name.to_owned(),
        auth_mode: token.then_some(AuthMode::AmlToken),
        description: given.owned("description"),
        tags: given.has("tag").then(|| given.pairs("tag")),
        properties: given.has("property").then(|| given.pairs("property")),
        port: deploy::port(az, given)?,
        ..PutEndpoint::default()
    };
    let endpoint = az.call(&request).await?;
    Ok(endpoint.created_at == endpoint.updated_at)
}

pub async fn deploy(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = given.required("name")?;
    let found = match get(az, name).await {
        Ok(found) => Some(found),
        Err(error) if error.code == Code::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    if found.is_some() && !given.switch("overwrite") {
        let error = Error::conflict(format!("There is a service `{name}` already"));
        let error = error.at("--name");
        return Err(error.hint("Replace it: --overwrite").into());
    }
    // What is wrong with the files is said before anything is made.
    deploy::described(az, given)?;
    let new = make_endpoint(az, given, name).await?;
    let first = found.as_ref().and_then(|found| found.deployments.first());
    let version = given.text("version-name");
    let version = version.or(first.map(|first| first.name.as_str()));
    let alone = found
        .as_ref()
        .is_none_or(|found| found.deployments.len() < 2);
    let made = put(
        az,
        given,
        name,
        version.unwrap_or(DEFAULT),
        Map::new(),
        alone,
    )
    .await;
    unless_empty(az, given, name, new, made).await?;
    answer(az, given, shown(&get(az, name).await?))
}

/// Removes the endpoint that was made for a deployment which was then refused.
async fn unless_empty(
    az: &Az,
    given: &Given,
    name: &str,
    new: bool,
    made: anyhow::Result<()>,
) -> anyhow::Result<()> {
    if made.is_err()
        && new
        && let Ok(left) = get(az, name).await
        && left.deployments.is_empty()
        && let Err(stays) = remove(az, name).await
    {
        az.note(given, &format!("The service {name} stays: {stays}"));
    }
    made
}

pub async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = given.required("name")?;
    let found = get(az, name).await?;
    let mut tags = found.tags.clone();
    tags.extend(given.pairs("tag"));
    tags.extend(given.pairs("add-tag"));
    for tag in given.words("remove-tag") {
        tags.remove(&tag);
    }
    let mut properties = found.properties.clone();
    properties.extend(given.pairs("property"));
    properties.extend(given.pairs("add-property"));
    let token = given.truth("token-auth-enabled")?;
    let request = PutEndpoint {
        workspace: az.here().await?,
        name: name.to_owned(),
        existing: true,
        auth_mode: token.map(|token| {
            if token {
                AuthMode::AmlToken
            } else {
                AuthMode::Key
            }
        }),
        description: given.owned("description"),
        tags: Some(tags),
        properties: Some(properties),
        ..PutEndpoint::default()
    };
    az.call(&request).await?;
    if !deploy::described(az, given)?.is_empty() {
        let version = served(&found)?;
        let before = before(az, name, version).await?;
        put(az, given, name, version, before, false).await?;
    }
    answer(az, given, shown(&get(az, name).await?))
}

pub async fn create_version(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let (name, version) = (given.required("name")?, given.required("version-name")?);
    deploy::described(az, given)?;
    let new = make_endpoint(az, given, name).await?;
    let first = get(az, name).await?.deployments.is_empty();
    let made = put(az, given, name, version, Map::new(), first).await;
    unless_empty(az, given, name, new, made).await?;
    share(az, given, name, version).await?;
    answer(az, given, shown(&get(az, name).await?))
}

pub async fn update_version(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let (name, version) = (given.required("name")?, given.required("version-name")?);
    let before = before(az, name, version).await?;
    if !deploy::described(az, given)?.is_empty() {
        put(az, given, name, version, before, false).await?;
    }
    share(az, given, name, version).await?;
    answer(az, given, shown(&get(az, name).await?))
}

/// Gives a version the share of the requests that is asked for; the default one gets the rest.
async fn share(az: &Az, given: &Given, name: &str, version: &str) -> Result<()> {
    let percent = given.number("traffic-percentile")?;
    let default = given.truth("is-default")?.unwrap_or(false);
    if percent.is_none() && !default {
        return Ok(());
    }
    let found = get(az, name).await?;
    let wrong =
        || Error::invalid("The share of a version is between 0 and 100").at("--traffic-percentile");
    let percent = percent.map(|percent| u8::try_from(percent).ok().filter(|share| *share <= 100));
    let percent = match percent {
        Some(percent) => percent.ok_or_else(wrong)?,
        None => 100,
    };
    let mut traffic = found.traffic.clone();
    traffic.retain(|one, _| !one.eq_ignore_ascii_case(version));
    let others: Vec<String> = found
        .deployments
        .iter()
        .map(|one| one.name.clone())
        .filter(|one| !one.eq_ignore_ascii_case(version))
        .collect();
    let alone = others.is_empty();
    let own = if alone || default && !traffic.values().any(|share| *share > 0) {
        100
    } else {
        percent
    };
    for (other, left) in rest(&traffic, &others, own) {
        traffic.insert(other, left);
    }
    traffic.insert(version.to_owned(), own);
    let request = PutEndpoint {
        workspace: az.here().await?,
        name: name.to_owned(),
        existing: true,
        traffic: Some(traffic),
        ..PutEndpoint::default()
    };
    az.call(&request).await.map(drop)
}

/// The shares of the others beside a version's own: the one with most gives and takes what makes the sum
/// 100, the next ones where it has not enough.
fn rest(traffic: &Traffic, others: &[String], own: u8) -> Vec<(String, u8)> {
    let of = |one: &String| traffic.get(one).copied().unwrap_or(0);
    let mut shares: Vec<(String, u8)> = others.iter().map(|one| (one.clone(), of(one))).collect();
    shares.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
    let sum: u32 = shares.iter().map(|(_, share)| u32::from(*share)).sum();
    let (all, free) = (sum + u32::from(own), u32::from(100 - own));
    if all < 100
        && let Some((_, most)) = shares.first_mut()
    {
        *most += u8::try_from(100 - all).unwrap_or(0);
    }
    let mut over = sum.saturating_sub(free);
    for (_, share) in &mut shares {
        let taken = (*share).min(u8::try_from(over).unwrap_or(u8::MAX));
        *share -= taken;
        over -= u32::from(taken);
    }
    shares
}

/// How often a model is asked when it is measured.
const ASKED: u32 = 20;

/// Serves the model by a service that goes afterwards, and tells how long its answers take.
pub async fn profile(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("profile-{}", &id[..12]);
    deploy::described(az, given)?;
    make_endpoint(az, given, &name).await?;
    let measured = async {
        put(az, given, &name, DEFAULT, Map::new(), true).await?;
        let document = given.text("input-data").unwrap_or("{}");
        let mut seconds = Vec::new();
        for _ in 0..ASKED {
            let begun = Instant::now();
            ask(az, &name, document).await?;
            seconds.push(begun.elapsed().as_secs_f64());
        }
        anyhow::Ok(seconds)
    };
    let remains = "the service of the measurement is removed";
    let measured = tokio::select! {
        measured = measured => measured,
        () = interrupt::ctrl_c() => Err(Error::unavailable(format!("Interrupted: {remains}")).into()),
    };
    let removed = remove(az, &name).await;
    let mut seconds = measured?;
    removed?;
    seconds.sort_by(f64::total_cmp);
    let total: f64 = seconds.iter().sum();
    let at = |percent: usize| seconds.get((seconds.len() - 1) * percent / 100);
    let all = json!({
        "name": given.required("name")?,
        "averageLatencyInMs": total / f64::from(ASKED) * 1000.0,
        "latencyAt50InMs": at(50).map(|one| one * 1000.0),
        "latencyAt90InMs": at(90).map(|one| one * 1000.0),
        "state": "Succeeded",
        "successRatio": 100,
        "totalQueries": ASKED,
        "totalQueriesInSec": f64::from(ASKED) / total,
    });
    answer(az, given, all)
}

#[cfg(test)]
mod tests {
    use super::rest;

    #[test]
    fn only_the_one_with_most_gives_and_takes() {
        let shares = |a: u8, b: u8, own: u8| {
            let traffic = [("a".to_owned(), a), ("b".to_owned(), b)].into();
            let mut shares = rest(&traffic, &["a".to_owned(), "b".to_owned()], own);
            shares.sort();
            shares
                .into_iter()
                .map(|(_, share)| share)
                .collect::<Vec<_>>()
        };
        assert_eq!(shares(50, 30, 20), [50, 30], "nothing changes");
        assert_eq!(shares(50, 30, 10), [60, 30]);
        assert_eq!(shares(50, 30, 40), [30, 30]);
        assert_eq!(shares(50, 30, 80), [0, 20], "the next one gives, too");
        assert_eq!(shares(50, 50, 100), [0, 0]);
        assert_eq!(shares(0, 0, 30), [70, 0]);
    }
}

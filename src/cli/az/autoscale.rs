//! `az monitor autoscale`: rules by which deployments get more and fewer processes.

mod shown;
mod written;

use serde_json::{Value, json};

use super::{
    Az,
    given::{Given, missing},
    grammar::{Flag, GROUP as IN_GROUP, Group, YES, flag, verb},
    ids,
};
use api::{
    Error, Result,
    autoscale::{
        Autoscale, Autoscaled, DeleteAutoscale, ListAutoscale, PutAutoscale, Recurring,
        ScaleProfile, ScaleRule,
    },
    names,
    workspaces::{GetWorkspace, ListWorkspaces, Workspace},
};
use shown::{shown_profile, shown_rule};
use written::{change, condition, parts};

const NAME: &[Flag] = &[flag("name", "Name of the setting")
    .short('n')
    .alias(&["autoscale-name"])];
const OF: &[Flag] = &[flag("autoscale-name", "Name of the setting").required()];
const COUNTS: &[Flag] = &[
    flag("count", "How many there are when nothing is measured"),
    flag("min-count", "The fewest there are"),
    flag("max-count", "The most there are"),
];
const RESOURCE: &[Flag] = &[
    flag("resource", "Id of the deployment"),
    flag("resource-namespace", "Part of the id"),
    flag("resource-parent", "Part of the id"),
    flag("resource-type", "Part of the id"),
];
const PROFILE: &[Flag] = &[flag("profile-name", "Profile of the setting")];
const MORE: &[Flag] = &[
    flag("action", "Recorded nowhere").short('a').many(),
    flag("email-administrator", "Recorded nowhere").maybe(),
    flag("email-coadministrators", "Recorded nowhere").maybe(),
    flag("location", "Location").short('l'),
    flag("tags", "Recorded nowhere").many(),
    flag("disabled", "Make it, but scale nothing").maybe(),
];

pub const GROUP: Group = Group {
    path: "monitor autoscale",
    about: "Rules by which deployments get more and fewer processes",
    verbs: &[
        verb!(
            "create",
            "Scale a deployment between two numbers of processes",
            [IN_GROUP, NAME, RESOURCE, COUNTS, MORE],
            create
        ),
        verb!("show", "Show a setting", [IN_GROUP, NAME, IDS], show),
        verb!("list", "List the settings", [IN_GROUP], list),
        verb!(
            "update",
            "Change a setting",
            [
                IN_GROUP,
                NAME,
                IDS,
                COUNTS,
                &[flag("enabled", "Whether anything is scaled by it")]
            ],
            update
        ),
        verb!(
            "delete",
            "Delete a setting",
            [IN_GROUP, NAME, IDS, YES],
            delete
        ),
    ],
};
const IDS: &[Flag] = &[flag("ids", "Ids").many()];

pub const RULES: Group = Group {
    path: "monitor autoscale rule",
    about: "Rules of a setting",
    verbs: &[
        verb!(
            "create",
            "Add a rule, such as --condition \"CpuUtilizationPercentage > 70 avg 5m\" --scale out 1",
            [
                IN_GROUP,
                OF,
                PROFILE,
                RESOURCE,
                &[
                    flag("condition", "METRIC > NUMBER avg TIME").required(),
                    flag("scale", "out, in or to, and how many")
                        .many()
                        .required(),
                    flag(
                        "cooldown",
                        "Minutes after a change in which nothing is changed"
                    ),
                    flag("timegrain", "Recorded nowhere").many(),
                ]
            ],
            create_rule
        ),
        verb!(
            "list",
            "List the rules",
            [IN_GROUP, OF, PROFILE],
            list_rules
        ),
        verb!(
            "delete",
            "Remove rules by their places, or all by *",
            [
                IN_GROUP,
                OF,
                PROFILE,
                &[flag("index", "Places, from 0").many().required()]
            ],
            delete_rules
        ),
    ],
};

pub const PROFILES: Group = Group {
    path: "monitor autoscale profile",
    about: "Profiles of a setting, which count on some days",
    verbs: &[
        verb!(
            "create",
            "Add a profile, such as --recurrence week sat sun --timezone \"Pacific Standard Time\"",
            [
                IN_GROUP,
                OF,
                COUNTS,
                &[
                    flag("name", "Name of the profile").short('n').required(),
                    flag("recurrence", "week, and days").short('r').many(),
                    flag("timezone", "Time zone"),
                    flag("start", "Time of day from which it counts"),
                    flag("end", "Time of day until which it counts"),
                    flag("copy-rules", "Profile whose rules it begins with"),
                ]
            ],
            create_profile
        ),
        verb!("list", "List the profiles", [IN_GROUP, OF], list_profiles),
        verb!(
            "delete",
            "Remove a profile",
            [
                IN_GROUP,
                OF,
                &[flag("name", "Name of the profile").short('n').required()]
            ],
            delete_profile
        ),
    ],
};

/// A setting with the workspace that it is in.
struct Found {
    workspace: Workspace,
    one: Autoscaled,
    /// As it was read.
    before: Autoscale,
}

/// All settings, or those of a resource group.
async fn in_group(az: &Az, group: Option<&str>) -> Result<Vec<Found>> {
    let mut all = Vec::new();
    for workspace in az.call(&ListWorkspaces {}).await? {
        if group.is_some_and(|group| !workspace.resource_group.eq_ignore_ascii_case(group)) {
            continue;
        }
        let list = ListAutoscale {
            workspace: workspace.name.clone(),
        };
        let found = az.call(&list).await?.into_iter();
        all.extend(found.map(|one| Found::of(workspace.clone(), one)));
    }
    Ok(all)
}

/// The setting of a name, which another workspace may have too: then that of the default workspace is
/// meant, else it is not known which.
async fn find_named(az: &Az, group: Option<&str>, name: &str) -> Result<Found> {
    let all = in_group(az, group).await?;
    let known = all.iter().map(|found| found.one.autoscale.name.as_str());
    let unknown = Error::unknown("autoscale setting", name, "", names::nearest(name, known));
    let mut named: Vec<Found> = all
        .into_iter()
        .filter(|found| found.one.autoscale.name.eq_ignore_ascii_case(name))
        .collect();
    if named.len() > 1 {
        let workspaces: Vec<String> = named.iter().map(|f| f.workspace.name.clone()).collect();
        let is_default = |found: &Found| az.workspace.as_ref() == Some(&found.workspace.name);
        named.retain(is_default);
        if named.is_empty() {
            return Err(Error::conflict(format!(
                "Several workspaces have an autoscale setting `{name}`: {}",
                workspaces.join(", ")
            ))
            .hint("Say its resource group: --resource-group GROUP")
            .hint("Or the workspace: az configure --defaults workspace=NAME"));
        }
    }
    named.pop().ok_or(unknown)
}

/// The setting that is named.
async fn find(az: &Az, given: &Given) -> Result<Found> {
    let name = given
        .text("autoscale-name")
        .or_else(|| given.text("name"))
        .ok_or_else(|| missing(&["name"]))?;
    find_named(az, given.text("resource-group"), name).await
}

/// The setting that is named, or all whose ids are given.
async fn find_all(az: &Az, given: &Given) -> Result<Vec<Found>> {
    let ids = given.words("ids");
    if ids.is_empty() {
        return Ok(vec![find(az, given).await?]);
    }
    let mut all = Vec::new();
    for id in ids {
        let words: Vec<&str> = id.trim_matches('/').split('/').collect();
        let is_group = |pair: &&[&str]| pair[0].eq_ignore_ascii_case("resourceGroups");
        let group = words.windows(2).find(is_group).map(|pair| pair[1]);
        let name = words.last().copied().unwrap_or_default();
        all.push(find_named(az, group, name).await?);
    }
    Ok(all)
}

/// One as it is shown, several as a list.
fn shown(all: &[Found]) -> Value {
    match all {
        [one] => one.shown(),
        all => all.iter().map(Found::shown).collect(),
    }
}

impl Found {
    fn of(workspace: Workspace, one: Autoscaled) -> Self {
        Self {
            workspace,
            before: one.autoscale.clone(),
            one,
        }
    }

    async fn put(self, az: &Az) -> Result<Self> {
        let put = PutAutoscale {
            workspace: self.workspace.name.clone(),
            endpoint: self.one.endpoint,
            deployment: self.one.deployment,
            autoscale: self.one.autoscale,
            before: Some(self.before),
        };
        Ok(Self::of(self.workspace, az.call(&put).await?))
    }

    fn profile(&mut self, given: &Given) -> Result<&mut ScaleProfile> {
        let name = given.text("profile-name");
        let mut all = self.one.autoscale.profiles.iter_mut();
        let found = match name {
            None => all.next(),
            Some(name) => all.find(|profile| profile.name == name),
        };
        let name = name.unwrap_or("default");
        found.ok_or_else(|| Error::not_found(format!("The setting has no profile `{name}`")))
    }

    fn shown(&self) -> Value {
        let autoscale = &self.one.autoscale;
        let name = &autoscale.name;
        let profiles: Vec<Value> = autoscale.profiles.iter().map(shown_profile).collect();
        let target = format!(
            "onlineEndpoints/{}/deployments/{}",
            self.one.endpoint, self.one.deployment
        );
        json!({
            "enabled": autoscale.enabled,
            "id": ids::beside(&self.workspace, "microsoft.insights/autoscalesettings", name),
            "location": self.workspace.location,
            "name": name,
            "notifications": [],
            "profiles": profiles,
            "resourceGroup": self.workspace.resource_group,
            "tags": {},
            "targetResourceUri": ids::within(&self.workspace, &target),
            "type": "Microsoft.Insights/autoscaleSettings",
        })
    }
}

/// The counts that are given, or those of before.
fn counts(given: &Given, before: Option<&ScaleProfile>) -> Result<(u32, u32, u32)> {
    let count = given.number("count")?;
    let count = count.or(before.map(|profile| profile.count));
    let count = count.ok_or_else(|| missing(&["count"]))?;
    let min = given.number("min-count")?;
    let max = given.number("max-count")?;
    Ok((
        min.or(before.map(|profile| profile.min)).unwrap_or(count),
        max.or(before.map(|profile| profile.max)).unwrap_or(count),
        count,
    ))
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let resource = given
        .text("resource")
        .ok_or_else(|| missing(&["resource"]))?;
    let (workspace, endpoint, deployment) = parts(resource)?;
    let deployment = deployment.ok_or_else(|| {
        Error::invalid(format!(
            "`{resource}` is an endpoint; its deployments are scaled"
        ))
    })?;
    let (min, max, count) = counts(given, None)?;
    let name = given.text("name").unwrap_or(deployment);
    let put = PutAutoscale {
        workspace: workspace.to_owned(),
        endpoint: endpoint.to_owned(),
        deployment: deployment.to_owned(),
        autoscale: Autoscale {
            name: name.to_owned(),
            enabled: !given.truth("disabled")?.unwrap_or(false),
            profiles: vec![ScaleProfile {
                name: "default".to_owned(),
                min,
                max,
                count,
                rules: Vec::new(),
                recurring: None,
            }],
        },
        before: None,
    };
    let get = GetWorkspace {
        workspace: workspace.to_owned(),
    };
    let workspace = az.call(&get).await?;
    // In Azure a name is that of one setting of the resource group.
    let others = in_group(az, Some(&workspace.resource_group)).await?;
    if let Some(other) = others.iter().find(|other| {
        other.workspace.name != workspace.name
            && other.one.autoscale.name.eq_ignore_ascii_case(name)
    }) {
        return Err(Error::conflict(format!(
            "`{name}` scales a deployment of the workspace `{}` of the same resource group",
            other.workspace.name
        ))
        .hint("Choose another name: --name NAME")
        .into());
    }
    let one = az.call(&put).await?;
    Ok(Found::of(workspace, one).shown())
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    Ok(shown(&find_all(az, given).await?))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let all = in_group(az, given.text("resource-group")).await?;
    Ok(all.iter().map(Found::shown).collect())
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    for mut found in find_all(az, given).await? {
        let autoscale = &mut found.one.autoscale;
        if let Some(enabled) = given.truth("enabled")? {
            autoscale.enabled = enabled;
        }
        if let Some(first) = autoscale.profiles.first_mut() {
            (first.min, first.max, first.count) = counts(given, Some(first))?;
        }
        all.push(found.put(az).await?);
    }
    Ok(shown(&all))
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    for found in find_all(az, given).await? {
        let delete = DeleteAutoscale {
            workspace: found.workspace.name,
            name: found.one.autoscale.name,
        };
        az.call(&delete).await?;
    }
    Ok(Value::Null)
}

async fn create_rule(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let text = given.required("condition")?;
    let (metric, comparison, threshold, statistic, window_seconds) = condition(text)?;
    let of_endpoint = match given.text("resource") {
        Some(resource) => parts(resource)?.2.is_none(),
        None => false,
    };
    let rule = ScaleRule {
        metric,
        of_endpoint,
        statistic,
        comparison,
        threshold,
        window_seconds,
        change: change(&given.words("scale"))?,
        cooldown_seconds: given.number("cooldown")?.unwrap_or(5).saturating_mul(60),
    };
    let mut found = find(az, given).await?;
    found.profile(given)?.rules.push(rule.clone());
    found.put(az).await?;
    Ok(shown_rule(&rule))
}

async fn list_rules(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut found = find(az, given).await?;
    Ok(found.profile(given)?.rules.iter().map(shown_rule).collect())
}

async fn delete_rules(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut found = find(az, given).await?;
    let rules = &mut found.profile(given)?.rules;
    let words = given.words("index");
    let mut place = 0;
    rules.retain(|_| {
        let gone = words
            .iter()
            .any(|word| word == "*" || *word == place.to_string());
        place += 1;
        !gone
    });
    found.put(az).await?;
    Ok(Value::Null)
}

async fn create_profile(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let (min, max, count) = counts(given, None)?;
    let words = given.words("recurrence");
    let days = match words.as_slice() {
        [every, days @ ..] if every == "week" && !days.is_empty() => days.to_vec(),
        _ => {
            return Err(
                Error::unsupported("A profile counts on days of the week here")
                    .at("--recurrence")
                    .hint("Name them: --recurrence week sat sun")
                    .into(),
            );
        }
    };
    let mut found = find(az, given).await?;
    let profiles = &mut found.one.autoscale.profiles;
    let copied = given.text("copy-rules").map(|name| {
        let mut all = profiles.iter();
        let from = all.find(|profile| profile.name == name);
        from.map(|profile| profile.rules.clone())
            .ok_or_else(|| Error::not_found(format!("The setting has no profile `{name}`")))
    });
    let profile = ScaleProfile {
        name: given.required("name")?.to_owned(),
        min,
        max,
        count,
        rules: copied.transpose()?.unwrap_or_default(),
        recurring: Some(Recurring {
            days,
            time_zone: given.text("timezone").unwrap_or("UTC").to_owned(),
            from: given.text("start").unwrap_or("00:00").to_owned(),
            until: given.text("end").unwrap_or("23:59").to_owned(),
        }),
    };
    profiles.retain(|known| known.name != profile.name);
    profiles.push(profile.clone());
    found.put(az).await?;
    Ok(shown_profile(&profile))
}

async fn list_profiles(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = find(az, given).await?;
    let profiles = &found.one.autoscale.profiles;
    Ok(profiles.iter().map(shown_profile).collect())
}

async fn delete_profile(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut found = find(az, given).await?;
    let name = given.required("name")?;
    let profiles = &mut found.one.autoscale.profiles;
    let before = profiles.len();
    profiles.retain(|profile| profile.name != name);
    if profiles.len() == before {
        return Err(Error::not_found(format!("The setting has no profile `{name}`")).into());
    }
    found.put(az).await?;
    Ok(Value::Null)
}

//! Hints with the commands of `az`: those of `aml` that they name, as the other door calls them.

use api::endpoints::LOCAL;

/// Where a command begins in a hint, and what ends it.
const BEGINS: [(&str, &[char]); 3] = [("`aml ", &['`']), (" aml ", &[';', '\n']), ("aml ", &[';'])];

/// What both doors do by the same words, with the name behind `-n`.
const SAME: [&str; 27] = [
    "component list",
    "compute delete",
    "compute list",
    "compute list-sizes",
    "compute start",
    "connection list",
    "data create",
    "data list",
    "datastore create",
    "datastore list",
    "environment list",
    "environment show",
    "experiment list",
    "job cancel",
    "job create",
    "job download",
    "job list",
    "job show",
    "job stream",
    "model list",
    "model restore",
    "model show",
    "registry list",
    "registry update",
    "schedule list",
    "schedule trigger",
    "workspace list",
];

/// A hint with the commands that the caller of `az` knows, where there are such.
pub fn as_called(hint: &str) -> String {
    let mut done = String::new();
    let mut rest = hint;
    while let Some((start, end)) = next_command(rest, done.is_empty()) {
        let (before, command) = (&rest[..start], &rest[start..end]);
        done += before;
        // What is done one after the other is one command each.
        let each = command.split(" && ").map(|command| {
            let own = command.strip_prefix("aml ").and_then(called);
            own.unwrap_or_else(|| command.to_owned())
        });
        done += &each.collect::<Vec<_>>().join(" && ");
        rest = &rest[end..];
    }
    done + rest
}

/// Where the next command in a text begins and ends.
fn next_command(text: &str, at_start: bool) -> Option<(usize, usize)> {
    let found = BEGINS.iter().filter_map(|(begin, ends)| {
        let at = match begin.strip_suffix("aml ") {
            Some("") => (at_start && text.starts_with(begin)).then_some(0)?,
            before => text.find(begin)? + before.map_or(0, str::len),
        };
        let length = text[at..].find(*ends);
        Some((at, length.map_or(text.len(), |length| at + length)))
    });
    found.min()
}

/// The command of `az` for one of `aml` (without that word), if there is one.
fn called(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split(' ').collect();
    let [noun, verb, rest @ ..] = words.as_slice() else {
        return None;
    };
    let begins = format!("{noun} {verb}");
    let same = |command: &str| {
        let version = named(rest);
        let space = if version.is_empty() { "" } else { " " };
        Some(format!("az ml {command}{space}{version}"))
    };
    let first = rest.first().copied().unwrap_or("NAME");
    match begins.as_str() {
        known if SAME.contains(&known) => same(known),
        "workspace create" | "workspace update" => {
            let rest = rest.join(" ").replace("--edition", "--sku");
            Some(format!("az ml {begins} {rest}"))
        }
        "workspace upgrade" => {
            let rest = rest.join(" ").replace("--edition", "--sku");
            let rest = rest.replace("-n ", "-w ");
            Some(format!("az ml workspace update {rest}"))
        }
        "workspace share" if first == "add" => {
            let rest = rest[1..].join(" ").replacen("-n ", "-w ", 1);
            Some(format!("az ml workspace share {rest}"))
        }
        "workspace share" => Some("az role assignment list".to_owned()),
        "workspace use" => Some(format!("az configure --defaults workspace={first}")),
        "run list" => match rest {
            [] => Some("az ml job list".to_owned()),
            ["--experiment", experiment] => Some(format!("az ml run list -e {experiment}")),
            _ => None,
        },
        "run cancel" | "run show" => same(&format!("job {verb}")),
        "run logs" => Some(format!("az ml job stream -n {first}")),
        "sweep show" => Some(format!("az ml job list --parent-job-name {first}")),
        "endpoint list" => Some("az ml online-endpoint list".to_owned()),
        "endpoint show" | "endpoint delete" => {
            let (own, local) = apart(first);
            let rest = rest.iter().skip(1).copied();
            let words: Vec<&str> = std::iter::once(own).chain(rest).collect();
            let named = named(&words);
            Some(format!("az ml online-endpoint {verb} {named}{local}"))
        }
        "endpoint keys" | "endpoint token" => {
            Some(format!("az ml online-endpoint get-credentials -n {first}"))
        }
        "endpoint logs" => {
            let mut named = rest.iter().skip_while(|word| **word != "--deployment");
            let deployment = named.nth(1).copied().unwrap_or("DEPLOYMENT");
            let (own, local) = apart(first);
            Some(format!(
                "az ml online-deployment get-logs -e {own} -n {deployment}{local}"
            ))
        }
        "endpoint traffic" => {
            let shares = rest.get(1..)?;
            let mirror = shares.iter().position(|word| *word == "--mirror");
            let (shares, mirror) = shares.split_at(mirror.unwrap_or(shares.len()));
            let mirror = mirror
                .get(1)
                .map(|share| format!(" --mirror-traffic \"{share}\""));
            Some(format!(
                "az ml online-endpoint update -n {first} --traffic \"{}\"{}",
                shares.join(" "),
                mirror.unwrap_or_default()
            ))
        }
        "deployment show" | "deployment delete" => {
            let (endpoint, local) = apart(first);
            let name = rest.get(1)?;
            Some(format!(
                "az ml online-deployment {verb} -e {endpoint} -n {name}{local}"
            ))
        }
        "deployment create" => Some(format!("az ml online-deployment create {}", rest.join(" "))),
        "batch list" => Some("az ml batch-endpoint list".to_owned()),
        "batch deployments" => Some(format!("az ml batch-deployment list -e {first}")),
        "batch deploy" => Some(format!(
            "az ml batch-deployment create -e {first} {} --set-default",
            rest.get(1..)?.join(" ")
        )),
        "model register" => Some(format!("az ml model create {}", rest.join(" "))),
        "datastore ls" => Some(format!("az storage blob list --container-name {first}")),
        "secret list" => Some("az keyvault secret list --vault-name VAULT".to_owned()),
        "secret set" => Some(format!(
            "az keyvault secret set --vault-name VAULT --name {first} --value VALUE"
        )),
        _ => None,
    }
}

/// The name of an endpoint, and the flag of those that `--local` makes.
fn apart(endpoint: &str) -> (&str, &'static str) {
    match endpoint.strip_prefix(LOCAL) {
        Some(own) => (own, " --local"),
        None => (endpoint, ""),
    }
}

/// Words with a name that stands for itself behind `-n`, and its version behind `-v`.
fn named(words: &[&str]) -> String {
    let [first, rest @ ..] = words else {
        return String::new();
    };
    let plain = |c: char| c.is_alphanumeric() || "-_.:".contains(c);
    if first.starts_with('-') || !first.chars().all(plain) {
        return words.join(" ");
    }
    let name = match first.split_once(':') {
        Some((name, version)) => format!("-n {name} -v {version}"),
        None => format!("-n {first}"),
    };
    [&[name.as_str()], rest].concat().join(" ")
}

#[cfg(test)]
mod tests {
    use super::as_called;

    #[test]
    fn hints_name_the_command_that_was_called() {
        for (hint, called) in [
            (
                "The one created last is 1; see all: aml data list --name t",
                "The one created last is 1; see all: az ml data list --name t",
            ),
            (
                "See which there are: aml run list",
                "See which there are: az ml job list",
            ),
            (
                "See how they stand: aml run list --experiment e",
                "See how they stand: az ml run list -e e",
            ),
            (
                "See it: aml environment show e:1",
                "See it: az ml environment show -n e -v 1",
            ),
            ("aml model restore m:2", "az ml model restore -n m -v 2"),
            (
                "Delete it: aml endpoint delete local/e --yes",
                "Delete it: az ml online-endpoint delete -n e --yes --local",
            ),
            (
                "See it: aml endpoint logs local/e --deployment blue",
                "See it: az ml online-deployment get-logs -e e -n blue --local",
            ),
            (
                "Delete it: aml deployment delete local/e blue",
                "Delete it: az ml online-deployment delete -e e -n blue --local",
            ),
            (
                "See which there are: aml batch deployments e",
                "See which there are: az ml batch-deployment list -e e",
            ),
            (
                "Cancel it first: aml run cancel icy_pin",
                "Cancel it first: az ml job cancel -n icy_pin",
            ),
            (
                "Replace them by `aml datastore create` with the same name",
                "Replace them by `az ml datastore create` with the same name",
            ),
            (
                "Share them: aml endpoint traffic e blue=100 --mirror green=0",
                "Share them: az ml online-endpoint update -n e --traffic \"blue=100\" --mirror-traffic \"green=0\"",
            ),
            (
                "Its log has it: aml endpoint logs e --deployment blue",
                "Its log has it: az ml online-deployment get-logs -e e -n blue",
            ),
            (
                "Choose another; with `aml workspace use w`, or see: aml workspace list",
                "Choose another; with `az configure --defaults workspace=w`, or see: az ml workspace list",
            ),
            (
                "An admin can do it: aml workspace create -n w --edition enterprise && aml workspace share add -n w --user u --role Owner",
                "An admin can do it: az ml workspace create -n w --sku enterprise && az ml workspace share -w w --user u --role Owner",
            ),
            (
                "Deploy it first: aml batch deploy e -f d.yml",
                "Deploy it first: az ml batch-deployment create -e e -f d.yml --set-default",
            ),
            (
                "Deploy it first: aml batch deploy",
                "Deploy it first: aml batch deploy",
            ),
            // What `az` has no command for is named as it is.
            (
                "Check the machine: aml doctor",
                "Check the machine: aml doctor",
            ),
            (
                "Start it: aml endpoint start e",
                "Start it: aml endpoint start e",
            ),
            (
                "This aml was built without clouds",
                "This aml was built without clouds",
            ),
            ("Did you mean `t`?", "Did you mean `t`?"),
        ] {
            assert_eq!(as_called(hint), called);
        }
    }
}

//! Mirrors: prefixes of addresses, and the folders or addresses that stand for them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::files::check_path;

/// `[mirrors]` of the configuration: address → folder or address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mirrors(pub BTreeMap<String, String>);

impl Mirrors {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What stands for an address: the longest prefix wins. The ways to write one address in Azure
    /// (`https`, `wasbs`, `abfss`) are the same.
    pub fn find(&self, address: &str) -> Option<String> {
        let same = alike(address);
        let mut best: Option<(usize, String)> = None;
        for (prefix, target) in &self.0 {
            for wanted in alike(prefix) {
                for address in &same {
                    let Some(rest) = below(address, &wanted) else {
                        continue;
                    };
                    if best
                        .as_ref()
                        .is_none_or(|(length, _)| wanted.len() > *length)
                    {
                        best = Some((wanted.len(), join(target, rest)));
                    }
                }
            }
        }
        best.map(|(_, target)| target)
    }
}

/// What follows a prefix that ends where a name ends, if it leads nowhere but down.
fn below<'a>(address: &'a str, prefix: &str) -> Option<&'a str> {
    let stem = prefix.trim_end_matches('/');
    let rest = address.strip_prefix(stem)?;
    // A signature is not a part of the path.
    let rest = rest.split('?').next().unwrap_or(rest);
    if rest.is_empty() {
        return Some("");
    }
    let rest = rest.strip_prefix('/')?.trim_start_matches('/');
    let mut parts = rest.split('/').filter(|part| !part.is_empty());
    parts.all(|part| check_path(part).is_ok()).then_some(rest)
}

fn join(target: &str, rest: &str) -> String {
    if rest.is_empty() {
        return target.to_owned();
    }
    format!("{}/{rest}", target.trim_end_matches('/'))
}

/// An address in each way in which it can be written, itself first.
pub fn alike(address: &str) -> Vec<String> {
    let mut all = vec![address.to_owned()];
    if let Some(https) = to_https(address) {
        all.push(https);
    }
    all
}

/// `wasbs://C@HOST/P` and `abfss://F@HOST/P` as `https://HOST/C/P`; data lakes by their blob host.
pub fn to_https(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let https = match scheme.to_ascii_lowercase().as_str() {
        "wasbs" | "wasb" | "abfss" | "abfs" => match rest.split_once('@') {
            Some((container, rest)) if !container.contains('/') => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                format!("https://{host}/{container}/{path}")
            }
            _ => format!("https://{rest}"),
        },
        "https" => address.to_owned(),
        _ => return None,
    };
    Some(https.replacen(".dfs.", ".blob.", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins_in_every_way_to_write_it() {
        let mirrors = Mirrors(
            [
                ("https://a.blob.core.windows.net/", "/all"),
                ("https://a.blob.core.windows.net/datasets/", "/data/"),
                ("wasbs://c@b.blob.core.windows.net/x", "https://other/y"),
                ("https://h/one.csv", "/one.csv"),
                ("azureml://datastores/d/paths/", "/d"),
            ]
            .map(|(prefix, target)| (prefix.to_owned(), target.to_owned()))
            .into(),
        );
        let find = |address: &str| mirrors.find(address).unwrap_or_default();
        assert_eq!(
            find("https://a.blob.core.windows.net/datasets/iris.csv?sig=x"),
            "/data/iris.csv"
        );
        assert_eq!(
            find("wasbs://datasets@a.blob.core.windows.net/iris.csv"),
            "/data/iris.csv"
        );
        assert_eq!(
            find("abfss://datasets@a.dfs.core.windows.net/x/y"),
            "/data/x/y"
        );
        assert_eq!(find("https://a.blob.core.windows.net/datasets"), "/data/");
        assert_eq!(
            find("https://a.blob.core.windows.net/other/x"),
            "/all/other/x"
        );
        assert_eq!(
            find("https://b.blob.core.windows.net/c/x/z"),
            "https://other/y/z"
        );
        assert_eq!(find("https://b.blob.core.windows.net/c/xyz"), "");
        assert_eq!(find("https://h/one.csv"), "/one.csv");
        assert_eq!(find("azureml://datastores/d/paths/a/b"), "/d/a/b");
        assert_eq!(find("s3://bucket/key"), "");
        assert_eq!(find("azureml://datastores/d/paths/a//b/"), "/d/a//b/");
        for climbing in [
            "https://a.blob.core.windows.net/datasets/../../etc/shadow",
            "wasbs://c@b.blob.core.windows.net/x/..",
            "azureml://datastores/d/paths/a/../../x",
            "azureml://datastores/d/paths/..\\x",
        ] {
            assert_eq!(find(climbing), "", "{climbing}");
        }
    }
}

//! Tokens that `aml login` keeps, in a file beside the configuration that only its owner can read.
//!
//! Several configuration files may lie in one folder and mean different servers by one name of a
//! profile. A token is kept with the server that it is for and goes to no other.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Config, read_toml, turn, write_toml};
use api::Result;

const FILE: &str = "credentials.toml";

/// What is kept of a profile.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Kept {
    /// Tokens by the scheme, host and port of their server.
    Servers(BTreeMap<String, String>),
    /// One that earlier versions kept without its server. It is not used.
    Anywhere(String),
}

/// Tokens of a profile that are not for the server it names.
#[derive(Debug, PartialEq, Eq)]
pub enum Others {
    /// For these servers.
    For(Vec<String>),
    /// One that does not say for which.
    Unknown,
}

type Credentials = BTreeMap<String, Kept>;

impl Config {
    fn credentials(&self) -> PathBuf {
        self.file.with_file_name(FILE)
    }

    fn server(&self, profile: &str) -> Option<String> {
        origin(&self.settings.profiles.get(profile)?.url)
    }

    /// The token stored for a profile and the server it names now.
    pub fn stored_token(&self, profile: &str) -> Result<Option<String>> {
        let Some(server) = self.server(profile) else {
            return Ok(None);
        };
        let kept: Option<Credentials> = read_toml(&self.credentials())?;
        Ok(kept.and_then(|mut kept| match kept.remove(profile)? {
            Kept::Servers(mut tokens) => tokens.remove(&server),
            Kept::Anywhere(_) => None,
        }))
    }

    /// What is stored for a profile besides the token for the server it names now.
    pub fn other_tokens(&self, profile: &str) -> Result<Option<Others>> {
        let kept: Option<Credentials> = read_toml(&self.credentials())?;
        let kept = kept.and_then(|mut kept| kept.remove(profile));
        Ok(match kept {
            Some(Kept::Anywhere(_)) => Some(Others::Unknown),
            Some(Kept::Servers(tokens)) => {
                let own = self.server(profile);
                let servers = tokens.into_keys();
                let servers: Vec<_> = servers
                    .filter(|server| Some(server) != own.as_ref())
                    .collect();
                (!servers.is_empty()).then_some(Others::For(servers))
            }
            None => None,
        })
    }

    /// Forgets every token of a profile, whatever server it is for.
    pub fn forget_tokens(&self, profile: &str) -> Result<()> {
        let path = self.credentials();
        let _turn = turn(&path)?;
        let mut kept: Credentials = read_toml(&path)?.unwrap_or_default();
        match kept.remove(profile) {
            Some(_) => write_toml(&path, &kept, 0o600),
            None => Ok(()),
        }
    }

    /// Stores or, with none, forgets the token of a profile for the server it names.
    pub fn store_token(&self, profile: &str, token: Option<String>) -> Result<()> {
        let server = self.server(profile);
        self.keep(profile, server.map(|server| (server, token)))
    }

    /// Stores the token for a server, as which the profile is known from now on. What was stored for
    /// the server that it named is forgotten.
    pub fn replace_token(&self, profile: &str, url: &str, token: Option<String>) -> Result<()> {
        let server = origin(url);
        if self
            .server(profile)
            .is_some_and(|old| Some(&old) != server.as_ref())
        {
            self.store_token(profile, None)?;
        }
        self.keep(profile, server.map(|server| (server, token)))
    }

    fn keep(&self, profile: &str, of: Option<(String, Option<String>)>) -> Result<()> {
        let path = self.credentials();
        let _turn = turn(&path)?;
        let mut kept: Credentials = read_toml(&path)?.unwrap_or_default();
        let mut tokens = match kept.remove(profile) {
            Some(Kept::Servers(tokens)) => tokens,
            _ => BTreeMap::new(),
        };
        match of {
            Some((server, Some(token))) => drop(tokens.insert(server, token)),
            Some((server, None)) => drop(tokens.remove(&server)),
            None => {}
        }
        if !tokens.is_empty() {
            kept.insert(profile.to_owned(), Kept::Servers(tokens));
        }
        write_toml(&path, &kept, 0o600)
    }
}

/// Whether a file holds tokens, so that its lines must not be shown.
pub(super) fn is_secret(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FILE)
}

fn origin(url: &str) -> Option<String> {
    let origin = url::Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Config, Others};
    use crate::config::Profile;

    /// A configuration in the folder whose profiles are at these addresses.
    fn config(folder: &tempfile::TempDir, file: &str, profiles: &[(&str, &str)]) -> Config {
        let mut config = Config {
            file: folder.path().join(file),
            ..Config::without_file().unwrap()
        };
        for (name, url) in profiles {
            let profile = Profile {
                url: (*url).to_owned(),
                workspace: None,
                ca_file: None,
            };
            config.settings.profiles.insert((*name).to_owned(), profile);
        }
        config
    }

    #[test]
    fn of_tokens_stored_at_once_none_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
        let profiles: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "http://a")).collect();
        let config = config(&folder, "config.toml", &profiles);
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(|| config.store_token(name, Some(name.clone())).unwrap());
            }
        });
        for name in &names {
            let stored = config.stored_token(name).unwrap();
            assert_eq!(stored.as_ref(), Some(name));
        }
    }

    #[test]
    fn a_token_is_for_the_server_it_was_stored_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |file: &str, url: &str| config(&folder, file, &[("team", url)]);
        let stored = |config: &Config| config.stored_token("team").unwrap();
        let one = at("one.toml", "https://one:5000/aml");
        let two = at("two.toml", "http://two");
        one.store_token("team", Some("of one".to_owned())).unwrap();
        assert_eq!(stored(&two), None);
        let of_one = || Some(Others::For(vec!["https://one:5000".to_owned()]));
        assert_eq!(two.other_tokens("team").unwrap(), of_one());
        two.store_token("team", Some("of two".to_owned())).unwrap();
        assert_eq!(stored(&one).as_deref(), Some("of one"));
        assert_eq!(stored(&two).as_deref(), Some("of two"));
        assert_eq!(two.other_tokens("team").unwrap(), of_one());
        for (url, token) in [
            ("https://one:5000", Some("of one")),
            ("https://ONE:5000/else", Some("of one")),
            ("http://one:5000", None),
            ("https://one", None),
            ("http://two:80/", Some("of two")),
            ("http://two.example.com", None),
            ("file:///two", None),
        ] {
            assert_eq!(stored(&at("one.toml", url)).as_deref(), token, "{url}");
        }
        one.store_token("team", None).unwrap();
        assert_eq!(
            (stored(&one), stored(&two)),
            (None, Some("of two".to_owned()))
        );
        // The profile is made another server's.
        two.replace_token("team", "http://three", Some("of three".to_owned()))
            .unwrap();
        assert_eq!(stored(&two), None);
        let three = at("two.toml", "http://three");
        assert_eq!(stored(&three).as_deref(), Some("of three"));
        // What is left for servers that it named before goes with the profile.
        three
            .replace_token("other", "http://o", Some("of o".to_owned()))
            .unwrap();
        let moved = at("two.toml", "http://four");
        moved.forget_tokens("team").unwrap();
        let text = fs::read_to_string(folder.path().join("credentials.toml")).unwrap();
        assert!(
            !text.contains("of three") && text.contains("of o"),
            "{text}"
        );
    }

    #[test]
    fn a_token_stored_without_its_server_is_not_used_and_goes_with_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(&folder, "config.toml", &[("team", "http://a")]);
        let file = folder.path().join("credentials.toml");
        fs::write(&file, "team = \"old\"\n").unwrap();
        assert_eq!(config.stored_token("team").unwrap(), None);
        assert_eq!(config.other_tokens("team").unwrap(), Some(Others::Unknown));
        config.store_token("team", Some("new".to_owned())).unwrap();
        assert_eq!(config.stored_token("team").unwrap().as_deref(), Some("new"));
        assert!(!fs::read_to_string(&file).unwrap().contains("old"));
        fs::write(&file, "team = \"old\"\n").unwrap();
        config.store_token("team", None).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "");
    }
}

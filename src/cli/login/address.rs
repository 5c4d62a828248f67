//! Addresses of servers: what profiles are called after them, and who could read along.

use std::collections::BTreeMap;

use crate::config::Profile;

/// Whether others on the network could read what is sent there.
pub fn in_the_clear(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    url.scheme() == "http" && !loopback
}

/// A profile is named after the host when no name is given, and after its port too when the host
/// has another one.
pub fn profile_name(url: &str, known: &BTreeMap<String, Profile>) -> String {
    let Ok(parsed) = url::Url::parse(url) else {
        return "server".to_owned();
    };
    let host = parsed
        .host_str()
        .unwrap_or("server")
        .trim_matches(['[', ']']);
    let name = if host == "local" { "server" } else { host };
    match known.get(name) {
        Some(other) if other.url != url => match parsed.port() {
            Some(port) => format!("{name}-{port}"),
            None => format!("{name}-{}", parsed.scheme()),
        },
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{in_the_clear, profile_name};
    use crate::config::Profile;

    #[test]
    fn plain_http_is_fine_on_loopback_only() {
        for url in [
            "http://127.0.0.1:5000",
            "http://[::1]:1",
            "http://localhost",
            "https://a.b",
        ] {
            assert!(!in_the_clear(url), "{url}");
        }
        assert!(in_the_clear("http://10.0.0.1:5000"));
        assert!(in_the_clear("http://ml.example.com"));
    }

    #[test]
    fn a_profile_is_named_after_its_host_and_never_replaces_another() {
        let mut known = BTreeMap::new();
        assert_eq!(
            profile_name("https://ml.example.com:5000", &known),
            "ml.example.com"
        );
        assert_eq!(profile_name("http://local:1", &known), "server");
        assert_eq!(profile_name("http://[::1]:5000", &known), "::1");
        let profile = Profile {
            url: "https://ml.example.com:5000".to_owned(),
            workspace: None,
            ca_file: None,
        };
        known.insert("ml.example.com".to_owned(), profile);
        assert_eq!(
            profile_name("https://ml.example.com:5000", &known),
            "ml.example.com"
        );
        assert_eq!(
            profile_name("https://ml.example.com:6000", &known),
            "ml.example.com-6000"
        );
        assert_eq!(
            profile_name("https://ml.example.com", &known),
            "ml.example.com-https"
        );
    }
}

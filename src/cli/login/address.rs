//! Addresses of servers: which are accepted, and what profiles are called after them.

use std::collections::BTreeMap;

use crate::config::Profile;
use api::Error;

/// Accepts `http` and `https` addresses without secrets in them, and drops the last slash.
pub fn check_url(text: &str) -> Result<String, Error> {
    if !text.contains("://") {
        return Err(
            Error::invalid(format!("`{text}` does not say http or https"))
                .at("URL")
                .hint(format!("With TLS: aml login https://{text}"))
                .hint(format!("Without: aml login http://{text}")),
        );
    }
    let wrong =
        |why: &str| Error::invalid(format!("`{text}` is no address of a server: {why}")).at("URL");
    let url = url::Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it begins neither with http:// nor with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid("The address has a user or password in it")
            .at("URL")
            .hint("Leave it out; the token goes to stdin"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a query or a fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

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

    use super::{check_url, in_the_clear, profile_name};
    use crate::config::Profile;

    #[test]
    fn addresses_are_cleaned_and_wrong_ones_say_why() {
        let check = |text: &str| check_url(text).map_err(|e| e.message);
        assert_eq!(
            check("http://127.0.0.1:5000/").unwrap(),
            "http://127.0.0.1:5000"
        );
        assert_eq!(
            check("https://ml.example.com/aml/").unwrap(),
            "https://ml.example.com/aml"
        );
        assert_eq!(
            check("ml.example.com:5000").unwrap_err(),
            "`ml.example.com:5000` does not say http or https"
        );
        assert_eq!(
            check("ftp://ml.example.com").unwrap_err(),
            "`ftp://ml.example.com` is no address of a server: it begins neither with http:// nor with https://"
        );
        assert_eq!(
            check("http://ann:secret@host").unwrap_err(),
            "The address has a user or password in it"
        );
        assert_eq!(
            check("http://host:99999").unwrap_err(),
            "`http://host:99999` is no address of a server: invalid port number"
        );
    }

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

//! Addresses of servers: which are accepted, and how they are shown.

use api::{Error, Result};

/// Accepts `http` and `https` addresses without secrets in them, and drops the last slash.
pub fn check_url(text: &str) -> Result<String> {
    if !text.contains("://") {
        return Err(
            Error::invalid(format!("`{text}` does not say http or https"))
                .at("URL")
                .hint(format!("With TLS: aml login https://{text}"))
                .hint(format!("Without: aml login http://{text}")),
        );
    }
    let shown = without_secrets(text);
    let wrong =
        |why: &str| Error::invalid(format!("`{shown}` is no address of a server: {why}")).at("URL");
    let url = url::Url::parse(text).map_err(|e| wrong(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it begins neither with http:// nor with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::invalid("The address has a user or password in it")
            .at("URL")
            .hint("Leave it out; a login takes the token on stdin"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it has a query or a fragment"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A text without what stands before the `@` of addresses in it: who calls, with a password.
pub(super) fn without_secrets(text: &str) -> String {
    let masked = |line: &str| {
        let Some((before, after)) = line.rsplit_once('@') else {
            return line.to_owned();
        };
        let address = before.find("://").map(|at| at + "://".len());
        let ends = |c: char| c.is_whitespace() || "\"'`=,[{".contains(c);
        let bare = after_last(before, ends);
        let start = address.or_else(|| before[bare..].contains(':').then_some(bare));
        start.map_or_else(
            || line.to_owned(),
            |start| format!("{}…@{after}", &before[..start]),
        )
    };
    text.split('\n').map(masked).collect::<Vec<_>>().join("\n")
}

/// Where what follows the last of these characters begins.
pub(super) fn after_last(text: &str, which: impl Fn(char) -> bool) -> usize {
    let mut found = text.char_indices().rev();
    found
        .find(|(_, c)| which(*c))
        .map_or(0, |(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::{check_url, without_secrets};

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
    fn what_is_secret_in_an_address_is_not_shown() {
        for (text, shown) in [
            (
                "url = \"https://ann:pw@host/a\"",
                "url = \"https://…@host/a\"",
            ),
            ("url = 'https://to:p@k/e@n@host", "url = 'https://…@host"),
            ("url = ann:pw@host", "url = …@host"),
            ("ftp://ann:pw@host", "ftp://…@host"),
            (
                "a = 1\nb = \"http://pw@h\"\nc",
                "a = 1\nb = \"http://…@h\"\nc",
            ),
            ("name = \"ann@host\"", "name = \"ann@host\""),
            ("\u{3000}é:pw@host", "\u{3000}…@host"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
        let error = check_url("ftp://ann:pw@host").unwrap_err();
        assert!(!error.message.contains("pw"), "{error:?}");
    }
}

//! Tokens that open an endpoint until they expire: how they are written and known again.
//!
//! A token is the time of its end with a keyed BLAKE3 hash of it. The key is made of the endpoint's
//! own keys, so a new key ends all tokens that were issued before.

use super::{Time, endpoints::EndpointKeys};

const BEGIN: &str = "amlt.";
const CONTEXT: &str = "AMLite 2026 endpoint tokens";

/// A token for the endpoint of these keys that is good until `expires`.
pub fn issue(keys: &EndpointKeys, expires: Time) -> String {
    let millis = expires.0;
    format!("{BEGIN}{millis}.{}", sign(keys, millis).to_hex())
}

/// Whether a token was issued for these keys and is good at `now`. The signatures are compared whole,
/// so that the time taken says nothing.
pub fn is_good(keys: &EndpointKeys, token: &str, now: Time) -> bool {
    let parts = token
        .strip_prefix(BEGIN)
        .and_then(|rest| rest.split_once('.'));
    let Some((expires, signature)) = parts else {
        return false;
    };
    let Ok(millis) = expires.parse::<i64>() else {
        return false;
    };
    let Ok(signature) = blake3::Hash::from_hex(signature) else {
        return false;
    };
    signature == sign(keys, millis) && millis > now.0
}

fn sign(keys: &EndpointKeys, millis: i64) -> blake3::Hash {
    let material = format!("{}\n{}", keys.primary, keys.secondary);
    let key = blake3::derive_key(CONTEXT, material.as_bytes());
    blake3::keyed_hash(&key, &millis.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::{is_good, issue};
    use crate::{Time, endpoints::EndpointKeys};

    #[test]
    fn a_token_is_good_until_it_expires_or_a_key_is_new() {
        let keys = EndpointKeys {
            primary: "one".to_owned(),
            secondary: "two".to_owned(),
        };
        let other = EndpointKeys {
            primary: "three".to_owned(),
            secondary: "two".to_owned(),
        };
        let end = Time(5_000);
        let token = issue(&keys, end);
        assert!(is_good(&keys, &token, Time(4_999)));
        assert!(!is_good(&keys, &token, end));
        assert!(!is_good(&other, &token, Time(0)));
        let later = token.replace("5000", "9000");
        assert!(!is_good(&keys, &later, Time(0)));
        for odd in ["", "amlt.", "amlt.5000.", "amlt.x.y", "one"] {
            assert!(!is_good(&keys, odd, Time(0)), "{odd}");
        }
    }
}

//! Sealing what is secret, and making and checking tokens.

use std::fmt::Write;

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use subtle::ConstantTimeEq;

use api::{Error, Result};

/// Holds the state directory's key. Values are sealed with ChaCha20-Poly1305 (RFC 8439) under a
/// random nonce, bound to a context so that a sealed value cannot be moved to another place.
pub struct Vault {
    key: [u8; 32],
}

const NONCE: usize = 12;

impl Vault {
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Encrypts `plain` for the place that `context` names.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE] = random()?;
        let payload = Payload {
            msg: plain,
            aad: context.as_bytes(),
        };
        let sealed = self
            .cipher("aml seal")
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| Error::internal("A secret could not be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts what [`Vault::seal`] made for the same context.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        let damaged = || {
            Error::unavailable("A sealed value cannot be opened with this state directory's key")
                .hint("Restore `vault.key` from a copy, or set the secret again")
        };
        let (nonce, sealed) = sealed.split_at_checked(NONCE).ok_or_else(damaged)?;
        let nonce: [u8; NONCE] = nonce.try_into().map_err(|_| damaged())?;
        let payload = Payload {
            msg: sealed,
            aad: context.as_bytes(),
        };
        self.cipher("aml seal")
            .decrypt(&Nonce::from(nonce), payload)
            .map_err(|_| damaged())
    }

    /// A new random token of 256 bits.
    pub fn new_token(&self, prefix: &str) -> Result<String> {
        let bytes: [u8; 32] = random()?;
        Ok(format!("{prefix}_{}", hex(&bytes)))
    }

    /// What is stored of a token.
    pub fn hash_token(&self, token: &str) -> [u8; 32] {
        let key = blake3::derive_key("amlite 2026 token hash", &self.key);
        *blake3::keyed_hash(&key, token.as_bytes()).as_bytes()
    }

    /// A token that names a run and proves it; nothing of it is stored.
    pub fn run_token(&self, workspace: i64, run: i64) -> String {
        format!(
            "amlrun_{workspace}_{run}_{}",
            hex(&self.run_proof(workspace, run))
        )
    }

    /// The run that a token made by [`Vault::run_token`] names.
    pub fn open_run_token(&self, token: &str) -> Option<(i64, i64)> {
        let mut parts = token.strip_prefix("amlrun_")?.split('_');
        let workspace = parts.next()?.parse().ok()?;
        let run = parts.next()?.parse().ok()?;
        let proof = parts.next()?;
        let expected = hex(&self.run_proof(workspace, run));
        (parts.next().is_none() && bool::from(proof.as_bytes().ct_eq(expected.as_bytes())))
            .then_some((workspace, run))
    }

    fn run_proof(&self, workspace: i64, run: i64) -> [u8; 32] {
        let key = blake3::derive_key("amlite 2026 run token", &self.key);
        *blake3::keyed_hash(&key, format!("{workspace}/{run}").as_bytes()).as_bytes()
    }

    /// What proves that a text was written by who has the key.
    pub fn sign(&self, text: &str) -> String {
        let key = blake3::derive_key("amlite 2026 signed address", &self.key);
        hex(blake3::keyed_hash(&key, text.as_bytes()).as_bytes())
    }

    /// Whether [`Vault::sign`] made a proof for the same text.
    pub fn is_signed(&self, text: &str, proof: &str) -> bool {
        proof.as_bytes().ct_eq(self.sign(text).as_bytes()).into()
    }

    fn cipher(&self, purpose: &str) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(blake3::derive_key(purpose, &self.key)))
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("No random numbers: {e}")))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::Vault;

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_with_its_key() {
        let vault = Vault::new([1; 32]);
        let sealed = vault.seal("secrets/1/db", b"hunter2").unwrap();
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_eq!(vault.open("secrets/1/db", &sealed).unwrap(), b"hunter2");
        assert!(vault.open("secrets/2/db", &sealed).is_err());
        assert!(Vault::new([2; 32]).open("secrets/1/db", &sealed).is_err());
        assert!(vault.open("secrets/1/db", &sealed[..5]).is_err());
    }

    #[test]
    fn a_run_token_names_its_run_and_cannot_be_made_up() {
        let vault = Vault::new([1; 32]);
        let token = vault.run_token(3, 14);
        assert_eq!(vault.open_run_token(&token), Some((3, 14)));
        assert_eq!(vault.open_run_token(&token.replace("_14_", "_15_")), None);
        assert_eq!(Vault::new([2; 32]).open_run_token(&token), None);
        assert_eq!(vault.open_run_token("amlrun_3_14_"), None);
    }
}

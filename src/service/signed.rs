//! Signed addresses: whoever has one may make one request without other credentials, as the one who
//! signed it, until a time. Nothing of it is stored.

use super::{Caller, Service};
use api::{Error, Result, Time};

const BY: &str = "aml-by=";
const UNTIL: &str = "&aml-until=";
const PROOF: &str = "&aml-signature=";

/// Where the two have to agree: a request to read says the same whether it wants the body or not, and
/// what a user has signed ends with the user's token.
fn text(method: &str, path: &str, by: &str, until: &str, token: &[u8]) -> String {
    let method = if method == "HEAD" { "GET" } else { method };
    let token = blake3::hash(token).to_hex();
    format!("{method}\n{path}\n{by}\n{until}\n{token}")
}

impl Service {
    /// The query that has to follow the path of an address for one request as `caller`. `path` is
    /// without escapes.
    pub async fn sign(
        &self,
        caller: &Caller,
        method: &str,
        path: &str,
        until: Time,
    ) -> Result<String> {
        let by = match caller {
            Caller::Owner => "owner".to_owned(),
            Caller::User { id, .. } => format!("user-{id}"),
            Caller::Run { workspace, run } => format!("run-{workspace}-{run}"),
        };
        let until = until.0.to_string();
        let token = self.signing_token(&by).await?;
        let proof = self.vault.sign(&text(method, path, &by, &until, &token));
        Ok(format!("{BY}{by}{UNTIL}{until}{PROOF}{proof}"))
    }

    /// Who signed a request; none when its address holds no signature. Who signed must still be
    /// there, and can do no more than now: what happens next is checked as for any other caller.
    pub async fn signer(&self, method: &str, path: &str, query: &str) -> Result<Option<Caller>> {
        let parts = query.strip_prefix(BY).and_then(|rest| {
            let (by, rest) = rest.split_once(UNTIL)?;
            let (until, proof) = rest.split_once(PROOF)?;
            Some((by, until, proof))
        });
        let Some((by, until, proof)) = parts else {
            return Ok(None);
        };
        let token = self.signing_token(by).await?;
        let text = text(method, path, by, until, &token);
        if !self.vault.is_signed(&text, proof) {
            return Err(Error::denied(format!(
                "The signature of the address is not one for {method} there, or who signed it has another token now"
            ))
            .hint("Use the address as it was given, or ask for another one"));
        }
        let until = Time(until.parse().unwrap_or_default());
        if until <= self.now() {
            return Err(
                Error::denied(format!("The address could be used until {until}"))
                    .hint("Ask for another one"),
            );
        }
        match self.signed_by(by).await? {
            Some(caller) => Ok(Some(caller)),
            None => Err(
                Error::denied("Who signed the address may do nothing any more")
                    .hint("Ask for another one"),
            ),
        }
    }

    /// What tells the present token of a user from those before; nothing of others.
    async fn signing_token(&self, by: &str) -> Result<Vec<u8>> {
        let id = by.strip_prefix("user-").and_then(|id| id.parse().ok());
        let Some(id) = id else {
            return Ok(Vec::new());
        };
        let row = self.store.user(id).await?;
        Ok(row.map_or_else(Vec::new, |row| row.token_hash))
    }

    async fn signed_by(&self, by: &str) -> Result<Option<Caller>> {
        let mut parts = by.split('-');
        let kind = parts.next().unwrap_or_default();
        let numbers: Vec<i64> = parts.filter_map(|part| part.parse().ok()).collect();
        Ok(match (kind, numbers.as_slice()) {
            ("owner", []) => Some(Caller::Owner),
            ("user", [id]) => self.store.user(*id).await?.map(|row| Caller::User {
                id: row.id,
                name: row.user.name,
                admin: row.user.admin,
            }),
            // As with its token, it ends with the run.
            ("run", &[workspace, run]) => {
                let status = self.store.run_status(run).await?;
                let goes_on = status.is_some_and(|status| !status.ended());
                goes_on.then_some(Caller::Run { workspace, run })
            }
            _ => None,
        })
    }
}

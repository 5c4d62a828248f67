//! Who may free space, and what is too young to be freed.

use std::{collections::HashSet, path::Path};

use super::{Caller, Perform, Service};
use api::{
    Error, Result, Time,
    environments::FreedEnvironments,
    files::{CollectGarbage, Collected},
};
use async_trait::async_trait;
use store::EndpointRow;

/// Environments that nothing has used for so long are freed: a month.
const UNUSED_SECONDS: u64 = 30 * 24 * 60 * 60;

/// Frees environments of a state directory, but for those that are in use, were used since `cutoff`,
/// or are among `kept`; with `dry_run` only counts them.
pub type FreeEnvironments = fn(
    home: &Path,
    kept: &HashSet<String>,
    cutoff: Time,
    dry_run: bool,
) -> Result<FreedEnvironments>;

#[async_trait]
impl Perform for CollectGarbage {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Collected> {
        service.allow_admin(caller, "free space of the server")?;
        let ago = |seconds: u64| {
            let grace = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
            service.now().plus_ms(-grace)
        };
        let cutoff = ago(self.grace_seconds);
        let mut collected = service.store.collect(self.dry_run, cutoff).await?;
        if let Some(free) = service.free_environments.get().copied() {
            let cutoff = ago(self.environments_unused_seconds.unwrap_or(UNUSED_SECONDS));
            let endpoints = service.store.list_endpoints(None).await?;
            let environments = |row: &EndpointRow| service.store.endpoint_environments(row.id);
            let kept: HashSet<String> = endpoints.iter().flat_map(environments).collect();
            let home = service.store.home.root().to_owned();
            let freed =
                tokio::task::spawn_blocking(move || free(&home, &kept, cutoff, self.dry_run));
            collected.environments = freed
                .await
                .map_err(|e| Error::internal(format!("Freeing environments failed: {e}")))??;
        }
        Ok(collected)
    }
}

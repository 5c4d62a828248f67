//! Who may free space, and what is too young to be freed.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
};

use super::{Caller, Perform, Service};
use api::{
    Error, Result, Time,
    environments::FreedEnvironments,
    files::{CollectGarbage, Collected},
    work::{Imaged, Kept},
};
use async_trait::async_trait;
use store::EndpointRow;
use tokio::runtime::Handle;

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

/// Frees images of a state directory whose deployments are not among those that `kept` answers; with
/// `dry_run` only counts them. It is asked after images were looked for, so those of what is deployed
/// meanwhile are not taken for left ones. Answers how many, and their bytes.
pub type FreeImages = fn(home: &Path, kept: &Kept<'_>, dry_run: bool) -> Result<(u64, u64)>;

/// What frees space of the machine that the store does not know of.
#[derive(Clone, Copy)]
pub struct Space {
    pub environments: FreeEnvironments,
    pub images: FreeImages,
}

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
        if let Some(free) = service.space.get().copied() {
            let cutoff = ago(self.environments_unused_seconds.unwrap_or(UNUSED_SECONDS));
            let endpoints = service.store.list_endpoints(None).await?;
            let environments = |row: &EndpointRow| service.store.endpoint_environments(row.id);
            let kept: HashSet<String> = endpoints.iter().flat_map(environments).collect();
            let home = service.store.home.root().to_owned();
            let (service, runtime) = (service.clone(), Handle::current());
            let freed = tokio::task::spawn_blocking(move || {
                let environments = (free.environments)(&home, &kept, cutoff, self.dry_run)?;
                let kept = || {
                    let endpoints = runtime.block_on(service.store.list_endpoints(None))?;
                    Ok(deployments(endpoints))
                };
                let images = (free.images)(&home, &kept, self.dry_run)?;
                Ok((environments, images))
            });
            let freed = freed
                .await
                .map_err(|e| Error::internal(format!("Freeing space failed: {e}")))?;
            let (images, bytes);
            (collected.environments, (images, bytes)) = freed?;
            collected.images = images;
            collected.bytes += bytes;
        }
        Ok(collected)
    }
}

/// The deployments whose images are kept, if they have any.
fn deployments(endpoints: Vec<EndpointRow>) -> BTreeMap<i64, Imaged> {
    let mut kept = BTreeMap::new();
    for endpoint in endpoints {
        for row in endpoint.deployments {
            let image = Imaged {
                workspace: endpoint.workspace_name.clone(),
                endpoint: endpoint.name.clone(),
                deployment: row.name,
                generation: row.generation,
            };
            kept.insert(row.id, image);
        }
    }
    kept
}

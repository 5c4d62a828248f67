//! Who may free space, and what is too young to be freed.

use super::{Caller, Perform, Service};
use crate::api::{
    Result,
    files::{CollectGarbage, Collected},
};

impl Perform for CollectGarbage {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Collected> {
        service.allow_admin(caller)?;
        let grace = i64::try_from(self.grace_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        let cutoff = service.now().plus_ms(-grace);
        service.store.collect(self.dry_run, cutoff).await
    }
}

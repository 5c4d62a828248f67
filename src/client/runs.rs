//! Runs, as many as are wanted.

use super::Client;
use api::{
    Page, Result,
    runs::{ListRuns, Run},
};

/// Runs asked for at once.
const AT_ONCE: usize = 10_000;

impl Client {
    /// The first runs that `request` asks for, `wanted` at most; `next` is there if there are more. One
    /// answer may have fewer than it was asked for: those with much in their params and tags take
    /// several.
    pub async fn runs(&self, mut request: ListRuns, wanted: usize) -> Result<Page<Run>> {
        let mut items = Vec::new();
        loop {
            let left = wanted.saturating_sub(items.len()).min(AT_ONCE);
            request.limit = Some(u32::try_from(left).unwrap_or(u32::MAX));
            let page = self.call(&request).await?;
            items.extend(page.items);
            request.page = page.next;
            if request.page.is_none() || items.len() >= wanted {
                let next = request.page;
                return Ok(Page { items, next });
            }
        }
    }
}

//! `aml compute list-sizes`

use clap::Args;

use crate::context::Context;
use api::computes::{Size, sizes};

/// List the sizes of machines
///
/// Others are understood too: the name of a size tells its cores.
#[derive(Debug, Args)]
pub struct ListSizesArgs {}

pub fn list_sizes(ctx: &Context, _args: &ListSizesArgs) -> anyhow::Result<()> {
    ctx.ui.show(&sizes().collect::<Vec<Size>>())
}

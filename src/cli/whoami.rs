//! `aml whoami`

use clap::Args;
use serde::Serialize;

use super::{
    context::Context,
    views::{Show, View, record},
};
use crate::wiring::Target;
use api::access::{Identity, WhoAmI};

/// Show who you are to the server, or to this machine
#[derive(Debug, Args)]
pub struct WhoamiArgs {}

pub async fn whoami(ctx: &Context, _args: WhoamiArgs) -> anyhow::Result<()> {
    let identity = ctx.client().await?.call(&WhoAmI {}).await?;
    let address = match ctx.target()? {
        Target::Local { home } => home.display().to_string(),
        Target::Remote(remote) => remote.url,
    };
    ctx.ui.show(&Me {
        identity,
        profile: ctx.target_name().to_owned(),
        address,
    })
}

/// Who the caller is, and to whom.
#[derive(Serialize)]
struct Me {
    #[serde(flatten)]
    identity: Identity,
    profile: String,
    /// Of the server, or the state directory.
    address: String,
}

impl Show for Me {
    fn view(&self) -> View {
        let identity = &self.identity;
        record([
            ("Name", identity.name.clone()),
            (
                "Admin",
                if identity.admin { "yes" } else { "no" }.to_owned(),
            ),
            ("Profile", self.profile.clone()),
            ("Address", self.address.clone()),
            ("Version", identity.version.clone()),
        ])
    }
}

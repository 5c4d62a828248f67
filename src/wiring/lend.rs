//! Lending a process the address of a server: the one of a profile, or one on loopback that is there
//! for as long as it is lent.

use tokio::sync::oneshot;

use super::{install_tls, open_local};
use api::Result;
use cli::wiring::{Lent, Target};
use server::{Listener, Trust};

/// Finds the server of the target, or starts one on loopback that needs a token of its own.
pub async fn lend(target: &Target) -> Result<Lent> {
    let home = match target {
        Target::Local { home } => home,
        Target::Remote(remote) => {
            install_tls();
            return Ok(Lent {
                url: remote.url.clone(),
                token: remote.token.clone(),
                take_back: Box::pin(async {}),
            });
        }
    };
    let listener = Listener::bind("127.0.0.1", 0)?;
    let url = format!("http://{}", listener.address());
    let service = open_local(home, url.clone()).await?;
    let token = service.new_token()?;
    let trust = Trust::OwnerBy(blake3::hash(token.as_bytes()));
    let router = server::router(service, trust);
    let (stop, stopped) = oneshot::channel();
    let stopped = Box::pin(async { drop(stopped.await) });
    let served = tokio::spawn(listener.serve(router, None, stopped));
    Ok(Lent {
        url,
        token: Some(token),
        take_back: Box::pin(async {
            let _ = stop.send(());
            let _ = served.await;
        }),
    })
}

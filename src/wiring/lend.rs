//! Lending a process the address of a server: the one of a profile, or one on loopback that is there
//! for as long as it is lent.

use tokio::{sync::oneshot, task::JoinHandle};

use super::{Target, open_local};
use api::Result;
use server::{Listener, Trust};

/// What a process needs to be let in.
pub struct Lent {
    pub url: String,
    /// None where the server asks for none.
    pub token: Option<String>,
    own: Option<Own>,
}

/// A server in this process.
struct Own {
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<()>>,
}

/// Finds the server of the target. In local mode one is started on loopback, which nobody may use
/// without its token: other people of this machine can reach the port as well.
pub async fn lend(target: &Target) -> Result<Lent> {
    let home = match target {
        Target::Local { home } => home,
        Target::Remote(remote) => {
            return Ok(Lent {
                url: remote.url.clone(),
                token: remote.token.clone(),
                own: None,
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
        own: Some(Own { stop, served }),
    })
}

impl Lent {
    /// Ends the server that was started, after the requests that have begun.
    pub async fn take_back(self) {
        if let Some(own) = self.own {
            let _ = own.stop.send(());
            let _ = own.served.await;
        }
    }
}

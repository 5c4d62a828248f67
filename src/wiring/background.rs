//! A server in the background, for clients that know a workspace by its address alone, such as
//! MLflow's. One per state directory; it leaves when nobody has asked for long.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{
    asked_to_stop, open_service_for,
    serve::deliver,
    worker::{detached, keep_worker, loopback, wake_or_start},
};
use api::{Error, Result};
use server::{Activity, Trust};
use service::Bell;
use store::{Home, Lock};

/// How long it waits for another request.
const IDLE: Duration = Duration::from_mins(30);
/// How long a command waits for it to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The address of a server of this state directory, started in the background when there is none.
pub async fn ensure_server(home: &Path) -> Result<String> {
    let home = Home::open(home.to_owned())?;
    if let Some(url) = home.server_url() {
        return Ok(url);
    }
    detached(&home, "serve", &log(&home))
        .and_then(|mut server| server.spawn())
        .map_err(|e| Error::unavailable(format!("A server could not be started: {e}")))?;
    let listening = async {
        loop {
            if let Some(url) = home.server_url() {
                return url;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, listening).await.map_err(|_| {
        Error::unavailable("The server in the background does not listen")
            .hint(format!("See why: {}", log(&home).display()))
            .hint("Start one: aml serve")
    })
}

fn log(home: &Home) -> PathBuf {
    home.workers().join("server.log")
}

/// Serves this account's processes on loopback until nobody has asked for long; at once no more when another server has the
/// state directory.
pub async fn serve_in_background(home: PathBuf) -> Result<()> {
    // No terminal reaches it any more.
    let _ = nix::unistd::setsid();
    let home = Home::open(home)?;
    let Some(lock) = Lock::try_take(&home.server_lock())? else {
        return Ok(());
    };
    let listener = loopback(&home, "server-port")?.for_own_account();
    let url = format!("http://{}", listener.address());
    let bell = home.clone();
    let bell: Bell = Box::new(move || wake_or_start(&bell));
    let service = open_service_for(&home, url.clone(), Some(bell))?;
    lock.note(&Home::server_note(&url));
    keep_worker(home, service.clone());
    let (leave, left) = watch::channel(false);
    let courier = tokio::spawn(deliver(service.clone(), left));
    let activity = Activity::default();
    let router = activity.counted(server::router(service, Trust::OwnerUntilUsers));
    let told = asked_to_stop()?;
    let stop = async move {
        tokio::select! {
            () = activity.quiet(IDLE) => (),
            () = told => (),
        }
    };
    let served = listener.serve(router, None, Box::pin(stop)).await;
    let _ = leave.send(true);
    let _ = courier.await;
    served
}

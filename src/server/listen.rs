//! Listening: a socket, TLS when asked for, and a stop that lets requests finish.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    time::Duration,
};

use axum::Router;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutWriter;

use super::{
    peer::{account_of, own_account},
    tls,
};
use api::{Error, Result};

/// How long requests may go on after the server was asked to stop.
const GRACE: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's head, or keep a connection without a request;
/// longer than clients keep one for later.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);
/// How long a client may take to accept the next part of an answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a client may take to agree on TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when no connection can be taken: too many files are open, or the like.
const TAKE_AGAIN: Duration = Duration::from_millis(50);
/// How many ports above a taken one are tried for a suggestion.
const NEIGHBOURS: u16 = 50;

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    /// Answers only connections that processes of this account make, and root's.
    guarded: bool,
    patience: Duration,
}

/// Plain or within TLS: one type, so that the code that answers is compiled once.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Listener {
    /// Binds a host name or address; port 0 takes any free one.
    pub fn bind(host: &str, port: u16) -> Result<Self> {
        let addresses: Vec<SocketAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|e| Error::invalid(format!("`{host}` is not an address of this machine: {e}")))
            .map_err(|e| e.at("--host"))?
            .collect();
        let socket = TcpListener::bind(&addresses[..]).map_err(|e| refused(host, port, &e))?;
        let address = socket
            .local_addr()
            .map_err(|e| Error::unavailable(format!("The socket has no address: {e}")))?;
        Ok(Self {
            socket,
            address,
            guarded: false,
            patience: PATIENCE,
        })
    }

    /// On a socket of loopback: answers only processes of the account of this one, and root's.
    #[must_use]
    pub fn for_own_account(mut self) -> Self {
        self.guarded = true;
        self
    }

    /// The address that is really bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `stop` is done, then lets those that have begun finish, for a while.
    ///
    /// Boxed, because an `async fn` is compiled, with all of HTTP below it, in the crate that calls it.
    pub fn serve(
        self,
        router: Router,
        tls: Option<tls::Config>,
        mut stop: BoxFuture<'static, ()>,
    ) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            let socket = self.socket.set_nonblocking(true);
            let socket = socket
                .and_then(|()| tokio::net::TcpListener::from_std(self.socket))
                .map_err(|e| Error::unavailable(format!("The server cannot listen: {e}")))?;
            let graceful = GracefulShutdown::new();
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    taken = socket.accept() => match taken {
                        Ok((stream, peer)) => {
                            if self.guarded && !may_ask(&stream, peer) {
                                continue;
                            }
                            let _ = stream.set_nodelay(true);
                            let mut stream = TimeoutWriter::new(stream);
                            stream.set_timeout(Some(self.patience));
                            let answer = answer(stream, tls.clone(), router.clone(), graceful.watcher());
                            connections.spawn(answer);
                        }
                        Err(_) => sleep(TAKE_AGAIN).await,
                    },
                    Some(_) = connections.join_next(), if !connections.is_empty() => {}
                    () = &mut stop => break,
                }
            }
            drop(socket);
            // Those that have not ended by then are cut off with the set of them.
            let _ = timeout(GRACE, graceful.shutdown()).await;
            Ok(())
        })
    }
}

/// Whether the process at the other end is of this one's account, or root's.
fn may_ask(stream: &TcpStream, peer: SocketAddr) -> bool {
    let here = stream.local_addr().ok();
    let theirs = here.and_then(|here| account_of(peer, here));
    theirs.is_some_and(|theirs| theirs == 0 || own_account() == Some(theirs))
}

/// Answers the requests of one connection. A client that goes away is no news, and who accepts nothing
/// has gone.
async fn answer(
    stream: TimeoutWriter<TcpStream>,
    tls: Option<tls::Config>,
    router: Router,
    graceful: Watcher,
) {
    let stream = Box::pin(stream);
    let stream: Box<dyn Stream> = match tls {
        None => Box::new(stream),
        Some(tls) => match timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => Box::new(stream),
            Ok(Err(_)) | Err(_) => return,
        },
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let _ = graceful.watch(connection).await;
}

/// Says why a port could not be had, and which one could.
fn refused(host: &str, port: u16, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let taken = Error::unavailable(format!("Port {port} on {host} is in use"));
            let last = port.saturating_add(NEIGHBOURS);
            match (port..=last).find(|port| TcpListener::bind((host, *port)).is_ok()) {
                Some(free) => taken.hint(format!("Choose another one: aml serve --port {free}")),
                None => taken.hint("Take any free one: aml serve --port 0"),
            }
        }
        io::ErrorKind::PermissionDenied => Error::denied(format!(
            "Port {port} on {host} may not be used by this user"
        ))
        .hint("Choose one above 1023: aml serve --port 5000"),
        io::ErrorKind::AddrNotAvailable => Error::invalid(format!(
            "`{host}` is not an address of this machine"
        ))
        .at("--host")
        .hint("Listen on this machine only: --host 127.0.0.1; on every address: --host 0.0.0.0"),
        _ => Error::unavailable(format!("Cannot listen on {host} port {port}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io::Write, net::TcpStream, sync::Arc, time::Duration};

    use axum::{Router, body::Body, routing::get};
    use futures_util::stream;
    use tokio::sync::Notify;

    use super::Listener;

    struct Over(Arc<Notify>);

    impl Drop for Over {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    #[tokio::test]
    async fn whoever_accepts_nothing_of_an_answer_is_cut_off() {
        let mut listener = Listener::bind("127.0.0.1", 0).unwrap();
        listener.patience = Duration::from_millis(50);
        let address = listener.address();
        let over = Arc::new(Notify::new());
        let told = Arc::clone(&over);
        let endless = move || {
            let over = Over(Arc::clone(&told));
            let parts = stream::repeat_with(move || {
                let _ = &over;
                Ok::<_, Infallible>(vec![0; 1 << 20])
            });
            std::future::ready(Body::from_stream(parts))
        };
        let router = Router::new().route("/", get(endless));
        tokio::spawn(listener.serve(router, None, Box::pin(std::future::pending())));
        let mut client = TcpStream::connect(address).unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        over.notified().await;
    }

    #[test]
    fn a_taken_port_is_named_with_a_free_one() {
        let first = Listener::bind("127.0.0.1", 0).unwrap();
        let port = first.address().port();
        let error = Listener::bind("127.0.0.1", port).unwrap_err();
        assert_eq!(error.message, format!("Port {port} on 127.0.0.1 is in use"));
        assert!(error.hints[0].contains("aml serve --port"), "{error:?}");
    }

    #[test]
    fn a_host_of_another_machine_is_refused() {
        let error = Listener::bind("192.0.2.1", 0).unwrap_err();
        assert_eq!(error.target.as_deref(), Some("--host"));
    }
}

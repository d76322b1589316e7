//! The port: connections, their number and their patience.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::certificate::Certificate;
use super::gateway::Gateway;
use super::guard::{Guard, Token};
use super::guests::Guests;
use super::routes::{Site, router};
use crate::control::Served;
use crate::net::concrete_addresses;

/// The page, served until this is dropped.
pub struct Page {
    addr: SocketAddr,
    token: Token,
    /// The thread ends with it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Until nobody is served any more, and who came in by the page is out.
impl Drop for Page {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed already.
            let _ = thread.join();
        }
    }
}

/// A port for guests.
pub struct Door {
    /// Where; a port of 0 is any.
    pub listen: SocketAddr,
    /// What they know this machine by.
    pub certificate: Certificate,
    /// The name that links give this machine, if not its address.
    pub name: Option<String>,
    /// Whom it opens for.
    pub guests: Arc<Guests>,
}

/// The address of this machine that somebody reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached(pub(super) SocketAddr);

impl Page {
    /// Opens the page on an address of this machine, and a port for guests if there is to be one. `desk` answers; `changes`
    /// says when it would answer something else; `gateway` lets browsers in.
    ///
    /// # Errors
    /// The address that could not be opened, and why.
    pub fn open(
        listen: SocketAddr,
        token: Token,
        door: Option<Door>,
        desk: Arc<dyn Served>,
        changes: watch::Receiver<u64>,
        gateway: Option<Arc<dyn Gateway>>,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let bound = |listen: SocketAddr| bind(listen).map_err(|error| (listen, error));
        let (listener, addr) = bound(listen)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| (listen, error))?;
        let site = |guard| Site::new(guard, Arc::clone(&desk), changes.clone(), gateway.clone());
        let own = (listener, site(Guard::Own(token.clone())), None);
        let others = match door {
            Some(Door { listen, certificate, name, guests }) => {
                let (listener, at) = bound(listen)?;
                let host = match &name {
                    Some(name) => format!("{name}:{}", at.port()),
                    // There is always one: loopback at the least.
                    None => concrete_addresses(at).first().unwrap_or(&at).to_string(),
                };
                let guard = Guard::Guests(Arc::clone(&guests), name);
                guests.serve_at(format!("{}{host}/", guard.scheme()));
                Some((listener, site(guard), Some(TlsAcceptor::from(certificate.config))))
            }
            None => None,
        };
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("page".to_owned()).spawn(move || {
            runtime.block_on(async {
                let guests = async {
                    match others {
                        Some((listener, site, tls)) => serve(listener, site, tls).await,
                        None => std::future::pending().await,
                    }
                };
                let (listener, site, tls) = own;
                tokio::select! {
                    () = serve(listener, site, tls) => {}
                    () = guests => {}
                    _ = stopped => {}
                }
            });
        });
        let thread = thread.map_err(|error| (listen, error))?;
        Ok(Self { addr, token, stop: Some(stop), thread: Some(thread) })
    }

    /// What to open in a browser of this machine.
    #[must_use]
    pub fn link(&self) -> String {
        format!("http://{}/#{}", self.addr, self.token)
    }
}

fn bind(listen: SocketAddr) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

async fn serve(listener: std::net::TcpListener, site: Site, tls: Option<TlsAcceptor>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let from = Arc::new(Mutex::new(BTreeMap::new()));
    let router = router(site);
    loop {
        // Who finds no place waits in the kernel's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, peer)) = listener.accept().await else {
            // No descriptor is left, say: that passes.
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let Ok(reached) = stream.local_addr() else { continue };
        let ip = peer.ip().to_canonical();
        // This machine's own are who they are; of any other, one cannot take all places.
        let Some(visit) = Visit::begin(&from, ip) else { continue };
        let reached = SocketAddr::new(reached.ip().to_canonical(), reached.port());
        let service = TowerToHyperService::new(router.clone().layer(Extension(Reached(reached))));
        let tls = tls.clone();
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(HEADERS_MAX);
            // Who breaks off or is too slow is not told.
            match tls {
                None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                Some(tls) => {
                    if let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await {
                        drop(http.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            }
            drop((place, visit));
        });
    }
}

/// Connections by the address that they come from.
type Visits = Arc<Mutex<BTreeMap<IpAddr, usize>>>;

/// One of them, for as long as it lasts.
struct Visit {
    visits: Visits,
    ip: IpAddr,
}

impl Visit {
    fn begin(visits: &Visits, ip: IpAddr) -> Option<Self> {
        let mut counts = visits.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(ip).or_default();
        if *count >= CONNECTIONS_EACH_MAX && !ip.is_loopback() {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Self { visits: Arc::clone(visits), ip })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut counts = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

/// Served at a time: a browser opens at most six, and a few programs look on.
const CONNECTIONS_MAX: usize = 64;
/// Of these, from one address elsewhere: two browsers.
const CONNECTIONS_EACH_MAX: usize = 12;
/// From the connection to the end of TLS's handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// A request's line and headers, bytes. The least that hyper takes.
const HEADERS_MAX: usize = 8 * 1024;
/// From the connection, or the answer before, to the end of a request's headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// After a connection could not be taken.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

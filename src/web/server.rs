//! The port: connections, their number and their patience.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};

use super::gateway::Gateway;
use super::guard::{Guard, Token};
use super::routes::{Site, router};
use crate::control::Served;

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

impl Page {
    /// Opens the page on an address of this machine. `desk` answers; `changes` says when it would answer something else;
    /// `gateway` lets browsers in.
    pub fn open(
        listen: SocketAddr,
        token: Token,
        desk: Arc<dyn Served>,
        changes: watch::Receiver<u64>,
        gateway: Option<Arc<dyn Gateway>>,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = Guard::new(addr, token.clone());
        let site = Site::new(guard, desk, changes, gateway);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("page".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, site) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { addr, token, stop: Some(stop), thread: Some(thread) })
    }

    /// What to open in a browser of this machine.
    #[must_use]
    pub fn link(&self) -> String {
        format!("http://{}/#{}", self.addr, self.token)
    }
}

async fn serve(listener: std::net::TcpListener, site: Site) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let router = router(site);
    loop {
        // Who finds no place waits in the kernel's queue.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is left, say: that passes.
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN).max_buf_size(HEADERS_MAX);
            // Who breaks off or is too slow is not told.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

/// Served at a time: a browser opens at most six, and a few programs look on.
const CONNECTIONS_MAX: usize = 32;
/// A request's line and headers, bytes. The least that hyper takes.
const HEADERS_MAX: usize = 8 * 1024;
/// From the connection, or the answer before, to the end of a request's headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
/// After a connection could not be taken.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

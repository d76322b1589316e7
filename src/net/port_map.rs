//! A port of the home router's that leads to this machine, if the router opens one when asked (UPnP's Internet Gateway
//! Device, by igd-next). A task of its own, so that no router holds anything up: it looks once, for a few seconds, renews
//! what it has got, and gives it back at the end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{PortMappingProtocol, SearchOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// See the [module](self). It ends when dropped, without giving the port back.
#[derive(Debug)]
pub struct PortMap {
    mapped: mpsc::Receiver<Option<SocketAddr>>,
    stop: oneshot::Sender<oneshot::Sender<()>>,
}

/// How long a router may take to answer, each time it is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// A mapping that is not renewed is closed by the router after this time, seconds.
const LEASE_S: u32 = 1_200;
/// And is renewed this often.
const RENEW: Duration = Duration::from_secs(500);
/// How long the end may be held up.
const GIVE_BACK_WITHIN: Duration = Duration::from_millis(400);
/// What the router shows to its owner.
const DESCRIPTION: &str = "alm";

impl PortMap {
    /// Starts to ask for the port that leads to one of `listen`. Nothing where there is no router to ask: without a
    /// private IPv4 address, or with a public one.
    #[must_use]
    pub fn start(listen: &[SocketAddr]) -> Option<Self> {
        let local = to_map(listen)?;
        let (found, mapped) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(keep(local, found, stopped));
        Some(Self { mapped, stop })
    }

    /// The address outside that leads here, or nothing any more.
    pub async fn next(&mut self) -> Option<SocketAddr> {
        match self.mapped.recv().await {
            Some(mapped) => mapped,
            // There is no router, or it opens nothing.
            None => std::future::pending().await,
        }
    }

    /// Gives the port back, if the router answers soon.
    pub async fn end(self) {
        let (done, ended) = oneshot::channel();
        if self.stop.send(done).is_ok() {
            let _ = timeout(GIVE_BACK_WITHIN, ended).await;
        }
    }
}

/// The address that a router could lead to.
fn to_map(listen: &[SocketAddr]) -> Option<SocketAddr> {
    let v4 = |addr: &&SocketAddr| matches!(addr.ip(), IpAddr::V4(ip) if !ip.is_loopback());
    let private = |addr: &SocketAddr| matches!(addr.ip(), IpAddr::V4(ip) if ip.is_private());
    let all: Vec<SocketAddr> = listen.iter().filter(v4).copied().collect();
    all.first().copied().filter(|_| all.iter().all(private))
}

/// An address that a packet from far away can come to.
fn is_public(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || shared)
}

async fn keep(
    local: SocketAddr,
    found: mpsc::Sender<Option<SocketAddr>>,
    mut stop: oneshot::Receiver<oneshot::Sender<()>>,
) {
    let mut known = None;
    let gateway = tokio::select! {
        gateway = find() => gateway,
        _ = &mut stop => return,
    };
    let Some(gateway) = gateway else { return };
    loop {
        let mapped = map(&gateway, local, known).await;
        if mapped != known {
            known = mapped;
            if found.send(mapped).await.is_err() {
                return;
            }
        }
        tokio::select! {
            () = sleep(RENEW) => {}
            done = &mut stop => {
                if let Some(mapped) = known {
                    let remove = gateway.remove_port(PortMappingProtocol::UDP, mapped.port());
                    let _ = timeout(GIVE_BACK_WITHIN, remove).await;
                }
                if let Ok(done) = done {
                    let _ = done.send(());
                }
                return;
            }
        }
    }
}

async fn find() -> Option<Gateway<Tokio>> {
    let mut options = SearchOptions::default();
    options.timeout = Some(ANSWER_WITHIN);
    timeout(2 * ANSWER_WITHIN, search_gateway(options)).await.ok()?.ok()
}

/// Opens a port, the one of before if possible, or the own one, or any.
async fn map(gateway: &Gateway<Tokio>, local: SocketAddr, known: Option<SocketAddr>) -> Option<SocketAddr> {
    let asked = async {
        let IpAddr::V4(outside) = gateway.get_external_ip().await.ok()? else { return None };
        if !is_public(outside) {
            return None;
        }
        let port = known.map_or(local.port(), |known| known.port());
        let udp = PortMappingProtocol::UDP;
        let port = match gateway.add_port(udp, port, local, LEASE_S, DESCRIPTION).await {
            Ok(()) => port,
            Err(_) => gateway.add_any_port(udp, local, LEASE_S, DESCRIPTION).await.ok()?,
        };
        Some(SocketAddr::from((outside, port)))
    };
    timeout(2 * ANSWER_WITHIN, asked).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_is_asked_only_where_there_may_be_one() {
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let home = addr("192.168.1.5:4433");
        assert_eq!(to_map(&[home, addr("[2001:db8::1]:4433")]), Some(home));
        assert_eq!(to_map(&[home, addr("198.51.100.7:4433")]), None, "a public address needs none");
        assert_eq!(to_map(&[addr("127.0.0.1:9"), addr("[::1]:9")]), None);
        assert!(!is_public([100, 64, 0, 1].into()) && is_public([198, 51, 100, 7].into()));
    }
}

//! Nodes on the same local network find each other by multicast DNS (RFC 6762, RFC 6763): service `_alm._udp.local.`.

use std::net::{IpAddr, SocketAddr};

use mdns_sd::{Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};

use crate::identity::NodeId;

const SERVICE: &str = "_alm._udp.local.";

/// A running announcement and search. Dropping it withdraws the announcement.
pub struct Mdns {
    daemon: ServiceDaemon,
    found: Receiver<ServiceEvent>,
    me: NodeId,
}

/// Another node on the local network, unproven until its key has been.
#[derive(Debug)]
pub struct Discovered {
    /// The key that it claims.
    pub node: NodeId,
    /// Where it says it listens.
    pub addrs: Vec<SocketAddr>,
}

impl Mdns {
    /// Announces `me` at the addresses of `listen` that others could reach, and searches for the rest.
    ///
    /// # Errors
    /// When the machine has no multicast: a node can do without.
    pub fn start(me: NodeId, listen: &[SocketAddr]) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        let reachable: Vec<IpAddr> =
            listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_loopback()).collect();
        if let (Some(addr), false) = (listen.first(), reachable.is_empty()) {
            let host = format!("{}.local.", me.short());
            let properties: &[(&str, &str)] = &[];
            let info = ServiceInfo::new(
                SERVICE,
                &me.to_string(),
                &host,
                reachable.as_slice(),
                addr.port(),
                properties,
            )?;
            daemon.register(info)?;
        }
        let found = daemon.browse(SERVICE)?;
        Ok(Self { daemon, found, me })
    }

    /// The next node found; pends forever once the search has ended.
    pub async fn next(&self) -> Discovered {
        loop {
            let Ok(event) = self.found.recv_async().await else {
                return std::future::pending().await;
            };
            let ServiceEvent::ServiceResolved(service) = event else { continue };
            let name = service.fullname.strip_suffix(SERVICE).unwrap_or_default();
            let Ok(node) = name.trim_end_matches('.').parse::<NodeId>() else { continue };
            if node == self.me {
                continue;
            }
            let port = service.port;
            let mut addrs: Vec<SocketAddr> =
                service.addresses.into_iter().map(|ip| SocketAddr::new(ip.to_ip_addr(), port)).collect();
            // The library keeps them in a hash set, whose order is chance.
            addrs.sort_unstable();
            return Discovered { node, addrs };
        }
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        // Best effort: a missed goodbye costs the others one failed dial.
        let _ = self.daemon.shutdown();
    }
}

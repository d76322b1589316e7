//! The way out and in: a UDP port, IPv6, what stands before this machine, and somebody to start from.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::time::timeout;

use super::finding::Finding;
use crate::cli::net_args::NetArgs;
use crate::live::Onlooker;
use crate::net::quic::QuicLink;
use crate::net::{PortMap, bind_udp, concrete_addresses};
use crate::pool::Reach;

/// How long a packet of this machine's to itself may take.
const LOOP_WITHIN: Duration = Duration::from_millis(500);
/// How long the router may take to open a port: to be found, and to answer twice.
const MAP_WITHIN: Duration = Duration::from_secs(6);
/// How long the pool may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);
/// Others that are asked where they see this machine, and how long they may take.
const WITNESSES: usize = 6;
const MET_WITHIN: Duration = Duration::from_secs(3);
/// The packet that a machine sends to itself, and the addresses that it is sent to.
const PACKET: &[u8] = b"alm doctor";
const OWN_MAX: usize = 4;
/// Documentation's address (RFC 3849), to ask the kernel for a way; nothing is sent there.
const FAR_V6: ([u16; 8], u16) = ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9);

const PORT: &str = "UDP port";
const FIREWALL: &str = "firewall";
const IPV6: &str = "IPv6";
const BOOTSTRAP: &str = "bootstrap";
const ROUTER: &str = "NAT";
const MAPPING: &str = "port mapping";
const KEY: &str = "key";

/// Opens the port that a conference would listen on.
pub(super) fn port(args: &NetArgs) -> Result<(UdpSocket, Finding), Finding> {
    let wanted = args.listen();
    let bound = bind_udp(wanted).map_err(|error| error.to_string());
    let bound = bound.and_then(|socket| {
        let at = socket.local_addr().map_err(|error| error.to_string())?;
        Ok((socket, concrete_addresses(at)))
    });
    match bound {
        Ok((socket, addrs)) => {
            let said = match wanted {
                Some(wanted) if wanted.port() != 0 => format!("{} is free", wanted.port()),
                _ => "any free one".to_owned(),
            };
            let names: Vec<String> = addrs.iter().take(2).map(|addr| addr.ip().to_string()).collect();
            let more = addrs.len().saturating_sub(2);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Ok((socket, Finding::ok(PORT, format!("{said}, on {}{more}", names.join(", ")))))
        }
        Err(error) => {
            let said = wanted.map_or(error.clone(), |wanted| format!("{wanted}: {error}"));
            Err(Finding::failed(PORT, said, "choose another one with --listen"))
        }
    }
}

/// Sends this machine a packet of its own at each of its addresses.
pub(super) async fn firewall(socket: UdpSocket) -> Finding {
    let addrs = socket.local_addr().map(concrete_addresses).unwrap_or_default();
    let Ok(socket) = tokio::net::UdpSocket::from_std(socket) else {
        return Finding::unknown(FIREWALL, "the port cannot be read", None);
    };
    for addr in addrs.iter().take(OWN_MAX) {
        if !comes_in(&socket, *addr).await {
            return Finding::failed(
                FIREWALL,
                format!("a packet of this machine's own to {addr} does not come in"),
                "let UDP in at this machine's firewall",
            );
        }
    }
    Finding::ok(FIREWALL, "this machine's own packets come in")
}

async fn comes_in(socket: &tokio::net::UdpSocket, addr: SocketAddr) -> bool {
    let any: SocketAddr = if addr.is_ipv4() { ([0u8; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let exchange = async {
        let sender = tokio::net::UdpSocket::bind(any).await.ok()?;
        sender.send_to(PACKET, addr).await.ok()?;
        let mut bytes = [0; 64];
        loop {
            let (length, _) = socket.recv_from(&mut bytes).await.ok()?;
            if &bytes[..length] == PACKET {
                return Some(());
            }
        }
    };
    timeout(LOOP_WITHIN, exchange).await.ok().flatten().is_some()
}

/// Whether there is a way to the Internet of the sixth version.
pub(super) fn ipv6() -> Finding {
    let from = UdpSocket::bind(SocketAddr::from(([0u16; 8], 0))).and_then(|socket| {
        socket.connect(SocketAddr::from(FAR_V6))?;
        socket.local_addr()
    });
    match from {
        Ok(from) => Finding::ok(IPV6, format!("there is a way out, from {}", from.ip())),
        Err(_) => Finding::warning(
            IPV6,
            "no way out: pairs behind two routers have one chance less",
            "switch it on in the router, if the line has it",
        ),
    }
}

/// Looks for the pool, asks others where they see this machine, and the router for a port. Each says what it found.
pub(super) async fn outside(args: &NetArgs) -> Vec<Finding> {
    let net = match args.open(false) {
        Ok(net) => net,
        Err(error) => {
            return vec![Finding::failed(KEY, error.to_string(), "choose another with --state DIR")];
        }
    };
    let who = net.config.identity.node_id().short();
    let mut findings = vec![Finding::ok(KEY, format!("this machine is {who}"))];
    let (addrs, map) = (net.addrs.clone(), args.port_map(&net.addrs));
    let within = match (args.bootstraps(), &net.mdns) {
        ([], None) => Duration::ZERO,
        _ => ANSWER_WITHIN,
    };
    let mut onlooker = Onlooker::new(net.link, net.config, net.mdns);
    let (found, mapping) = tokio::join!(pool(&mut onlooker, args, within), mapping(map, &addrs));
    onlooker.end().await;
    findings.extend(found);
    findings.push(mapping);
    drop(net.state);
    findings
}

async fn pool(onlooker: &mut Onlooker<QuicLink>, args: &NetArgs, within: Duration) -> [Finding; 2] {
    let given = args.bootstraps().len();
    let Some((root, report)) = onlooker.view(within).await else {
        let nat = Finding::unknown(ROUTER, "nobody says where this machine is seen", None);
        let finding = match onlooker.failed().iter().next() {
            Some((addr, error)) => Finding::failed(
                BOOTSTRAP,
                format!("{addr}: {error}"),
                "is `alm pool` running there, and does a firewall let UDP out here and in there?",
            ),
            None if given > 0 => {
                Finding::failed(BOOTSTRAP, "no answer of the pool's", "name another with --bootstrap")
            }
            None => Finding::unknown(
                BOOTSTRAP,
                "none named, and nobody found on the local network",
                Some("name a running `alm pool` with --bootstrap ADDR:PORT"),
            ),
        };
        return [finding, nat];
    };
    let nodes: Vec<_> = report.helpers.iter().take(WITNESSES).copied().collect();
    onlooker.meet(&nodes, MET_WITHIN).await;
    let said = format!("a pool of {}, by its root {}", report.nodes, root.short());
    let (reach, seen) = onlooker.seen();
    let bootstrap = Finding::ok(BOOTSTRAP, said);
    [bootstrap, nat(reach, seen)]
}

fn nat(reach: Reach, seen: SocketAddr) -> Finding {
    match reach {
        Reach::Direct => Finding::ok(ROUTER, format!("none: others see {seen}, where it listens")),
        Reach::FullCone => Finding::ok(ROUTER, format!("full cone: anybody gets in at {seen}")),
        Reach::Restricted => Finding::ok(
            ROUTER,
            format!("restricted: others see {seen}, and get in once they were spoken to; two such meet"),
        ),
        Reach::Symmetric => Finding::warning(
            ROUTER,
            "symmetric: everybody sees another port; those behind such a router meet by way of others only",
            "have the router open a UDP port (UPnP, or by hand with --listen)",
        ),
        Reach::Unknown => {
            Finding::unknown(ROUTER, format!("too few say where they see it; one says {seen}"), None)
        }
    }
}

async fn mapping(map: Option<PortMap>, addrs: &[SocketAddr]) -> Finding {
    let Some(mut map) = map else {
        return Finding::ok(MAPPING, "not asked for: no home router is before this machine");
    };
    let mapped = timeout(MAP_WITHIN, map.next()).await.ok().flatten();
    map.end().await;
    match mapped {
        Some(addr) => Finding::ok(MAPPING, format!("the router opens {addr} when asked")),
        None => {
            let port = addrs.first().map_or(0, SocketAddr::port);
            Finding::warning(
                MAPPING,
                "the router opens no port when asked",
                format!("switch UPnP on in it, or lead a UDP port such as {port} here and use --listen"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn a_translator_that_keeps_others_out_is_a_warning() {
        let seen = SocketAddr::from(([198, 51, 100, 7], 4_433));
        for (reach, verdict) in [
            (Reach::Direct, Verdict::Ok),
            (Reach::FullCone, Verdict::Ok),
            (Reach::Restricted, Verdict::Ok),
            (Reach::Symmetric, Verdict::Warning),
            (Reach::Unknown, Verdict::Unknown),
        ] {
            assert_eq!(nat(reach, seen).verdict, verdict, "{}", reach.name());
        }
    }
}

//! The local page of a live command.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::error::{CliError, reason};
use super::net_args::NetArgs;
use super::state::random;
use crate::control::Served;
use crate::face::Conference;
use crate::web::{Gateway, Page, Token};

/// Opens it, unless it is not wanted. A port that was named must be free; without any, the conference goes on.
pub(super) fn open(
    args: &NetArgs,
    desk: Arc<dyn Served>,
    conference: &Arc<Mutex<Conference>>,
    changes: watch::Receiver<u64>,
    troubles: &mut Vec<String>,
) -> Result<Option<Page>, CliError> {
    if args.no_web {
        return Ok(None);
    }
    let listen = args.web_listen.unwrap_or(ANY_PORT);
    let gateway = gateway(args, listen.ip(), conference, troubles);
    match Page::open(listen, Token::new(random()), desk, changes, gateway) {
        Ok(page) => Ok(Some(page)),
        Err(error) if args.web_listen.is_some() => {
            let what = match error.kind() {
                ErrorKind::AddrInUse => "the port is in use".to_owned(),
                _ => reason(&error),
            };
            let what = format!("cannot serve the page: {what}");
            Err(CliError::failed(what, listen, "choose another port with --web-listen, or --no-web"))
        }
        Err(error) => {
            troubles.push(format!("there is no page to look at ({})", reason(&error)));
            Ok(None)
        }
    }
}

/// Lets browsers in that reach the page.
#[cfg(feature = "browser")]
fn gateway(
    args: &NetArgs,
    page: std::net::IpAddr,
    conference: &Arc<Mutex<Conference>>,
    troubles: &mut Vec<String>,
) -> Option<Arc<dyn Gateway>> {
    let config = crate::browser::GatewayConfig {
        conference: Arc::clone(conference),
        listen: args.listen_ip(),
        carrier: args.carrier(),
        page,
        chance: random,
        unix_seconds: super::report::unix_seconds,
    };
    match crate::browser::Gateway::open(config) {
        Ok(gateway) => Some(Arc::new(gateway)),
        Err(error) => {
            troubles.push(format!("browsers cannot join here ({})", reason(&error)));
            None
        }
    }
}

#[cfg(not(feature = "browser"))]
fn gateway(
    _: &NetArgs,
    _: std::net::IpAddr,
    _: &Arc<Mutex<Conference>>,
    _: &mut Vec<String>,
) -> Option<Arc<dyn Gateway>> {
    None
}

/// The page is for this machine alone.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

//! The local page of a live command, and its port for guests.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::error::{CliError, reason};
use super::net_args::NetArgs;
use super::state::random;
use crate::control::Served;
use crate::face::Conference;
use crate::net::concrete_addresses;
use crate::web::{Certificate, Door, Gateway, Guests, Page, Token};

/// The port for guests, as it was asked for.
pub(super) fn door(args: &NetArgs) -> Result<Option<Door>, CliError> {
    let Some(listen) = args.door() else { return Ok(None) };
    let name = args.web_name.clone();
    let certificate = match (&args.web_cert, &args.web_key) {
        (Some(chain), Some(key)) => Certificate::read(&read(chain)?, &read(key)?)
            .map_err(|what| CliError::wrong(what, chain.display(), "give both as PEM"))?,
        _ => {
            let mut names: Vec<String> =
                concrete_addresses(listen).iter().map(|addr| addr.ip().to_string()).collect();
            names.extend(name.clone());
            names.push("localhost".to_owned());
            Certificate::made(names)
                .map_err(|what| CliError::failed(what, listen, "give one by --web-cert"))?
        }
    };
    Ok(Some(Door { listen, certificate, name, guests: Arc::new(Guests::new(random)) }))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| {
        CliError::wrong(format_args!("cannot read it ({})", reason(&error)), path.display(), "")
    })
}

/// Opens it, unless it is not wanted. A port that was named must be free; without any, the conference goes on.
pub(super) fn open(
    args: &NetArgs,
    door: Option<Door>,
    desk: Arc<dyn Served>,
    conference: &Arc<Mutex<Conference>>,
    changes: watch::Receiver<u64>,
    troubles: &mut Vec<String>,
) -> Result<Option<Page>, CliError> {
    if args.no_web {
        return Ok(None);
    }
    let listen = args.web_listen.filter(|_| door.is_none()).unwrap_or(ANY_PORT);
    let guests = door.as_ref().map(|door| Arc::clone(&door.guests));
    let gateway = gateway(args, guests, conference, troubles);
    match Page::open(listen, Token::new(random()), door, desk, changes, gateway) {
        Ok(page) => Ok(Some(page)),
        Err((addr, error)) if args.web_listen.is_some() => {
            let what = match error.kind() {
                ErrorKind::AddrInUse => "the port is in use".to_owned(),
                _ => reason(&error),
            };
            let what = format!("cannot serve the page: {what}");
            Err(CliError::failed(what, addr, "choose another port with --web-listen, or --no-web"))
        }
        Err((_, error)) => {
            troubles.push(format!("there is no page to look at ({})", reason(&error)));
            Ok(None)
        }
    }
}

/// Lets browsers in that reach the page.
#[cfg(feature = "browser")]
fn gateway(
    args: &NetArgs,
    guests: Option<Arc<Guests>>,
    conference: &Arc<Mutex<Conference>>,
    troubles: &mut Vec<String>,
) -> Option<Arc<dyn Gateway>> {
    let config = crate::browser::GatewayConfig {
        conference: Arc::clone(conference),
        listen: args.listen_ip(),
        carrier: args.carrier(),
        guests,
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
    _: Option<Arc<Guests>>,
    _: &Arc<Mutex<Conference>>,
    _: &mut Vec<String>,
) -> Option<Arc<dyn Gateway>> {
    None
}

/// The page is for this machine alone.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

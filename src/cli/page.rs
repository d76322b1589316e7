//! The local page of a live command.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;

use super::error::{CliError, reason};
use super::net_args::NetArgs;
use super::state::random;
use crate::control::Served;
use crate::web::{Page, Token};

/// Opens it, unless it is not wanted. A port that was named must be free; without any, the conference goes on.
pub(super) fn open(
    args: &NetArgs,
    desk: Arc<dyn Served>,
    changes: watch::Receiver<u64>,
    troubles: &mut Vec<String>,
) -> Result<Option<Page>, CliError> {
    if args.no_web {
        return Ok(None);
    }
    let listen = args.web_listen.unwrap_or(ANY_PORT);
    match Page::open(listen, Token::new(random()), desk, changes) {
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

/// The page is for this machine alone.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

//! What the commands that only look at the pool share: a network for a moment, and nobody there to answer.

use std::time::Duration;

use super::error::CliError;
use super::net_args::{Net, NetArgs};
use crate::identity::NodeId;
use crate::live::Onlooker;
use crate::net::quic::QuicLink;
use crate::pool::somo::Report;

/// How long the pool may take to answer: a dial, a lookup of the root, and a dial to it.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Looks at the pool, and goes on with what `then` does.
pub(super) fn look<T>(
    args: &NetArgs,
    then: impl AsyncFnOnce(&mut Onlooker<QuicLink>, NodeId, Box<Report>) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format_args!("cannot start ({error})"), "", ""))?;
    runtime.block_on(async {
        let Net { link, config, mdns, state, .. } = args.open(false)?;
        let mut onlooker = Onlooker::new(link, config, mdns);
        let outcome = match onlooker.view(ANSWER_WITHIN).await {
            Some((root, report)) => then(&mut onlooker, root, report).await,
            None => Err(nobody(&onlooker)),
        };
        onlooker.end().await;
        drop(state);
        outcome
    })
}

fn nobody(onlooker: &Onlooker<QuicLink>) -> CliError {
    let todo = "give the address of a running `alm pool` with --bootstrap";
    match onlooker.failed().iter().next() {
        Some((addr, error)) => CliError::failed(format_args!("no way into the pool: {error}"), addr, todo),
        None => CliError::failed("no node of the pool is found", "", todo),
    }
}

//! Asks a switch for its beats in time, for links without a thread that does so as it waits for packets.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::Switch;
use crate::identity::NodeId;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Beats(Option<Beating>);

struct Beating {
    switch: Arc<dyn Switch>,
    due: Pin<Box<Sleep>>,
}

impl Beats {
    /// Asks this switch from now on.
    pub(super) fn set_switch(&mut self, switch: Arc<dyn Switch>) {
        self.0 = Some(Beating { switch, due: Box::pin(sleep_until(Instant::now())) });
    }

    /// Gives `send` what is due; the task is woken when more is.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, send: &mut dyn FnMut(NodeId, &[u8])) {
        while let Some(Beating { switch, due }) = &mut self.0 {
            let Poll::Ready(()) = due.as_mut().poll(cx) else { return };
            match switch.beat(Instant::now().into_std(), send) {
                Some(next) => due.as_mut().reset(next.into()),
                None => self.0 = None,
            }
        }
    }
}

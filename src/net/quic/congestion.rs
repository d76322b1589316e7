//! A congestion controller that does not answer loss with a smaller window.
//!
//! Voice is sent at a fixed rate that the application bounds, and late is lost: a window that closes on random loss
//! turns 5 % of it into seconds of queue. With a constant window quinn neither holds back nor paces.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory};

/// Bytes in flight, ever: 1 MiB, far above what a link of an audio conference has under way.
const WINDOW: u64 = 1 << 20;

/// Makes [`FixedWindow`] for each connection.
#[derive(Debug, Default)]
pub(super) struct FixedWindowFactory;

impl ControllerFactory for FixedWindowFactory {
    fn build(self: Arc<Self>, _now: Instant, _current_mtu: u16) -> Box<dyn Controller> {
        Box::new(FixedWindow)
    }
}

#[derive(Debug, Clone)]
struct FixedWindow;

impl Controller for FixedWindow {
    fn on_congestion_event(&mut self, _now: Instant, _sent: Instant, _persistent: bool, _lost_bytes: u64) {}

    fn on_mtu_update(&mut self, _new_mtu: u16) {}

    fn window(&self) -> u64 {
        WINDOW
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

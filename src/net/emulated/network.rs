//! The emulator on tokio's clock, shared by the nodes of one process.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::core::{Arrival, Emulator, PathProfile};
use super::nat::{Translator, Translators};

/// A running emulated network; clones share it. It stops when the last clone is dropped.
pub struct EmulatedNetwork<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    earlier: Arc<Notify>,
}

struct State<T> {
    core: Emulator<T>,
    translators: Translators,
    inboxes: Vec<Inbox<T>>,
}

struct Inbox<T> {
    arrived: VecDeque<Arrival<T>>,
    waker: Option<Waker>,
}

impl<T> Clone for EmulatedNetwork<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T: Send + 'static> EmulatedNetwork<T> {
    /// A network of `nodes` nodes; its clock is that of the tokio runtime it is made on.
    pub fn start(nodes: usize, seed: u64, profile: impl Fn(usize, usize) -> PathProfile) -> Self {
        let inboxes = (0..nodes).map(|_| Inbox { arrived: VecDeque::new(), waker: None }).collect();
        let state = Mutex::new(State {
            core: Emulator::new(nodes, seed, profile),
            translators: Translators::default(),
            inboxes,
        });
        let earlier = Arc::new(Notify::new());
        let shared = Arc::new(Shared { state, earlier: earlier.clone() });
        tokio::spawn(deliver(Arc::downgrade(&shared), earlier));
        Self { shared }
    }

    /// Changes the emulation itself: who is cut off.
    pub fn with_core<R>(&self, change: impl FnOnce(&mut Emulator<T>) -> R) -> R {
        change(&mut self.shared.lock().core)
    }

    /// Puts a translator before a node's socket. A network of sockets has one before every node, or none at all; to be
    /// done before the sockets are made.
    pub fn set_translator(&self, node: usize, kind: Translator) {
        self.shared.lock().translators.set(node, kind);
    }

    /// A node's translator forgets all that it has mapped.
    pub fn forget_mappings(&self, node: usize) {
        self.shared.lock().translators.forget(node);
    }

    /// Looks at the translators, or has them map.
    pub(super) fn with_translators<R>(&self, look: impl FnOnce(&mut Translators) -> R) -> R {
        look(&mut self.shared.lock().translators)
    }

    /// Hands a packet to the emulation now; see [`Emulator::send`].
    pub(super) fn launch(&self, send: impl FnOnce(&mut Emulator<T>, std::time::Instant)) {
        let mut state = self.shared.lock();
        let before = state.core.next_arrival();
        send(&mut state.core, Instant::now().into_std());
        if state.core.next_arrival() != before {
            self.shared.earlier.notify_one();
        }
    }

    /// The next packet that has arrived at `node`.
    pub(super) fn poll_arrival(&self, node: usize, cx: &mut Context<'_>) -> Poll<Arrival<T>> {
        let mut state = self.shared.lock();
        let inbox = &mut state.inboxes[node];
        match inbox.arrived.pop_front() {
            Some(arrival) => Poll::Ready(arrival),
            None => {
                inbox.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().expect("no code panics while it holds the emulation")
    }
}

/// Moves packets into the inboxes as their time comes.
async fn deliver<T>(network: Weak<Shared<T>>, earlier: Arc<Notify>) {
    loop {
        let Some(shared) = network.upgrade() else { return };
        let next = {
            let mut state = shared.lock();
            let now = Instant::now().into_std();
            while let Some(arrival) = state.core.poll_arrival(now) {
                let inbox = &mut state.inboxes[arrival.to];
                inbox.arrived.push_back(arrival);
                if let Some(waker) = inbox.waker.take() {
                    waker.wake();
                }
            }
            state.core.next_arrival()
        };
        drop(shared);
        // Without traffic, look now and then whether the network is still wanted.
        let next = next.map_or_else(|| Instant::now() + Duration::from_secs(1), Instant::from_std);
        tokio::select! {
            biased;
            () = sleep_until(next) => {}
            () = earlier.notified() => {}
        }
    }
}

/// The address of a node in the emulated network: 10.x.y.z, port 4433.
#[must_use]
pub fn address_of(node: usize) -> SocketAddr {
    let ip = Ipv4Addr::from(0x0a00_0001 + node as u32);
    SocketAddr::new(IpAddr::V4(ip), 4433)
}

/// The node of an address, if it is one of this network's.
pub(super) fn node_of(addr: SocketAddr, nodes: usize) -> Option<usize> {
    let IpAddr::V4(ip) = addr.ip().to_canonical() else { return None };
    let node = u32::from(ip).checked_sub(0x0a00_0001)? as usize;
    (node < nodes && addr.port() == 4433).then_some(node)
}

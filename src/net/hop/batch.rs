//! Packets that leave together, in memory that is set aside once, and the ways out: one system call for all of them where
//! the kernel has it, one each elsewhere.

#[cfg(target_os = "linux")]
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::AsyncUdpSocket;
use quinn::udp::Transmit;

use super::packet::PACKET_MAX;

/// Packets in a batch: what a fan-out of twenty sends for three packets that came together.
pub(super) const BATCH_MAX: usize = 64;

/// See the [module](self).
pub(in crate::net) struct Batch {
    slots: Box<[Slot]>,
    entries: [Entry; BATCH_MAX],
    used: usize,
    out: Out,
}

/// Room for a packet.
pub(super) type Slot = [u8; PACKET_MAX];

/// What is in the slot of the same index.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) len: usize,
    pub(super) to: SocketAddr,
}

impl Batch {
    pub(in crate::net) fn new(out: Out) -> Self {
        let nowhere = Entry { len: 0, to: SocketAddr::from(([0, 0, 0, 0], 0)) };
        let slots = vec![[0; PACKET_MAX]; BATCH_MAX].into_boxed_slice();
        Self { slots, entries: [nowhere; BATCH_MAX], used: 0, out }
    }

    /// Adds the packet that `write` writes and gives the length of; `false` if it gives none. A full batch leaves first.
    pub(super) fn push(&mut self, to: SocketAddr, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        if self.used == BATCH_MAX {
            self.flush();
        }
        let Some(len) = write(&mut self.slots[self.used]) else { return false };
        self.entries[self.used] = Entry { len, to };
        self.used += 1;
        true
    }

    /// Sends all. What the socket does not take now is lost: late is lost.
    pub(super) fn flush(&mut self) {
        let (slots, entries) = (&self.slots[..self.used], &self.entries[..self.used]);
        match &self.out {
            #[cfg(target_os = "linux")]
            Out::Together(socket) => {
                let mut sent = 0;
                while sent < entries.len() {
                    sent += match super::syscalls::send_together(socket, &slots[sent..], &entries[sent..]) {
                        Ok(count) => count.max(1),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        // One destination's trouble: the others get theirs.
                        Err(_) => 1,
                    };
                }
            }
            Out::Each(socket) => {
                for (slot, entry) in slots.iter().zip(entries) {
                    let transmit = Transmit {
                        destination: entry.to,
                        ecn: None,
                        contents: &slot[..entry.len],
                        segment_size: None,
                        src_ip: None,
                    };
                    // Refused is lost.
                    let _ = socket.try_send(&transmit);
                }
            }
        }
        self.used = 0;
    }

    /// Wakes the thread that waits on the socket, where one does: by an empty packet to it.
    pub(super) fn nudge(&self) {
        #[cfg(target_os = "linux")]
        if let Out::Together(socket) = &self.out
            && let Ok(addr) = socket.local_addr()
        {
            // With no room for it, the thread is not waiting.
            let _ = socket.send_to(&[], addr);
        }
    }

    /// Whether a thread waits on the socket.
    pub(super) fn can_nudge(&self) -> bool {
        !matches!(self.out, Out::Each(_))
    }

    /// Whether nothing waits to be flushed.
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }
}

/// How packets get out.
#[derive(Clone)]
pub(in crate::net) enum Out {
    /// `sendmmsg`.
    #[cfg(target_os = "linux")]
    Together(Arc<std::net::UdpSocket>),
    /// One by one, by the socket beneath QUIC.
    Each(Arc<dyn AsyncUdpSocket>),
}

//! One QUIC connection and its tasks: a control writer, a control reader, a datagram reader.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use quinn::{RecvStream, SendDatagramError, SendStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{CLOSE_PROTOCOL, CLOSE_UNREAD, TaskEvent};
use crate::identity::NodeId;
use crate::net::hop::{Hop, Hops};
use crate::net::link::{CONTROL_MESSAGE_MAX, DATAGRAM_MAX};
use crate::net::{LinkEvent, SendError, is_detour};
use crate::spent::Spent;

/// Control messages that may wait for a peer; one more, and the peer does not read and is cut off.
const CONTROL_QUEUE_MAX: usize = 256;

/// Of a long message that is read in one go, bytes.
const READ_AT_ONCE: usize = 64 * 1024;

/// A connection whose handshake is done.
pub(super) struct Connection {
    pub(super) quic: quinn::Connection,
    /// Tells the connections of one node apart.
    pub(super) serial: u64,
    /// We dialled it.
    pub(super) ours: bool,
    pub(super) since: Instant,
    /// Carries the datagrams, beside the connection; `None` where that is not wanted.
    pub(super) hop: Option<Arc<Hop>>,
    control: mpsc::Sender<Bytes>,
    writer: JoinHandle<()>,
}

impl Connection {
    pub(super) fn start(
        quic: quinn::Connection,
        peer: NodeId,
        serial: u64,
        ours: bool,
        since: Instant,
        (to_driver, spent): (mpsc::Sender<TaskEvent>, &Spent),
        hops: Option<&Arc<Hops>>,
    ) -> Self {
        let hop = hops.and_then(|_| Hop::beside(quic.clone(), peer, ours, since.into_std()));
        let (control, queue) = mpsc::channel(CONTROL_QUEUE_MAX);
        let writer = spent.spawn(write_control(quic.clone(), queue));
        spent.spawn(read_control(quic.clone(), peer, to_driver.clone()));
        let switched = hops.cloned().zip(hop.clone());
        spent.spawn(read_datagrams(quic.clone(), peer, serial, to_driver, switched));
        Self { quic, serial, ours, since, hop, control, writer }
    }

    /// It leads over a third node.
    pub(super) fn is_detour(&self) -> bool {
        is_detour(self.quic.remote_address())
    }

    pub(super) fn send_control(&self, bytes: Bytes) -> Result<(), SendError> {
        self.control.try_send(bytes).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                self.quic.close(CLOSE_UNREAD, b"control messages are not being read");
                SendError::QueueFull
            }
            mpsc::error::TrySendError::Closed(_) => SendError::NotConnected,
        })
    }

    /// By QUIC itself.
    pub(super) fn send_datagram(&self, bytes: Bytes) -> Result<(), SendError> {
        self.quic.send_datagram(bytes).map_err(|error| match error {
            SendDatagramError::TooLarge
            | SendDatagramError::UnsupportedByPeer
            | SendDatagramError::Disabled => SendError::TooLong,
            SendDatagramError::ConnectionLost(_) => SendError::NotConnected,
        })
    }

    /// Has the peer's datagrams leave by this connection's hop.
    pub(super) fn prefer(&self, hops: Option<&Arc<Hops>>) {
        if let Some((hops, hop)) = hops.zip(self.hop.as_ref()) {
            hops.prefer(hop);
        }
    }

    /// The connection is gone, and so is its hop.
    pub(super) fn forget(&self, hops: Option<&Arc<Hops>>) {
        if let Some((hops, hop)) = hops.zip(self.hop.as_ref()) {
            hops.remove(hop);
        }
    }

    /// Returns when the peer has all control messages sent so far.
    pub(super) async fn flush(self) {
        drop(self.control);
        // It ends when the queue is empty and acknowledged, or when the connection is gone.
        let _ = self.writer.await;
    }
}

async fn write_control(quic: quinn::Connection, mut queue: mpsc::Receiver<Bytes>) {
    let Ok(mut stream) = quic.open_uni().await else { return };
    while let Some(message) = queue.recv().await {
        if write_message(&mut stream, &message).await.is_err() {
            return;
        }
    }
    if stream.finish().is_ok() {
        // Resolves when all is acknowledged; an error says the connection went first.
        let _ = stream.stopped().await;
    }
}

async fn write_message(stream: &mut SendStream, message: &Bytes) -> Result<(), quinn::WriteError> {
    let length = u32::try_from(message.len()).expect("control messages are at most 64 KiB");
    // Both at once: a packet does not leave with the length alone.
    let mut chunks = [Bytes::copy_from_slice(&length.to_be_bytes()), message.clone()];
    stream.write_all_chunks(&mut chunks).await
}

async fn read_control(quic: quinn::Connection, peer: NodeId, to_driver: mpsc::Sender<TaskEvent>) {
    let Ok(mut stream) = quic.accept_uni().await else { return };
    loop {
        match read_message(&mut stream).await {
            Ok(Some(bytes)) => {
                let event = LinkEvent::Control { from: peer, bytes };
                if to_driver.send(TaskEvent::Received(event)).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(TooLong) => {
                quic.close(CLOSE_PROTOCOL, b"control message too long");
                return;
            }
        }
    }
}

/// A frame longer than [`CONTROL_MESSAGE_MAX`].
struct TooLong;

/// The next message; `None` at the end of the stream, clean or not: the connection's own end is what counts.
async fn read_message(stream: &mut RecvStream) -> Result<Option<Bytes>, TooLong> {
    let mut length = [0; 4];
    if stream.read_exact(&mut length).await.is_err() {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > CONTROL_MESSAGE_MAX {
        return Err(TooLong);
    }
    // Memory is taken for what has come, not for what is announced.
    let mut message = BytesMut::new();
    while message.len() < length {
        let begun = message.len();
        message.resize(length.min(begun + READ_AT_ONCE), 0);
        if stream.read_exact(&mut message[begun..]).await.is_err() {
            return Ok(None);
        }
    }
    Ok(Some(message.freeze()))
}

async fn read_datagrams(
    quic: quinn::Connection,
    peer: NodeId,
    serial: u64,
    to_driver: mpsc::Sender<TaskEvent>,
    switched: Option<(Arc<Hops>, Arc<Hop>)>,
) {
    let error = loop {
        match quic.read_datagram().await {
            Ok(bytes) if bytes.len() <= DATAGRAM_MAX => {
                let at = Instant::now().into_std();
                if let Some((hops, hop)) = &switched {
                    hops.take_from_quic(hop, &bytes, at);
                    continue;
                }
                let event = LinkEvent::Datagram { from: peer, bytes, at };
                if to_driver.send(TaskEvent::Received(event)).await.is_err() {
                    return;
                }
            }
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let _ = to_driver.send(TaskEvent::Closed { peer, serial, error }).await;
}

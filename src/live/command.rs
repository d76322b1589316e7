//! What the person at a live node, or a program for them, can ask of it.

use crate::identity::NodeId;
use crate::pool::Reservation;
use crate::session::Moderation;

/// One wish. Every face (the socket, the screen, the page) comes down to these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Silence in place of the own voice, or the voice again.
    Mute(bool),
    /// A member played here at so many hundredths of its own loudness; 0 mutes it here.
    Volume(NodeId, u16),
    /// Something written to all.
    Say(String),
    /// Out of the session, politely; a host that leaves hands it over.
    Leave,
    /// Over for everybody, where this node is the host.
    End,
    /// Something done to others, where this node is the host.
    Moderate(Moderation),
    /// Links of a machine that is lent and connected, for a session that is led from elsewhere: what becomes of it is not told.
    Reserve(NodeId, Reservation),
}

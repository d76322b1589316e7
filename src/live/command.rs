//! What the person at a live node, or a program for them, can ask of it.

/// One wish. Every face (the socket, the screen, the page) comes down to these.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Silence in place of the own voice, or the voice again.
    Mute(bool),
    /// Out of the session, politely; a host that leaves ends it.
    Leave,
}

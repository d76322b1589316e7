//! What a live node tells: the events of `--json`. Every face (lines, screen, page) is a function of these.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::session::{BadWay, Departure, Lost};

/// One event; a time stamp is added where it is written.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The node listens.
    Ready {
        /// Its id.
        node: String,
        /// Its place on the ring.
        ring: String,
        /// Addresses that others can dial.
        listen: Vec<String>,
    },
    /// The node is in a session.
    Session {
        /// The word that others join with.
        id: String,
        /// The session's name.
        name: String,
        /// `host` or `member`.
        role: &'static str,
    },
    /// Somebody is in.
    MemberJoined {
        /// Who.
        node: String,
        /// What they call themselves.
        name: String,
        /// They keep what is said.
        records: bool,
    },
    /// Somebody is out.
    MemberLeft {
        /// Who.
        node: String,
        /// How.
        reason: Departure,
    },
    /// A plan carries the media from now on.
    Tree(Plan),
    /// Every second, for each remote source.
    Media(Media),
    /// Every second, for each tree link.
    Link(Link),
    /// The keys of the session are others now, and with them the words by which people can tell that nobody sits between
    /// them: the same at every member.
    Phrase {
        /// Four of them, to be said aloud.
        words: String,
    },
    /// Somebody, perhaps here, has written something to all.
    Chat {
        /// Who.
        node: String,
        /// One line, at most 4 KiB, harmless in a terminal.
        text: String,
        /// When, by the author's clock: seconds since 1970.
        sent: f64,
    },
    /// Four times a second: how loud everybody is, decibels relative to full scale, -127 for silence.
    Levels {
        /// The own microphone, muted or not.
        input_db: f64,
        /// The others, by node, by their own word (sealed with each frame, RFC 6464).
        voices: BTreeMap<String, f64>,
    },
    /// A member is played louder or less loud here.
    Volume {
        /// Who.
        node: String,
        /// Of its own loudness; 0 is muted here.
        percent: u16,
    },
    /// What the host has laid down is another now.
    Rules {
        /// Nobody new is let in.
        locked: bool,
        /// Nobody but the host is heard.
        quiet: bool,
    },
    /// The own microphone has been switched.
    Voice {
        /// Nothing of it goes out.
        muted: bool,
    },
    /// How the pool looks from here.
    Pool {
        /// Nodes, this one included.
        size: usize,
        /// The node whose view this is.
        root: String,
        /// How old the view is.
        age_ms: u64,
    },
    /// Somebody that the session relied on died, and others have taken over.
    Repair {
        /// What it was to the session.
        what: Lost,
        /// Who.
        lost: String,
        /// From its last word to the first doubt.
        detected_ms: f64,
        /// From its last word to what took its place.
        repaired_ms: f64,
    },
    /// The way from a parent in a tree is bad, and another node feeds this one instead; or that is over.
    Detour {
        /// From whom the way is bad, or was.
        parent: String,
        /// Who feeds instead; `null` when the parent does so again.
        over: Option<String>,
        /// What is wrong with the way, or was: `loss` or `delay`.
        cause: BadWay,
    },
    /// A node was taken for silent that lives, and is relied on again.
    FalseAlarm {
        /// Who.
        node: String,
        /// It had been given up for another parent; otherwise that had been asked to feed as well.
        given_up: bool,
    },
    /// How often sound has come to a gap at this machine's devices, every second.
    Device {
        /// The microphone had nothing to give, or was gone.
        input_gaps: u64,
        /// The loudspeaker was given too little, or was gone.
        output_gaps: u64,
    },
    /// Some of what a source said did not come, or not in time; what was played instead has just ended.
    Gap {
        /// Whose voice.
        source: String,
        /// How long that was.
        gap_ms: f64,
    },
    /// Where this node is in the imagined space of latencies, when it has moved there.
    Coordinate {
        /// Three dimensions and a height, milliseconds of round trip.
        position: Vec<f64>,
        /// The median relative error of the round trips that this foretells.
        error: f64,
    },
    /// Where another node of the plan says that it is in that space, when it has moved there.
    Place {
        /// Which.
        node: String,
        /// As in [`Event::Coordinate`].
        position: Vec<f64>,
    },
    /// The local page is served.
    Page {
        /// What to open in a browser of this machine.
        link: String,
    },
    /// Guests can come by a link, or cannot any more.
    Guest {
        /// What the link goes by.
        name: String,
        /// What opens in any browser; none where it was taken back.
        link: Option<String>,
        /// What a browser that warns is to show, SHA-256: the certificate was made here.
        fingerprint: Option<String>,
    },
    /// Something went wrong; the node goes on.
    Error {
        /// A sentence.
        message: String,
    },
    /// The node is out of the session.
    Left {
        /// Why.
        reason: String,
    },
}

/// An installed plan.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Plan {
    /// Counts the plans of the session.
    pub epoch: u64,
    /// What it was made small for.
    pub objective: String,
    /// The task manager.
    pub root: String,
    /// The trees, whole.
    pub trees: Vec<Tree>,
    /// Every voice goes along two trees in which no node relays twice.
    pub protected: bool,
    /// Nodes that help.
    pub helpers: Vec<String>,
    /// The largest latency from a source to a member, one way.
    pub worst_ms: f64,
    /// The largest latency from the root to a member.
    pub height_ms: f64,
    /// The largest latency between two members.
    pub diameter_ms: f64,
    /// These rest on links that nobody has measured yet; another plan follows as soon as somebody has.
    pub estimated: bool,
    /// How long the planning took.
    pub planned_us: u64,
    /// Round trips to helpers measured for this plan alone.
    pub probes: u32,
    /// Why it was made.
    pub reason: String,
}

impl Plan {
    /// The largest latency for people, who are not shown what nobody has measured.
    #[must_use]
    pub fn worst_pair(&self) -> String {
        if self.estimated { "not measured yet".to_owned() } else { format!("{:.1} ms", self.worst_ms) }
    }
}

/// One tree of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Tree {
    /// Who sends along it.
    pub sources: Vec<String>,
    /// Parent and child, parents first.
    pub edges: Vec<(String, String)>,
    /// Who feeds this node when its parent here dies; absent where nobody does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// Child and backup parent; too many to be told to everybody.
    #[serde(skip)]
    pub backups: Vec<(String, String)>,
}

/// One tree link, since it was first used.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Link {
    /// The node at the other end.
    pub peer: String,
    /// Measured round trip; absent before the first.
    pub rtt_ms: Option<f64>,
    /// Media packets sent over the link so far.
    pub sent: u64,
    /// Media packets received over it.
    pub received: u64,
    /// Media packets refused that came over it.
    pub dropped: u64,
    /// Packets of any kind sent over the link that the peer had not taken by its last word: the up path's.
    pub lost_up: u64,
    /// Packets of any kind that the peer has sent and that did not come: the down path's.
    pub lost_down: u64,
}

/// What was heard of one source, since it was first heard.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Media {
    /// Whose voice.
    pub source: String,
    /// Packets that arrived in time or late.
    pub packets: u64,
    /// Packets that were missing when their turn came.
    pub lost: u64,
    /// Of those, played all the same from redundancy in the next.
    pub recovered: u64,
    /// Packets that were asked for again, hop by hop, and came in time to go on; these are not lost.
    pub repaired: u64,
    /// Sound made up for the rest.
    pub concealed_ms: f64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets in its name that it did not make.
    pub forged: u64,
    /// Packets under a key that this node does not have: silence.
    pub unknown_key: u64,
    /// Frames that the speaker has vouched for by its signature.
    pub confirmed: u64,
    /// Frames that it has not sent, by its signature, though they came under its key: another member's.
    pub contradicted: u64,
    /// `new`, `confirmed`, `unconfirmed` (it has vouched for nothing for 3 s) or `silenced` (its signature contradicts what was
    /// heard, or is missing for 10 s: nothing of it is played until it confirms again).
    pub standing: &'static str,
    /// Sound that waits in the jitter buffer.
    pub buffer_ms: f64,
    /// Variation of arrivals (RFC 3550, section 6.4.1).
    pub jitter_ms: f64,
    /// Links between the source and this node in the plan.
    pub hops: u32,
    /// From the end of capture to arrival here, by the session's clock; absent before the first packet.
    pub path_ms: Option<f64>,
}

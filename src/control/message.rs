//! Requests and answers.

use serde::{Deserialize, Serialize};

/// What is asked of a running node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Who is there? Changes nothing.
    Who,
    /// Silence in place of the voice.
    Mute,
    /// The voice again.
    Unmute,
    /// The other of the two.
    Toggle,
    /// A member played here at so many hundredths of its own loudness.
    Volume {
        /// By name or by node.
        who: String,
        /// 0 mutes it here.
        percent: u16,
    },
    /// Something written to all.
    Say {
        /// What.
        text: String,
    },
    /// Out of the session.
    Leave,
    /// Over for everybody.
    End,
    /// Something that a host does to others; the one whom it is done to by name or by node.
    Moderate {
        /// What.
        act: Act,
        /// Whom, where it is done to one.
        who: Option<String>,
    },
    /// The guests' link of that name, made if there is none.
    Guest {
        /// What it goes by.
        name: String,
    },
    /// That link opens no more, and who came by it is put out.
    Revoke {
        /// What it goes by.
        name: String,
    },
    /// The links that there are.
    Guests,
    /// The conference as this node sees it.
    State,
    /// The installed plan, written down.
    Tree {
        /// `text`, `dot` or `svg`.
        format: String,
    },
}

/// What a host does to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Out.
    Kick,
    /// Out for good.
    Ban,
    /// Nobody new comes in.
    Lock,
    /// They do again.
    Unlock,
    /// Only the host is heard.
    Hush,
    /// Everybody is again.
    Unhush,
}

/// What comes back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Who`].
    Here {
        /// The session's name; none for a machine that is lent.
        session: Option<String>,
        /// `host`, `member` or `pool`.
        role: String,
    },
    /// It is done; whether the own microphone is off by now.
    Done {
        /// Nothing of the voice goes out.
        muted: bool,
    },
    /// To [`Request::State`].
    State(serde_json::Value),
    /// To [`Request::Tree`].
    Text(String),
    /// It cannot be done: a sentence.
    Refused(String),
}

/// A request with its line end, at most.
pub(super) const REQUEST_MAX: usize = 8 * 1024;
/// An answer: the state of a thousand members, of whom each is a few hundred bytes.
pub(super) const ANSWER_MAX: usize = 4 * 1024 * 1024;
/// Where the sockets are, in the state directory.
pub(super) const FOLDER: &str = "control";
/// What their names end with; the process id stands before it.
pub(super) const SUFFIX: &str = "sock";

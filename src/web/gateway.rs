//! What the page needs of whoever lets browsers in: see `crate::browser`.

use std::net::IpAddr;
use std::pin::Pin;

use futures_util::Stream;

/// Lets in who offers a connection.
pub trait Gateway: Send + Sync {
    /// Takes an offer up and answers it.
    fn open(&self, call: Call) -> Answering<Result<Opened, Refused>>;

    /// Ends what was opened; `false` if there is no such thing.
    fn close(&self, id: String) -> Answering<bool>;

    /// Writes something to all as the member of such a connection; `false` if there is no such connection.
    fn say(&self, id: String, text: String) -> Answering<Result<bool, Refused>>;

    /// What the member of such a connection is to know, for as long as it is in; none if there is no such connection.
    fn news(&self, id: String) -> Answering<Option<News>>;
}

/// Objects of JSON, one after another.
pub type News = Pin<Box<dyn Stream<Item = String> + Send>>;

/// What takes a moment.
pub type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// What for.
    pub way: Way,
    /// SDP (RFC 8866).
    pub offer: String,
    /// What the member is to be called.
    pub name: String,
    /// A word that two offers have in common which belong to one member; none for a member of its own.
    pub member: Option<String>,
    /// The guests' link that it came by; none for who runs this node.
    pub guest: Option<u64>,
    /// The address of this machine that it reached, where the sound can come too.
    pub reached: IpAddr,
    /// The other side seals what it says, or opens what it hears, by itself.
    pub sealed: bool,
}

/// Which way the sound goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From the browser.
    Speak,
    /// To the browser: as one mix, as one track for each voice, or as the offer has room.
    Listen {
        /// Whether it is to be a mix, if that is said.
        mix: Option<bool>,
    },
}

/// An offer that was taken up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// What it is closed by; nobody can guess it.
    pub id: String,
    /// SDP.
    pub answer: String,
    /// The member's node.
    pub node: String,
}

/// Why an offer is not taken up, in a sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It cannot be read, or asks for what there is not.
    Malformed(String),
    /// Not by that link.
    Forbidden(String),
    /// There is no conference, or this member does that already.
    Conflict(String),
    /// Too many offers, or too many browsers.
    TooMany(String),
    /// It did not work.
    Failed(String),
}

/// The longest offer, bytes: a browser's own with sixteen lines of sound takes 18 KiB.
pub const OFFER_MAX: usize = 32 * 1024;
/// The longest word for a member, bytes.
pub const MEMBER_MAX: usize = 64;

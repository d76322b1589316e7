//! Whether a source's frames are its own: checks the digests that it signs (see `vouch`) against what was heard.
//!
//! The rule. Frames are played as they come. When a digest contradicts a frame, somebody in the group speaks in the source's
//! name: it is silent until [`CLEAN_DIGESTS`] digests in a row have confirmed what was heard. When none confirms anything for
//! [`UNCONFIRMED_AFTER`] of its voice, it is unconfirmed, which is shown; after [`SILENCED_AFTER`], it is silent until one
//! does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ring::signature::{ED25519, UnparsedPublicKey};

use crate::packet::{MediaPacket, SourceIndex};
use crate::seal::{Opener, SenderKey};
use crate::vouch::{MARK_LEN, Mark, SIGNATURE_LEN, VOUCHED_MAX, mark, signed};

/// A source that nobody has vouched for while it spoke for so long is unconfirmed: five digests were lost, or never sent.
pub const UNCONFIRMED_AFTER: Duration = Duration::from_secs(3);

/// And after so long it is silent.
pub const SILENCED_AFTER: Duration = Duration::from_secs(10);

/// From one frame to the next, as far as it counts as voice: a source that was cut off has not spoken meanwhile.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Digests in a row, each confirming something, after which a source that was contradicted is believed again: two seconds.
pub const CLEAN_DIGESTS: u32 = 4;

/// Frames that wait to be vouched for: what comes between two digests, several times.
const WAITING_MAX: usize = 4 * VOUCHED_MAX;

/// A frame that the source has still not sent so long after it was heard was never its own.
const AHEAD_MAX: Duration = Duration::from_secs(2);

/// How far a source's frames are known to be its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// Too little was heard to tell.
    #[default]
    New,
    /// Its digests agree with what is heard.
    Confirmed,
    /// None has come for a while.
    Unconfirmed,
    /// It is not played: its digests contradict what was heard, or none has come for long.
    Silenced,
}

impl Standing {
    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Confirmed => "confirmed",
            Self::Unconfirmed => "unconfirmed",
            Self::Silenced => "silenced",
        }
    }
}

/// What has come of it so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WitnessStats {
    /// Frames that their source has vouched for.
    pub confirmed: u64,
    /// Frames that it has not sent, though it was its key that they came under.
    pub contradicted: u64,
    /// Digests that it has not signed.
    pub bad_digests: u64,
    /// The rule's outcome.
    pub standing: Standing,
}

/// What a source has vouched for by a digest that it has signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    /// The counter of the first frame that it speaks of.
    pub first: u64,
    /// The mark of that frame and of each that follows, see `vouch`; zeros where none was sent.
    pub marks: Vec<[u8; MARK_LEN]>,
}

/// See the [module](self).
pub struct Witness {
    author: [u8; 32],
    salt: [u8; 16],
    source: SourceIndex,
    opener: Opener,
    /// Heard and not yet vouched for: its mark, and when it came.
    waiting: BTreeMap<u64, (Mark, Instant)>,
    /// The last frame that any digest spoke of.
    vouched_to: u64,
    /// How much was heard since something was last confirmed, and when the last of it.
    unconfirmed: Option<(Duration, Instant)>,
    /// Clean digests that are wanted before the source is believed again.
    wanted: u32,
    stats: WitnessStats,
}

impl Witness {
    /// For `source`, whose member signs by the key `author` and has drawn `salt` at its start.
    pub fn new(source: SourceIndex, key: &SenderKey, author: [u8; 32], salt: [u8; 16]) -> Self {
        Self {
            author,
            salt,
            source,
            opener: Opener::new(key, source.companion()),
            waiting: BTreeMap::new(),
            vouched_to: 0,
            unconfirmed: None,
            wanted: 0,
            stats: WitnessStats::default(),
        }
    }

    /// Opens digests by these keys from now on.
    pub fn set_keys(&mut self, keys: &[SenderKey]) {
        self.opener.set_keys(keys);
    }

    /// A frame of the source was opened; whether it may be played.
    pub fn on_frame(&mut self, packet: &MediaPacket<'_>, now: Instant) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_first();
        }
        self.waiting.insert(packet.counter, (mark(packet), now));
        let (spoken, last) = self.unconfirmed.unwrap_or((Duration::ZERO, now));
        self.unconfirmed = Some((spoken + now.saturating_duration_since(last).min(PAUSE_MAX), now));
        self.standing() != Standing::Silenced
    }

    /// Takes a digest. `Some` when frames from beyond the source's own were taken for its: it goes on from there.
    pub fn on_digest(&mut self, packet: &MediaPacket<'_>, now: Instant) -> Option<u64> {
        let Vouched { first, marks } = self.prove(packet)?;
        let end = first + marks.len() as u64;
        if end <= self.vouched_to {
            // It has come before, by another tree or by somebody's hand.
            return None;
        }
        self.vouched_to = end;
        let (mut confirmed, mut contradicted) = (0, 0);
        for (counter, vouched) in (first..).zip(marks) {
            match self.waiting.remove(&counter) {
                Some((heard, _)) if heard == vouched => confirmed += 1,
                Some(_) => contradicted += 1,
                None => {}
            }
        }
        // What lies before it was vouched for by a digest that is lost, and cannot be told any more.
        self.waiting = self.waiting.split_off(&end);
        let before = self.waiting.len();
        self.waiting.retain(|_, (_, at)| now.saturating_duration_since(*at) < AHEAD_MAX);
        let ahead = before - self.waiting.len();
        contradicted += ahead as u64;
        self.stats.confirmed += confirmed;
        self.stats.contradicted += contradicted;
        if contradicted > 0 {
            self.wanted = CLEAN_DIGESTS;
        } else if confirmed > 0 {
            self.wanted = self.wanted.saturating_sub(1);
            self.unconfirmed = None;
        }
        (ahead > 0).then_some(end)
    }

    /// What a digest says, once it is opened and its signature proved: for who compares it with frames that are opened
    /// elsewhere. One that its author has not signed is counted.
    pub fn prove(&mut self, packet: &MediaPacket<'_>) -> Option<Vouched> {
        let plain = self.opener.prove(packet).ok()?;
        let vouched = read(plain, &self.author, &self.salt, self.source);
        self.stats.bad_digests += u64::from(vouched.is_none());
        vouched
    }

    /// What has come of it so far.
    pub fn stats(&self) -> WitnessStats {
        WitnessStats { standing: self.standing(), ..self.stats }
    }

    fn standing(&self) -> Standing {
        let waits = self.unconfirmed.map_or(Duration::ZERO, |(spoken, _)| spoken);
        match () {
            () if self.wanted > 0 || waits >= SILENCED_AFTER => Standing::Silenced,
            () if waits >= UNCONFIRMED_AFTER => Standing::Unconfirmed,
            () if self.stats.confirmed > 0 => Standing::Confirmed,
            () => Standing::New,
        }
    }
}

/// What a digest says that its author has signed.
fn read(plain: &[u8], author: &[u8; 32], salt: &[u8; 16], source: SourceIndex) -> Option<Vouched> {
    let (content, signature) = plain.split_at_checked(plain.len().checked_sub(SIGNATURE_LEN)?)?;
    let (&[c0, c1, c2, c3, c4, c5], marks) = content.split_first_chunk()?;
    let first = u64::from_be_bytes([0, 0, c0, c1, c2, c3, c4, c5]);
    let (whole, []) = marks.as_chunks::<MARK_LEN>() else { return None };
    let fits = (1..=VOUCHED_MAX).contains(&whole.len());
    let key = UnparsedPublicKey::new(&ED25519, author);
    let is_signed = fits && key.verify(&signed(salt, source, first, marks), signature).is_ok();
    is_signed.then(|| Vouched { first, marks: whole.to_vec() })
}

#[cfg(test)]
mod tests;

//! What a sender signs: a digest of the frames that it has sent in the last second.
//!
//! SFrame's keys are symmetric, so any member could seal frames in another's name. A [`Voucher`] therefore marks every frame
//! with a part of its hash and signs the marks, in a packet of its own beside the voice, twice a second: each frame is
//! vouched for twice, so that one digest may be lost. The packets name a companion of the source's number, whose counters and
//! keys are its own; relays treat them as one more voice. [`crate::Witness`] checks them.
//!
//! Opened, a digest is the first frame's counter (6 bytes), a mark for each frame from there on (6 bytes; zeros where none
//! was sent), and an Ed25519 signature (64 bytes).

use std::collections::VecDeque;

use bytes::Bytes;
use ring::digest;

use crate::packet::{CaptureTime, MediaPacket, SourceIndex, TreeId};
use crate::seal::{Sealer, SenderKey};

/// Frames that one digest vouches for: a second of 10 ms frames, and more of longer ones.
pub const VOUCHED_MAX: usize = 100;

/// Bytes of a frame's hash that vouch for it. Another frame with the same mark would have to be found, 2^48 tries, before the
/// true one has been played.
pub const MARK_LEN: usize = 6;

/// An Ed25519 signature.
pub const SIGNATURE_LEN: usize = 64;

/// Of a frame that was never sent.
pub(crate) const NO_MARK: Mark = [0; MARK_LEN];

/// A part of a frame's hash.
pub(crate) type Mark = [u8; MARK_LEN];

/// How far apart digests are, in ticks of the session's clock, where frames do not fill them sooner: half a second.
const EVERY_TICKS: i32 = 24_000;

/// What a digest vouches for unless frames come more densely: a second.
const BACK_TICKS: i32 = 48_000;

const LABEL: &[u8] = b"alm frames v1";

/// What signs: the member's own key.
pub type Sign = Box<dyn Fn(&[u8]) -> [u8; SIGNATURE_LEN] + Send>;

/// See the [module](self).
pub(crate) struct Voucher {
    sign: Sign,
    salt: [u8; 16],
    source: SourceIndex,
    sealer: Sealer,
    counter: u64,
    /// Of the frames before `next`, with their times.
    marks: VecDeque<(Mark, CaptureTime)>,
    next: u64,
    /// When the last digest was made, and frames since.
    last: Option<CaptureTime>,
    fresh: usize,
}

impl Voucher {
    pub(crate) fn new(source: SourceIndex, key: &SenderKey, salt: [u8; 16], sign: Sign) -> Self {
        let sealer = Sealer::new(key, source.companion());
        let marks = VecDeque::with_capacity(VOUCHED_MAX);
        Self { sign, salt, source, sealer, counter: 0, marks, next: 0, last: None, fresh: 0 }
    }

    pub(crate) fn set_key(&mut self, key: &SenderKey) {
        self.sealer.set_key(key, self.source.companion());
    }

    /// Notes a frame that has been sealed; whether a digest is due.
    pub(crate) fn on_frame(&mut self, packet: &MediaPacket<'_>) -> bool {
        if packet.counter < self.next {
            // Who sealed it elsewhere has begun anew.
            (self.marks, self.next) = (VecDeque::with_capacity(VOUCHED_MAX), packet.counter);
        }
        let skipped = packet.counter.saturating_sub(self.next).min(VOUCHED_MAX as u64);
        for _ in 0..skipped {
            self.push(NO_MARK, packet.capture_time);
        }
        self.push(mark(packet), packet.capture_time);
        self.next = packet.counter + 1;
        self.fresh += 1 + skipped as usize;
        let last = *self.last.get_or_insert(packet.capture_time);
        packet.capture_time.ticks_since(last) >= EVERY_TICKS || self.fresh >= VOUCHED_MAX / 2
    }

    fn push(&mut self, mark: Mark, at: CaptureTime) {
        if self.marks.len() == VOUCHED_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back((mark, at));
    }

    /// Appends a digest, a packet for each of `trees`, to `out`.
    pub(crate) fn digest(&mut self, now: CaptureTime, trees: &[TreeId], out: &mut Vec<Bytes>) {
        // What is older has been vouched for before, but for the few frames of a long pause.
        while self.marks.len() > self.fresh
            && self.marks.front().is_some_and(|(_, at)| now.ticks_since(*at) > BACK_TICKS)
        {
            self.marks.pop_front();
        }
        (self.last, self.fresh) = (Some(now), 0);
        let first = self.next - self.marks.len() as u64;
        let marks: Vec<u8> = self.marks.iter().flat_map(|(mark, _)| *mark).collect();
        let signature = (self.sign)(&signed(&self.salt, self.source, first, &marks));
        let mut plain = first.to_be_bytes()[2..].to_vec();
        plain.extend_from_slice(&marks);
        plain.extend_from_slice(&signature);
        let mut frame = Vec::with_capacity(plain.len() + 32);
        let mut packet = MediaPacket {
            tree: TreeId(0),
            source: self.source.companion(),
            counter: self.counter,
            capture_time: now,
            priority: false,
            frame: &[],
        };
        self.sealer
            .seal(self.counter, &packet.metadata(), &plain, &mut frame)
            .expect("the counter grows by one, for millennia, and the marks fit a packet");
        self.counter += 1;
        packet.frame = &frame;
        packet.write_for(trees, out);
    }
}

/// A frame's mark: of all that its packet holds but the tree.
pub(crate) fn mark(packet: &MediaPacket<'_>) -> Mark {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&packet.metadata());
    context.update(packet.frame);
    let hash = context.finish();
    let mut mark = NO_MARK;
    mark.copy_from_slice(&hash.as_ref()[..MARK_LEN]);
    // Zeros stand for no frame.
    mark[0] |= u8::from(mark == NO_MARK);
    mark
}

/// What the signature is of. The salt is new with every start of a program, so no digest of another call counts.
pub(crate) fn signed(salt: &[u8; 16], source: SourceIndex, first: u64, marks: &[u8]) -> Vec<u8> {
    [LABEL, salt, &source.0.to_be_bytes(), &first.to_be_bytes(), marks].concat()
}

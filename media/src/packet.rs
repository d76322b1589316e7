//! The media packet as it travels along a tree, from its source over every relay to every member.
//!
//! ```text
//!  0     1      5        7                 13            17
//!  +-----+------+--------+-----------------+-------------+--------------------------------+
//!  | 10v0| tree | source | source counter  | capture time| SFrame: header, ciphertext, tag |
//!  | 000p|  u32 |  u16   |      u48        |     u32     |            RFC 9605             |
//!  +-----+------+--------+-----------------+-------------+--------------------------------+
//! ```
//!
//! All integers are big endian. The first byte lies in 0x80..=0xBF, which leaves the range to media when
//! the packet shares a UDP port with QUIC (RFC 9443, section 2); `v` is the version, `p` the priority bit.
//! A relay reads the tree id and nothing else. The tree id changes with the epoch, so it is not
//! authenticated end to end; everything else in the header is, as the SFrame frame's metadata.

use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};

use crate::level::LEVEL_LEN;

/// Bytes in front of the SFrame frame.
pub const HEADER_LEN: usize = 17;

/// The longest packet: it fits one QUIC datagram on any path that carries QUIC at all, before the path's
/// MTU is known (RFC 9000, section 14: 1,200 bytes, less QUIC's own header and tag).
pub const PACKET_MAX: usize = 1_150;

/// The longest SFrame header that this crate writes: one byte, key id of 3, counter of 6 (RFC 9605, 4.3).
pub const SFRAME_HEADER_MAX: usize = 10;

/// The authentication tag of AES_128_GCM_SHA256_128 (RFC 9605, section 4.5).
pub const TAG_LEN: usize = 16;

/// The longest encoded frame that fits a packet.
pub const PAYLOAD_MAX: usize = PACKET_MAX - HEADER_LEN - SFRAME_HEADER_MAX - TAG_LEN - LEVEL_LEN;

/// Source counters are 48 bits wide: 2^48 frames of 2.5 ms are 22,000 years.
pub const COUNTER_MAX: u64 = (1 << 48) - 1;

/// The first byte's top two bits: media (RFC 9443, section 2).
pub const MEDIA_KIND: u8 = 0b1000_0000;

/// The packet format's version, as it stands in the first byte.
pub const VERSION: u8 = 0;

/// Bytes that are authenticated along with a frame, see [`MediaPacket::metadata`].
pub const METADATA_LEN: usize = 13;

const KIND_MASK: u8 = 0b1100_0000;
const VERSION_MASK: u8 = 0b0010_0000;
const VERSION_SHIFT: u32 = 5;
const RESERVED_MASK: u8 = 0b0001_1110;
const PRIORITY_BIT: u8 = 0b0000_0001;

/// Set in the number of a source's companion.
const COMPANION: u16 = 0x8000;

/// One tree of one epoch. Ids of different epochs differ, so epochs can live side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TreeId(pub u32);

/// A source of the session, as numbered by its roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceIndex(pub u16);

impl SourceIndex {
    /// The number that digests of the source's frames travel under. Members are numbered below it.
    #[must_use]
    pub fn companion(self) -> Self {
        Self(self.0 | COMPANION)
    }

    /// The source whose frames a packet under this number is about, or holds.
    #[must_use]
    pub fn voice(self) -> Self {
        Self(self.0 & !COMPANION)
    }

    /// Whether this is a [`companion`](Self::companion)'s number.
    pub fn is_companion(self) -> bool {
        self.0 & COMPANION != 0
    }
}

/// A point in the session's clock, in ticks of 1/48,000 s. Wraps after a day (24.8 h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CaptureTime(pub u32);

impl CaptureTime {
    /// This time, `ticks` later.
    #[must_use]
    pub fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Ticks from `earlier` to this time; negative if `earlier` is later. Right while the two are less
    /// than 12 h apart.
    pub fn ticks_since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

/// Why bytes are no media packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The first byte does not say media.
    #[error("not a media packet")]
    NotMedia,
    /// The first byte says media of another version, or has reserved bits set.
    #[error("a media packet of another version")]
    Version,
    /// Fewer bytes than a header and the smallest SFrame frame.
    #[error("a media packet of {0} bytes is too short")]
    TooShort(usize),
    /// More than [`PACKET_MAX`] bytes.
    #[error("a media packet of {0} bytes is longer than {PACKET_MAX}")]
    TooLong(usize),
}

/// A media packet's fields; the frame is borrowed from the bytes that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaPacket<'a> {
    /// The tree that it travels along. Not authenticated end to end.
    pub tree: TreeId,
    /// Who sent it.
    pub source: SourceIndex,
    /// How many frames the source sent before this one; at most [`COUNTER_MAX`].
    pub counter: u64,
    /// When the frame's first sample was captured.
    pub capture_time: CaptureTime,
    /// Whether relays should drop others first.
    pub priority: bool,
    /// The SFrame frame: header, ciphertext, tag.
    pub frame: &'a [u8],
}

impl<'a> MediaPacket<'a> {
    /// Reads a packet. Says nothing about who made it: see [`crate::Opener`].
    ///
    /// # Errors
    /// Bytes that are no media packet of this version, or of a length that is out of bounds.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let &first = bytes.first().ok_or(PacketError::TooShort(0))?;
        check_first(first)?;
        if bytes.len() > PACKET_MAX {
            return Err(PacketError::TooLong(bytes.len()));
        }
        let short = PacketError::TooShort(bytes.len());
        let (head, frame) = bytes.split_first_chunk::<HEADER_LEN>().ok_or(short)?;
        if frame.len() <= TAG_LEN {
            return Err(short);
        }
        let [_, t0, t1, t2, t3, s0, s1, c0, c1, c2, c3, c4, c5, m0, m1, m2, m3] = *head;
        Ok(Self {
            tree: TreeId(u32::from_be_bytes([t0, t1, t2, t3])),
            source: SourceIndex(u16::from_be_bytes([s0, s1])),
            counter: u64::from_be_bytes([0, 0, c0, c1, c2, c3, c4, c5]),
            capture_time: CaptureTime(u32::from_be_bytes([m0, m1, m2, m3])),
            priority: first & PRIORITY_BIT != 0,
            frame,
        })
    }

    /// Appends the packet to `out`: [`MediaPacket::len`] bytes.
    ///
    /// # Panics
    /// If `counter` is above [`COUNTER_MAX`]: whoever counts stops before.
    pub fn write(&self, out: &mut impl BufMut) {
        assert!(self.counter <= COUNTER_MAX, "a source counter is 48 bits wide");
        out.put_u8(self.first_byte());
        out.put_u32(self.tree.0);
        out.put_u16(self.source.0);
        out.put_uint(self.counter, 6);
        out.put_u32(self.capture_time.0);
        out.put_slice(self.frame);
    }

    /// Appends the packet to `out` once for each tree that it goes along.
    ///
    /// # Panics
    /// As [`MediaPacket::write`].
    pub(crate) fn write_for(self, trees: &[TreeId], out: &mut Vec<Bytes>) {
        out.extend(trees.iter().map(|&tree| {
            let mut bytes = Vec::with_capacity(self.len());
            Self { tree, ..self }.write(&mut bytes);
            Bytes::from(bytes)
        }));
    }

    /// Bytes that [`MediaPacket::write`] appends.
    #[expect(clippy::len_without_is_empty, reason = "a packet is never empty")]
    pub fn len(&self) -> usize {
        HEADER_LEN + self.frame.len()
    }

    /// What is authenticated along with the frame (SFrame metadata, RFC 9605, section 4.4.3): first byte,
    /// source, counter, capture time. Not the tree, which changes with the epoch.
    pub fn metadata(&self) -> [u8; METADATA_LEN] {
        let mut bytes = [0; METADATA_LEN];
        bytes[0] = self.first_byte();
        bytes[1..3].copy_from_slice(&self.source.0.to_be_bytes());
        bytes[3..9].copy_from_slice(&self.counter.to_be_bytes()[2..]);
        bytes[9..].copy_from_slice(&self.capture_time.0.to_be_bytes());
        bytes
    }

    fn first_byte(&self) -> u8 {
        MEDIA_KIND | (VERSION << VERSION_SHIFT) | if self.priority { PRIORITY_BIT } else { 0 }
    }
}

/// A packet without its tree id, for who opens it elsewhere: what is authenticated, and the frame. `None` if the bytes are no
/// media packet of this version.
pub fn without_tree(bytes: &[u8]) -> Option<Vec<u8>> {
    MediaPacket::parse(bytes).ok()?;
    let mut rest = Vec::with_capacity(bytes.len() - TREE_LEN);
    rest.push(bytes[0]);
    rest.extend_from_slice(&bytes[1 + TREE_LEN..]);
    Some(rest)
}

/// The opposite of [`without_tree`]: what was sealed elsewhere, as a packet along `tree`.
///
/// # Errors
/// What comes of it is no media packet, see [`MediaPacket::parse`].
pub fn with_tree(rest: &[u8], tree: TreeId) -> Result<Vec<u8>, PacketError> {
    let &first = rest.first().ok_or(PacketError::TooShort(0))?;
    if rest.len() + TREE_LEN > PACKET_MAX {
        return Err(PacketError::TooLong(rest.len() + TREE_LEN));
    }
    let mut bytes = Vec::with_capacity(rest.len() + TREE_LEN);
    bytes.push(first);
    bytes.extend_from_slice(&tree.0.to_be_bytes());
    bytes.extend_from_slice(&rest[1..]);
    MediaPacket::parse(&bytes)?;
    Ok(bytes)
}

/// Bytes of a tree id.
const TREE_LEN: usize = 4;

/// The tree that a packet travels along, and nothing else: what a relay needs. `None` if the bytes are no
/// media packet of this version.
pub fn peek_tree(bytes: &[u8]) -> Option<TreeId> {
    let (&[first, t0, t1, t2, t3], _) = bytes.split_first_chunk::<5>()?;
    let fits = (HEADER_LEN + TAG_LEN + 1..=PACKET_MAX).contains(&bytes.len());
    (fits && check_first(first).is_ok()).then_some(TreeId(u32::from_be_bytes([t0, t1, t2, t3])))
}

/// Whether a packet is one of the loudest voices', which relays drop last; `None` if the bytes are no media packet of this
/// version.
pub fn peek_priority(bytes: &[u8]) -> Option<bool> {
    let &first = bytes.first()?;
    check_first(first).is_ok().then_some(first & PRIORITY_BIT != 0)
}

/// Writes another tree id into a packet; the bytes are left alone and `false` returned if they are none.
pub fn set_tree(bytes: &mut [u8], tree: TreeId) -> bool {
    if peek_tree(bytes).is_none() {
        return false;
    }
    bytes[1..5].copy_from_slice(&tree.0.to_be_bytes());
    true
}

fn check_first(first: u8) -> Result<(), PacketError> {
    if first & KIND_MASK != MEDIA_KIND {
        return Err(PacketError::NotMedia);
    }
    if (first & VERSION_MASK) >> VERSION_SHIFT != VERSION || first & RESERVED_MASK != 0 {
        return Err(PacketError::Version);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn packet(frame: &[u8]) -> MediaPacket<'_> {
        MediaPacket {
            tree: TreeId(0x0102_0304),
            source: SourceIndex(0x0506),
            counter: 0x0708_090a_0b0c,
            capture_time: CaptureTime(0x0d0e_0f10),
            priority: true,
            frame,
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let mut out = Vec::new();
        packet(&[0xff; 17]).write(&mut out);
        assert_eq!(out[..HEADER_LEN], [0x81, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(out.len(), HEADER_LEN + 17);
        assert_eq!(peek_tree(&out), Some(TreeId(0x0102_0304)));
    }

    #[test]
    fn metadata_ignores_the_tree_alone() {
        let one = packet(&[0; 17]);
        assert_eq!(one.metadata(), MediaPacket { tree: TreeId(9), ..one }.metadata());
        assert_ne!(one.metadata(), MediaPacket { source: SourceIndex(9), ..one }.metadata());
        assert_ne!(one.metadata(), MediaPacket { counter: 9, ..one }.metadata());
        assert_ne!(one.metadata(), MediaPacket { capture_time: CaptureTime(9), ..one }.metadata());
        assert_ne!(one.metadata(), MediaPacket { priority: false, ..one }.metadata());
    }

    #[test]
    fn other_kinds_versions_and_lengths_are_refused() {
        let mut bytes = Vec::new();
        packet(&[0; 17]).write(&mut bytes);
        for first in 0..=255_u8 {
            bytes[0] = first;
            let read = MediaPacket::parse(&bytes).map(|packet| packet.priority);
            match first {
                0x80 => assert_eq!(read, Ok(false)),
                0x81 => assert_eq!(read, Ok(true)),
                0x82..=0xbf => assert_eq!(read, Err(PacketError::Version)),
                _ => assert_eq!(read, Err(PacketError::NotMedia)),
            }
        }
        bytes[0] = 0x80;
        assert_eq!(MediaPacket::parse(&bytes[..33]), Err(PacketError::TooShort(33)));
        assert_eq!(MediaPacket::parse(&[]), Err(PacketError::TooShort(0)));
        bytes.resize(PACKET_MAX, 0);
        assert!(MediaPacket::parse(&bytes).is_ok());
        bytes.push(0);
        assert_eq!(MediaPacket::parse(&bytes), Err(PacketError::TooLong(PACKET_MAX + 1)));
        assert_eq!(peek_tree(&bytes), None);
    }

    #[test]
    fn capture_times_wrap() {
        let late = CaptureTime(u32::MAX - 9);
        assert_eq!(late.plus(960).ticks_since(late), 960);
        assert_eq!(late.ticks_since(late.plus(960)), -960);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            tree: u32, source: u16, counter in 0..=COUNTER_MAX, capture: u32, priority: bool,
            frame in vec(any::<u8>(), TAG_LEN + 1..PACKET_MAX - HEADER_LEN),
        ) {
            let packet = MediaPacket {
                tree: TreeId(tree), source: SourceIndex(source), counter,
                capture_time: CaptureTime(capture), priority, frame: &frame,
            };
            let mut bytes = bytes::BytesMut::new();
            packet.write(&mut bytes);
            prop_assert_eq!(bytes.len(), packet.len());
            prop_assert_eq!(MediaPacket::parse(&bytes), Ok(packet));
            prop_assert!(set_tree(&mut bytes, TreeId(7)));
            prop_assert_eq!(MediaPacket::parse(&bytes), Ok(MediaPacket { tree: TreeId(7), ..packet }));
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in vec(any::<u8>(), 0..2_000), media: bool) {
            if let (true, Some(first)) = (media, bytes.first_mut()) {
                *first = MEDIA_KIND;
            }
            let read = MediaPacket::parse(&bytes);
            prop_assert_eq!(read.ok().map(|packet| packet.tree), peek_tree(&bytes));
        }
    }
}

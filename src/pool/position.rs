//! Arithmetic on the ring: ways, zones (the patent, [0041]) and digits (Rowstron and Druschel, "Pastry", Middleware 2001,
//! section 2).

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::identity::Position;

/// Bits of a digit: rows of 16 entries, log16 N hops.
const DIGIT_BITS: u32 = 4;
/// Digits of a position.
pub(super) const DIGITS: usize = (u128::BITS / DIGIT_BITS) as usize;

impl Position {
    /// The way clockwise from here to `other`.
    #[must_use]
    pub const fn way_to(self, other: Self) -> u128 {
        other.0.wrapping_sub(self.0)
    }

    /// Digit `row`, counted from the most significant.
    pub(super) const fn digit(self, row: usize) -> usize {
        ((self.0 << (DIGIT_BITS as usize * row)) >> (u128::BITS - DIGIT_BITS)) as usize
    }

    /// How many leading digits both share.
    pub(super) const fn shared_digits(self, other: Self) -> usize {
        ((self.0 ^ other.0).leading_zeros() / DIGIT_BITS) as usize
    }

    /// The first half: enough to tell the neighbours of one node apart, and half the size.
    pub(super) const fn mark(self) -> Mark {
        Mark((self.0 >> 64) as u64)
    }
}

/// The first half of a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark(pub u64);

// Hashes do not get shorter as varints.

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_be_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 16]>::deserialize(deserializer).map(|bytes| Self(u128::from_be_bytes(bytes)))
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.to_be_bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u8; 8]>::deserialize(deserializer).map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

/// The positions that a node answers for: those after its predecessor's, up to its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zone {
    /// The predecessor's position, not in the zone. The same as `upto`: the whole ring.
    pub after: Position,
    /// The node's own position.
    pub upto: Position,
}

impl Zone {
    /// True when `key` lies in it.
    #[must_use]
    pub const fn contains(self, key: Position) -> bool {
        let (width, way) = (self.after.way_to(self.upto), self.after.way_to(key));
        width == 0 || (way != 0 && way <= width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_open_at_their_beginning_and_wrap() {
        let zone = |after, upto| Zone { after: Position(after), upto: Position(upto) };
        let holds = |zone: Zone, key| zone.contains(Position(key));
        assert!(!holds(zone(10, 20), 10) && holds(zone(10, 20), 11) && holds(zone(10, 20), 20));
        assert!(!holds(zone(10, 20), 21) && !holds(zone(10, 20), 0));
        let wrapped = zone(u128::MAX - 5, 5);
        assert!(holds(wrapped, u128::MAX) && holds(wrapped, 0) && holds(wrapped, 5));
        assert!(!holds(wrapped, 6) && !holds(wrapped, u128::MAX - 5));
        assert!(holds(zone(7, 7), 7) && holds(zone(7, 7), 8), "alone on the ring");
    }

    #[test]
    fn digits_are_those_of_the_hexadecimal_name() {
        let position = Position(0x65a1_fc00_0000_0000_0000_0000_0000_000e);
        let digits: Vec<usize> = (0..DIGITS).map(|row| position.digit(row)).collect();
        assert_eq!(digits[..6], [6, 5, 0xa, 1, 0xf, 0xc]);
        assert_eq!(digits[31], 0xe);
        let other = Position(0x65a2 << 112);
        assert_eq!(position.shared_digits(other), 3);
        assert_eq!(position.shared_digits(position), DIGITS);
    }
}

//! What stands between a node and those who want to talk to it, as far as the node can tell: the kinds of address
//! translators (RFC 4787: how they map and whom they let in), and which two of them can be brought together.
//!
//! A translator that maps by destination cannot be met at the address that others see. Who has such a one can still speak
//! first, to those who let strangers in.

use serde::{Deserialize, Serialize};

/// How a node can be reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Reach {
    /// Not known: too few others have said where they see it.
    #[default]
    Unknown,
    /// It is seen where it listens.
    Direct,
    /// Behind a translator that lets anybody in.
    FullCone,
    /// Behind a translator that lets in those to whom something has gone out, as far as is known.
    Restricted,
    /// Behind a translator that gives it another address for everyone it talks to.
    Symmetric,
}

impl Reach {
    /// Two such nodes can be brought to talk: one of them can speak first, or both at once.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        let closed = |reach| matches!(reach, Self::Symmetric | Self::Restricted);
        !(self == Self::Symmetric && closed(other) || other == Self::Symmetric && closed(self))
    }

    /// A word for people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Direct => "direct",
            Self::FullCone => "full cone",
            Self::Restricted => "restricted",
            Self::Symmetric => "symmetric",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_maps_by_destination_misses_those_who_let_no_stranger_in() {
        use Reach::{Direct, FullCone, Restricted, Symmetric, Unknown};
        let all = [Unknown, Direct, FullCone, Restricted, Symmetric];
        for one in all {
            for other in all {
                let apart =
                    matches!((one, other), (Symmetric, Symmetric | Restricted) | (Restricted, Symmetric));
                assert_eq!(one.meets(other), !apart, "{} and {}", one.name(), other.name());
            }
        }
    }
}

//! The names of objectives and algorithms, as a user writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a plan makes small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// The largest latency from the root to a member: one source and an audience.
    Height,
    /// The largest latency between any two members: one shared tree for all.
    Diameter,
    /// A tree per source.
    Forest,
}

impl Objective {
    /// All of them, in the order in which they are listed to a user.
    pub const ALL: &[Self] = &[Self::Height, Self::Diameter, Self::Forest];

    /// The name that a user writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Height => "height",
            Self::Diameter => "diameter",
            Self::Forest => "forest",
        }
    }
}

/// How a plan is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// Table A without its dashed box: members only.
    #[serde(rename = "amcast")]
    Amcast,
    /// The same, adjusted by the seed's moves a, b and c.
    #[serde(rename = "amcast+adjust")]
    AmcastAdjust,
    /// Table A with Section A and the criterion of Table B: members and helpers.
    #[serde(rename = "critical")]
    Critical,
    /// The same, adjusted.
    #[serde(rename = "critical+adjust")]
    CriticalAdjust,
    /// Table A with the first variation of Section A, the helper closest to the parent, adjusted.
    #[serde(rename = "closest+adjust")]
    ClosestAdjust,
    /// The planner's own: annealing from the best of those.
    #[serde(rename = "best")]
    Best,
    /// A star: the root sends to everybody itself, whatever its degree.
    #[serde(rename = "unicast")]
    Unicast,
    /// A random tree.
    #[serde(rename = "random")]
    Random,
    /// Shi and Turner's compact tree.
    #[serde(rename = "compact")]
    Compact,
    /// Narada: a reverse path tree over a mesh.
    #[serde(rename = "narada")]
    Narada,
    /// Narada's successor for conferences: wide routes before short ones.
    #[serde(rename = "esm")]
    Esm,
    /// Overcast: down the tree as long as that costs no bandwidth.
    #[serde(rename = "overcast")]
    Overcast,
    /// Scribe: a reverse path tree over prefix routing.
    #[serde(rename = "scribe")]
    Scribe,
    /// SplitStream: two stripes, no member interior in both trees.
    #[serde(rename = "splitstream")]
    Splitstream,
    /// The optimum of small problems.
    #[serde(rename = "exact")]
    Exact,
}

impl Algorithm {
    /// All of them, in the order in which they are listed to a user.
    pub const ALL: &[Self] = &[
        Self::Unicast,
        Self::Random,
        Self::Compact,
        Self::Narada,
        Self::Esm,
        Self::Overcast,
        Self::Scribe,
        Self::Splitstream,
        Self::Amcast,
        Self::AmcastAdjust,
        Self::Critical,
        Self::CriticalAdjust,
        Self::ClosestAdjust,
        Self::Exact,
        Self::Best,
    ];

    /// Whether a plan may give a node more links than it can carry; `degree_excess` says by how many it does.
    pub fn may_exceed_degrees(self) -> bool {
        matches!(self, Self::Unicast | Self::Scribe | Self::Splitstream)
    }

    /// The name that a user writes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amcast => "amcast",
            Self::AmcastAdjust => "amcast+adjust",
            Self::Critical => "critical",
            Self::CriticalAdjust => "critical+adjust",
            Self::ClosestAdjust => "closest+adjust",
            Self::Best => "best",
            Self::Unicast => "unicast",
            Self::Random => "random",
            Self::Compact => "compact",
            Self::Narada => "narada",
            Self::Esm => "esm",
            Self::Overcast => "overcast",
            Self::Scribe => "scribe",
            Self::Splitstream => "splitstream",
            Self::Exact => "exact",
        }
    }
}

/// A name that stands for nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{given}' is none of {known}")]
pub struct UnknownName {
    /// What was written.
    pub given: String,
    /// What could have been, separated by commas.
    pub known: String,
}

macro_rules! named {
    ($type:ty) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(given: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|known| known.name() == given).ok_or_else(|| UnknownName {
                    given: given.to_owned(),
                    known: Self::ALL.iter().map(|known| known.name()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

named!(Objective);
named!(Algorithm);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for &algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        for &objective in Objective::ALL {
            assert_eq!(objective.to_string().parse(), Ok(objective));
        }
        let error = "width".parse::<Objective>().unwrap_err();
        assert_eq!(error.to_string(), "'width' is none of height, diameter, forest");
    }
}

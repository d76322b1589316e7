//! Who takes part, and how many links each may carry, so that any tree at all needs a helper and a relaying member.
//!
//! A tree over n nodes has n - 1 links, and each link takes a degree at both of its ends. The five members' degrees
//! sum up to 7, and a tree over them alone takes 8: there is none without a helper. A helper of degree 3 brings one
//! more than its own link takes, so one of them is just enough, and the other can stand in for it. And helpers alone
//! cannot hold the five apart: one has room for three, two for four, and the third, of degree 2, for none besides; so
//! another member hangs below ben or chi, whatever the latencies are.

use alm_planner::Degree;

/// Somebody with a voice and ears.
pub(super) struct Speaker {
    pub(super) name: &'static str,
    /// A WAV file.
    pub(super) voice: &'static [u8],
    pub(super) degree: Degree,
}

/// A machine that is lent.
pub(super) struct Helper {
    pub(super) name: &'static str,
    pub(super) degree: Degree,
}

macro_rules! speaker {
    ($name:literal, $degree:literal) => {
        Speaker {
            name: $name,
            voice: include_bytes!(concat!("../../../fixtures/voices/", $name, ".wav")),
            degree: Degree($degree),
        }
    };
}

/// The host first.
pub(super) static SPEAKERS: [Speaker; 5] =
    [speaker!("ada", 1), speaker!("ben", 2), speaker!("chi", 2), speaker!("dee", 1), speaker!("eli", 1)];

/// The first is where the others start from.
pub(super) static HELPERS: [Helper; 3] = [
    Helper { name: "helper-1", degree: Degree(3) },
    Helper { name: "helper-2", degree: Degree(3) },
    Helper { name: "helper-3", degree: Degree(2) },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sum<'a>(degrees: impl Iterator<Item = &'a Degree>) -> u32 {
        degrees.map(|degree| degree.0).sum()
    }

    #[test]
    fn no_tree_goes_without_a_helper_or_a_relaying_member() {
        let members = sum(SPEAKERS.iter().map(|speaker| &speaker.degree));
        assert!(members < 2 * (SPEAKERS.len() as u32 - 1), "the members alone make no tree");
        for chosen in 1_u32..1 << HELPERS.len() {
            let helpers: Vec<&Degree> =
                (0..HELPERS.len()).filter(|i| chosen >> i & 1 == 1).map(|i| &HELPERS[i].degree).collect();
            let links_between = 2 * (helpers.len() as u32 - 1);
            let room = sum(helpers.into_iter()) - links_between;
            assert!(room < SPEAKERS.len() as u32, "helpers alone hold no five members apart: {chosen:b}");
        }
        for spare in &HELPERS[..2] {
            let nodes = SPEAKERS.len() as u32 + 1;
            assert!(members + spare.degree.0 >= 2 * (nodes - 1), "one of them is enough");
        }
    }
}

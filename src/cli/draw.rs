//! Who takes part: lists, counts to draw, and draws that depend on the seed alone.
//!
//! Each kind of draw has a generator of its own, so that other members do not mean other degrees.

use std::path::PathBuf;
use std::str::FromStr;

use alm_planner::NodeIndex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Which nodes: `1,5,9`, `random:20`, and for helpers `all` and `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    All,
    None,
    Random(usize),
    Listed(Vec<NodeIndex>),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::All),
            "none" => return Ok(Self::None),
            _ => {}
        }
        if let Some(count) = text.strip_prefix("random:") {
            let count = count.parse().ok().filter(|count| *count > 0);
            return count
                .map(Self::Random)
                .ok_or_else(|| "random: takes a count, such as random:20".to_owned());
        }
        let listed: Result<Vec<_>, _> = text.split(',').map(|node| node.trim().parse()).collect();
        listed.map(Self::Listed).map_err(|_| "list nodes as 1,5,9 or draw them as random:20".to_owned())
    }
}

/// Members are listed or drawn.
pub(super) fn members(text: &str) -> Result<Choice, String> {
    match text.parse()? {
        Choice::All | Choice::None => Err("list members as 1,5,9 or draw them as random:20".to_owned()),
        choice => Ok(choice),
    }
}

/// Where degrees come from: `uniform:4`, `paper`, or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Degrees {
    Uniform(u32),
    Paper,
    File(PathBuf),
}

impl FromStr for Degrees {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "paper" {
            return Ok(Self::Paper);
        }
        match text.strip_prefix("uniform:") {
            Some(degree) => degree
                .parse()
                .map(Self::Uniform)
                .map_err(|_| "uniform: takes a number of links, such as uniform:4".to_owned()),
            None => Ok(Self::File(text.into())),
        }
    }
}

/// What a draw is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Members = 1,
    Helpers = 2,
    Degrees = 3,
    Nats = 4,
}

/// The generator for one purpose; the same seed gives the same draws.
pub(super) fn generator(seed: u64, purpose: Purpose) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = purpose as u8;
    StdRng::from_seed(bytes)
}

/// `count` of `nodes` in random order; `None` if there are not as many.
pub(super) fn draw(mut nodes: Vec<NodeIndex>, count: usize, rng: &mut StdRng) -> Option<Vec<NodeIndex>> {
    if count > nodes.len() {
        return None;
    }
    nodes.shuffle(rng);
    nodes.truncate(count);
    Some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_and_degrees_read_back() {
        assert_eq!("1, 5,9".parse(), Ok(Choice::Listed(vec![1, 5, 9])));
        assert_eq!(members("random:20"), Ok(Choice::Random(20)));
        assert_eq!("none".parse(), Ok(Choice::None));
        assert!(members("all").is_err());
        for bad in ["", "1,,2", "random:", "random:0", "random:-1", "x", "-3"] {
            assert!(bad.parse::<Choice>().is_err(), "{bad}");
        }
        assert_eq!("uniform:4".parse(), Ok(Degrees::Uniform(4)));
        assert!("uniform:x".parse::<Degrees>().is_err());
        assert_eq!("d.txt".parse(), Ok(Degrees::File("d.txt".into())));
    }

    #[test]
    fn draws_depend_on_seed_and_purpose_alone() {
        let drawn = |seed, purpose| draw((0..100).collect(), 10, &mut generator(seed, purpose)).unwrap();
        assert_eq!(drawn(1, Purpose::Members), drawn(1, Purpose::Members));
        assert_ne!(drawn(1, Purpose::Members), drawn(1, Purpose::Helpers));
        assert_ne!(drawn(1, Purpose::Members), drawn(2, Purpose::Members));
        assert_eq!(draw(vec![1], 2, &mut generator(1, Purpose::Members)), None);
    }
}

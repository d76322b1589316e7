//! What an installed plan says of its nodes: who relays for how many, and how long the ways are.

use std::collections::BTreeMap;

use crate::event::{Plan, Tree};

/// From each source to each other node of its tree: how far it is there, and over whom.
fn ways<'a>(tree: &'a Tree, source: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (a, b) in &tree.edges {
        next.entry(a).or_default().push(b);
        next.entry(b).or_default().push(a);
    }
    // (node, whom it has it from), whoever is nearer first.
    let mut found = vec![(source, source)];
    let mut at = 0;
    while let Some(&(node, from)) = found.get(at) {
        at += 1;
        let on = next.get(node).into_iter().flatten().filter(|to| **to != from);
        found.extend(on.map(|to| (*to, node)));
    }
    found
}

/// How many hear how many of those who talk by way of each node that relays.
pub(super) fn dependants(plan: &Plan, talks: impl Fn(&str) -> bool) -> BTreeMap<String, usize> {
    let mut depend: BTreeMap<String, usize> = BTreeMap::new();
    for tree in &plan.trees {
        for source in tree.sources.iter().filter(|source| talks(source)) {
            let ways = ways(tree, source);
            let mut below: BTreeMap<&str, usize> = BTreeMap::new();
            for (node, from) in ways.iter().skip(1).rev() {
                let under = below.get(node).copied().unwrap_or(0);
                let heard = usize::from(!plan.helpers.iter().any(|helper| helper == node));
                *below.entry(from).or_default() += under + heard;
                if under > 0 {
                    *depend.entry((*node).to_owned()).or_default() += under;
                }
            }
        }
    }
    depend
}

/// The link by which most hear most of those who talk: from, to.
pub(super) fn busiest_link(plan: &Plan, talks: impl Fn(&str) -> bool) -> Option<(String, String)> {
    let mut heard: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for tree in &plan.trees {
        for source in tree.sources.iter().filter(|source| talks(source)) {
            let mut below: BTreeMap<&str, usize> = BTreeMap::new();
            for (node, from) in ways(tree, source).iter().skip(1).rev() {
                let is_helper = plan.helpers.iter().any(|helper| helper == node);
                let under = below.get(node).copied().unwrap_or(0) + usize::from(!is_helper);
                *below.entry(from).or_default() += under;
                *heard.entry((from, node)).or_default() += under;
            }
        }
    }
    // The last of equals is taken: from the end, that is the first by name.
    let most = heard.into_iter().rev().max_by_key(|(_, count)| *count);
    most.map(|((from, to), _)| (from.to_owned(), to.to_owned()))
}

/// The node that most would turn to if `dead` were.
pub(super) fn backup_of(plan: &Plan, dead: &str) -> Option<String> {
    let mut turned: BTreeMap<&str, usize> = BTreeMap::new();
    for tree in &plan.trees {
        let orphans = tree.edges.iter().filter(|(parent, _)| parent == dead).map(|(_, child)| child);
        for orphan in orphans {
            let named = tree.backups.iter().filter(|(child, _)| child == orphan);
            named.for_each(|(_, backup)| *turned.entry(backup).or_default() += 1);
        }
    }
    let most = turned.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(backup, _)| backup.to_owned())
}

/// The longest way from a source to a member and the mean one, by what `one_way_ms` says of each link.
pub(super) fn lengths_ms(plan: &Plan, one_way_ms: impl Fn(&str, &str) -> f64) -> (f64, f64) {
    let (mut worst, mut sum, mut pairs) = (0.0_f64, 0.0, 0_u32);
    let mut shortest: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for tree in &plan.trees {
        for source in &tree.sources {
            let mut far: BTreeMap<&str, f64> = BTreeMap::from([(source.as_str(), 0.0)]);
            for (node, from) in ways(tree, source).into_iter().skip(1) {
                let ms = far[from] + one_way_ms(from, node);
                far.insert(node, ms);
                if !plan.helpers.iter().any(|helper| helper == node) {
                    let known = shortest.entry((source, node)).or_insert(ms);
                    *known = known.min(ms);
                }
            }
        }
    }
    for ms in shortest.into_values() {
        worst = worst.max(ms);
        sum += ms;
        pairs += 1;
    }
    (worst, sum / f64::from(pairs.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_relays_for_whom_and_how_far() {
        let edge = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
        let tree = |source: &str, edges: &[(&str, &str)], backups: &[(&str, &str)]| Tree {
            sources: vec![source.to_owned()],
            edges: edges.iter().copied().map(edge).collect(),
            backup: None,
            backups: backups.iter().copied().map(edge).collect(),
        };
        let plan = Plan {
            protected: false,
            epoch: 1,
            objective: "forest".into(),
            root: "a".into(),
            trees: vec![
                tree("a", &[("a", "h"), ("h", "b"), ("h", "c")], &[("b", "c"), ("c", "a")]),
                tree("b", &[("b", "a"), ("a", "c")], &[]),
                tree("c", &[("c", "a"), ("c", "b")], &[]),
            ],
            helpers: vec!["h".into()],
            worst_ms: 0.0,
            height_ms: 0.0,
            diameter_ms: 0.0,
            estimated: false,
            planned_us: 0,
            probes: 0,
            reason: String::new(),
        };
        assert_eq!(dependants(&plan, |_| true), BTreeMap::from([("h".into(), 2), ("a".into(), 1)]));
        assert_eq!(busiest_link(&plan, |_| true), Some(("a".into(), "h".into())));
        assert_eq!(busiest_link(&plan, |talker| talker == "b"), Some(("b".into(), "a".into())));
        assert_eq!(backup_of(&plan, "h").as_deref(), Some("c"));
        assert_eq!(lengths_ms(&plan, |_, _| 10.0), (20.0, 15.0));
    }
}

//! What the processes have told of themselves so far: the `--json` events, as far as the demo goes by them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tokio::time::Instant;

use super::cast::{HELPERS, SPEAKERS};

/// An event line.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Told {
    Ready {
        node: String,
        listen: Vec<String>,
    },
    Session {
        id: String,
    },
    Pool {
        size: usize,
    },
    Tree(Plan),
    Media(Media),
    Link(Link),
    Error {
        message: String,
    },
    #[serde(other)]
    Other,
}

/// An installed plan.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Plan {
    pub(super) epoch: u64,
    pub(super) root: String,
    pub(super) trees: Vec<Tree>,
    pub(super) helpers: Vec<String>,
    #[serde(default)]
    pub(super) worst_ms: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tree {
    pub(super) sources: Vec<String>,
    pub(super) edges: Vec<(String, String)>,
}

/// What is heard of one source.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Media {
    pub(super) source: String,
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) jitter_ms: f64,
    pub(super) buffer_ms: f64,
    pub(super) hops: u32,
    pub(super) path_ms: Option<f64>,
}

/// What goes over one tree link.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Link {
    pub(super) peer: String,
    pub(super) rtt_ms: Option<f64>,
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// One process.
#[derive(Debug, Default)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) node: String,
    pub(super) listen: Vec<String>,
    pub(super) session: Option<String>,
    /// When it was in the session, and its recording began.
    pub(super) since: Option<Instant>,
    pub(super) pool_size: usize,
    pub(super) plan: Option<Plan>,
    /// By source.
    pub(super) media: BTreeMap<String, Media>,
    /// Sources of which something has come since the event before.
    pub(super) hears: BTreeSet<String>,
    /// By peer.
    pub(super) links: BTreeMap<String, Link>,
    /// The last thing that went wrong.
    pub(super) trouble: Option<String>,
}

/// All processes: the speakers, the host first, and then the helpers.
#[derive(Debug)]
pub(super) struct View {
    pub(super) people: Vec<Person>,
}

/// Where the host is in [`View::people`].
pub(super) const HOST: usize = 0;
/// Where the first helper is.
pub(super) const FIRST_HELPER: usize = 5;

impl View {
    pub(super) fn new() -> Self {
        let names =
            SPEAKERS.iter().map(|speaker| speaker.name).chain(HELPERS.iter().map(|helper| helper.name));
        Self { people: names.map(|name| Person { name, ..Person::default() }).collect() }
    }

    pub(super) fn speakers(&self) -> &[Person] {
        &self.people[..FIRST_HELPER]
    }

    pub(super) fn helpers(&self) -> &[Person] {
        &self.people[FIRST_HELPER..]
    }

    pub(super) fn host(&self) -> &Person {
        &self.people[HOST]
    }

    /// The plan as the host knows it, who makes it.
    pub(super) fn plan(&self) -> Option<&Plan> {
        self.host().plan.as_ref()
    }

    /// What a node is called here.
    pub(super) fn name<'a>(&self, node: &'a str) -> &'a str {
        let known = self.people.iter().find(|person| person.node == node).map(|person| person.name);
        known.unwrap_or_else(|| node.get(..8).unwrap_or(node))
    }

    /// All speakers go by one plan, which has all of them in it.
    pub(super) fn is_complete(&self) -> bool {
        let Some(plan) = self.plan() else { return false };
        let in_it = |node: &String| plan.trees.iter().any(|tree| tree.sources.contains(node));
        self.speakers().iter().all(|person| {
            person.plan.as_ref().is_some_and(|own| own.epoch == plan.epoch) && in_it(&person.node)
        })
    }

    /// Speakers who hear all others.
    pub(super) fn hear_all(&self) -> usize {
        self.speakers().iter().filter(|person| person.hears.len() + 1 == FIRST_HELPER).count()
    }

    /// Takes up what person `who` told at `now`.
    pub(super) fn on_told(&mut self, who: usize, told: Told, now: Instant) {
        let person = &mut self.people[who];
        match told {
            Told::Ready { node, listen } => (person.node, person.listen) = (node, listen),
            Told::Session { id } => (person.session, person.since) = (Some(id), Some(now)),
            Told::Pool { size } => person.pool_size = size,
            Told::Tree(plan) => person.plan = Some(plan),
            Told::Media(media) => {
                let before = person.media.get(&media.source).map_or(0, |before| before.packets);
                if media.packets > before {
                    person.hears.insert(media.source.clone());
                } else {
                    person.hears.remove(&media.source);
                }
                person.media.insert(media.source.clone(), media);
            }
            Told::Link(link) => drop(person.links.insert(link.peer.clone(), link)),
            Told::Error { message } => person.trouble = Some(message),
            Told::Other => {}
        }
    }
}

impl Plan {
    /// Nodes that send on what others say.
    pub(super) fn relays(&self) -> BTreeSet<&str> {
        let sent = self.trees.iter().flat_map(|tree| tree.edges.iter().map(move |edge| (tree, edge)));
        let on = sent.filter(|(tree, (parent, _))| tree.sources != [parent.as_str()]);
        on.map(|(_, (parent, _))| parent.as_str()).collect()
    }

    /// Of a forest's trees, the one with the longest way; the first of equals.
    pub(super) fn deepest(&self) -> Option<&Tree> {
        self.trees.iter().rev().max_by_key(|tree| tree.hops_max())
    }

    /// The nodes at the other ends of a node's links.
    pub(super) fn peers(&self, node: &str) -> BTreeSet<&str> {
        let edges = self.trees.iter().flat_map(|tree| &tree.edges);
        edges
            .flat_map(|(one, other)| [(one, other), (other, one)])
            .filter(|(end, _)| *end == node)
            .map(|(_, peer)| peer.as_str())
            .collect()
    }
}

impl Tree {
    /// Links on the longest way from a source.
    pub(super) fn hops_max(&self) -> usize {
        self.sources.iter().map(|source| self.hops_from(source)).max().unwrap_or(0)
    }

    fn hops_from(&self, source: &str) -> usize {
        let mut hops = BTreeMap::from([(source, 0)]);
        let mut open = vec![source];
        while let Some(at) = open.pop() {
            for (one, other) in &self.edges {
                for (here, next) in [(one, other), (other, one)] {
                    if here == at && !hops.contains_key(next.as_str()) {
                        hops.insert(next, hops[at] + 1);
                        open.push(next);
                    }
                }
            }
        }
        // No helper is the last on its way.
        hops.into_values().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood_and_new_ones_passed_over() {
        let tree = r#"{"event":"tree","t":1.5,"epoch":3,"objective":"diameter","root":"a",
            "trees":[{"sources":["a","b"],"edges":[["a","h"],["h","b"]]}],"helpers":["h"],"worst_ms":1.0}"#;
        let Ok(Told::Tree(plan)) = serde_json::from_str(tree) else { panic!("a tree") };
        assert_eq!((plan.epoch, plan.trees[0].hops_max()), (3, 2));
        assert_eq!(plan.relays(), BTreeSet::from(["a", "h"]));
        let forest = r#"{"event":"tree","epoch":4,"root":"a","helpers":[],"worst_ms":3.5,
            "trees":[{"sources":["a"],"edges":[["a","b"],["a","c"]]},{"sources":["b"],"edges":[["b","a"],["a","c"]]},
                     {"sources":["c"],"edges":[["c","a"],["c","b"]]}]}"#;
        let Ok(Told::Tree(plan)) = serde_json::from_str(forest) else { panic!("a forest") };
        assert_eq!(plan.relays(), BTreeSet::from(["a"]), "who sends only its own voice relays nothing");
        assert_eq!(plan.deepest().unwrap().sources, ["b"]);
        assert!(matches!(serde_json::from_str(r#"{"event":"aurora","t":1,"glow":2}"#), Ok(Told::Other)));
    }

    #[test]
    fn a_voice_that_falls_silent_is_not_heard_any_more() {
        let media = |packets| {
            let (lost, hops, path_ms) = (0, 1, None);
            let source = "b".to_owned();
            Told::Media(Media { source, packets, lost, jitter_ms: 0.0, buffer_ms: 0.0, hops, path_ms })
        };
        let (mut view, now) = (View::new(), Instant::now());
        view.on_told(HOST, media(50), now);
        assert_eq!(view.host().hears.len(), 1);
        view.on_told(HOST, media(50), now);
        assert!(view.host().hears.is_empty());
    }
}

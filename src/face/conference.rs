//! A conference as its events tell it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;

use super::sentence::sentence;
use crate::event::{Event, Link, Media, Plan};

/// Who is in, what carries the voices, and how it goes, as far as this node knows.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Conference {
    /// This node.
    pub node: String,
    /// Where it can be dialled.
    pub listen: Vec<String>,
    /// The session, once it is in one.
    pub session: Option<SessionView>,
    /// What opens the local page. It is as good as a key, and stays on this terminal.
    #[serde(skip)]
    pub page: Option<String>,
    /// Links that guests come by, by the name that each goes by.
    pub guests: BTreeMap<String, String>,
    /// What their browsers are to show of the certificate that they warn of, SHA-256; none for one that was given.
    pub fingerprint: Option<String>,
    /// Words for people to compare: the same at every member, and at nobody who sits between.
    pub phrase: Option<String>,
    /// Nothing of the own voice goes out.
    pub muted: bool,
    /// Nobody new is let in.
    pub locked: bool,
    /// Nobody but the host is heard.
    pub quiet: bool,
    /// Who is in, this node included: what each calls itself.
    pub members: BTreeMap<String, String>,
    /// Who of them keeps what is said.
    pub recorders: BTreeSet<String>,
    /// What carries the media.
    pub plan: Option<Plan>,
    /// What is heard, by source.
    pub media: BTreeMap<String, Media>,
    /// Sources of which something came in the last second.
    pub heard: Vec<String>,
    /// How loud the own microphone is, decibels relative to full scale.
    pub input_db: Option<f64>,
    /// How loud the others are.
    pub levels_db: BTreeMap<String, f64>,
    /// How loud they are played here, percent, where not as they are.
    pub volumes: BTreeMap<String, u16>,
    /// The tree links in use, by peer.
    pub links: BTreeMap<String, Link>,
    /// How often sound has come to a gap at the microphone and at the loudspeaker.
    pub device_gaps: (u64, u64),
    /// The pool from here.
    pub pool: Option<PoolView>,
    /// What was written, and by whom, the newest last.
    pub chat: VecDeque<(String, String)>,
    /// Where this node and others of the plan are in the space of latencies, as far as they say.
    pub places: BTreeMap<String, Vec<f64>>,
    /// What happened, in words, the newest last.
    pub news: VecDeque<String>,
    /// How much of it there has been, what is forgotten included.
    #[serde(skip)]
    pub told: u64,
}

/// Of a session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SessionView {
    /// The word that others join with.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// `host` or `member`.
    pub role: &'static str,
}

/// Of the pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PoolView {
    /// Nodes, this one included.
    pub size: usize,
    /// The node whose view this is.
    pub root: String,
    /// How old the view is.
    pub age_ms: u64,
}

impl Conference {
    /// Takes up what has happened.
    pub fn apply(&mut self, event: &Event) {
        // The id and the page's link stand where they can be copied from; they are no news.
        if !matches!(
            event,
            Event::Session { .. }
                | Event::Ready { .. }
                | Event::Page { .. }
                | Event::Guest { link: Some(_), .. }
        ) && let Some(news) = sentence(self, event)
        {
            self.news.push_back(news);
            self.told += 1;
            if self.news.len() > NEWS_MAX {
                self.news.pop_front();
            }
        }
        match event {
            Event::Ready { node, listen, .. } => (self.node, self.listen) = (node.clone(), listen.clone()),
            Event::Session { id, name, role } => {
                self.session = Some(SessionView { id: id.clone(), name: name.clone(), role });
            }
            Event::MemberJoined { node, name, records } => {
                self.members.insert(node.clone(), name.clone());
                if *records {
                    self.recorders.insert(node.clone());
                }
            }
            Event::MemberLeft { node, .. } => {
                self.members.remove(node);
                self.recorders.remove(node);
                self.media.remove(node);
                self.levels_db.remove(node);
                self.heard.retain(|source| source != node);
            }
            Event::Tree(plan) => self.on_plan(plan),
            Event::Media(media) => self.on_media(media),
            Event::Link(link) => {
                self.links.insert(link.peer.clone(), link.clone());
            }
            Event::Levels { input_db, voices } => {
                self.input_db = Some(*input_db);
                self.levels_db.clone_from(voices);
            }
            Event::Device { input_gaps, output_gaps } => self.device_gaps = (*input_gaps, *output_gaps),
            Event::Volume { node, percent } => {
                self.volumes.insert(node.clone(), *percent);
            }
            Event::Chat { node, text, .. } => {
                self.chat.push_back((node.clone(), text.clone()));
                if self.chat.len() > NEWS_MAX {
                    self.chat.pop_front();
                }
            }
            Event::Phrase { words } => self.phrase = Some(words.clone()),
            Event::Rules { locked, quiet } => (self.locked, self.quiet) = (*locked, *quiet),
            Event::Voice { muted } => self.muted = *muted,
            Event::Pool { size, root, age_ms } => {
                self.pool = Some(PoolView { size: *size, root: root.clone(), age_ms: *age_ms });
            }
            Event::Error { .. }
            | Event::Repair { .. }
            | Event::Detour { .. }
            | Event::FalseAlarm { .. }
            | Event::Gap { .. } => {}
            Event::Guest { name, link: Some(link), fingerprint } => {
                self.guests.insert(name.clone(), link.clone());
                self.fingerprint.clone_from(fingerprint);
            }
            Event::Guest { name, link: None, .. } => drop(self.guests.remove(name)),
            Event::Page { link } => self.page = Some(link.clone()),
            Event::Left { .. } => self.session = None,
            Event::Coordinate { position, .. } => {
                self.places.insert(self.node.clone(), position.clone());
            }
            Event::Place { node, position } => {
                self.places.insert(node.clone(), position.clone());
            }
        }
    }

    /// What a node calls itself, or the beginning of its id: a helper has no name.
    #[must_use]
    pub fn name<'a>(&'a self, node: &'a str) -> &'a str {
        self.members.get(node).map_or_else(|| node.get(..SHORT_ID).unwrap_or(node), String::as_str)
    }

    /// Who is in and what they call themselves: this node first, the others by name.
    #[must_use]
    pub fn people(&self) -> Vec<(&str, &str)> {
        let mut people: Vec<(&str, &str)> =
            self.members.iter().map(|(node, name)| (node.as_str(), name.as_str())).collect();
        people.sort_by_key(|&(node, name)| (node != self.node, name.to_lowercase(), node));
        people
    }

    fn on_plan(&mut self, plan: &Plan) {
        let ends: BTreeSet<&String> =
            plan.trees.iter().flat_map(|tree| &tree.edges).flat_map(|(a, b)| [a, b]).collect();
        self.links.retain(|peer, _| ends.contains(peer));
        self.places.retain(|node, _| *node == self.node || ends.contains(node));
        self.plan = Some(plan.clone());
    }

    fn on_media(&mut self, media: &Media) {
        let before = self.media.get(&media.source).map_or(0, |before| before.packets);
        self.heard.retain(|source| *source != media.source);
        if media.packets > before {
            self.heard.push(media.source.clone());
        }
        self.media.insert(media.source.clone(), media.clone());
    }
}

/// Sentences kept: more than a screen.
const NEWS_MAX: usize = 100;
/// Characters of an id that people can tell apart.
const SHORT_ID: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Departure;

    fn media(source: &str, packets: u64) -> Event {
        let (source, path_ms) = (source.to_owned(), None);
        let (lost, recovered, repaired, late, duplicates, hops) = (0, 0, 0, 0, 0, 1);
        let (forged, unknown_key, confirmed, contradicted, standing) = (0, 0, 0, 0, "confirmed");
        let (concealed_ms, buffer_ms, jitter_ms) = (0.0, 0.0, 0.0);
        Event::Media(Media {
            source,
            packets,
            lost,
            recovered,
            repaired,
            concealed_ms,
            late,
            duplicates,
            forged,
            unknown_key,
            confirmed,
            contradicted,
            standing,
            buffer_ms,
            jitter_ms,
            hops,
            path_ms,
        })
    }

    #[test]
    fn who_leaves_is_forgotten_and_who_falls_silent_is_not_heard() {
        let mut conference = Conference::default();
        let joined = |node: &str| {
            let (name, records) = (node.to_uppercase(), node == "b");
            Event::MemberJoined { node: node.into(), name, records }
        };
        for event in [joined("a"), joined("b"), media("a", 50), media("b", 50), media("a", 50)] {
            conference.apply(&event);
        }
        assert_eq!(conference.heard, ["b"]);
        assert_eq!(conference.name("a"), "A");
        assert!(conference.recorders.contains("b") && conference.recorders.len() == 1);
        conference.apply(&Event::MemberLeft { node: "b".into(), reason: Departure::Left });
        assert!(conference.heard.is_empty() && !conference.media.contains_key("b"));
        assert!(conference.recorders.is_empty());
        assert_eq!(conference.name("0123456789"), "01234567", "a helper goes by its id");
    }

    #[test]
    fn news_is_bounded() {
        let mut conference = Conference::default();
        for i in 0..200 {
            conference.apply(&Event::Error { message: i.to_string() });
        }
        assert_eq!((conference.news.len(), conference.told), (NEWS_MAX, 200));
        assert_eq!(conference.news.back().unwrap(), "trouble: 199");
    }
}

//! What is written here goes to every member, and what members write comes here. In a large session, whose members are not
//! all connected to each other, the task manager passes it on, sealed as it came.

use std::time::{Duration, Instant};

use super::{Node, Notice, Role};
use crate::identity::NodeId;
use crate::session::{Event, Line, SessionMessage, open_chat, seal_chat};

/// How long after somebody has come, or come back, what was written meanwhile is shown: it has the group's keys by then, and what
/// was sealed by those before it, or sent before there was a link, did not reach it.
const AGAIN_DELAY: Duration = Duration::from_secs(1);

impl Node {
    pub(super) fn say(&mut self, text: &str, sent_ms: u64) {
        let Some(session) = self.own_session() else { return };
        let Some(line) = self.chat.say(&self.identity, session, text, sent_ms) else { return };
        for member in self.readers(self.me) {
            self.send_lines(member, std::slice::from_ref(&line));
        }
        self.notices.push_back(Notice::Session(Event::Said(line)));
    }

    pub(super) fn on_chat(&mut self, from: NodeId, sealed: &[u8]) {
        let (Some(session), Some(keys)) = (self.own_session(), self.keyring.keys()) else { return };
        let Some(roster) = self.roster().filter(|roster| roster.by_node(from).is_some()).cloned() else {
            return;
        };
        let lines = open_chat(sealed, &keys).unwrap_or_default();
        if matches!(self.role, Role::Host(_)) && !roster.is_mesh() && !lines.is_empty() {
            for member in self.readers(from) {
                self.send(member, SessionMessage::Chat { session, sealed: sealed.to_vec() });
            }
        }
        let is_known = |node| roster.by_node(node).is_some() || roster.knew(node);
        let news = self.chat.take(lines, session, is_known);
        self.notices.extend(news.into_iter().map(|line| Notice::Session(Event::Said(line))));
    }

    /// Whom this node sends what it has written itself, or from another.
    fn readers(&self, from: NodeId) -> Vec<NodeId> {
        let Some(roster) = self.roster() else { return vec![] };
        let manager = match &self.role {
            Role::Member(member, _) if !roster.is_mesh() => member.manager(),
            _ => None,
        };
        let all = roster.iter().map(|member| member.node);
        all.filter(|node| *node != self.me && *node != from && manager.is_none_or(|it| it == *node)).collect()
    }

    /// Somebody is in, and is to be shown what is written from now on; or from the beginning, if it was in before.
    pub(super) fn remember_to_show(&mut self, node: NodeId, now: Instant) {
        if node == self.me {
            return;
        }
        let is_back = self.roster().is_some_and(|roster| roster.knew(node));
        let last = if is_back { None } else { self.chat.of(self.me).pop() };
        self.shown_again.insert(node, (now + AGAIN_DELAY, last));
    }

    pub(super) fn show_again(&mut self, now: Instant) {
        let due: Vec<(NodeId, Option<Line>)> = self
            .shown_again
            .extract_if(.., |_, (at, _)| *at <= now)
            .map(|(node, (_, last))| (node, last))
            .collect();
        let lines = if due.is_empty() { vec![] } else { self.chat.of(self.me) };
        for (node, last) in due {
            let known = last.and_then(|last| lines.iter().position(|line| *line == last));
            let news = known.map_or(&lines[..], |at| &lines[at + 1..]);
            if !news.is_empty() {
                self.send_lines(node, news);
            }
        }
    }

    fn send_lines(&mut self, to: NodeId, lines: &[Line]) {
        let (Some(session), Some(keys)) = (self.own_session(), self.keyring.keys()) else { return };
        let sealed = seal_chat(lines, &keys.seal);
        self.send(to, SessionMessage::Chat { session, sealed });
    }
}

//! Questions that only some node of the ring can answer: what SOMO's root knows, and what is kept for a key. Who is on the
//! ring finds that node by a lookup; who looks on, or has not joined yet, asks any node that it is connected to.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::{Event, PoolNode, Standing};
use crate::identity::{NodeId, Position};
use crate::pool::degree::Priority;
use crate::pool::grant::AUTHORITIES_MAX;
use crate::pool::message::{Answer, HELPERS_MAX, NEAR_MAX, PoolMessage, Question};
use crate::pool::peer::Peer;
use crate::pool::records::{self, Record, Reference};
use crate::pool::ring;
use crate::pool::somo::{self, BUCKETS, HelperQuery, Point, Region, Report, SomoConfig};

/// What is being asked, and for whom something is being found out.
#[derive(Debug, Default)]
pub(super) struct Asking {
    asks: Vec<Ask>,
    standing: Option<(Standing, Instant)>,
    stand_at: Option<Instant>,
    /// The record that this node wants.
    wanted: Option<Wanted>,
    /// Records that others want: the ticket, who, and its number.
    fetching: Vec<(u32, NodeId, u32)>,
}

#[derive(Debug)]
struct Ask {
    question: Question,
    /// Who wants to know, and its number; nobody: this node.
    by: Option<(NodeId, u32)>,
    step: Step,
    deadline: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Nobody can be asked yet.
    Open,
    /// The ring is asked, by that number.
    Ring(u32),
    /// A node of the ring has been asked to ask, by that number.
    Node(NodeId, u32),
}

#[derive(Debug)]
struct Wanted {
    key: Position,
    next: Instant,
    ticket: Option<u32>,
}

/// How long an answer may take, connections included.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Questions at once, this node's own, and others'.
const ASKS_MAX: usize = 16;
const INQUIRIES_MAX: usize = 8;
/// A node asks the root how the pool stands this often.
const STAND: Duration = Duration::from_secs(120);
/// And for the first time so long after its start.
const STAND_FIRST: Duration = Duration::from_secs(15);
/// No helper has as many links to give: only the numbers are wanted.
const NO_HELPER: u8 = u8::MAX;
/// Between two tries to fetch a record.
const FETCH_AGAIN: Duration = Duration::from_millis(1_200);
/// Nodes that are asked for it each time.
const FETCHED_FROM: usize = 3;
/// Records that are fetched for others at once.
const FETCHING_MAX: usize = 64;

impl PoolNode {
    // The root.

    /// Asks SOMO's root, which is whoever acts as such; [`Event::Answered`] brings the answer, unless nobody can be found.
    pub fn ask(&mut self, question: Question, now: Instant) {
        let own = self.asking.asks.iter().filter(|ask| ask.by.is_none()).count();
        if own < ASKS_MAX {
            let deadline = now + ANSWER_WITHIN;
            self.asking.asks.push(Ask { question, by: None, step: Step::Open, deadline });
        }
        self.send_asks(now);
    }

    /// The root's point, if it is in the part of the ring that this node sees, or this node itself, if it acts as the root.
    pub(super) fn root_nearby(&self) -> Option<Peer> {
        if self.swarm.is_root() {
            return Some(self.swarm.ring().me());
        }
        self.swarm.ring().successor_nearby(root_key())
    }

    /// Puts the questions that nobody has been asked yet.
    fn send_asks(&mut self, now: Instant) {
        let moment = self.moment(now);
        let on_ring = |node: &NodeId| {
            let hello = self.links.get(*node).and_then(|link| link.hello.as_ref());
            hello.is_some_and(|hello| !hello.observer)
        };
        let any = self.joined().find(on_ring);
        let off_ring = self.is_off_ring();
        let mut messages = Vec::new();
        for ask in self.asking.asks.iter_mut().filter(|ask| ask.step == Step::Open) {
            if !off_ring {
                if let Some(number) = self.swarm.ask(Region::WHOLE, ask.question.for_somo(), moment) {
                    ask.step = Step::Ring(number);
                }
            } else if let (Some(any), None) = (any, ask.by) {
                let request = self.random.random();
                ask.step = Step::Node(any, request);
                messages.push((any, PoolMessage::Ask { request, question: ask.question.clone() }));
            }
        }
        messages.into_iter().for_each(|(to, message)| self.tell(to, message));
        self.drain_swarm(now);
        self.wake = now;
    }

    pub(super) fn on_joined_for_asks(&mut self, node: NodeId, now: Instant) {
        if self.asking.asks.iter().any(|ask| ask.step == Step::Open) {
            self.send_asks(now);
        }
        self.fetch_from(&[node]);
    }

    /// Somebody who is not on the ring asks.
    pub(super) fn on_ask(&mut self, from: NodeId, request: u32, question: Question, now: Instant) {
        let others = self.asking.asks.iter().filter(|ask| ask.by.is_some()).count();
        if self.is_off_ring() || others >= INQUIRIES_MAX {
            return;
        }
        let (by, deadline) = (Some((from, request)), now + ANSWER_WITHIN);
        self.asking.asks.push(Ask { question, by, step: Step::Open, deadline });
        self.send_asks(now);
    }

    /// The ring has been asked, and this is what came of it.
    pub(super) fn on_ring_answer(
        &mut self,
        number: u32,
        answer: Option<(Peer, Box<somo::Answer>)>,
        now: Instant,
    ) {
        let asked = |ask: &Ask| ask.step == Step::Ring(number);
        let Some(at) = self.asking.asks.iter().position(asked) else { return };
        let ask = self.asking.asks.swap_remove(at);
        let (root, answer) = match answer {
            Some((root, answer)) => (root.node, Answer::from(*answer)),
            None => (self.me, Answer::Nothing),
        };
        match ask.by {
            Some((by, request)) => self.tell(by, PoolMessage::Answer { request, root, answer }),
            None => self.take_answer(root, &ask.question, answer, now),
        }
        self.wake = now;
    }

    pub(super) fn on_answer(
        &mut self,
        from: NodeId,
        request: u32,
        root: NodeId,
        answer: Answer,
        now: Instant,
    ) {
        let asked = |ask: &Ask| ask.step == Step::Node(from, request);
        let Some(at) = self.asking.asks.iter().position(asked) else { return };
        if !matches!(&answer, Answer::View(report) if !report.is_bounded()) {
            let ask = self.asking.asks.swap_remove(at);
            self.take_answer(root, &ask.question, answer, now);
        }
        self.wake = now;
    }

    fn take_answer(&mut self, root: NodeId, question: &Question, answer: Answer, now: Instant) {
        let (nodes, age_ms) = match &answer {
            Answer::Helpers { nodes, age_ms, .. } => (*nodes, *age_ms),
            Answer::View(report) => (report.nodes, report.age_ms()),
            Answer::Nothing => {
                if question.wants_helpers() {
                    self.on_helpers(&[], now);
                }
                return;
            }
        };
        let age = Duration::from_millis(age_ms.into());
        self.asking.standing = Some((Standing { size: nodes as usize, root, age }, now));
        if let Answer::Helpers { helpers, .. } = &answer
            && question.wants_helpers()
        {
            self.on_helpers(&helpers[..helpers.len().min(HELPERS_MAX)], now);
        }
        self.events.push_back(Event::Answered(root, answer));
    }

    /// The root is asked now and then.
    pub(super) fn ask_how_it_stands(&mut self, now: Instant) {
        if self.is_off_ring() || !self.swarm.ring().is_active() || self.is_alone() {
            return;
        }
        let due = *self.asking.stand_at.get_or_insert(now + STAND_FIRST);
        if due <= now {
            self.asking.stand_at = Some(now + STAND.mul_f64(self.random.random_range(0.8..1.2)));
            let (near, of, priority) = (Vec::new(), Vec::new(), Priority::LOWEST);
            self.ask(Question::Helpers { near, degrees: NO_HELPER, priority, of }, now);
        }
    }

    /// What the root has said of the pool, unless that was long ago.
    pub(super) fn standing_told(&self, now: Instant) -> Option<Standing> {
        let (standing, at) = self.asking.standing?;
        let since = now.saturating_duration_since(at);
        (since < 2 * STAND).then(|| Standing { age: standing.age + since, ..standing })
    }

    pub(super) fn retry_asks(&mut self, now: Instant) {
        let late = |ask: &mut Ask| ask.deadline <= now;
        for ask in self.asking.asks.extract_if(.., late).collect::<Vec<_>>() {
            if ask.by.is_none() && ask.question.wants_helpers() {
                self.on_helpers(&[], now);
            }
        }
        if let Some(wanted) = &self.asking.wanted
            && wanted.next <= now
        {
            self.fetch_again(now);
        }
    }

    pub(super) fn asks_due(&self) -> Option<Instant> {
        let wanted = self.asking.wanted.as_ref().map(|wanted| wanted.next);
        self.asking.asks.iter().map(|ask| ask.deadline).chain(wanted).min()
    }

    pub(super) fn on_ring_event(&mut self, event: ring::Event) {
        let (request, root) = match event {
            ring::Event::Found { request, root, .. } => (request, Some(root)),
            ring::Event::LookupFailed { request } => (request, None),
            _ => return,
        };
        self.on_looked_up(request, root);
    }

    // Records.

    /// Looks for the record of a key until it is found or no longer wanted; [`Event::Fetched`] brings each that is found.
    pub fn fetch(&mut self, key: Option<Position>, now: Instant) {
        self.asking.wanted = key.map(|key| Wanted { key, next: now, ticket: None });
        self.wake = now;
    }

    fn fetch_again(&mut self, now: Instant) {
        let moment = self.moment(now);
        let Some(wanted) = &mut self.asking.wanted else { return };
        wanted.next = now + FETCH_AGAIN;
        let key = wanted.key;
        let on_ring = self.swarm.ring().is_active() && !self.is_alone();
        if on_ring {
            let ticket = self.swarm.deref(Reference { key, host: None }, moment);
            if let Some(wanted) = &mut self.asking.wanted {
                wanted.ticket = ticket;
            }
            self.drain_swarm(now);
        } else {
            let some: Vec<NodeId> = self.joined().take(FETCHED_FROM).collect();
            self.fetch_from(&some);
        }
    }

    fn fetch_from(&mut self, nodes: &[NodeId]) {
        let Some(wanted) = &self.asking.wanted else { return };
        let key = wanted.key;
        for node in nodes {
            self.tell(*node, PoolMessage::Fetch { request: 0, key });
        }
    }

    pub(super) fn on_fetch(&mut self, from: NodeId, request: u32, key: Position, now: Instant) {
        let moment = self.moment(now);
        let room = self.asking.fetching.len() < FETCHING_MAX && !self.is_off_ring();
        match self.swarm.deref(Reference { key, host: None }, moment).filter(|_| room) {
            Some(ticket) => {
                self.asking.fetching.push((ticket, from, request));
                self.drain_swarm(now);
            }
            None => self.tell(from, PoolMessage::Fetched { request, record: None }),
        }
    }

    pub(super) fn on_records_event(&mut self, event: records::Event, now: Instant) {
        let (ticket, record) = match event {
            records::Event::Dereferenced(ticket, _, record) => (ticket, record),
            records::Event::Failed(ticket) => (ticket, None),
            records::Event::Referenced(..) | records::Event::Deleted(_) => return,
        };
        let for_other = |(of, ..): &(u32, NodeId, u32)| *of == ticket;
        if let Some(at) = self.asking.fetching.iter().position(for_other) {
            let (_, asker, request) = self.asking.fetching.swap_remove(at);
            self.tell(asker, PoolMessage::Fetched { request, record });
        } else if self.asking.wanted.as_ref().is_some_and(|wanted| wanted.ticket == Some(ticket)) {
            self.on_fetched(record, now);
        }
    }

    /// A record has come, from the own overlay or from another node: what is signed, is.
    pub(super) fn on_fetched(&mut self, record: Option<Record>, now: Instant) {
        let now_s = self.config.born_s + now.saturating_duration_since(self.started).as_secs();
        let Some(wanted) = &self.asking.wanted else { return };
        if let Some(record) = record
            && record.key() == wanted.key
            && record.check(now_s).is_ok()
        {
            self.events.push_back(Event::Fetched(record));
        }
    }
}

/// The root's point.
fn root_key() -> Position {
    Point::root(SomoConfig::default().fanout).key()
}

impl Question {
    /// It is for somebody who would use the helpers, not for the numbers alone.
    fn wants_helpers(&self) -> bool {
        matches!(self, Self::Helpers { degrees, .. } if *degrees != NO_HELPER)
    }

    /// As it is put to the root.
    fn for_somo(&self) -> somo::Question {
        match self {
            Self::View => somo::Question::Report,
            Self::Helpers { near, degrees, priority, of } => {
                let near = near.iter().copied().take(NEAR_MAX).collect();
                let of = of.iter().copied().take(AUTHORITIES_MAX).collect();
                let (within_ms, most) = (u16::MAX, HELPERS_MAX as u8);
                let (degree, priority) = (*degrees, (*priority).into());
                let query = HelperQuery { near, within_ms, degree, priority, most, of };
                somo::Question::Helpers { query, keep_s: 0 }
            }
        }
    }
}

impl From<somo::Answer> for Answer {
    fn from(answer: somo::Answer) -> Self {
        match answer {
            somo::Answer::Report(report) => Self::View(report),
            somo::Answer::Helpers { nodes, age_ms, helpers, .. } => Self::Helpers { nodes, age_ms, helpers },
        }
    }
}

/// How many nodes have at least one link to give to a session of the lowest priority.
#[must_use]
pub fn capable(report: &Report) -> u32 {
    let [.., lowest] = report.free;
    let mut some: [u32; BUCKETS] = lowest;
    some[0] = 0;
    some.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

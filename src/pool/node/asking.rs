//! Questions that only some node of the ring can answer: what SOMO's root knows, and what is kept for a key. Who is on the
//! ring finds that node by a lookup; who looks on, or has not joined yet, asks any node that it is connected to.

use std::time::{Duration, Instant};

use rand::RngExt;

use super::{Event, PoolNode, Standing};
use crate::identity::{NodeId, Position};
use crate::pool::message::{Answer, Contact, HELPERS_MAX, NEAR_MAX, PoolMessage, Question};
use crate::pool::peer::Peer;
use crate::pool::records::{self, Record, Reference};
use crate::pool::ring;
use crate::pool::somo::{BUCKETS, Helper, Point, Report, SomoConfig};

/// What is being asked, and for whom something is being found out.
#[derive(Debug, Default)]
pub(super) struct Asking {
    asks: Vec<Ask>,
    /// Others who want to know who the root is.
    inquiries: Vec<(NodeId, u32)>,
    /// The lookup of the root that is under way.
    lookup: Option<u32>,
    root: Option<(Peer, Instant)>,
    standing: Option<(Standing, Instant)>,
    stand_at: Option<Instant>,
    /// The record that this node wants.
    wanted: Option<Wanted>,
    /// Records that others want: the ticket, who, and its number.
    fetching: Vec<(u32, NodeId, u32)>,
}

#[derive(Debug)]
struct Ask {
    request: u32,
    question: Question,
    step: Step,
    deadline: Instant,
    redirects: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Nobody is known to ask yet, or the root is being looked up.
    Finding,
    /// That node is to be asked once it is connected.
    Connecting(NodeId),
    /// It has been asked.
    Asked(NodeId),
}

#[derive(Debug)]
struct Wanted {
    key: Position,
    next: Instant,
    ticket: Option<u32>,
}

/// How long an answer may take, connections included.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Nodes that may send a question on.
const REDIRECTS_MAX: u8 = 4;
/// Questions at once, and others' questions that wait for a lookup.
const ASKS_MAX: usize = 16;
const INQUIRIES_MAX: usize = 64;
/// Who the root is, is believed for so long.
const ROOT_FOR: Duration = Duration::from_secs(60);
/// Where the pool is larger than what a node knows of it, it asks the root how the pool stands this often.
const STAND: Duration = Duration::from_secs(120);
/// And for the first time so long after its start.
const STAND_FIRST: Duration = Duration::from_secs(15);
/// Between two tries to fetch a record.
const FETCH_AGAIN: Duration = Duration::from_millis(1_200);
/// Nodes that are asked for it each time.
const FETCHED_FROM: usize = 3;
/// Records that are fetched for others at once.
const FETCHING_MAX: usize = 64;

impl PoolNode {
    // The root.

    /// Asks SOMO's root; [`Event::Answered`] brings the answer, unless nobody can be found.
    pub fn ask(&mut self, question: Question, now: Instant) {
        if self.asking.asks.len() < ASKS_MAX {
            let request = self.random.random();
            let (step, deadline) = (Step::Finding, now + ANSWER_WITHIN);
            self.asking.asks.push(Ask { request, question, step, deadline, redirects: 0 });
        }
        self.send_asks(now);
    }

    /// The root, as far as this node can tell without asking.
    fn root_known(&self, now: Instant) -> Option<Peer> {
        let cached = self.asking.root.filter(|(_, at)| now.saturating_duration_since(*at) < ROOT_FOR);
        self.root_nearby().or(cached.map(|(root, _)| root))
    }

    /// The root, if its point is in the part of the ring that this node sees.
    pub(super) fn root_nearby(&self) -> Option<Peer> {
        if self.swarm.is_root() {
            return Some(self.swarm.ring().me());
        }
        self.swarm.ring().successor_nearby(root_key())
    }

    /// Sends the questions that nobody has been asked yet.
    fn send_asks(&mut self, now: Instant) {
        let open: Vec<u32> =
            self.asking.asks.iter().filter(|ask| ask.step == Step::Finding).map(|ask| ask.request).collect();
        for request in open {
            if self.is_off_ring() {
                let any = self.joined().next();
                if let Some(any) = any {
                    self.put_to(request, any, Vec::new(), now);
                }
            } else if let Some(root) = self.root_known(now) {
                self.put_to(request, root.node, root.addrs().collect(), now);
            } else {
                self.find_root(now);
            }
        }
        self.wake = now;
    }

    fn find_root(&mut self, now: Instant) {
        if self.asking.lookup.is_none() {
            let moment = self.moment(now);
            self.asking.lookup = self.swarm.lookup(root_key(), moment);
            self.drain_swarm(now);
        }
    }

    fn put_to(&mut self, request: u32, node: NodeId, addrs: Vec<std::net::SocketAddr>, now: Instant) {
        let Some(at) = self.asking.asks.iter().position(|ask| ask.request == request) else { return };
        if node == self.me {
            let ask = self.asking.asks.swap_remove(at);
            let answer = self.answer_to(&ask.question, now);
            self.take_answer(self.me, answer, now);
        } else if self.is_joined(node) {
            self.asking.asks[at].step = Step::Asked(node);
            let question = self.asking.asks[at].question.clone();
            self.tell(node, PoolMessage::Ask { request, question });
        } else {
            self.asking.asks[at].step = Step::Connecting(node);
            self.want(Contact { node, addrs }, now);
        }
    }

    pub(super) fn on_joined_for_asks(&mut self, node: NodeId, now: Instant) {
        let waiting = |ask: &&Ask| {
            ask.step == Step::Connecting(node) || ask.step == Step::Finding && self.is_off_ring()
        };
        let ready: Vec<u32> = self.asking.asks.iter().filter(waiting).map(|ask| ask.request).collect();
        for request in ready {
            self.put_to(request, node, Vec::new(), now);
        }
        self.fetch_from(&[node]);
    }

    /// Somebody asks. Who is not the root says who is.
    pub(super) fn on_ask(&mut self, from: NodeId, request: u32, question: &Question, now: Instant) {
        if self.is_off_ring() {
            return;
        }
        if self.swarm.is_root() {
            let answer = self.answer_to(question, now);
            self.tell(from, PoolMessage::Answer { request, answer });
        } else if let Some(root) = self.root_known(now) {
            self.tell(from, PoolMessage::Answer { request, answer: Answer::Elsewhere(Some(root)) });
        } else if self.asking.inquiries.len() < INQUIRIES_MAX {
            self.asking.inquiries.push((from, request));
            self.find_root(now);
        }
    }

    fn answer_to(&self, question: &Question, now: Instant) -> Answer {
        let report = self.swarm.gathered(self.moment(now));
        match question {
            Question::View => Answer::View(Box::new(report)),
            Question::Helpers { near, degrees, priority } => {
                let level = usize::from(u8::from(*priority) - 1);
                let fit = |helper: &&Helper| helper.offer.lends && helper.offer.free[level] >= *degrees;
                let mut helpers: Vec<Helper> = report.helpers.iter().filter(fit).copied().collect();
                let distance = |helper: &Helper| {
                    let ways = near.iter().take(NEAR_MAX).filter_map(|p| p.round_trip(helper.peer.place));
                    (ways.reduce(|a, b| a + b).unwrap_or(Duration::MAX), helper.peer.position)
                };
                helpers.sort_by_cached_key(distance);
                helpers.truncate(HELPERS_MAX);
                Answer::Helpers { nodes: report.nodes, age_ms: report.oldest_ms, helpers }
            }
        }
    }

    pub(super) fn on_answer(&mut self, from: NodeId, request: u32, answer: Answer, now: Instant) {
        let asked = |ask: &Ask| ask.request == request && ask.step == Step::Asked(from);
        let Some(at) = self.asking.asks.iter().position(asked) else { return };
        match answer {
            Answer::Elsewhere(other) => {
                let ask = &mut self.asking.asks[at];
                ask.redirects += 1;
                match other {
                    Some(root) if ask.redirects <= REDIRECTS_MAX && root.node != from => {
                        self.put_to(request, root.node, root.addrs().collect(), now);
                    }
                    _ => {
                        // It was the root, or knew it, and is no more: a fresh look.
                        self.asking.root = None;
                        ask.step = Step::Finding;
                    }
                }
            }
            Answer::View(report) if !report.is_bounded() => {}
            answer => {
                self.asking.asks.swap_remove(at);
                self.take_answer(from, answer, now);
            }
        }
        self.wake = now;
    }

    fn take_answer(&mut self, from: NodeId, answer: Answer, now: Instant) {
        let (nodes, age_ms) = match &answer {
            Answer::Helpers { nodes, age_ms, .. } => (*nodes, *age_ms),
            Answer::View(report) => (report.nodes, report.oldest_ms),
            Answer::Elsewhere(_) => return,
        };
        let age = Duration::from_millis(age_ms.into());
        self.asking.standing = Some((Standing { size: nodes as usize, root: from, age }, now));
        if let Answer::Helpers { helpers, .. } = &answer {
            self.on_helpers(&helpers[..helpers.len().min(HELPERS_MAX)], now);
        }
        self.events.push_back(Event::Answered(from, answer));
    }

    /// Where the pool is larger than what this node sees of it, the root is asked now and then.
    pub(super) fn ask_how_it_stands(&mut self, now: Instant) {
        if self.is_off_ring() || !self.swarm.ring().is_active() || self.is_alone() {
            return;
        }
        let due = *self.asking.stand_at.get_or_insert(now + STAND_FIRST);
        if due <= now {
            self.asking.stand_at = Some(now + STAND.mul_f64(self.random.random_range(0.8..1.2)));
            if self.root_nearby().is_none() {
                // No helper has as much to give: only the numbers are wanted.
                let (near, degrees) = (Vec::new(), u8::MAX);
                let priority = crate::pool::Priority::LOWEST;
                self.ask(Question::Helpers { near, degrees, priority }, now);
            }
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
            self.asking.root = None;
            if matches!(ask.question, Question::Helpers { .. }) {
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

    pub(super) fn on_ring_event(&mut self, event: ring::Event, now: Instant) {
        let (request, root) = match event {
            ring::Event::Found { request, root, .. } => (request, Some(root)),
            ring::Event::LookupFailed { request } => (request, None),
            _ => return,
        };
        self.on_looked_up(request, root);
        if self.asking.lookup != Some(request) {
            return;
        }
        self.asking.lookup = None;
        self.asking.root = root.map(|root| (root, now));
        for (asker, request) in std::mem::take(&mut self.asking.inquiries) {
            self.tell(asker, PoolMessage::Answer { request, answer: Answer::Elsewhere(root) });
        }
        if root.is_some() {
            self.send_asks(now);
        }
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

/// How many nodes have at least one link to give to a session of the lowest priority.
#[must_use]
pub fn capable(report: &Report) -> u32 {
    let [.., lowest] = report.free;
    let mut some: [u32; BUCKETS] = lowest;
    some[0] = 0;
    some.iter().fold(0, |sum, count| sum.saturating_add(*count))
}

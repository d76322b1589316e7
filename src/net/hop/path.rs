//! Where a hop's peer is, and whether hop packets get there: a state machine without a socket.
//!
//! The peer is found by its key id, so its address may change at any time. A new one is believed when an authenticated
//! packet newer than all others came from it and a challenge sent there has been answered (RFC 9000, section 9, does it
//! for QUIC): who merely repeats a packet from elsewhere gets one short question and no media. While a hop is in use its
//! own address is asked now and then too, so that a silent peer that has moved is found by its answer to nothing, and a
//! path that lets QUIC through but not us is given up for QUIC's datagrams.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Path {
    addr: SocketAddr,
    works: bool,
    /// The address in use, asked again.
    asked: Option<Ask>,
    /// Questions to it since the last answer.
    unanswered: u32,
    due: Instant,
    /// From the next answer to the question after it.
    interval: Duration,
    /// Another address, asked whether it is the peer's.
    asked_elsewhere: Option<(Ask, Instant)>,
    next_token: u64,
    last_use: Instant,
}

/// A challenge to be sent: the peer answers with the same token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ask {
    pub(super) to: SocketAddr,
    pub(super) token: u64,
}

impl Path {
    /// The path of a fresh hop, not known to work yet: the first question is due at once.
    pub(super) fn new(addr: SocketAddr, now: Instant) -> Self {
        Self {
            addr,
            works: false,
            asked: None,
            unanswered: 0,
            due: now,
            interval: PROBE_INTERVAL,
            asked_elsewhere: None,
            next_token: 0,
            last_use: now,
        }
    }

    /// Where to send.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether the peer is known to take hop packets at [`addr`](Self::addr).
    pub(super) fn works(&self) -> bool {
        self.works
    }

    /// A proven packet, newer than all before, came from there. The question to ask there, if any.
    pub(super) fn on_newest(&mut self, from: SocketAddr, now: Instant) -> Option<Ask> {
        if from == self.addr {
            return None;
        }
        let lately = |(_, at): &(Ask, Instant)| now.saturating_duration_since(*at) < ELSEWHERE_INTERVAL;
        if self.asked_elsewhere.as_ref().is_some_and(lately) {
            return None;
        }
        let ask = self.ask(from);
        self.asked_elsewhere = Some((ask, now));
        Some(ask)
    }

    /// An answer has come. True when it says something new: the path works, or the address is another.
    pub(super) fn on_response(&mut self, token: u64, now: Instant) -> bool {
        if self.asked.is_some_and(|ask| ask.token == token) {
            let news = !self.works;
            self.answered(now);
            return news;
        }
        match self.asked_elsewhere {
            Some((ask, _)) if ask.token == token => {
                self.asked_elsewhere = None;
                self.addr = ask.to;
                self.interval = PROBE_INTERVAL;
                self.answered(now);
                true
            }
            _ => false,
        }
    }

    /// Time passes; `used`: the hop has carried something since the last call. The question to ask, if any.
    pub(super) fn poll(&mut self, used: bool, now: Instant) -> Option<Ask> {
        if used {
            self.last_use = now;
        }
        let idle = now.saturating_duration_since(self.last_use) >= IDLE;
        if now < self.due || (idle && self.works && self.unanswered == 0) {
            return None;
        }
        if self.unanswered > 0 {
            self.interval = PROBE_INTERVAL;
        }
        if self.unanswered >= UNANSWERED_MAX {
            self.works = false;
        }
        let given_up = self.unanswered >= EAGER_MAX;
        self.due = now + if given_up { PROBE_INTERVAL } else { RETRY_INTERVAL };
        self.unanswered += 1;
        let ask = self.ask(self.addr);
        self.asked = Some(ask);
        Some(ask)
    }

    fn answered(&mut self, now: Instant) {
        self.works = true;
        self.asked = None;
        self.unanswered = 0;
        self.due = now + self.interval;
        self.interval = (self.interval * 2).min(PROBE_INTERVAL_MAX);
    }

    fn ask(&mut self, to: SocketAddr) -> Ask {
        self.next_token += 1;
        Ask { to, token: self.next_token }
    }
}

/// How soon a hop in use is asked again whether it works; and then after twice the time each time that it does, up to one well
/// below the 30 s after which common NATs forget (RFC 4787, requirement 5, asks for two minutes and is not obeyed).
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(20);
/// How soon a question is repeated.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Questions without an answer after which hop packets are taken not to get through: at 5 % loss each way, one in 1,000.
const UNANSWERED_MAX: u32 = 3;
/// Questions without an answer after which they get rare.
const EAGER_MAX: u32 = 8;
/// A hop that has carried nothing for this long is left in peace.
const IDLE: Duration = Duration::from_secs(10);
/// Questions to addresses that are not the peer's, yet, are this far apart.
const ELSEWHERE_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const S: Duration = Duration::from_secs(1);

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn it_works_when_a_question_is_answered_and_not_before() {
        let start = origin();
        let mut path = Path::new(addr(1), start);
        let first = path.poll(false, start).unwrap();
        assert_eq!((first.to, path.works()), (addr(1), false));
        assert_eq!(path.poll(false, start), None);
        let second = path.poll(false, start + S).unwrap();
        assert!(!path.on_response(first.token, start + S), "an older question's");
        assert!(path.on_response(second.token, start + S));
        assert!(path.works());
        assert!(!path.on_response(second.token, start + S), "once");
    }

    #[test]
    fn a_new_address_is_taken_up_when_it_answers() {
        let start = origin();
        let mut path = Path::new(addr(1), start);
        let ask = path.on_newest(addr(2), start).unwrap();
        assert_eq!((ask.to, path.addr()), (addr(2), addr(1)));
        assert_eq!(path.on_newest(addr(3), start + S / 20), None, "no flood of questions");
        assert!(!path.on_response(ask.token + 1, start));
        assert!(path.on_response(ask.token, start));
        assert_eq!((path.addr(), path.works()), (addr(2), true));
        assert_eq!(path.on_newest(addr(2), start + S), None);
    }

    #[test]
    fn what_works_is_asked_ever_less_often_until_an_answer_fails_to_come() {
        let (start, mut asked) = (origin(), Vec::new());
        let mut path = Path::new(addr(1), start);
        for s in 0..90 {
            let now = start + S * s;
            if let Some(ask) = path.poll(true, now) {
                asked.push(s);
                if s != 75 {
                    path.on_response(ask.token, now);
                }
            }
        }
        assert_eq!(asked, [0, 5, 15, 35, 55, 75, 76, 81]);
    }

    #[test]
    fn a_path_that_goes_silent_is_given_up_and_found_again() {
        let start = origin();
        let mut path = Path::new(addr(1), start);
        let ask = path.poll(true, start).unwrap();
        path.on_response(ask.token, start);
        let mut asked = 0;
        let mut now = start;
        while path.works() {
            now += S;
            asked += usize::from(path.poll(true, now).is_some());
        }
        assert_eq!((asked as u32, now - start), (UNANSWERED_MAX + 1, PROBE_INTERVAL + 3 * S));
        let again = std::iter::from_fn(|| {
            now += S;
            Some(path.poll(true, now))
        });
        let ask = again.flatten().next().unwrap();
        assert!(path.on_response(ask.token, start + 60 * S) && path.works());
    }

    #[test]
    fn an_idle_hop_costs_nothing() {
        let start = origin();
        let mut path = Path::new(addr(1), start);
        let ask = path.poll(true, start).unwrap();
        path.on_response(ask.token, start);
        let mut asked = 0;
        for second in 1..600 {
            if let Some(ask) = path.poll(false, start + second * S) {
                asked += 1;
                path.on_response(ask.token, start + second * S);
            }
        }
        assert_eq!(asked, 1, "after {PROBE_INTERVAL:?}, and no more");
        assert!(path.works());
        assert!(path.poll(true, start + 600 * S).is_some(), "at its next use it is asked");
    }
}

//! The circuit breaker of a hop (RFC 8083): media has no congestion control of its own, so a path that cannot bear it, or
//! that takes it nowhere, must be noticed and left.
//!
//! The peer says in every answer to a challenge how many datagrams it has taken. Three reports in a row that are bad by one
//! of the RFC's rules open the circuit: nothing arrives though something is sent (its section 4.1), or a voice is sent at
//! more than ten times what TCP would get out of the path (4.3). A hop carries many voices, each a flow of its own.

use std::time::{Duration, Instant};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Breaker {
    last: Option<Report>,
    bad: u32,
}

/// What is known when an answer arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    /// Datagrams sent by the hop when the question left.
    pub(super) sent: u64,
    /// Datagrams that the peer had taken when it answered.
    pub(super) received: u64,
    pub(super) round_trip: Duration,
}

impl Breaker {
    /// Takes a report; whether the circuit opens.
    pub(super) fn on_report(&mut self, report: Report) -> bool {
        let Some(last) = self.last.replace(report) else { return false };
        let sent = report.sent.saturating_sub(last.sent);
        if sent < SENT_MIN {
            self.bad = 0;
            return false;
        }
        let received = report.received.saturating_sub(last.received).min(sent);
        let lost = 1.0 - received as f64 / sent as f64;
        // TCP gets 1 / (R sqrt(2p/3)) packets a second; the packet's size is on both sides and cancels out.
        let fair = 1.0 / (report.round_trip.as_secs_f64() * (2.0 * lost / 3.0).sqrt()).max(f64::MIN_POSITIVE);
        let bad = received == 0 || FLOW_PACKETS_PER_SECOND > FAIR_TIMES * fair;
        self.bad = if bad { self.bad + 1 } else { 0 };
        let opens = self.bad >= REPORTS_BAD;
        if opens {
            *self = Self::default();
        }
        opens
    }
}

/// How long an open circuit stays so: the ten reporting intervals or so that the RFC would have a sender wait.
pub(super) const OPEN: Duration = Duration::from_secs(30);

/// Whether a circuit that opened at `opened` is still open.
pub(super) fn is_open(opened: Option<Instant>, now: Instant) -> bool {
    opened.is_some_and(|at| now.saturating_duration_since(at) < OPEN)
}

/// A voice in frames of 20 ms.
const FLOW_PACKETS_PER_SECOND: f64 = 50.0;
/// RFC 8083, section 4.3.
const FAIR_TIMES: f64 = 10.0;
/// RFC 8083, sections 4.1 and 4.3: three reporting intervals.
const REPORTS_BAD: u32 = 3;
/// Fewer datagrams between two reports say nothing: half a second of a voice.
const SENT_MIN: u64 = 25;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports of a second each at 400 packets a second: after how many the circuit opens.
    fn opens_after(loss: f64, round_trip_ms: u64) -> Option<usize> {
        let mut breaker = Breaker::default();
        (0..20).find(|i| {
            let sent = 400 * *i as u64;
            let received = (sent as f64 * (1.0 - loss)) as u64;
            breaker.on_report(Report { sent, received, round_trip: Duration::from_millis(round_trip_ms) })
        })
    }

    #[test]
    fn a_usable_path_stays_closed_and_a_hopeless_one_opens() {
        for (loss, round_trip_ms) in [(0.0, 20), (0.05, 200), (0.2, 150), (0.05, 900), (0.5, 20)] {
            assert_eq!(opens_after(loss, round_trip_ms), None, "{loss} lost, {round_trip_ms} ms");
        }
        assert_eq!(opens_after(1.0, 20), Some(3), "nothing arrives");
        assert_eq!(opens_after(0.3, 1_000), Some(3), "a full queue that drops");
    }

    #[test]
    fn one_good_report_begins_anew_and_silence_says_nothing() {
        let mut breaker = Breaker::default();
        let round_trip = Duration::from_millis(20);
        let mut report = |sent, received| breaker.on_report(Report { sent, received, round_trip });
        for (sent, received) in [(0, 0), (100, 0), (200, 0), (300, 90), (400, 90), (500, 90), (510, 90)] {
            assert!(!report(sent, received));
        }
        assert!(!report(610, 90) && !report(710, 90) && report(810, 90));
    }
}

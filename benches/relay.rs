//! A real relay: `alm pool` in a process of its own on loopback, a host that speaks and members that listen in this
//! one, and a tree that leads through the relay because nobody else has links to spare.
//!
//! Beside it, in alternating rounds of the same run: the same session without a relay, the host serving everybody, whose
//! latency is taken off to get what the relay adds; and a bare UDP forwarder, whose CPU time is the floor that the
//! relay's is compared with. Sender and receivers share a clock, for they share this process.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::time::Duration;

use tempfile::TempDir;

use support::bare::{self, BareRelay};
use support::pace::{Ears, PACKET_LEN, Pace};
use support::peers::{Group, Session};
use support::process::Process;
use support::{Size, median, now, pause, proc, quantile};

/// When nothing has come for this long after the last packet was sent, nothing more will.
const TAIL: Duration = Duration::from_millis(250);

/// One line of the tables.
struct Load {
    fan_out: usize,
    talkers: u16,
    rate: u32,
}

/// One round of one kind.
#[derive(Clone, Copy, Debug)]
struct Round {
    p50_ms: f64,
    p99_ms: f64,
    delivered: f64,
    lost: f64,
    /// Of the process in the middle, per packet delivered.
    cpu_us: Option<f64>,
    /// What the relay used while others were measured, in a whole round.
    idle_us: Option<f64>,
}

/// The three ways side by side.
struct Ways {
    relay: Process,
    through_relay: Session,
    direct: Session,
    bare: BareRelay,
    sender: Group,
    // Dropped after the peers, which live on it.
    _receivers: Group,
    ears: Ears,
    round: u32,
    _dir: TempDir,
}

#[derive(Clone, Copy)]
enum Way {
    Relay,
    Direct,
    Bare,
}

impl Ways {
    fn start(fan_out: usize) -> Self {
        let dir = TempDir::new().expect("a temporary directory can be made");
        let ears = Ears::new();
        let (sender, receivers) = (Group::start("sender"), Group::start("receivers"));
        let relay = Process::alm(dir.path(), "relay", &format!("pool --degree {}", fan_out + 1));
        let helper = relay.ready().1.parse().expect("a ready node says where it listens");
        let bare = BareRelay::start(&receivers, fan_out, &ears);
        let through_relay = Session::start(&sender, &receivers, 1, fan_out, Some(helper), &ears);
        let direct = Session::start(&sender, &receivers, 101, fan_out, None, &ears);
        Self { relay, through_relay, direct, bare, sender, _receivers: receivers, ears, round: 0, _dir: dir }
    }

    fn measure(&mut self, way: Way, load: &Load, time: Duration) -> Round {
        self.round += 1;
        let pid = match way {
            Way::Relay => Some(self.relay.id()),
            Way::Bare => Some(self.bare.process.id()),
            Way::Direct => None,
        };
        self.ears.begin(self.round);
        let idle = |relay: &Process| proc::cpu(relay.id());
        let (before, idle_before) = (pid.and_then(proc::cpu), idle(&self.relay));
        let pace = Pace::new(self.round, load.talkers, load.rate, time);
        let expected = (pace.left * load.fan_out as u64) as f64;
        match way {
            Way::Relay => self.through_relay.host.speak(pace),
            Way::Direct => self.direct.host.speak(pace),
            Way::Bare => self.bare.speak(&self.sender, pace, self.ears.started),
        }
        pause(time);
        let mut heard = self.ears.heard_so_far();
        loop {
            pause(TAIL);
            let before = std::mem::replace(&mut heard, self.ears.heard_so_far());
            if heard == before || heard as f64 >= expected {
                break;
            }
        }
        let (after, idle_after) = (pid.and_then(proc::cpu), idle(&self.relay));
        let mut heard = self.ears.end();
        let delivered = heard.len() as f64;
        let cpu = before.zip(after).map(|(before, after)| (after - before).as_secs_f64() * 1e6);
        Round {
            p50_ms: quantile(&mut heard, 0.5),
            p99_ms: quantile(&mut heard, 0.99),
            delivered,
            lost: expected - delivered,
            cpu_us: cpu.map(|cpu| cpu / delivered.max(1.0)),
            idle_us: idle_before.zip(idle_after).map(|(before, after)| (after - before).as_secs_f64() * 1e6),
        }
    }

    /// A round of each, in an order that changes.
    fn measure_all(&mut self, i: usize, load: &Load, time: Duration) -> [Round; 3] {
        if i.is_multiple_of(2) {
            let relay = self.measure(Way::Relay, load, time);
            let bare = self.measure(Way::Bare, load, time);
            [relay, bare, self.measure(Way::Direct, load, time)]
        } else {
            let direct = self.measure(Way::Direct, load, time);
            let bare = self.measure(Way::Bare, load, time);
            [self.measure(Way::Relay, load, time), bare, direct]
        }
    }
}

/// The median over all rounds, and the extremes.
fn spread(rounds: &[[Round; 3]], figure: impl Fn(&[Round; 3]) -> Option<f64>) -> String {
    let mut values: Vec<f64> = rounds.iter().filter_map(figure).collect();
    if values.is_empty() {
        return "-".to_owned();
    }
    let middle = median(values.iter().copied());
    format!("{middle:.2} ({:.2}-{:.2})", quantile(&mut values, 0.0), quantile(&mut values, 1.0))
}

fn print(load: &Load, rounds: &[[Round; 3]]) {
    let Load { fan_out, talkers, rate } = load;
    println!("fan-out {fan_out}, {talkers} talking, {rate} packets/s in all:");
    let line = |name: &str, unit: &str, figure: &dyn Fn(&[Round; 3]) -> Option<f64>| {
        println!("  {name:40} {:>24} {unit}", spread(rounds, figure));
    };
    line("one way through the relay, p50", "ms", &|[relay, ..]| Some(relay.p50_ms));
    line("one way through the relay, p99", "ms", &|[relay, ..]| Some(relay.p99_ms));
    line("one way without a relay, p50", "ms", &|[.., direct]| Some(direct.p50_ms));
    line("one way without a relay, p99", "ms", &|[.., direct]| Some(direct.p99_ms));
    line("the relay adds, p50", "ms", &|[relay, _, direct]| Some(relay.p50_ms - direct.p50_ms));
    line("the relay adds, p99", "ms", &|[relay, _, direct]| Some(relay.p99_ms - direct.p99_ms));
    line("one way through the bare forwarder, p50", "ms", &|[_, bare, _]| Some(bare.p50_ms));
    line("one way through the bare forwarder, p99", "ms", &|[_, bare, _]| Some(bare.p99_ms));
    line("relay CPU per packet delivered", "us", &|[relay, ..]| relay.cpu_us);
    line("bare forwarder CPU per packet delivered", "us", &|[_, bare, _]| bare.cpu_us);
    line("relay / bare forwarder", "times", &|[relay, bare, _]| Some(relay.cpu_us? / bare.cpu_us?));
    // Pings and keep-alives cost the same whether it forwards or not.
    let forwards =
        |relay: &Round, idle: &Round| Some(relay.cpu_us? - idle.idle_us? / relay.delivered.max(1.0));
    line("relay, less what it takes idle", "us", &|[relay, _, direct]| forwards(relay, direct));
    line("that / bare forwarder", "times", &|[relay, bare, direct]| {
        Some(forwards(relay, direct)? / bare.cpu_us?)
    });
    let total = |kind: usize, figure: fn(&Round) -> f64| rounds.iter().map(|r| figure(&r[kind])).sum::<f64>();
    let [delivered, lost] = [|r: &Round| r.delivered, |r: &Round| r.lost];
    for (kind, name) in ["relay", "bare forwarder", "no relay"].iter().enumerate() {
        println!("  {name}: {} delivered, {} lost", total(kind, delivered), total(kind, lost));
    }
    println!();
}

fn main() {
    bare::forward_if_asked();
    let Some(size) = Size::from_args("relay") else { return };
    let (rounds, time) = size.pick((1, Duration::from_secs(1)), (10, Duration::from_secs(4)));
    let fan_outs: &[usize] = match size {
        Size::Smoke => &[2],
        Size::Normal => &[5],
        Size::Full => &[5, 20],
    };
    let talkers: &[u16] = size.pick(&[1], &[1, 20]);
    println!("{}", size.headline("relay"));
    println!(
        "packets of {PACKET_LEN} bytes; median (lowest-highest) of {rounds} alternating rounds of {time:?}\n"
    );
    let began = now();
    for &fan_out in fan_outs {
        let mut ways = Ways::start(fan_out);
        for &talkers in talkers {
            let load = Load { fan_out, talkers, rate: 50 * u32::from(talkers) };
            let measured: Vec<_> = (0..rounds).map(|i| ways.measure_all(i, &load, time)).collect();
            print(&load, &measured);
            // In one round a crowded machine may lose most; in all of them it does not.
            for (kind, way) in ["the relay", "the bare forwarder", "no relay"].iter().enumerate() {
                let sum = |of: fn(&Round) -> f64| measured.iter().map(|round| of(&round[kind])).sum::<f64>();
                let (delivered, lost) = (sum(|round| round.delivered), sum(|round| round.lost));
                assert!(delivered > lost, "packets come through {way}: {measured:?}");
            }
        }
    }
    println!("took {:.0?}", now() - began);
}

//! What came of a run: one object, or lines for people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::PoisonError;
use std::time::Duration;

use serde::Serialize;

use super::Lab;
use super::cost::Cost;
use super::gaps::{Gap, rounded};
use super::node::now;
use super::plans::lengths_ms;
use crate::event::Event;
use crate::session::{BadWay, Lost};

/// The contract's fields, and some more.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    members: usize,
    helpers: usize,
    seed: u64,
    /// Helpers in the last plan.
    helpers_used: usize,
    epochs: u64,
    planned_worst_ms: Option<f64>,
    /// The plan's ways on the network as it is.
    planned_mean_ms: Option<f64>,
    measured_worst_ms: Option<f64>,
    measured_mean_ms: Option<f64>,
    best_server_ms: f64,
    best_server_mean_ms: f64,
    join_ms: Vec<f64>,
    heard: bool,
    /// Pairs (ear, voice) that did not hear each other in the end.
    unheard: Vec<(String, String)>,
    gaps: Vec<Gap>,
    repairs: Vec<Repair>,
    detours: Vec<Detour>,
    /// From the mending of each cut until one plan carried all, ms; `null` where none did.
    heals_ms: Vec<Option<f64>>,
    kicks: Vec<Kick>,
    /// Relays that were given up for another parent, lived, and could be reached all the time.
    false_alarms: usize,
    /// Each of them.
    alarms: Vec<Alarm>,
    /// Relays that were suspected for a while: another one was asked to feed as well, and nobody was given up.
    suspicions: usize,
    /// Once all were in, as `media_bytes`.
    control_bytes: u64,
    /// Control before that: a pool that starts all at once, and members that come in.
    setup_bytes: u64,
    media_bytes: u64,
    /// What it costs the first host, and the median member.
    host_cost: Option<Cost>,
    member_cost: Option<Cost>,
    /// What went wrong, as the nodes say.
    troubles: Vec<String>,
}

/// Somebody was put out.
#[derive(Debug, Serialize)]
struct Kick {
    member: String,
    /// How long after that it was last heard by anybody, and last heard anybody.
    heard_for_ms: f64,
    hears_for_ms: f64,
}

/// Somebody replaced somebody.
#[derive(Debug, Serialize)]
struct Repair {
    what: Lost,
    lost: String,
    /// Who says so.
    member: String,
    at_s: f64,
    detected_ms: f64,
    repaired_ms: f64,
}

/// Somebody was given up that lived.
#[derive(Debug, Serialize)]
struct Alarm {
    /// Who had given it up.
    member: String,
    relay: String,
    /// When it was relied on again.
    at_s: f64,
}

/// Who is fed by another than its parent, as the way from that is bad; or by that again.
#[derive(Debug, Serialize)]
struct Detour {
    /// Who says so.
    member: String,
    at_s: f64,
    parent: String,
    over: Option<String>,
    cause: BadWay,
}

/// Who was heard so lately is heard.
const HEARD_LATELY: Duration = Duration::from_millis(500);

impl Report {
    pub(super) fn of(lab: &Lab<'_>) -> Self {
        let alive: Vec<_> = lab.members().filter(|member| member.is_alive()).collect();
        let plan = lab.plan();
        let one_way_ms = |a: &str, b: &str| {
            let site = |id| lab.by_id(id).map(|node| lab.nodes[node].site);
            site(a).zip(site(b)).map_or(0.0, |(a, b)| lab.sites.one_way_ms(a, b))
        };
        let judged = plan.as_ref().map(|plan| lengths_ms(plan, one_way_ms));
        let (mut measured, mut unheard) = (Vec::new(), Vec::new());
        let end = now();
        for ear in &alive {
            let notes = ear.notes();
            let record = ear.heard.lock().unwrap_or_else(PoisonError::into_inner);
            for source in alive.iter().filter(|source| source.voice != ear.voice) {
                let path = notes.conference.media.get(&source.id).and_then(|media| media.path_ms);
                measured.extend(path);
                let voice = source.voice.filter(|voice| *voice < lab.common.voices);
                let Some(voice) = voice else { continue };
                let last = record.get(&voice).and_then(|heard| heard.last);
                if last.is_none_or(|last| last + HEARD_LATELY < end) {
                    unheard.push((ear.name.clone(), source.name.clone()));
                }
            }
        }
        let started: Vec<usize> =
            lab.members().take(lab.job.args.members as usize).map(|member| member.site).collect();
        let places: Vec<usize> = lab.nodes.iter().map(|node| node.site).collect();
        let (best_server_ms, best_server_mean_ms) = lab.sites.best_server_ms(&places, &started);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let (carried, media) = lab.bytes();
        let media_bytes = media - lab.before.1;
        let (host_cost, member_cost) = lab.cost().unzip();
        let alarms = alarms(lab);
        Self {
            members: lab.members().count(),
            helpers: lab.job.args.helpers as usize,
            seed: lab.job.args.seed,
            helpers_used: plan.as_ref().map_or(0, |plan| plan.helpers.len()),
            epochs: plan.as_ref().map_or(0, |plan| plan.epoch),
            planned_worst_ms: plan.as_ref().map(|plan| rounded(plan.worst_ms)),
            planned_mean_ms: judged.map(|(_, mean)| rounded(mean)),
            measured_worst_ms: measured.iter().copied().reduce(f64::max).map(rounded),
            measured_mean_ms: (!measured.is_empty()).then(|| rounded(mean(&measured))),
            best_server_ms: rounded(best_server_ms),
            best_server_mean_ms: rounded(best_server_mean_ms),
            join_ms: joins(lab),
            heard: unheard.is_empty(),
            unheard,
            gaps: lab.gaps(),
            repairs: repairs(lab),
            detours: detours(lab),
            heals_ms: lab.healed.iter().map(|took| took.map(ms_of)).collect(),
            kicks: kicks(lab),
            false_alarms: alarms.len(),
            alarms,
            suspicions: suspicions(lab),
            control_bytes: (carried - lab.before.0).saturating_sub(media_bytes),
            setup_bytes: lab.before.0 - lab.before.1,
            media_bytes,
            host_cost,
            member_cost,
            troubles: troubles(lab),
        }
    }

    pub(super) fn write(&self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, self)?;
            return writeln!(out);
        }
        writeln!(
            out,
            "{} members, {} helpers ({} used), {} plans",
            self.members, self.helpers, self.helpers_used, self.epochs
        )?;
        let ms = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
        writeln!(
            out,
            "worst pair {} ms planned, {} ms measured, {:.1} ms over the best placed server",
            ms(self.planned_worst_ms),
            ms(self.measured_worst_ms),
            self.best_server_ms
        )?;
        writeln!(
            out,
            "mean pair  {} ms planned, {} ms measured, {:.1} ms over the best placed server",
            ms(self.planned_mean_ms),
            ms(self.measured_mean_ms),
            self.best_server_mean_ms
        )?;
        let (p50, p95) = (quantile(&self.join_ms, 0.5), quantile(&self.join_ms, 0.95));
        writeln!(out, "join to first sound {p50:.0} ms (median), {p95:.0} ms (95 %)")?;
        match self.unheard.as_slice() {
            [] => writeln!(out, "everyone heard everyone")?,
            [(ear, voice), rest @ ..] => {
                writeln!(out, "{ear} did not hear {voice} in the end, and {} other pairs", rest.len())?;
            }
        }
        self.write_gaps(out)?;
        for (what, (count, detected, repaired)) in self.repairs_by_kind() {
            writeln!(
                out,
                "{what} lost, told by {count}: noticed after {:.0} ms (median), replaced after {:.0} ms (median), {:.0} ms (95 %)",
                quantile(&detected, 0.5),
                quantile(&repaired, 0.5),
                quantile(&repaired, 0.95)
            )?;
        }
        for Detour { member, at_s, parent, over, cause } in &self.detours {
            match over {
                Some(over) => {
                    writeln!(out, "{member} over {over} at {at_s:.1} s: {} from {parent}", bad(*cause))?;
                }
                None => writeln!(out, "{member} from {parent} again at {at_s:.1} s")?,
            }
        }
        for took in &self.heals_ms {
            match took {
                Some(ms) => writeln!(out, "one conference again {ms:.0} ms after a cut was mended")?,
                None => writeln!(out, "not one conference again after a cut was mended")?,
            }
        }
        for Kick { member, heard_for_ms, hears_for_ms } in &self.kicks {
            writeln!(
                out,
                "{member} was heard for {heard_for_ms:.0} ms and heard others for {hears_for_ms:.0} ms after it was put out"
            )?;
        }
        writeln!(out, "{} false alarms, {} suspicions", self.false_alarms, self.suspicions)?;
        for Alarm { member, relay, at_s } in &self.alarms {
            writeln!(out, "{member} had given up {relay}, which lives, until {at_s:.1} s")?;
        }
        let share = 100.0 * self.control_bytes as f64 / self.media_bytes.max(1) as f64;
        writeln!(
            out,
            "{:.1} MB of media, {:.1} MB of control ({share:.1} %); {:.1} MB of control before all were in",
            self.media_bytes as f64 / 1e6,
            self.control_bytes as f64 / 1e6,
            self.setup_bytes as f64 / 1e6
        )?;
        for (who, cost) in [("the host", self.host_cost), ("a member (median)", self.member_cost)] {
            let Some(Cost { core_percent, planning_percent, control_out_kbps, control_in_kbps }) = cost
            else {
                continue;
            };
            writeln!(
                out,
                "{who}: {core_percent:.2} % of a core (planning {planning_percent:.2}), control {control_out_kbps:.1} kbit/s out, {control_in_kbps:.1} in"
            )?;
        }
        self.troubles.iter().try_for_each(|trouble| writeln!(out, "trouble: {trouble}"))
    }

    fn write_gaps(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut by_cause: BTreeMap<&str, Vec<&Gap>> = BTreeMap::new();
        self.gaps.iter().for_each(|gap| by_cause.entry(&gap.cause).or_default().push(gap));
        if by_cause.is_empty() {
            writeln!(out, "no gap at any ear")?;
        }
        for (cause, gaps) in by_cause {
            let lengths: Vec<f64> = gaps.iter().map(|gap| gap.gap_ms).collect();
            let ears = gaps.iter().map(|gap| &gap.member).collect::<BTreeSet<_>>().len();
            writeln!(
                out,
                "{} gaps at {ears} ears after {cause}: {:.0} ms (median), {:.0} ms (95 %), {:.0} ms (longest)",
                gaps.len(),
                quantile(&lengths, 0.5),
                quantile(&lengths, 0.95),
                quantile(&lengths, 1.0)
            )?;
        }
        Ok(())
    }

    fn repairs_by_kind(&self) -> BTreeMap<&'static str, (usize, Vec<f64>, Vec<f64>)> {
        let mut kinds: BTreeMap<&str, (usize, Vec<f64>, Vec<f64>)> = BTreeMap::new();
        for repair in &self.repairs {
            let what = match repair.what {
                Lost::Relay => "a relay",
                Lost::Host => "the host",
                Lost::Helper => "a helper",
            };
            let (count, detected, repaired) = kinds.entry(what).or_default();
            *count += 1;
            detected.push(repair.detected_ms);
            repaired.push(repair.repaired_ms);
        }
        kinds
    }
}

/// From each member's start to the first sound that it heard; the host waits for others.
fn joins(lab: &Lab<'_>) -> Vec<f64> {
    let first = |member: &super::LabNode| {
        let record = member.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let first = record.values().filter_map(|heard| heard.first).min()?;
        Some(rounded(first.saturating_duration_since(member.started).as_secs_f64() * 1_000.0))
    };
    lab.members().skip(1).filter_map(first).collect()
}

fn ms_of(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1_000.0)
}

fn kicks(lab: &Lab<'_>) -> Vec<Kick> {
    let last = |ear: &super::LabNode, voice: Option<usize>| {
        let record = ear.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |number: &usize| voice.is_none_or(|voice| voice == *number);
        record.iter().filter(|(number, _)| fits(number)).filter_map(|(_, heard)| heard.last).max()
    };
    let ms = |at, last: Option<std::time::Instant>| {
        ms_of(last.map(|last| last.saturating_duration_since(at)).unwrap_or_default())
    };
    let kick = |(at, node): &(std::time::Instant, usize)| {
        let kicked = &lab.nodes[*node];
        let others = lab.members().filter(|ear| ear.node != kicked.node);
        let heard = others.filter_map(|ear| last(ear, Some(kicked.voice?))).max();
        let member = kicked.name.clone();
        Kick { member, heard_for_ms: ms(*at, heard), hears_for_ms: ms(*at, last(kicked, None)) }
    };
    lab.kicked.iter().map(kick).collect()
}

fn told<'l>(lab: &'l Lab<'_>) -> impl Iterator<Item = (String, f64, Event)> + 'l {
    lab.nodes.iter().flat_map(|node| {
        let notes = node.notes();
        let since = |at: std::time::Instant| at.saturating_duration_since(lab.zero).as_secs_f64();
        let told: Vec<_> = notes
            .told
            .iter()
            .filter(|(at, _)| *at >= lab.zero)
            .map(|(at, event)| (node.name.clone(), rounded(since(*at)), event.clone()))
            .collect();
        told
    })
}

fn repairs(lab: &Lab<'_>) -> Vec<Repair> {
    let repair = |(member, at_s, event): (String, f64, Event)| match event {
        Event::Repair { what, lost, detected_ms, repaired_ms } => {
            let lost = lab.by_id(&lost).map_or(lost, |node| lab.nodes[node].name.clone());
            Some(Repair { what, lost, member, at_s, detected_ms, repaired_ms })
        }
        _ => None,
    };
    told(lab).filter_map(repair).collect()
}

/// Relays that were relied on again after they had been given up. What cannot be reached is given up rightly.
fn alarms(lab: &Lab<'_>) -> Vec<Alarm> {
    let named = |id: String| lab.by_id(&id).map_or(id, |node| lab.nodes[node].name.clone());
    let alarm = |(member, at_s, event): (String, f64, Event)| match event {
        Event::FalseAlarm { node, given_up: true } if !lab.was_divided(at_s) => {
            Some(Alarm { member, relay: named(node), at_s })
        }
        _ => None,
    };
    told(lab).filter_map(alarm).collect()
}

/// How often a relay was relied on again that had only been suspected.
fn suspicions(lab: &Lab<'_>) -> usize {
    told(lab).filter(|(_, _, event)| matches!(event, Event::FalseAlarm { given_up: false, .. })).count()
}

fn detours(lab: &Lab<'_>) -> Vec<Detour> {
    let named = |id: String| lab.by_id(&id).map_or(id, |node| lab.nodes[node].name.clone());
    let detour = |(member, at_s, event): (String, f64, Event)| match event {
        Event::Detour { parent, over, cause } => {
            Some(Detour { member, at_s, parent: named(parent), over: over.map(named), cause })
        }
        _ => None,
    };
    told(lab).filter_map(detour).collect()
}

fn bad(cause: BadWay) -> &'static str {
    match cause {
        BadWay::Loss => "loss",
        BadWay::Delay => "delay",
    }
}

fn troubles(lab: &Lab<'_>) -> Vec<String> {
    let trouble = |(name, at_s, event): (String, f64, Event)| match event {
        Event::Error { message } => Some(format!("{name} at {at_s:.1} s: {message}")),
        _ => None,
    };
    told(lab).filter_map(trouble).collect()
}

/// A quantile of values that may be none.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((share * last as f64).round() as usize).copied().unwrap_or(0.0)
}

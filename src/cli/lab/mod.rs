//! `alm lab`: real nodes (QUIC, Opus, sessions) in one process, on an emulated network with recorded latencies, and what
//! their ears heard while things happened to them.
//!
//! The clock is virtual: it stands still while anybody works, so that neither the machine's speed nor its load is
//! measured, but the network and what the nodes make of it.

mod acts;
mod cost;
mod ears;
mod gaps;
mod meter;
mod node;
mod plans;
mod report;
mod script;
mod site;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use alm_media::CodecConfig;
use alm_planner::{Degree, Directions, LatencyMatrix, Missing, Objective, paper_degrees};
use indicatif::ProgressBar;

use self::cost::Tally;
use self::ears::VOICES_MAX;
use self::node::{Common, LabNode, Part, now};
use self::script::{Act, Step};
use self::site::Sites;
use super::draw::{Degrees, Purpose, generator};
use super::error::{CliError, reason};
use super::input;
use super::matrix_file::read_matrix;
use super::progress::share_bar;
use super::units;
use crate::net::emulated::{EmulatedNetwork, address_of};

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Recorded round trips
    #[arg(long, value_name = "FILE")]
    matrix: PathBuf,

    /// Members, the host included
    #[arg(long, value_name = "M", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000))]
    members: u32,

    /// Machines that are lent
    #[arg(long, value_name = "H", default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=4000))]
    helpers: u32,

    /// Members that talk, all at once [default: all]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=VOICES_MAX as i64))]
    talkers: Option<u32>,

    /// Those that do not talk send next to nothing meanwhile
    #[arg(long)]
    dtx: bool,

    /// Links that each node can carry: uniform:4, paper, or a file with one integer a line, the host first, helpers last
    #[arg(long, value_name = "DEGREES", default_value = "paper")]
    degrees: Degrees,

    /// What carries the voices: forest, diameter or height
    #[arg(long, value_name = "WHAT", value_parser = objective, default_value = "forest")]
    objective: Objective,

    /// Every voice along two trees in which no node relays twice
    #[arg(long)]
    protect: bool,

    /// How long it goes on once all are in
    #[arg(long, value_name = "T", default_value = "30s", value_parser = units::duration)]
    duration: Duration,

    /// From one member's arrival to the next one's
    #[arg(long, value_name = "T", default_value = "250ms", value_parser = units::duration)]
    join_every: Duration,

    /// Who dies and when: relay, helper, backup, host or a name, as relay@10s or relay+backup@10s; may be repeated
    #[arg(long, value_name = "WHO@T", value_parser = Step::kill)]
    kill: Vec<Step>,

    /// Share of packets lost on every path
    #[arg(long, value_name = "P", default_value = "0", value_parser = units::share)]
    loss: f64,

    /// Added to the delay of each packet, uniform from 0 to this
    #[arg(long, value_name = "T", default_value = "0", value_parser = units::duration)]
    jitter: Duration,

    /// What happens and when: a step a line
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,

    /// Seed of everything that is drawn
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// One object instead of sentences
    #[arg(long)]
    json: bool,
}

const EXAMPLE: &str = "\
Example:
  $ alm gen plane --hosts 60 --seed 1 --out plane.rtt
  $ alm lab --matrix plane.rtt --members 8 --helpers 6 --duration 20s --kill relay@10s

A script has a step a line, its time first: 5s kill relay backup | 8s join 2 | 9s join 20 every 1s | 10s leave m3 | 12s kick m4 |
14s preempt helper | 15s loss 5% | 20s partition 50% (or m3 h1 ...) | 30s heal | 35s cut m2 | 40s mend m2 |
45s spoil link loss 20% delay 80ms (or spoil m1 m2 ...) | 55s clear";

/// For everybody to be in one plan.
const TOGETHER_TIMEOUT: Duration = Duration::from_secs(60);
/// After the last has come in: links are measured, helpers found.
const SETTLE: Duration = Duration::from_secs(5);
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(100);

fn objective(text: &str) -> Result<Objective, String> {
    text.parse().map_err(|_| "use forest, diameter or height".to_owned())
}

/// What it means.
struct Job {
    args: Args,
    latency: LatencyMatrix,
    degrees: Vec<Degree>,
    steps: Vec<Step>,
    /// Members at the start and those that come in by the script.
    members: usize,
}

impl Args {
    fn resolve(self) -> Result<Job, CliError> {
        let latency = read_matrix(&self.matrix, None, None, Directions::Mean, Missing::ShortestPath)?;
        let mut steps = self.kill.clone();
        steps.extend(self.script.as_deref().map(Step::read).transpose()?.into_iter().flatten());
        steps.sort_by_key(|step| step.at);
        if let Some(late) = steps.iter().find(|step| step.at > self.duration) {
            let place = format!("{} at {:?}", late.text, late.at);
            return Err(CliError::wrong("a step comes after the end", place, "raise --duration"));
        }
        let joins = steps.iter().map(|step| if let Act::Join(count) = step.act { count } else { 0 });
        let members = self.members as usize + joins.sum::<usize>();
        let nodes = members + self.helpers as usize;
        let degrees = match &self.degrees {
            Degrees::Uniform(degree) => vec![Degree(*degree); nodes],
            Degrees::Paper => paper_degrees(nodes, &mut generator(self.seed, Purpose::Degrees)),
            Degrees::File(path) => {
                let degrees = input::degrees(path)?;
                if degrees.len() < nodes {
                    let what = format!("{} degrees where {nodes} nodes take part", degrees.len());
                    return Err(CliError::wrong(what, path.display(), "give one for each node"));
                }
                degrees
            }
        };
        Ok(Job { args: self, latency, degrees, steps, members })
    }
}

/// Runs it all, and reports.
pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    let job = args.resolve()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| CliError::failed(format_args!("cannot start ({})", reason(&error)), "", ""))?;
    let bar = share_bar("the conference");
    let report = runtime.block_on(async {
        let mut lab = Lab::open(&job, &bar)?;
        lab.assemble().await?;
        lab.play().await?;
        Ok(report::Report::of(&lab))
    })?;
    bar.finish_and_clear();
    report.write(job.args.json, out).map_err(CliError::from_stdout)
}

/// A running lab.
struct Lab<'j> {
    job: &'j Job,
    bar: &'j ProgressBar,
    common: Common,
    sites: Sites,
    /// The helpers, and then the members in the order in which they came.
    nodes: Vec<LabNode>,
    /// When all were in.
    zero: Instant,
    /// What has happened, and to whom.
    done: Vec<(Instant, String)>,
    /// Since when a part is cut off, if one is, and until when one was.
    apart: Vec<(Instant, Option<Instant>)>,
    /// How long each healed cut took to become one conference again, where it did.
    healed: Vec<Option<Duration>>,
    /// Who was put out, and when.
    kicked: Vec<(Instant, usize)>,
    loss: f64,
    /// Paths that are worse than they were, by their sites.
    spoiled: Vec<(usize, usize)>,
    /// Bytes of all and of media when all were in.
    before: (u64, u64),
    /// What each node had cost by then.
    tallies: Vec<Tally>,
}

impl<'j> Lab<'j> {
    fn open(job: &'j Job, bar: &'j ProgressBar) -> Result<Self, CliError> {
        let args = &job.args;
        let helpers = args.helpers as usize;
        let nodes = job.members + helpers;
        let sites = Sites::draw(&job.latency, nodes, args.seed);
        let path = |from, to| sites.path(from, to, args.jitter, args.loss);
        let network = EmulatedNetwork::start(nodes, args.seed, path);
        let talkers = args.talkers.map_or(job.members, |talkers| talkers as usize);
        let codec = CodecConfig { voice: false, dtx: args.dtx, ..CodecConfig::default() };
        let common = Common {
            network,
            seed: args.seed,
            voices: talkers.min(job.members).min(VOICES_MAX),
            codec,
            bootstrap: (helpers > 0).then(|| address_of(0)).into_iter().collect(),
        };
        let (zero, loss) = (now(), args.loss);
        let mut lab = Self {
            job,
            bar,
            common,
            sites,
            nodes: vec![],
            zero,
            done: vec![],
            apart: vec![],
            healed: vec![],
            kicked: vec![],
            loss,
            spoiled: vec![],
            before: (0, 0),
            tallies: vec![],
        };
        for number in 0..helpers {
            lab.start(number, Part::Helper)?;
        }
        Ok(lab)
    }

    /// Starts the next node; its number is among its kind.
    fn start(&mut self, number: usize, part: Part) -> Result<(), CliError> {
        let site = self.nodes.len();
        let helpers = self.job.args.helpers as usize;
        // Degrees are listed members first.
        let place = if site < helpers { self.job.members + site } else { site - helpers };
        let degree = self.job.degrees[place].0;
        let node = LabNode::start(&self.common, site, number, part, degree)?;
        self.nodes.push(node);
        Ok(())
    }

    /// Lets everybody in, and waits until one plan carries them all.
    async fn assemble(&mut self) -> Result<(), CliError> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.start(0, Part::Host(self.job.args.objective, self.job.args.protect))?;
        let members = self.job.args.members as usize;
        for number in 1..members {
            tokio::time::sleep(self.job.args.join_every).await;
            self.join(number).await?;
            self.progress(0.1 * number as f64 / members as f64);
        }
        let deadline = now() + TOGETHER_TIMEOUT;
        while !self.is_together() {
            if now() >= deadline {
                return Err(self.never_together());
            }
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(SETTLE).await;
        self.zero = now();
        self.before = self.bytes();
        self.tallies = self.nodes.iter().map(|node| self.tally(node)).collect();
        Ok(())
    }

    /// Bytes of all and of media that were sent so far.
    fn bytes(&self) -> (u64, u64) {
        let carried = self.common.network.with_core(|core| core.carried());
        (carried, self.nodes.iter().map(|node| node.media.so_far().0).sum())
    }

    /// One more member.
    async fn join(&mut self, number: usize) -> Result<(), CliError> {
        let helpers = self.job.args.helpers as usize;
        let deadline = now() + TOGETHER_TIMEOUT;
        loop {
            let told =
                self.nodes[helpers].notes().conference.session.as_ref().map(|session| session.id.clone());
            if let Some(id) = told {
                let invite = id.parse().map_err(|error| CliError::failed(error, "the lab's own id", ""))?;
                return self.start(number, Part::Member(invite));
            }
            if now() >= deadline {
                return Err(self.never_together());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// All members that live go by one plan, which has all of them in it.
    fn is_together(&self) -> bool {
        let alive: Vec<&LabNode> = self.members().filter(|member| member.is_alive()).collect();
        let Some(first) = alive.first().and_then(|first| first.notes().conference.plan.clone()) else {
            return false;
        };
        let in_it = |id: &String| first.trees.iter().any(|tree| tree.sources.contains(id));
        alive.iter().all(|member| {
            let epoch = member.notes().conference.plan.as_ref().map(|plan| plan.epoch);
            epoch == Some(first.epoch) && in_it(&member.id)
        })
    }

    fn never_together(&self) -> CliError {
        let said = self.members().find_map(|member| {
            let notes = member.notes();
            notes.told.iter().rev().find_map(|(_, event)| match event {
                crate::event::Event::Error { message } => Some(format!("{}: {message}", member.name)),
                _ => None,
            })
        });
        let what = format!("no plan of all members within {} s", TOGETHER_TIMEOUT.as_secs());
        CliError::failed(what, said.unwrap_or_default(), "try larger --degrees or more --helpers")
    }

    /// From the first step to the end.
    async fn play(&mut self) -> Result<(), CliError> {
        let end = self.zero + self.job.args.duration;
        for step in &self.job.steps {
            self.wait_until(self.zero + step.at).await;
            self.act(step).await?;
        }
        self.wait_until(end).await;
        Ok(())
    }

    async fn wait_until(&mut self, at: Instant) {
        while now() < at {
            tokio::time::sleep(LOOK.min(at - now())).await;
            self.look_for_one();
            let share = (now() - self.zero).as_secs_f64() / self.job.args.duration.as_secs_f64();
            self.progress(0.1 + 0.9 * share);
        }
    }

    /// Notes when the sides of a cut that was mended have become one.
    fn look_for_one(&mut self) {
        if self.healed.last() == Some(&None)
            && let Some((_, Some(mended))) = self.apart.last()
            && self.is_together()
        {
            let took = now() - *mended;
            self.healed.pop();
            self.healed.push(Some(took));
        }
    }

    fn progress(&self, share: f64) {
        self.bar.set_position((share * 1_000.0) as u64);
    }

    fn members(&self) -> impl Iterator<Item = &LabNode> {
        self.nodes.iter().filter(|node| node.voice.is_some())
    }
}

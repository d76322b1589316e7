//! `alm demo`: a whole conference on this machine, which checks itself.
//!
//! The processes are those that people start, and the demo knows only what their events and their recordings tell.

mod cast;
mod folder;
mod picture;
mod processes;
mod screen;
mod verdict;
mod view;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use alm_planner::Objective;
use tokio::time::Instant;

use self::cast::{HELPERS, SPEAKERS};
use self::folder::Folder;
use self::picture::Progress;
use self::processes::{Processes, args};
use self::screen::Screen;
use self::verdict::Hearing;
use self::view::{FIRST_HELPER, HOST, Plan, View};
use super::error::{CliError, reason};
use super::live::signal;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Where each member's recording goes
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,

    /// How long they talk, 5 to 60
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(5..=60), default_value_t = 12)]
    seconds: u64,

    /// What carries the voices: diameter (one tree, which takes a helper and a relaying member) or forest (a tree for each)
    #[arg(long, value_name = "WHAT", value_parser = objective, default_value = "diameter")]
    objective: Objective,
}

const EXAMPLE: &str = "Example:
  $ alm demo
  OK: 5 members heard each other (worst 97 %) over 1 helper and 2 relaying members; longest path 4 hops; \
WAVs in demo-out

Starts a host, four members and three helpers as processes of their own on the loopback, lets all five talk at once,
shows the tree and what each one hears, and looks for every voice in every recording. Exit 1 if anyone was not heard.";

/// For one process to say that it listens.
const READY_TIMEOUT: Duration = Duration::from_secs(15);
/// For the host to know the helpers, and for all to know each other and go by one tree.
const TOGETHER_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two looks at the screen.
const SECOND: Duration = Duration::from_secs(1);
/// What is told may be told that late: the end of a recording that is not listened to.
const CUT: Duration = Duration::from_millis(300);

fn objective(text: &str) -> Result<Objective, String> {
    match text.parse() {
        Ok(objective @ (Objective::Diameter | Objective::Forest)) => Ok(objective),
        _ => Err("use diameter or forest".to_owned()),
    }
}

/// What is left when all have gone.
struct Performance {
    plan: Plan,
    /// Of each recording, what was made before anybody left.
    lengths: Vec<Duration>,
}

/// Runs it all, and says whether everybody heard everybody.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let folder = Folder::make(&args.out)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format_args!("cannot start ({})", reason(&error)), "", ""))?;
    let done = runtime.block_on(whole(args, &folder, Screen::new(out)));
    // Whoever still listens to a recording after a signal does so for nobody.
    runtime.shutdown_background();
    done
}

/// From the first process to the verdict.
async fn whole(args: &Args, folder: &Folder, mut screen: Screen<'_>) -> Result<(), CliError> {
    let seconds = args.seconds;
    let stop = signal();
    tokio::pin!(stop);
    let stopped = || CliError::failed("stopped before the verdict", "", "");
    let mut processes = Processes::new(folder)?;
    let performed = tokio::select! {
        biased;
        () = &mut stop => Err(stopped()),
        performed = perform(args, folder, &mut processes, &mut screen) => performed,
    };
    processes.end().await;
    let Performance { plan, lengths } = performed?;
    let view = &processes.view;
    screen.figures(view)?;
    let after = |doing: &str| Progress { doing: doing.to_owned(), done: 1.0, talking: false };
    screen.show(view, &after("listening to the recordings"), Instant::now())?;
    let hearing = tokio::select! {
        biased;
        () = &mut stop => Err(stopped()),
        hearing = Hearing::of(folder, &lengths) => hearing,
    }?;
    screen.show(view, &after(&format!("{seconds} s, recorded by all five")), Instant::now())?;
    screen.lines(&[String::new()])?;
    screen.lines(&hearing.table(view, screen.ink))?;
    let verdict = hearing.verdict(&plan, folder, screen.ink)?;
    screen.lines(&[String::new(), verdict])
}

/// From the first process to the end of the talk.
async fn perform(
    args: &Args,
    folder: &Folder,
    processes: &mut Processes<'_>,
    screen: &mut Screen<'_>,
) -> Result<Performance, CliError> {
    let mut stage = Stage { processes, screen };
    let bootstrap = stage.helpers().await?;
    let id = stage.host(folder, args.objective, &bootstrap).await?;
    stage.members(folder, &id).await?;
    stage.talk(Duration::from_secs(args.seconds)).await?;
    let end = Instant::now();
    let view = &stage.processes.view;
    let length =
        |since: Option<Instant>| since.map_or(Duration::ZERO, |since| end - since).saturating_sub(CUT);
    Ok(Performance {
        plan: view.plan().cloned().unwrap_or_default(),
        lengths: view.speakers().iter().map(|speaker| length(speaker.since)).collect(),
    })
}

struct Stage<'s, 'a, 'o> {
    processes: &'s mut Processes<'a>,
    screen: &'s mut Screen<'o>,
}

impl Stage<'_, '_, '_> {
    /// Starts the helpers; gives back where to find the first.
    async fn helpers(&mut self) -> Result<String, CliError> {
        let mut bootstrap: Option<String> = None;
        for (i, helper) in HELPERS.iter().enumerate() {
            let who = FIRST_HELPER + i;
            let mut line = args(["pool", "--degree", &helper.degree.to_string()]);
            if let Some(addr) = &bootstrap {
                line.extend(args(["--bootstrap", addr]));
            }
            self.processes.start(who, &line)?;
            if bootstrap.is_none() {
                let listens = |view: &View| !view.people[who].listen.is_empty();
                self.wait("the helpers start", who, READY_TIMEOUT, listens).await?;
                bootstrap = self.processes.view.people[who].listen.first().cloned();
            }
        }
        let know = |view: &View| view.people[FIRST_HELPER].pool_size >= HELPERS.len();
        self.wait("the helpers meet", FIRST_HELPER, TOGETHER_TIMEOUT, know).await?;
        Ok(bootstrap.unwrap_or_default())
    }

    /// Starts the host; gives back the session's id.
    async fn host(
        &mut self,
        folder: &Folder,
        objective: Objective,
        bootstrap: &str,
    ) -> Result<String, CliError> {
        let objective = objective.name();
        let mut line =
            args(["host", "--session", "demo", "--objective", objective, "--bootstrap", bootstrap]);
        line.extend(speaker_args(HOST, folder));
        self.processes.start(HOST, &line)?;
        let hosts = |view: &View| view.host().session.is_some() && view.host().pool_size > HELPERS.len();
        self.wait("the host opens the session", HOST, TOGETHER_TIMEOUT, hosts).await?;
        Ok(self.processes.view.host().session.clone().unwrap_or_default())
    }

    /// Lets the others in, all at once.
    async fn members(&mut self, folder: &Folder, id: &str) -> Result<(), CliError> {
        for who in HOST + 1..SPEAKERS.len() {
            let mut line = args(["join", id]);
            line.extend(speaker_args(who, folder));
            self.processes.start(who, &line)?;
        }
        self.wait("the members join", HOST, TOGETHER_TIMEOUT, View::is_complete).await
    }

    /// Shows how they talk.
    async fn talk(&mut self, length: Duration) -> Result<(), CliError> {
        let start = Instant::now();
        for second in 1..=length.as_secs() {
            let until = start + SECOND * second as u32;
            while self.processes.listen(until).await? {
                if self.screen.is_outdated(&self.processes.view) {
                    self.show(talking(start, length))?;
                }
            }
            self.show(talking(start, length))?;
        }
        Ok(())
    }

    /// Waits until `is_so`, or until `limit` has passed, which is `whose` failure.
    async fn wait(
        &mut self,
        what: &str,
        whose: usize,
        limit: Duration,
        is_so: impl Fn(&View) -> bool,
    ) -> Result<(), CliError> {
        let progress = || Progress { doing: what.to_owned(), done: 0.0, talking: false };
        let deadline = Instant::now() + limit;
        self.show(progress())?;
        while !is_so(&self.processes.view) {
            if !self.processes.listen(deadline).await? {
                let person = &self.processes.view.people[whose];
                let said = person.trouble.as_deref().unwrap_or("it says nothing of trouble");
                let late = format!("{what}: not within {} s", limit.as_secs());
                return Err(CliError::failed(late, format_args!("{}: {said}", person.name), ""));
            }
            self.show(progress())?;
        }
        Ok(())
    }

    fn show(&mut self, progress: Progress) -> Result<(), CliError> {
        self.screen.show(&self.processes.view, &progress, Instant::now())
    }
}

fn talking(start: Instant, length: Duration) -> Progress {
    let talked = Instant::now() - start;
    let doing = format!("{:.0} of {} s", talked.as_secs_f64().floor(), length.as_secs());
    Progress { doing, done: talked.as_secs_f64() / length.as_secs_f64(), talking: true }
}

/// A name, a voice, ears and a degree.
fn speaker_args(who: usize, folder: &Folder) -> Vec<OsString> {
    let speaker = &SPEAKERS[who];
    let file = |path: PathBuf| {
        let mut arg = OsString::from("file:");
        arg.push(path);
        arg
    };
    let mut line = args(["--name", speaker.name, "--degree", &speaker.degree.to_string(), "--loop"]);
    line.extend([OsString::from("--input"), file(folder.voice(speaker.name))]);
    line.extend([OsString::from("--output"), file(folder.recording(speaker.name))]);
    line
}

//! What all live commands share: a thread for the network, this one for the terminal, signals, the end.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot, watch};

use super::error::{CliError, reason};
use super::net_args::{Net, NetArgs};
use super::page;
use super::report::Report;
use super::running::{COMMANDS_MAX, Desk, Doorkeeper};
use crate::control::Server;
use crate::event::Event;
use crate::face::Conference;
use crate::live::{Command, Driver, Role};
use crate::session::Ending;
use crate::tui;

/// Events between the network and the terminal.
const EVENTS_MAX: usize = 4_096;
/// What the link goes by that a port for guests begins with.
const FIRST_LINK: &str = "guests";
/// How long a reader of stdout that stands still can hold up the exit.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a live command is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Host,
    Join,
    Lend,
}

/// Lives as `role` says until the session is over or a signal comes; prints events meanwhile.
pub(super) fn live(
    args: &NetArgs,
    purpose: Purpose,
    role: impl FnOnce(&mut Net) -> Result<Role, CliError> + Send + 'static,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let (events, mut incoming) = mpsc::channel(EVENTS_MAX);
    let (commands, wishes) = mpsc::channel(COMMANDS_MAX);
    let conference = Arc::new(Mutex::new(Conference::default()));
    let (done, outcome) = channel();
    let (typed, desk) = (
        args.clone(),
        Desk { conference: Arc::clone(&conference), commands: commands.clone(), guests: None },
    );
    std::thread::spawn(move || {
        let ended = run(&typed, purpose, role, desk, wishes, events);
        // The other end waits for it.
        let _ = done.send(ended);
    });
    let is_over = || loop {
        match incoming.try_recv() {
            // The screen goes by the conference that they have been applied to.
            Ok(_) => {}
            Err(error) => return error == TryRecvError::Disconnected,
        }
    };
    let hosts = purpose == Purpose::Host;
    // Where the terminal refuses the screen, lines will do.
    if !has_screen(args, purpose) || tui::run(&conference, &commands, hosts, is_over).is_err() {
        let mut report = Report::new(args.json, hosts);
        while let Some(event) = incoming.blocking_recv() {
            // Whoever read this is gone; the conference is not.
            let _ = report.write(&event, out).and_then(|()| out.flush());
        }
    }
    match outcome.recv() {
        Ok(Ok(Ending::Regular(_))) => Ok(()),
        Ok(Ok(Ending::Failed { what, advice })) => Err(CliError::failed(what, "", advice)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(CliError::failed("the network thread broke down", "", "please report this")),
    }
}

/// Somebody in a conference looks at a terminal and has not asked for lines.
fn has_screen(args: &NetArgs, purpose: Purpose) -> bool {
    let lines = args.json || args.plain || args.leave_on_eof || purpose == Purpose::Lend;
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !lines && !dumb && io::stdout().is_terminal() && io::stdin().is_terminal()
}

fn run(
    args: &NetArgs,
    purpose: Purpose,
    role: impl FnOnce(&mut Net) -> Result<Role, CliError>,
    mut desk: Desk,
    wishes: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
) -> Result<Ending, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format_args!("cannot start ({error})"), "", ""))?;
    runtime.block_on(async {
        let (signal, input_end) = (signal(), input_end(args.leave_on_eof));
        let stop = async {
            tokio::select! {
                () = signal => {}
                () = input_end => {}
            }
        };
        let door = page::door(args)?;
        if let (Some(door), Purpose::Lend) = (&door, purpose) {
            let todo = "use 127.0.0.1:PORT";
            return Err(CliError::wrong(
                "a lent machine's page is for this machine alone",
                door.listen,
                todo,
            ));
        }
        let mut net = args.open(purpose == Purpose::Lend)?;
        let role = role(&mut net)?;
        let port_map = args.port_map(&net.addrs);
        let Net { link, mut config, mdns, state, .. } = net;
        let conference = Arc::clone(&desk.conference);
        let (told, telling) = mpsc::channel(EVENTS_MAX);
        desk.guests = door.as_ref().map(|door| Doorkeeper {
            guests: Arc::clone(&door.guests),
            fingerprint: door.certificate.fingerprint().map(str::to_owned),
            told: told.downgrade(),
        });
        let desk = Arc::new(desk);
        let (changed, changes) = watch::channel(0);
        let page = page::open(args, door, desk.clone(), &conference, changes, &mut config.troubles)?;
        let server = Server::open(&state.dir, desk.clone());
        if let Err(error) = &server {
            let message = format!("`alm mute` and its like will not find this process ({})", reason(error));
            config.troubles.push(message);
        }
        let keeping = tokio::spawn(keep(telling, conference, changed, events));
        let driver = Driver::new(link, config, role, mdns, told.clone())
            .with_commands(wishes)
            .with_port_map(port_map)
            .with_line_measured();
        if let Some(page) = &page {
            // There is room: the driver has only just begun.
            let _ = told.try_send(Event::Page { link: page.link() });
        }
        if let Some(door) = &desk.guests {
            // One link to begin with; there are none yet, so that there is room.
            let _ = door.make(FIRST_LINK);
        }
        drop(told);
        let ending = driver.run(stop).await;
        // It ends with the driver's end of the channel.
        let _ = keeping.await;
        drop((server, page, desk, state));
        watch_the_exit(matches!(ending, Ending::Failed { .. }));
        Ok(ending)
    })
}

/// Keeps the picture of the conference and passes its events on. A reader who stands still loses events, the picture none.
async fn keep(
    mut telling: mpsc::Receiver<Event>,
    conference: Arc<Mutex<Conference>>,
    changed: watch::Sender<u64>,
    events: mpsc::Sender<Event>,
) {
    while let Some(event) = telling.recv().await {
        conference.lock().unwrap_or_else(PoisonError::into_inner).apply(&event);
        changed.send_modify(|times| *times += 1);
        let _ = events.try_send(event);
    }
}

/// Ends the process if the main thread, stuck on a full pipe say, does not.
fn watch_the_exit(failed: bool) {
    std::thread::spawn(move || {
        let (_never, nobody): (_, Receiver<()>) = channel();
        let _ = nobody.recv_timeout(LAST_WORDS);
        std::process::exit(i32::from(failed))
    });
}

/// Resolves when standard input ends, if that is `wanted`.
async fn input_end(wanted: bool) {
    if !wanted {
        return std::future::pending().await;
    }
    let (ended, end) = oneshot::channel::<()>();
    // A thread of its own: the runtime waits for its own threads, and this one may never see the end.
    std::thread::spawn(move || {
        // Input that cannot be read has ended as well.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(ended);
    });
    let _ = end.await;
}

/// Resolves at the first SIGINT or SIGTERM from now on.
pub(super) fn signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        async move {
            match (interrupt, terminate) {
                (Ok(mut interrupt), Ok(mut terminate)) => {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                }
                // Without handlers the signals end the process by themselves.
                _ => std::future::pending().await,
            }
        }
    }
    #[cfg(not(unix))]
    async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

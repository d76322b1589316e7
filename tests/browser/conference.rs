//! A host with a page, a member, and what a browser does to be in.

use std::path::Path;
use std::time::Duration;

use alm_media::read_wav;
use serde_json::Value;
use tempfile::TempDir;

use crate::chromium::{Chromium, Tab};
use crate::process::{Process, alm};

/// A host with a page, and a member, each with a recording of what it hears.
pub(crate) struct Conference {
    pub(crate) dir: TempDir,
    pub(crate) host: Process,
    pub(crate) member: Process,
    pub(crate) link: String,
    /// The event of the guests' first link, where there is one.
    pub(crate) guest: Option<Value>,
}

impl Conference {
    pub(crate) fn start(host: &str, member: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let start =
            |line: String| Process::start(alm(dir.path(), &line.split_whitespace().collect::<Vec<_>>()));
        let line_has_door = host.contains("--web-listen");
        let common = "--json --no-mdns --listen 127.0.0.1:0";
        let mut host = start(format!(
            "host --session round --name Hal {host} --output file:host.wav --state host {common}"
        ));
        let link = host.wait("page")["link"].as_str().unwrap().to_owned();
        let guest = line_has_door.then(|| host.wait("guest"));
        let id = host.wait("session")["id"].as_str().unwrap().to_owned();
        let member = start(format!(
            "join {id} --name Mia {member} --output file:member.wav --state member --no-web {common}"
        ));
        host.wait_for("member_joined", |event| event["name"] == "Mia");
        Self { dir, host, member, link, guest }
    }

    /// The page of the host, where `name` has joined by pressing the button.
    pub(crate) fn join(&self, browser: &mut Chromium, name: &str) -> Tab {
        let tab = browser.open(&self.link);
        self.press(browser, &tab, name);
        tab
    }

    /// What others join with.
    pub(crate) fn id(&self) -> String {
        let session = self.host.seen.iter().rfind(|event| event["event"] == "session").unwrap();
        session["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn press(&self, browser: &mut Chromium, tab: &Tab, name: &str) {
        browser.wait(tab, "!document.getElementById('call-part').hidden");
        let press = format!(
            "document.getElementById('call-name').value = {name:?}; document.getElementById('call-join').click();"
        );
        browser.ask(tab, &press);
    }

    /// Until what the host hears of `node` is at least so loud, or at most.
    pub(crate) fn wait_level(&mut self, node: &str, loud: bool) {
        self.member.wait_for("levels", |event| {
            event["voices"][node].as_f64().is_some_and(|level| (level > -50.0) == loud)
        });
    }
}

/// Power at `hz` in the last `seconds` of a recording, as the amplitude of a sine.
pub(crate) fn tone(path: &Path, hz: f64, seconds: f64) -> f64 {
    let pcm = read_wav(path).unwrap();
    let tail = &pcm[pcm.len().saturating_sub((seconds * 48_000.0) as usize)..];
    let turn = |i: usize| (i as f64 * hz / 48_000.0 * std::f64::consts::TAU).sin_cos();
    let sum = tail.iter().enumerate().fold((0.0, 0.0), |(a, b), (i, sample)| {
        let (sin, cos) = turn(i);
        (a + f64::from(*sample) * sin, b + f64::from(*sample) * cos)
    });
    sum.0.hypot(sum.1) * 2.0 / tail.len() as f64
}

/// The loudest sample of the last `seconds` of a recording.
pub(crate) fn peak(path: &Path, seconds: f64) -> f32 {
    let pcm = read_wav(path).unwrap();
    let tail = &pcm[pcm.len().saturating_sub((seconds * 48_000.0) as usize)..];
    tail.iter().fold(0.0, |peak, sample| peak.max(sample.abs()))
}

/// Looks again until something is so, as sound takes its time, and files theirs.
pub(crate) fn until(what: &str, mut look: impl FnMut() -> (bool, String)) {
    for _ in 0..60 {
        if look().0 {
            return;
        }
        settle(500);
    }
    panic!("never: {what}; {}", look().1);
}

pub(crate) fn settle(ms: u64) {
    #[expect(clippy::disallowed_methods, reason = "sound takes its time")]
    std::thread::sleep(Duration::from_millis(ms));
}

/// True once a page's own scripts have run.
pub(crate) const LOADED: &str = "document.readyState === 'complete' && typeof alm === 'object'";

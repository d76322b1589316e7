//! Browsers in a conference, end to end: headless Chromium with a fake microphone, which beeps once a second.
//!
//! `make test-browser` runs these; `make test` does not, so that it needs no browser.
#![cfg(feature = "browser")]
#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/chromium.rs"]
#[allow(unreachable_pub, reason = "each test takes what it needs")]
mod chromium;
#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::path::Path;
use std::time::{Duration, Instant};

use alm_media::read_wav;
use chromium::{Chromium, Tab};
use process::{Process, alm};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A host with a page, and a member, each with a recording of what it hears.
struct Conference {
    dir: TempDir,
    host: Process,
    member: Process,
    link: String,
}

impl Conference {
    fn start(host: &str, member: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let start =
            |line: String| Process::start(alm(dir.path(), &line.split_whitespace().collect::<Vec<_>>()));
        let common = "--json --no-mdns --listen 127.0.0.1:0";
        let mut host = start(format!(
            "host --session round --name Hal {host} --output file:host.wav --state host {common}"
        ));
        let link = host.wait("page")["link"].as_str().unwrap().to_owned();
        let id = host.wait("session")["id"].as_str().unwrap().to_owned();
        let member = start(format!(
            "join {id} --name Mia {member} --output file:member.wav --state member --no-web {common}"
        ));
        host.wait_for("member_joined", |event| event["name"] == "Mia");
        Self { dir, host, member, link }
    }

    /// The page of the host, where `name` has joined by pressing the button.
    fn join(&self, browser: &mut Chromium, name: &str) -> Tab {
        let tab = browser.open(&self.link);
        browser.wait(&tab, "!document.getElementById('call-part').hidden");
        let press = format!(
            "document.getElementById('call-name').value = {name:?}; document.getElementById('call-join').click();"
        );
        browser.ask(&tab, &press);
        tab
    }

    /// Until what the host hears of `node` is at least so loud, or at most.
    fn wait_level(&mut self, node: &str, loud: bool) {
        self.member.wait_for("levels", |event| {
            event["voices"][node].as_f64().is_some_and(|level| (level > -50.0) == loud)
        });
    }
}

/// Power at `hz` in the last `seconds` of a recording, as the amplitude of a sine.
fn tone(path: &Path, hz: f64, seconds: f64) -> f64 {
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
fn peak(path: &Path, seconds: f64) -> f32 {
    let pcm = read_wav(path).unwrap();
    let tail = &pcm[pcm.len().saturating_sub((seconds * 48_000.0) as usize)..];
    tail.iter().fold(0.0, |peak, sample| peak.max(sample.abs()))
}

fn settle(ms: u64) {
    #[expect(clippy::disallowed_methods, reason = "sound takes its time")]
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn a_browser_and_two_native_members_hear_each_other() {
    let mut conference = Conference::start("--input tone:600", "--input tone:900");
    let mut browser = Chromium::start(conference.dir.path());
    let tab = conference.join(&mut browser, "Bea");
    let joined = conference.host.wait_for("member_joined", |event| event["name"] == "Bea");
    let bea = joined["node"].as_str().unwrap().to_owned();

    // The browser hears both, each on a track of its own, and loses nothing.
    browser.wait(&tab, "alm.stats().then(({ heard, level }) => heard === 2 && level > 0.05)");
    settle(2_000);
    let before = browser.ask(&tab, "alm.stats()");
    settle(2_000);
    let after = browser.ask(&tab, "alm.stats()");
    let more = |what: &str| after[what].as_u64().unwrap() - before[what].as_u64().unwrap();
    assert!((170..260).contains(&more("received")), "two voices of 50 a second: {before} {after}");
    assert!((85..130).contains(&more("sent")), "{before} {after}");

    // Both natives hear its beeps, and the recordings hold each other's tone as before.
    conference.wait_level(&bea, true);
    let media = conference.host.wait_for("media", |event| {
        event["source"] == bea.as_str() && event["packets"].as_u64().is_some_and(|packets| packets > 100)
    });
    assert_eq!((&media["forged"], &media["unknown_key"]), (&json!(0), &json!(0)), "{media}");

    // The map shows the tree that `alm tree` prints.
    let told = alm(conference.dir.path(), &["tree", "--state", "host", "--format", "dot"]).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let edges = told.lines().filter(|line| line.contains("->")).count();
    browser.wait(&tab, "document.querySelectorAll('#map .node').length === 3");
    let plan = browser.ask(
        &tab,
        "fetch('api/v1/state', { headers: { Authorization: `Bearer ${sessionStorage.token}` } })\
         .then((answer) => answer.json()).then((state) => state.plan)",
    );
    let planned: usize =
        plan["trees"].as_array().unwrap().iter().map(|t| t["edges"].as_array().unwrap().len()).sum();
    assert_eq!(edges, planned, "{told}");
    let drawn = browser.ask(&tab, "document.querySelectorAll('#map .edge').length");
    let pairs: std::collections::BTreeSet<Vec<String>> = plan["trees"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|tree| tree["edges"].as_array().unwrap())
        .map(|edge| {
            let mut ends: Vec<String> =
                edge.as_array().unwrap().iter().map(|node| node.as_str().unwrap().to_owned()).collect();
            ends.sort();
            ends
        })
        .collect();
    assert_eq!(drawn, json!(pairs.len()), "{plan}");

    // Muted, it is silence at the others; the others go on.
    browser.ask(&tab, "document.getElementById('call-mic').click()");
    conference.wait_level(&bea, false);
    settle(1_500);
    let beeps = |conference: &Conference| {
        // The member hears the host's tone and the browser: what is left without the tone is the browser.
        let path = conference.dir.path().join("member.wav");
        (peak(&path, 1.2), tone(&path, 600.0, 1.2))
    };
    settle(1_000);
    let (loudest, host) = beeps(&conference);
    assert!(host > 0.15, "the host is heard: {host}");
    assert!(f64::from(loudest) < host * 1.15, "nothing but the host is heard: {loudest} {host}");
    browser.ask(&tab, "document.getElementById('call-mic').click()");
    conference.wait_level(&bea, true);
    settle(2_200);
    let (loudest, host) = beeps(&conference);
    assert!(f64::from(loudest) > host * 1.3, "its beeps are heard again: {loudest} {host}");
    let heard = tone(&conference.dir.path().join("host.wav"), 900.0, 2.0);
    assert!(heard > 0.15, "the host hears the member: {heard}");

    // It leaves, and is gone at once.
    browser.ask(&tab, "document.getElementById('call-leave').click()");
    assert_eq!(conference.host.wait("member_left")["reason"], "left");
    browser.wait(&tab, "!document.getElementById('call-out').hidden");
}

#[test]
#[ignore = "needs Chromium: make test-browser"]
#[expect(clippy::disallowed_methods, reason = "how soon it is noticed is what is measured")]
fn who_goes_without_a_word_is_missed_soon() {
    let mut conference = Conference::start("--input silence", "--input silence");
    let mut browser = Chromium::start(conference.dir.path());

    // A tab that is loaded again or closed still says so.
    let tab = conference.join(&mut browser, "Ann");
    browser.wait(&tab, "alm.stats().then(({ sent }) => sent > 10)");
    let begun = Instant::now();
    browser.reload(&tab);
    conference.host.wait("member_left");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let other = conference.join(&mut browser, "Cid");
    browser.wait(&other, "alm.stats().then(({ sent }) => sent > 10)");
    let begun = Instant::now();
    browser.close(&other);
    let gone = conference.host.wait("member_left");
    println!("closed: {:?}", begun.elapsed());
    assert_eq!(gone["reason"], "left");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());

    // A browser that is killed cannot.
    let last = conference.join(&mut browser, "Dot");
    browser.wait(&last, "alm.stats().then(({ sent }) => sent > 10)");
    conference.host.wait_for("member_joined", |event| event["name"] == "Dot");
    let begun = Instant::now();
    browser.kill();
    conference.host.wait("member_left");
    println!("killed: {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn a_browser_hears_of_its_end() {
    let mut conference = Conference::start("--input silence", "--input silence");
    let mut browser = Chromium::start(conference.dir.path());

    // With a wrong token the page says no, and there is no button.
    let (page, token) = conference.link.split_once('#').unwrap();
    let wrong = browser.open(&format!("{page}#{}", "a".repeat(token.len())));
    browser.wait(&wrong, "document.getElementById('trouble').textContent.includes('token')");
    assert_eq!(browser.ask(&wrong, "document.getElementById('call-part').hidden"), json!(true));
    browser.close(&wrong);

    // Put out by the host.
    let tab = conference.join(&mut browser, "Eli");
    browser.wait(&tab, "alm.stats().then(({ sent }) => sent > 10)");
    conference.host.wait_for("member_joined", |event| event["name"] == "Eli");
    let kicked = alm(conference.dir.path(), &["kick", "Eli", "--state", "host"]).output().unwrap();
    assert!(kicked.status.success(), "{kicked:?}");
    let out = "document.getElementById('call-words').textContent.includes('out of the conference')";
    browser.wait(&tab, out);

    // Comes back, under the new secret, and loses the node.
    browser.ask(&tab, "document.getElementById('call-join').click()");
    browser.wait(&tab, "alm.stats().then(({ sent }) => sent > 10)");
    conference.host.wait_for("member_joined", |event| event["name"] == "Eli");
    conference.host.signal("KILL");
    let noticed = browser.wait(&tab, "document.getElementById('call-in').hidden");
    assert!(noticed < Duration::from_secs(10), "{noticed:?}");
    let end: Value = conference.member.wait_for("member_left", |event| event["node"].is_string());
    assert!(end["reason"].is_string());
}

/// Listens as a program would that knows nothing of this page, on one track.
const LISTEN: &str = r#"(async () => {
  const peer = new RTCPeerConnection();
  peer.addTransceiver("audio", { direction: "recvonly" });
  peer.addEventListener("track", ({ track }) => {
    window.sound = new Audio();
    window.sound.srcObject = new MediaStream([track]);
    window.sound.play();
  });
  await peer.setLocalDescription();
  const headers = { Authorization: `Bearer ${sessionStorage.token}`, "Content-Type": "application/sdp" };
  const answer = await fetch("whep?name=Ear", { method: "POST", headers, body: peer.localDescription.sdp });
  await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  window.heard = async () => {
    for (const report of (await peer.getStats()).values()) if (report.type === "inbound-rtp") return report;
  };
  window.end = async () => (await fetch(answer.headers.get("Location"), { method: "DELETE", headers })).status;
  return answer.status;
})()"#;

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn one_track_carries_everybody_as_a_mix() {
    let mut conference = Conference::start("--input tone:600", "--input tone:900");
    let mut browser = Chromium::start(conference.dir.path());
    let tab = browser.open(&conference.link);
    browser.wait(&tab, "!document.getElementById('call-part').hidden");
    assert_eq!(browser.ask(&tab, LISTEN), json!(201));
    conference.host.wait_for("member_joined", |event| event["name"] == "Ear");
    // Two tones of -12 dBFS together are louder than one alone could be.
    browser.wait(&tab, "heard().then(({ audioLevel }) => audioLevel > 0.3)");
    let count = "heard().then(({ packetsReceived }) => packetsReceived)";
    let before = browser.ask(&tab, count).as_u64().unwrap();
    settle(2_000);
    let more = browser.ask(&tab, count).as_u64().unwrap() - before;
    assert!((85..130).contains(&more), "one stream: {more}");
    assert_eq!(browser.ask(&tab, "end()"), json!(200));
    conference.host.wait("member_left");
    assert_eq!(browser.ask(&tab, "end()"), json!(404));
}

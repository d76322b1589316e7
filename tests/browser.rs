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

use std::collections::BTreeSet;
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
    /// The event of the guests' first link, where there is one.
    guest: Option<Value>,
}

impl Conference {
    fn start(host: &str, member: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let start =
            |line: String| Process::start(alm(dir.path(), &line.split_whitespace().collect::<Vec<_>>()));
        let line_has_door = host.contains("--web-name");
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
    fn join(&self, browser: &mut Chromium, name: &str) -> Tab {
        let tab = browser.open(&self.link);
        self.press(browser, &tab, name);
        tab
    }

    fn press(&self, browser: &mut Chromium, tab: &Tab, name: &str) {
        browser.wait(tab, "!document.getElementById('call-part').hidden");
        let press = format!(
            "document.getElementById('call-name').value = {name:?}; document.getElementById('call-join').click();"
        );
        browser.ask(tab, &press);
    }

    /// Until what the host hears of `node` is at least so loud, or at most.
    fn wait_level(&mut self, node: &str, loud: bool) {
        self.member.wait_for("levels", |event| {
            event["voices"][node].as_f64().is_some_and(|level| (level > -50.0) == loud)
        });
    }
}

/// The pairs of nodes that a voice goes between, each in the order of its letters.
type Edges = BTreeSet<[String; 2]>;

impl Conference {
    /// The links that `alm tree` prints.
    fn printed(&self) -> Edges {
        let tree =
            alm(self.dir.path(), &["tree", "--state", "host", "--format", "dot"]).output().unwrap().stdout;
        let edge = |line: &str| {
            let (parent, rest) = line.trim().split_once(" -> ")?;
            let child = rest.split_once(" [").map_or(rest, |(child, _)| child);
            let mut ends = [parent, child].map(|end| end.trim_matches('"').to_owned());
            ends.sort();
            Some(ends)
        };
        String::from_utf8(tree).unwrap().lines().filter_map(edge).collect()
    }
}

/// The links that the page's map shows.
fn drawn_edges(browser: &mut Chromium, tab: &Tab) -> Edges {
    let shown =
        "[...document.querySelectorAll('#map [data-ends]')].map((line) => line.dataset.ends.split(' '))";
    serde_json::from_value(browser.ask(tab, shown)).unwrap()
}

/// The page's SFrame against the example of the standard.
const SFRAME: &str = r#"(async () => {
  const { deriveKey, seal, open } = await import("/sframe.js");
  const bytes = (hex) => Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));
  const hex = (all) => [...all].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const key = await deriveKey(0x123, bytes("000102030405060708090a0b0c0d0e0f"));
  const [metadata, payload] = ["IETF SFrame WG", "draft-ietf-sframe-enc"].map((text) => new TextEncoder().encode(text));
  const frame = await seal(key, 0x4567, metadata, payload);
  const expected = "9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb";
  const opened = await open([key], metadata, bytes(expected));
  const forged = frame.slice();
  forged[20] ^= 1;
  return hex(frame) === expected && hex(opened.plain) === hex(payload) && opened.counter === 0x4567
    && (await open([key], metadata, forged)) === null && (await open([key], payload, frame)) === null;
})()"#;

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

/// Looks again until something is so, as sound takes its time, and files theirs.
fn until(what: &str, mut look: impl FnMut() -> (bool, String)) {
    for _ in 0..60 {
        if look().0 {
            return;
        }
        settle(500);
    }
    panic!("never: {what}; {}", look().1);
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

    // The browser hears both, each on a track of its own, and opens and seals everything itself, in packets of one size.
    browser.wait(&tab, "alm.stats().then(({ heard, level }) => heard === 2 && level > 0.05)");
    browser.wait(&tab, "alm.stats().then(({ sealed }) => sealed.opened > 200 && sealed.sealed > 100)");
    let stats = browser.ask(&tab, "alm.stats()");
    assert!(stats["received"].as_u64().unwrap() >= stats["sealed"]["opened"].as_u64().unwrap(), "{stats}");
    let sizes: Vec<u64> =
        stats["sealed"]["sizes"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).collect();
    let all: u64 = sizes.iter().sum();
    // Numbers that grow take another byte at times; the encoder hears of it a moment after it began.
    assert!(sizes.iter().sum::<u64>() >= 100 && sizes.len() <= 6, "{stats}");
    assert!(sizes.iter().filter(|count| **count > all / 20).count() <= 3, "{stats}");
    let words = browser.ask(&tab, "document.getElementById('call-seal').textContent");
    assert!(words.as_str().unwrap().contains("without opening it"), "{words}");
    assert_eq!(browser.ask(&tab, SFRAME), json!(true), "RFC 9605, appendix C.3");

    // Both natives hear its beeps, and the recordings hold each other's tone as before.
    conference.wait_level(&bea, true);
    let media = conference.host.wait_for("media", |event| {
        event["source"] == bea.as_str() && event["packets"].as_u64().is_some_and(|packets| packets > 100)
    });
    assert_eq!((&media["forged"], &media["unknown_key"]), (&json!(0), &json!(0)), "{media}");

    // The map shows the tree that `alm tree` prints.
    browser.wait(&tab, "document.querySelectorAll('#map .node').length === 3");
    let (mut printed, mut drawn) = (conference.printed(), drawn_edges(&mut browser, &tab));
    // A new plan may have come between the two.
    for _ in 0..20 {
        if printed.len() >= 2 && printed == drawn {
            break;
        }
        settle(500);
        (printed, drawn) = (conference.printed(), drawn_edges(&mut browser, &tab));
    }
    assert_eq!(printed, drawn);
    assert!(printed.len() >= 2, "three nodes hang together: {printed:?}");

    // Muted, it is silence at the others; the others go on.
    browser.ask(&tab, "document.getElementById('call-mic').click()");
    conference.wait_level(&bea, false);
    let beeps = |conference: &Conference| {
        // The member hears the host's tone and the browser: what is left without the tone is the browser.
        let path = conference.dir.path().join("member.wav");
        (peak(&path, 1.2), tone(&path, 600.0, 1.2))
    };
    until("nothing but the host is heard", || {
        let (loudest, host) = beeps(&conference);
        (host > 0.15 && f64::from(loudest) < host * 1.15, format!("{loudest} {host}"))
    });
    browser.ask(&tab, "document.getElementById('call-mic').click()");
    conference.wait_level(&bea, true);
    until("its beeps are heard again", || {
        let (loudest, host) = beeps(&conference);
        (f64::from(loudest) > host * 1.3, format!("{loudest} {host}"))
    });
    until("the host hears the member", || {
        let heard = tone(&conference.dir.path().join("host.wav"), 900.0, 2.0);
        (heard > 0.15, heard.to_string())
    });

    // Somebody is turned down in this browser alone.
    let quiet = "(() => { const all = [...document.querySelectorAll('#people .loud')].filter((one) => !one.hidden); \
                 all.forEach((one) => { one.value = 0; one.dispatchEvent(new Event('change')); }); return all.length; })()";
    let shown = "[...document.querySelectorAll('#people .loud')].filter((one) => !one.hidden).length === 2";
    browser.wait(&tab, shown);
    assert_eq!(browser.ask(&tab, quiet), json!(2), "one for each of the others");
    browser.wait(&tab, "[...document.querySelectorAll('#people .how')].filter((how) => how.textContent.includes('muted here')).length === 2");

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
    browser.reload(&tab);
    assert_eq!(conference.host.wait("member_left")["reason"], "left");
    let other = conference.join(&mut browser, "Cid");
    browser.wait(&other, "alm.stats().then(({ sent }) => sent > 10)");
    let begun = Instant::now();
    browser.close(&other);
    let gone = conference.host.wait("member_left");
    println!("closed: {:?}", begun.elapsed());
    assert_eq!(gone["reason"], "left");
    assert!(begun.elapsed() < NOTICED_WITHIN, "{:?}", begun.elapsed());
    browser.kill();

    // A browser that is killed cannot. A machine that is busy with something else may need another try.
    let mut missed = Vec::new();
    for _ in 0..3 {
        let profile = TempDir::new().unwrap();
        let mut browser = Chromium::start(profile.path());
        let last = conference.join(&mut browser, "Dot");
        browser.wait(&last, "alm.stats().then(({ sent }) => sent > 10)");
        conference.host.wait_for("member_joined", |event| event["name"] == "Dot");
        let begun = Instant::now();
        browser.kill();
        conference.host.wait("member_left");
        println!("killed: {:?}", begun.elapsed());
        if begun.elapsed() < NOTICED_WITHIN {
            return;
        }
        missed.push(begun.elapsed());
    }
    panic!("noticed too late: {missed:?}");
}

/// A browser that is gone is missed by then.
const NOTICED_WITHIN: Duration = Duration::from_secs(6);

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn a_host_leaves_and_no_browser_is_in_its_place() {
    let mut conference = Conference::start("--input silence", "--input silence");
    let mut browser = Chromium::start(conference.dir.path());
    let tab = conference.join(&mut browser, "Bea");
    let bea = conference.host.wait_for("member_joined", |event| event["name"] == "Bea");
    browser.wait(&tab, "alm.stats().then(({ sent }) => sent > 10)");
    let id = conference.host.seen.iter().rfind(|event| event["event"] == "session").unwrap()["id"].clone();
    let id = id.as_str().unwrap();

    // She who came before the browser leaves, so that it is who has been here longest.
    let mut nat = Process::live(
        conference.dir.path(),
        "nat",
        &format!("join {id} --name Nat --input silence --output null"),
    );
    let at = nat.wait("ready");
    let at = at["listen"][0].as_str().unwrap().to_owned();
    conference.host.wait_for("member_joined", |event| event["name"] == "Nat");
    conference.member.signal("TERM");
    conference.host.wait_for("member_left", |event| event["reason"] == "left");
    nat.wait_for("tree", |plan| plan["reason"] != "");

    // The host leaves, and its browsers with it. The session goes on with who can carry it.
    conference.host.signal("TERM");
    nat.wait_for("member_left", |event| event["node"] == bea["node"]);
    let mut late = Process::live(
        conference.dir.path(),
        "late",
        &format!("join {id} --name Lea --input silence --output null --bootstrap {at}"),
    );
    late.wait("session");
    nat.wait_for("member_joined", |event| event["name"] == "Lea");
    browser.wait(&tab, "document.getElementById('call-in').hidden");
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

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn a_guest_comes_by_a_link_and_is_out_when_it_is_taken_back() {
    let mut conference = Conference::start(
        "--input tone:600 --web-listen 127.0.0.1:0 --web-name localhost",
        "--input tone:900",
    );
    let first = conference.guest.take().unwrap();
    assert!(first["fingerprint"].as_str().unwrap().len() == 95, "{first}");
    let link = first["link"].as_str().unwrap().to_owned();
    let dir = conference.dir.path().to_owned();
    let run = |line: &str| {
        let line = format!("{line} --state host");
        let done = alm(&dir, &line.split(' ').collect::<Vec<_>>()).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).unwrap()
    };
    assert_eq!(run("guest"), format!("guests  {link}\n"));
    let other = run("guest Gus").trim().to_owned();
    assert_ne!(other, link);

    // The guest is in like anybody, and sees neither the id nor anything of the host's.
    let mut browser = Chromium::start(conference.dir.path());
    let tab = browser.open(&other);
    conference.press(&mut browser, &tab, "Gus");
    let gus = conference.host.wait_for("member_joined", |event| event["name"] == "Gus");
    let gus = gus["node"].as_str().unwrap().to_owned();
    browser.wait(&tab, "alm.stats().then(({ sealed }) => sealed.opened > 50 && sealed.sealed > 50)");
    conference.wait_level(&gus, true);
    for hidden in ["invite-part", "bar", "host-part", "say", "news-part", "guests-part"] {
        browser.wait(&tab, &format!("document.getElementById('{hidden}').hidden"));
    }
    let state = "fetch('api/v1/state', { headers: { Authorization: `Bearer ${sessionStorage.token}` } })";
    let shown = browser.ask(&tab, &format!("{state}.then((answer) => answer.text())"));
    let text = shown.as_str().unwrap();
    assert!(text.contains("Gus") && !text.contains("alma") && !text.contains("localhost"), "{text}");
    for (path, status) in [("metrics", 404), ("api/v1/do", 404), ("whip/0/news", 404)] {
        let asked = state.replace("api/v1/state", path).replace("{ headers", "{ method: 'GET', headers");
        assert_eq!(browser.ask(&tab, &format!("{asked}.then((answer) => answer.status)")), json!(status));
    }
    // The node's own token is nothing here, and the guest's nothing at the node's own page.
    let own = conference.link.split_once('#').unwrap().1.to_owned();
    let with_own = state.replace("${sessionStorage.token}", &own);
    assert_eq!(browser.ask(&tab, &format!("{with_own}.then((answer) => answer.status)")), json!(401));

    // Taken back: the guest is out and hears why, and the link opens no more. The other link still does.
    run("guest Gus --revoke");
    let gone = conference.host.wait_for("member_left", |event| event["node"] == gus.as_str());
    assert_eq!(gone["reason"], "left");
    let said = "document.getElementById('trouble').textContent.includes('taken back')";
    browser.wait(&tab, said);
    browser.wait(&tab, "document.getElementById('call-in').hidden");
    browser.close(&tab);
    let again = browser.open(&other);
    browser.wait(&again, said);
    assert_eq!(browser.ask(&again, "document.getElementById('call-part').hidden"), json!(true));
    let asked = format!("{state}.then(async (answer) => [answer.status, await answer.json()])");
    let refused = browser.ask(&again, &asked);
    assert_eq!(refused[0], json!(403));
    assert!(refused[1]["error"].as_str().unwrap().contains("taken back"), "{refused}");
    let tab = browser.open(&link);
    conference.press(&mut browser, &tab, "Fay");
    conference.host.wait_for("member_joined", |event| event["name"] == "Fay");
    let left = alm(&dir, &["guest", "Gus", "--revoke", "--state", "host"]).output().unwrap();
    assert_eq!(left.status.code(), Some(1), "there is no such link any more");
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

/// True once a page's own scripts have run.
const LOADED: &str = "document.readyState === 'complete' && typeof alm === 'object'";

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn a_browser_that_cannot_seal_says_who_hears() {
    let mut conference = Conference::start("--input tone:600", "--input tone:900");
    let mut browser = Chromium::start(conference.dir.path());

    // The older way to a frame does as well.
    let older = browser.open(&conference.link);
    browser.wait(&older, LOADED);
    browser.ask(&older, "delete window.RTCRtpScriptTransform");
    conference.press(&mut browser, &older, "Old");
    let old = conference.host.wait_for("member_joined", |event| event["name"] == "Old");
    browser.wait(&older, "alm.stats().then(({ sealed }) => sealed.opened > 50 && sealed.sealed > 50)");
    conference.wait_level(old["node"].as_str().unwrap(), true);
    browser.close(&older);
    conference.host.wait("member_left");

    // Without any, the node does it, and the page says so.
    let open = browser.open(&conference.link);
    browser.wait(&open, LOADED);
    let without = "delete window.RTCRtpScriptTransform; delete RTCRtpSender.prototype.createEncodedStreams";
    browser.ask(&open, without);
    conference.press(&mut browser, &open, "Ove");
    let ove = conference.host.wait_for("member_joined", |event| event["name"] == "Ove");
    browser.wait(&open, "alm.stats().then(({ sealed, received }) => sealed === null && received > 50)");
    conference.wait_level(ove["node"].as_str().unwrap(), true);
    let words = browser.ask(&open, "document.getElementById('call-seal').textContent");
    assert!(words.as_str().unwrap().contains("hears it too"), "{words}");
}

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
    browser.wait(&tab, "heard().then(({ packetsReceived }) => packetsReceived > 100)");
    assert_eq!(browser.ask(&tab, "end()"), json!(200));
    conference.host.wait("member_left");
    assert_eq!(browser.ask(&tab, "end()"), json!(404));
}

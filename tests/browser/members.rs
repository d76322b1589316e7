//! A browser among native members: heard and hearing, muted, missed when it goes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chromium::{Chromium, Tab};
use crate::conference::{Conference, peak, settle, tone, until};
use crate::process::{Process, alm};

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
    // Both count at moments of their own.
    let opened = stats["sealed"]["opened"].as_u64().unwrap();
    browser.wait(&tab, &format!("alm.stats().then(({{ received }}) => received >= {opened})"));
    let sizes: Vec<u64> =
        stats["sealed"]["sizes"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).collect();
    let all: u64 = sizes.iter().sum();
    // Numbers that grow take another byte at times; the encoder hears of it a moment after it began.
    assert!(sizes.iter().sum::<u64>() >= 100 && sizes.len() <= 6, "{stats}");
    assert!(sizes.iter().filter(|count| **count > all / 20).count() <= 3, "{stats}");
    let words = browser.ask(&tab, "document.getElementById('call-seal').textContent");
    assert!(words.as_str().unwrap().contains("without opening it"), "{words}");

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
    let id = conference.id();

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

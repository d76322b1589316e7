//! Guests without the program, by a link.

use std::net::UdpSocket;

use serde_json::{Value, json};

use crate::chromium::Chromium;
use crate::conference::Conference;
use crate::process::alm;

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
    for hidden in ["invite-part", "host-part", "guests-part"] {
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

/// What stands in a part of the page.
fn shown(part: &str) -> String {
    format!("document.getElementById('{part}').textContent")
}

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn a_guest_reads_and_writes_and_has_the_same_at_hand_as_a_member() {
    let mut conference = Conference::start(
        "--input tone:600 --web-listen 127.0.0.1:0 --web-name localhost",
        "--input tone:900",
    );
    let link = conference.guest.take().unwrap()["link"].as_str().unwrap().to_owned();
    let dir = conference.dir.path().to_owned();
    let say = |text: &str| {
        let said = alm(&dir, &["say", text, "--state", "member"]).output().unwrap();
        assert!(said.status.success(), "{said:?}");
    };
    say("from before");
    conference.host.wait_for("chat", |chat| chat["text"] == "from before");

    let mut browser = Chromium::start(&dir);
    let tab = browser.open(&link);
    browser.wait(&tab, "!document.getElementById('call-part').hidden");
    assert_eq!(browser.ask(&tab, "document.getElementById('news-part').hidden"), json!(true));
    conference.press(&mut browser, &tab, "Gus");
    let gus = conference.host.wait_for("member_joined", |event| event["name"] == "Gus");
    let gus = gus["node"].as_str().unwrap().to_owned();

    // Reads what is written from now on, as text whatever is in it; the words to compare are everybody's.
    browser.wait(&tab, "!document.getElementById('say').hidden");
    browser.wait(&tab, "!document.getElementById('phrase-part').hidden");
    let phrase = browser.ask(&tab, &shown("phrase"));
    let is_it = |event: &Value| event["event"] == "phrase" && event["words"] == phrase;
    if !conference.host.seen.iter().any(is_it) {
        conference.host.wait_for("phrase", is_it);
    }
    for _ in 0..2 {
        say("<img src=x onerror=alert(1)> to \u{202e}Gus");
    }
    let lines = "[...document.querySelectorAll('#news li')].map((line) => line.textContent)";
    let twice =
        format!("{lines}.filter((line) => line === 'Mia: <img src=x onerror=alert(1)> to Gus').length === 2");
    browser.wait(&tab, &twice);
    assert_eq!(browser.ask(&tab, "document.querySelectorAll('#news img').length"), json!(0));
    assert_eq!(browser.ask(&tab, &format!("{}.includes('from before')", shown("news"))), json!(false));

    // Writes as itself.
    let write = |text: &str| {
        format!(
            "document.getElementById('say-text').value = {text:?}; document.querySelector('#say button').click();"
        )
    };
    browser.ask(&tab, &write("hello from afar"));
    let chat = conference.host.wait("chat");
    let chat = if chat["node"] == gus.as_str() {
        chat
    } else {
        conference.host.wait_for("chat", |chat| chat["node"] == gus.as_str())
    };
    assert_eq!(chat["text"], "hello from afar");
    browser.wait(&tab, &format!("{lines}.includes('Gus: hello from afar')"));
    browser.ask(&tab, &write(&"é".repeat(4_096)));
    browser.wait(&tab, &format!("{}.includes('at most 4096 bytes')", shown("trouble")));

    // How well the others are heard, and how loud.
    let heard = "[...document.querySelectorAll('#people .how')].filter((how) => /^speaks, (arrives|loses)/.test(how.textContent)).length === 2";
    browser.wait(&tab, heard);
    browser.wait(
        &tab,
        "[...document.querySelectorAll('#people .loud')].filter((one) => !one.hidden).length === 2",
    );

    // Off, held to talk by key, off again, on by hand.
    conference.wait_level(&gus, true);
    browser.ask(&tab, "document.getElementById('mic').click()");
    conference.wait_level(&gus, false);
    browser.wait(&tab, "document.querySelector('#people .muted') !== null");
    let key = |kind: &str| {
        format!("document.body.dispatchEvent(new KeyboardEvent('{kind}', {{ key: ' ', bubbles: true }}))")
    };
    browser.ask(&tab, &key("keydown"));
    conference.wait_level(&gus, true);
    browser.ask(&tab, &key("keyup"));
    conference.wait_level(&gus, false);
    browser.ask(&tab, "document.getElementById('mic').click()");
    conference.wait_level(&gus, true);

    // Leaves after a question, and can come back.
    browser.ask(&tab, "document.getElementById('leave').click()");
    browser.ask(&tab, "document.querySelector('#leaving button[value=leave]').click()");
    let left = conference.host.wait_for("member_left", |event| event["node"] == gus.as_str());
    assert_eq!(left["reason"], "left");
    browser
        .wait(&tab, "!document.getElementById('call-out').hidden && document.getElementById('bar').hidden");
    browser.ask(&tab, "document.getElementById('call-join').click()");
    conference.host.wait_for("member_joined", |event| event["name"] == "Gus");
}

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn a_guest_from_beyond_this_machine_is_answered_at_the_address_that_it_reached() {
    // Nothing is sent: where it would go out is all that is asked.
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    let routed = probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()).map(|addr| addr.ip());
    let Ok(ip) = routed else {
        println!("this machine has loopback alone");
        return;
    };
    let mut conference =
        Conference::start(&format!("--input tone:600 --web-listen {ip}:0"), "--input silence");
    let link = conference.guest.take().unwrap()["link"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("https://{ip}:")), "{link}");
    let mut browser = Chromium::start(conference.dir.path());
    let tab = browser.open(&link);
    conference.press(&mut browser, &tab, "Gus");
    browser.wait(
        &tab,
        "alm.stats().then(({ sealed, level }) => sealed.opened > 50 && sealed.sealed > 50 && level > 0.05)",
    );
    let gus = conference.host.wait_for("member_joined", |event| event["name"] == "Gus");
    conference.wait_level(gus["node"].as_str().unwrap(), true);
}

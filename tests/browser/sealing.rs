//! Who seals and opens the sound, and whether a voice is its own.

use serde_json::json;

use crate::chromium::Chromium;
use crate::conference::{Conference, LOADED};

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

/// The page's rule on what is signed, step by step, against that of `alm_media::witness`.
const WITNESS: &str = r#"(async () => {
  const { Witness, markOf, readMarks } = await import("/witness.js");
  const trouble = [];
  const check = (what, found, expected) => found === expected || trouble.push(`${what}: ${found}`);
  check("FIPS 180-2, B.1", await markOf(new TextEncoder().encode("abc")), 0xba7816bf8f01);
  check("marks", JSON.stringify(readMarks("AAECAwQFBgYGBgYG")), JSON.stringify([0x000102030405, 0x060606060606]));
  let now = 0;
  /** Says `count` frames from `first` on, with a digest of the last 50 after every 25th unless it `signs` nothing. */
  const say = (witness, first, count, signs = true) => {
    for (let at = first; at < first + count; at += 1) {
      now += 20;
      witness.onFrame(at, at + 1, now);
      const from = Math.max(0, at - 49);
      if (signs && at % 25 === 24) witness.onDigest(from, Array.from({ length: at + 1 - from }, (_, i) => from + i + 1), now);
    }
  };
  const good = new Witness();
  say(good, 0, 20);
  check("too little to tell", good.standing, "new");
  say(good, 20, 980);
  check("confirmed", `${good.standing} ${good.confirmed} ${good.contradicted}`, "confirmed 1000 0");
  check("a digest twice", good.onDigest(900, Array(100).fill(7), now), null);
  check("is nothing", good.standing, "confirmed");
  // Somebody takes the source's next number: it is silent until four digests in a row agree.
  good.onFrame(1000, 7, now);
  say(good, 1001, 24);
  check("contradicted", `${good.standing} ${good.contradicted}`, "silenced 1");
  check("nothing is played", good.onFrame(1025, 1026, now), false);
  say(good, 1026, 74);
  check("three agree", good.standing, "silenced");
  say(good, 1100, 25);
  check("four agree", good.standing, "confirmed");
  // Frames from far beyond, which the source has not come to 2 s later.
  good.onFrame(5000, 7, now);
  now += 2000;
  say(good, 1125, 24);
  check("goes on from there", good.onDigest(1100, Array.from({ length: 50 }, (_, i) => 1101 + i), now), 1150);
  check("made up", `${good.standing} ${good.contradicted}`, "silenced 2");
  const bare = new Witness();
  say(bare, 0, 150, false);
  check("2.98 s unsigned", bare.standing, "new");
  say(bare, 150, 1, false);
  check("3 s unsigned", bare.standing, "unconfirmed");
  say(bare, 151, 350, false);
  check("10 s unsigned", bare.standing, "silenced");
  say(bare, 501, 50);
  check("signed", bare.standing, "confirmed");
  return trouble.join("; ");
})()"#;

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn the_page_seals_and_checks_as_the_standard_and_the_program_do() {
    let conference = Conference::start("--input silence", "--input silence");
    let mut browser = Chromium::start(conference.dir.path());
    let tab = browser.open(&conference.link);
    browser.wait(&tab, LOADED);
    assert_eq!(browser.ask(&tab, SFRAME), json!(true), "RFC 9605, appendix C.3");
    assert_eq!(browser.ask(&tab, WITNESS), json!(""));
}

/// Has what is signed changed on its way to where it is compared, as long as `alters` says so.
const ALTER: &str = r#"(() => {
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (data, ...rest) {
    if (window.alters && data?.vouched) {
      const other = btoa("x".repeat(atob(data.vouched.marks).length));
      data = { vouched: { ...data.vouched, marks: other } };
    }
    return post.call(this, data, ...rest);
  };
})()"#;

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn a_voice_that_its_owner_did_not_sign_is_shown_and_not_played() {
    let conference = Conference::start("--input silence", "--input tone:900");
    let mut browser = Chromium::start(conference.dir.path());
    let tab = browser.open(&conference.link);
    browser.wait(&tab, LOADED);
    browser.ask(&tab, ALTER);
    conference.press(&mut browser, &tab, "Bea");
    browser.wait(&tab, "alm.stats().then(({ sealed, level }) => sealed.confirmed > 100 && level > 0.05)");
    let sealed = browser.ask(&tab, "alm.stats().then(({ sealed }) => sealed)");
    assert_eq!(sealed["contradicted"], json!(0), "{sealed}");

    // Marks of other frames than those that were heard: as if somebody else had spoken under Mia's key.
    browser.ask(&tab, "window.alters = true");
    let doubts = "[...document.querySelectorAll('#people li')].filter((row) => row.textContent.includes('somebody else may be speaking')).length";
    browser.wait(&tab, &format!("{doubts} === 1"));
    browser
        .wait(&tab, "document.getElementById('news').textContent.includes('the voice of Mia is not played')");
    browser.wait(&tab, "alm.stats().then(({ level }) => level < 0.001)");

    // What is signed agrees again: it is believed after four such digests.
    browser.ask(&tab, "window.alters = false");
    browser.wait(&tab, &format!("{doubts} === 0"));
    browser.wait(&tab, "alm.stats().then(({ level }) => level > 0.05)");
    browser.wait(&tab, "document.getElementById('news').textContent.includes('Mia is confirmed again')");
}

/// Has the node speak of `window.others` voices more than there are.
const CROWD: &str = r#"(() => {
  const ask = window.fetch;
  const [from, to] = [new TextDecoder(), new TextEncoder()];
  window.others = 0;
  window.fetch = async (place, ...rest) => {
    const answer = await ask(place, ...rest);
    if (!String(place).endsWith("/news")) return answer;
    const transform = (chunk, out) => {
      const others = Array.from({ length: window.others }, (_, at) => `"${1000 + at}":{"node":"${at}","keys":[]},`);
      out.enqueue(to.encode(from.decode(chunk).replace('"voices":{', `"voices":{${others.join("")}`)));
    };
    return new Response(answer.body.pipeThrough(new TransformStream({ transform })), answer);
  };
})()"#;

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn more_voices_than_tracks_are_opened_by_the_node_and_the_page_says_so() {
    let mut conference = Conference::start("--input tone:600", "--input tone:900");
    let mut browser = Chromium::start(conference.dir.path());
    let tab = browser.open(&conference.link);
    browser.wait(&tab, LOADED);
    browser.ask(&tab, CROWD);
    // With the host and Mia, as many as there are tracks.
    browser.ask(&tab, "window.others = 14");
    conference.press(&mut browser, &tab, "Bea");
    let bea = conference.host.wait_for("member_joined", |event| event["name"] == "Bea");
    let bea = bea["node"].as_str().unwrap().to_owned();
    browser.wait(&tab, "alm.stats().then(({ sealed, level }) => sealed.opened > 300 && level > 0.05)");
    let words = "document.getElementById('call-seal').textContent";
    browser.wait(&tab, &format!("{words}.includes('without opening it')"));

    // One more: the node opens the voices from now on, and both are heard. The browser's own voice is still sealed there.
    browser.ask(&tab, "window.others = 15");
    browser.wait(&tab, &format!("{words}.includes('more voices than this browser can keep apart')"));
    browser.wait(
        &tab,
        "alm.stats().then(({ heard, level, received }) => heard === 2 && received > 100 && level > 0.05)",
    );
    let counts = browser.ask(&tab, "alm.stats().then(({ sealed }) => sealed)");
    let more = counts["sealed"].as_u64().unwrap() + 50;
    browser.wait(&tab, &format!("alm.stats().then(({{ sealed }}) => sealed.sealed > {more})"));
    let opened = browser.ask(&tab, "alm.stats().then(({ sealed }) => sealed.opened)");
    assert_eq!(opened, counts["opened"], "nothing is opened here any more");
    conference.wait_level(&bea, true);
    // What is opened there is checked there, and told.
    browser.wait(
        &tab,
        "Object.values(alm.standings()).filter((standing) => standing === 'confirmed').length === 2",
    );
}

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

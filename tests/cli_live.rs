//! The live commands from outside: the built program on loopback, line by line of what it promises.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::net::UdpSocket;
use std::path::Path;

use alm::session::Invite;
use process::{End, Process, alm};
use tempfile::TempDir;

const SILENT: &str = "--input silence --output null";

fn run(dir: &Path, args: &str) -> End {
    Process::start(alm(dir, &args.split_whitespace().collect::<Vec<_>>())).end()
}

/// One line of the one shape, and no more.
fn assert_line(end: &End, code: i32, words: &[&str]) {
    assert_eq!(end.code, Some(code), "{end:?}");
    assert_eq!(end.stderr.lines().count(), 1, "{end:?}");
    assert!(end.stderr.starts_with("alm: "), "{end:?}");
    for word in words {
        assert!(end.stderr.contains(word), "{word} is missing: {end:?}");
    }
}

fn host(dir: &Path, more: &str) -> (Process, String) {
    let mut host = Process::live(dir, "host", &format!("host --session standup {more}"));
    let id = host.wait("session")["id"].as_str().unwrap().to_owned();
    (host, id)
}

#[test]
fn three_members_a_helper_and_every_event() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let mut helper = Process::live(dir, "helper", "pool --degree 8");
    let ready = helper.wait("ready");
    let listen = ready["listen"][0].as_str().unwrap().to_owned();
    assert!(listen.starts_with("127.0.0.1:") && !listen.ends_with(":0"), "{ready}");
    assert!(ready["node"].is_string() && ready["ring"].is_string());
    let more =
        format!("--degree 2 --input tone:440 --output file:host.wav --name \u{1b}Hal --bootstrap {listen}");
    let (mut host, id) = host(dir, &more);
    assert!(id.len() <= 200 && id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    let session = host.seen.last().unwrap().clone();
    assert_eq!((&session["role"], &session["name"]), (&"host".into(), &"standup".into()));
    let me = host.seen.iter().find(|event| event["event"] == "ready").unwrap()["node"].clone();

    let join = |name: &str, tone: u32| {
        let voice = format!("--input tone:{tone} --output file:{name}.wav --degree 2");
        Process::live(dir, name, &format!("join {id} --name {name} {voice}"))
    };
    let (mut ann, mut bob) = (join("ann", 600), join("bob", 900));
    for member in [&mut ann, &mut bob] {
        assert_eq!(member.wait("session")["role"], "member");
        let joined = member.wait_for("member_joined", |event| event["node"] == me);
        assert_eq!(joined["name"], "Hal", "harmless in a terminal");
    }
    let tree = ann.wait_for("tree", |tree| tree["trees"].as_array().unwrap().len() == 3);
    assert_eq!((&tree["objective"], &tree["root"]), (&"forest".into(), &me));
    for field in ["epoch", "worst_ms", "height_ms", "diameter_ms", "planned_us", "probes"] {
        assert!(tree[field].is_number(), "{field}: {tree}");
    }
    assert!(tree["reason"].is_string() && tree["helpers"].is_array());
    for tree in tree["trees"].as_array().unwrap() {
        let (sources, edges) = (tree["sources"].as_array().unwrap(), tree["edges"].as_array().unwrap());
        assert_eq!((sources.len(), &edges[0][0]), (1, &sources[0]), "it hangs from its source: {tree}");
        assert!(edges.len() >= 2, "and reaches both others: {tree}");
    }

    let media = ann.wait_for("media", |media| media["source"] == me && media["packets"].as_u64() > Some(50));
    let figures =
        ["packets", "lost", "recovered", "concealed_ms", "late", "duplicates", "buffer_ms", "jitter_ms"];
    for field in figures.into_iter().chain(["hops", "path_ms"]) {
        assert!(media[field].is_number(), "{field}: {media}");
    }
    let link = ann.wait_for("link", |link| link["received"].as_u64() > Some(50));
    assert!(
        link["peer"].is_string()
            && link["rtt_ms"].is_number()
            && link["sent"].is_u64()
            && link["dropped"].is_u64()
    );
    let pool = ann.seen.iter().rfind(|event| event["event"] == "pool").unwrap();
    assert!(pool["size"].is_u64() && pool["root"].is_string() && pool["age_ms"].is_u64(), "{pool}");

    // A polite leave is seen at once and is no error.
    let ann_id = ann.seen.iter().find(|event| event["event"] == "ready").unwrap()["node"].clone();
    ann.signal("INT");
    assert_eq!(bob.wait_for("member_left", |left| left["node"] == ann_id)["reason"], "left");
    assert_eq!(ann.wait("left")["reason"], "left");
    assert_eq!(ann.end().code, Some(0));

    // Killed in the middle of a word: missed by the others, and its recording is whole.
    let bob_id = bob.seen.iter().find(|event| event["event"] == "ready").unwrap()["node"].clone();
    bob.signal("KILL");
    assert_eq!(host.wait_for("member_left", |left| left["node"] == bob_id)["reason"], "lost");
    let recording = alm_media::read_wav(&dir.join("bob.wav")).unwrap();
    assert!(recording.len() > 48_000, "{} samples", recording.len());

    // The host's end is everybody's.
    host.signal("TERM");
    assert_eq!(host.end().code, Some(0));
    helper.signal("TERM");
    assert_eq!(helper.end().code, Some(0));
}

#[test]
fn a_host_that_ends_takes_its_members_along() {
    let dir = TempDir::new().unwrap();
    let (_host, id) = host(dir.path(), SILENT);
    let mut member = Process::live(dir.path(), "member", &format!("join {id} {SILENT}"));
    member.wait("tree");
    let ended = run(dir.path(), "end --state host");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(member.wait("left")["reason"].as_str().unwrap().contains("host"));
    assert_eq!(member.end().code, Some(0));
}

#[test]
fn the_first_plain_line_of_a_host_is_the_id_and_a_closed_pipe_does_not_end_it() {
    let dir = TempDir::new().unwrap();
    let line =
        format!("host --session standup {SILENT} --no-mdns --no-web --listen 127.0.0.1:0 --state host");
    let mut host = Process::start(alm(dir.path(), &line.split_whitespace().collect::<Vec<_>>()));
    let id = host.line();
    assert!(id.parse::<Invite>().is_ok(), "{id}");
    let mut member = Process::live(dir.path(), "member", &format!("join {id} {SILENT}"));
    member.wait("session");
}

#[test]
fn ids_that_lead_nowhere_are_refused_with_a_sentence() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let join = |id: &str| {
        run(dir, &format!("join {id} {SILENT} --no-mdns --no-web --listen 127.0.0.1:0 --state guest --json"))
    };
    let (_host, id) = host(dir, SILENT);
    assert_line(&join("nonsense"), 2, &["not a session id", "nonsense"]);
    assert_line(&join(&id[..id.len() - 3]), 2, &["cut short"]);
    let known: Invite = id.parse().unwrap();
    let wrong_secret = Invite { secret: [0; 16], ..known.clone() };
    assert_line(&join(&wrong_secret.to_string()), 1, &["does not admit"]);
    let unknown = Invite { session: alm::identity::SessionId([9; 20]), ..known.clone() };
    assert_line(&join(&unknown.to_string()), 1, &["no session of this id"]);
    let vacant = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nowhere = Invite { entry_points: vec![vacant], ..known };
    assert_line(&join(&nowhere.to_string()), 1, &["nobody answers"]);
}

#[test]
fn a_refused_guest_is_told_nothing_of_the_roster() {
    let dir = TempDir::new().unwrap();
    let (_host, id) = host(dir.path(), SILENT);
    let known: Invite = id.parse().unwrap();
    let wrong = Invite { secret: [0; 16], ..known };
    let mut guest = Process::live(dir.path(), "guest", &format!("join {wrong} {SILENT}"));
    guest.wait("left");
    assert!(guest.seen.iter().all(|event| event["event"] != "member_joined" && event["event"] != "session"));
}

#[test]
fn an_id_joins_while_a_pool_node_is_known_though_its_entry_points_are_gone() {
    let dir = TempDir::new().unwrap();
    let mut helper = Process::live(dir.path(), "helper", "pool");
    let listen = helper.wait("ready")["listen"][0].as_str().unwrap().to_owned();
    let (mut host, id) = host(dir.path(), &format!("{SILENT} --bootstrap {listen}"));
    host.wait_for("pool", |pool| pool["size"] == 2);
    let stale = Invite { entry_points: vec![], ..id.parse().unwrap() };
    let mut guest =
        Process::live(dir.path(), "guest", &format!("join {stale} {SILENT} --bootstrap {listen}"));
    guest.wait("session");
}

#[test]
fn arguments_and_files_that_are_wrong_exit_with_2() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("bad.wav"), "RIFF and then nothing").unwrap();
    let host = |more: &str| run(dir, &format!("host --session s --no-mdns --no-web --state st {more}"));
    assert_line(&host("--input file:bad.wav --output null"), 2, &["bad.wav"]);
    assert_line(&host("--input file:none.wav --output null"), 2, &["none.wav"]);
    assert_line(&host("--input tone:x --output null"), 2, &["tone:x"]);
    assert_line(&host("--input silence --output null --listen nowhere"), 2, &["nowhere"]);
    assert_line(&host("--input silence --output null --bitrate 1k"), 2, &["1k"]);
    assert_line(&host("--input silence --output null --frame 7ms"), 2, &["7ms"]);
    assert_line(&host("--input silence --output null --objective bush"), 2, &["bush", "forest"]);
    assert_line(&host("--input silence --output null --degree 0"), 2, &["--degree"]);
    assert_line(&run(dir, "host"), 2, &["--session"]);
    assert_line(&run(dir, "sing"), 2, &["sing"]);
}

#[test]
fn work_that_fails_exits_with_1() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let host = |more: &str| run(dir, &format!("host --session s --no-mdns --no-web --state st {more}"));
    let listen = format!("{SILENT} --listen {}", taken.local_addr().unwrap());
    assert_line(&host(&listen), 1, &["in use"]);
    let any = "--listen 127.0.0.1:0";
    assert_line(
        &host(&format!("--input no-such-microphone --output null {any}")),
        1,
        &["no-such-microphone"],
    );
    assert_line(&host(&format!("{SILENT} --listen 192.0.2.1:0")), 1, &["no such address"]);
    let nowhere = format!("--input silence --output file:no/such/folder/x.wav {any}");
    assert_line(&host(&nowhere), 1, &["cannot write", "no/such/folder/x.wav"]);
}

#[test]
fn without_a_default_device_a_node_joins_all_the_same_and_says_so() {
    let dir = TempDir::new().unwrap();
    let mut host = Process::live(dir.path(), "host", "host --session s");
    assert!(host.wait("error")["message"].as_str().unwrap().contains("microphone"));
    assert!(host.wait("error")["message"].as_str().unwrap().contains("loudspeaker"));
    host.wait("tree");
    host.signal("TERM");
    assert_eq!(host.end().code, Some(0));
}

#[test]
fn a_bootstrap_that_does_not_answer_is_said_and_the_node_stays() {
    let dir = TempDir::new().unwrap();
    let vacant = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut pool = Process::live(dir.path(), "pool", &format!("pool --bootstrap {vacant}"));
    let message = pool.wait("error")["message"].as_str().unwrap().to_owned();
    assert!(message.contains(&vacant.to_string()), "{message}");
    pool.signal("TERM");
    assert_eq!(pool.end().code, Some(0));
}

#[test]
fn garbage_datagrams_harm_nobody() {
    let dir = TempDir::new().unwrap();
    let (host, id) = host(dir.path(), "--input tone:440 --output null");
    let listen = host.seen.iter().find(|event| event["event"] == "ready").unwrap()["listen"][0].clone();
    let mut member = Process::live(dir.path(), "member", &format!("join {id} {SILENT}"));
    member.wait("tree");
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut noise = 1u32;
    for length in (0..4_000).map(|i| i % 1_400) {
        let garbage: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        })
        .take(length)
        .collect();
        stranger.send_to(&garbage, listen.as_str().unwrap()).unwrap();
    }
    let heard = |event: &serde_json::Value| event["packets"].as_u64();
    let before = heard(&member.wait("media"));
    member.wait_for("media", |media| heard(media) > before.map(|n| n + 80));
    host.signal("TERM");
    assert_eq!(host.end().code, Some(0));
}

#[test]
fn a_locked_state_directory_gives_a_key_for_a_lifetime() {
    let dir = TempDir::new().unwrap();
    let node = |process: &mut Process| process.wait("ready")["node"].clone();
    let (mut first, mut second) =
        (Process::live(dir.path(), "same", "pool"), Process::live(dir.path(), "same", "pool"));
    let (a, b) = (node(&mut first), node(&mut second));
    assert_ne!(a, b);
    drop((first, second));
    let again = node(&mut Process::live(dir.path(), "same", "pool"));
    assert!(again == a || again == b, "whichever came first owns the key");
}

//! The local page of a conference that runs, asked as a browser would, and as nobody should.
#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use process::{Process, alm};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The page of a host: its address, and the token of its link.
struct Page {
    addr: String,
    token: String,
}

impl Page {
    fn of(link: &str) -> Self {
        let (addr, token) = link.strip_prefix("http://").unwrap().split_once("/#").unwrap();
        Self { addr: addr.to_owned(), token: token.to_owned() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Status and text of the answer to a request with these headers beside `Host`.
    fn ask(&self, what: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut stream = self.connect();
        let mut head = format!("{what} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {}\r\n", self.addr);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        // A server that has said no may close before it has read everything.
        let _ = stream.read_to_string(&mut answer);
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn order(&self, request: &Value, more: &[(&str, &str)]) -> u16 {
        let bearer = self.bearer();
        let headers = [&[("Authorization", bearer.as_str())], more].concat();
        self.ask("POST /api/v1/do", &headers, &request.to_string()).0
    }
}

#[test]
fn the_page_shows_and_does_for_who_has_its_link_alone() {
    let dir = TempDir::new().unwrap();
    let line = "host --session standup --input tone:440 --output null --name Hal --json --no-mdns --listen 127.0.0.1:0 \
                --state host";
    let mut host = Process::start(alm(dir.path(), &line.split_whitespace().collect::<Vec<_>>()));
    let page = Page::of(host.wait("page")["link"].as_str().unwrap());
    host.wait("session");

    // The page itself holds nothing, and brings nothing from elsewhere.
    let (status, text) = page.ask("GET /", &[], "");
    assert_eq!(status, 200);
    assert!(
        text.contains("content-security-policy: default-src 'none'") && !text.contains(&page.token),
        "{text}"
    );
    for file in [
        "page.css",
        "page.js",
        "people.js",
        "call.js",
        "events.js",
        "seal.js",
        "sframe.js",
        "witness.js",
        "map.js",
        "layout.js",
        "icon.svg",
    ] {
        let (status, text) = page.ask(&format!("GET /{file}"), &[], "");
        assert_eq!(status, 200, "{file}");
        assert!(!text.contains("https://"), "{file}");
    }

    // The state, and what changes in it.
    let bearer = page.bearer();
    let own: &[(&str, &str)] = &[("Authorization", &bearer)];
    let (status, text) = page.ask("GET /api/v1/state", own, "");
    assert_eq!(status, 200);
    let state: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&state["session"]["name"], &state["muted"]), (&json!("standup"), &json!(false)));
    assert!(!text.contains(&page.token), "a state that is copied gives nothing away");
    let (status, text) = page.ask("GET /metrics", own, "");
    assert_eq!(status, 200);
    assert!(text.contains("text/plain; version=0.0.4") && text.contains("\nalm_members 1\n"), "{text}");
    assert_eq!(page.ask("GET /metrics", &[], "").0, 401);
    let mut events = page.connect();
    write!(events, "GET /api/v1/events HTTP/1.1\r\nHost: {}\r\nAuthorization: {bearer}\r\n\r\n", page.addr)
        .unwrap();
    assert_eq!(page.order(&json!({"do": "mute"}), &[]), 200);
    assert_eq!(host.wait("voice")["muted"], true);
    let muted =
        BufReader::new(events).lines().map(Result::unwrap).any(|line| line.contains("\"muted\":true"));
    assert!(muted);

    // Who has no token, or another site's page, or another name for this address, gets nothing.
    let wrong = format!("Bearer {}", "a".repeat(26));
    assert_eq!(page.ask("GET /api/v1/state", &[], "").0, 401);
    assert_eq!(page.ask("GET /api/v1/state", &[("Authorization", &wrong)], "").0, 401);
    assert_eq!(page.ask("GET /", &[("Host", "evil.example")], "").0, 421);
    let unmute = json!({"do": "unmute"});
    assert_eq!(page.order(&unmute, &[("Origin", "http://evil.example")]), 403);
    assert_eq!(page.order(&unmute, &[("Sec-Fetch-Site", "cross-site")]), 403);

    // What is no request is refused in a sentence.
    assert_eq!(page.order(&json!({"do": "dance"}), &[]), 400);
    assert_eq!(page.order(&json!({"do": "say", "text": "a".repeat(9_000)}), &[]), 413);
    assert_eq!(page.ask("GET /etc/passwd", own, "").0, 404);
    assert_eq!(page.ask("DELETE /api/v1/state", own, "").0, 405);

    // A browser is let in by its offer, and by the token.
    let sdp = ("Content-Type", "application/sdp");
    let offer = |headers: &[(&str, &str)], body: &str| page.ask("POST /whip?name=Ida", headers, body);
    assert_eq!(offer(&[sdp], "v=0\r\n").0, 401);
    assert_eq!(offer(&[own[0], sdp, ("Origin", "http://evil.example")], "v=0\r\n").0, 403);
    assert_eq!(offer(own, "v=0\r\n").0, 415);
    assert_eq!(offer(&[own[0], sdp], &"v=0\r\n".repeat(8_000)).0, 413);
    let line = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";
    for broken in ["", "v=0\r\n", "v=0\r\nm=video 9 x 96\r\n", &format!("v=0\r\n{line}")] {
        let (status, text) = offer(&[own[0], sdp], broken);
        assert_eq!(status, 400, "{broken:?}: {text}");
    }
    for (way, status) in [("PATCH", 405), ("GET", 405), ("DELETE", 404)] {
        assert_eq!(page.ask(&format!("{way} /whip/0"), own, "").0, status, "{way}");
    }
    let flood = (0..40).filter(|_| offer(&[own[0], sdp], "").0 == 429).count();
    assert!(flood > 10, "{flood}");

    assert_eq!(page.order(&json!({"do": "leave"}), &[("Origin", &format!("http://{}", page.addr))]), 200);
    assert_eq!(host.end().code, Some(0));
}

#[test]
fn a_port_in_use_is_said_and_another_machine_is_not_served() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let line =
        |listen: &str| format!("pool --no-mdns --listen 127.0.0.1:0 --state pool --web-listen {listen}");
    let run = |line: &str| alm(dir.path(), &line.split_whitespace().collect::<Vec<_>>()).output().unwrap();
    let refused = run(&line(&addr));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said.starts_with("alm: cannot serve the page: the port is in use") && said.contains(&addr),
        "{said}"
    );
    let refused = run(&line("0.0.0.0:0"));
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("this machine alone"));
    let refused = run(&line("127.0.0.1:0 --web-cert none.pem --web-key none.pem"));
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("none.pem"));
}

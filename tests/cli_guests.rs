//! The port for guests, asked over TLS as a browser would, and as nobody should.
#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use process::{Process, alm};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than the port keeps anybody who does not get on.
const PATIENCE: Duration = Duration::from_secs(40);

/// A host with a port for guests, which shows a certificate that was given.
struct Door {
    dir: TempDir,
    host: Process,
    certificate: CertificateDer<'static>,
    addr: String,
    token: String,
    /// The host's own page.
    own: String,
}

impl Door {
    fn open() -> Self {
        let dir = TempDir::new().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let pem = |name: &str, kind: &str, bytes: &[u8]| {
            let text = data_encoding::BASE64.encode(bytes);
            let text = format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n");
            std::fs::write(dir.path().join(name), text).unwrap();
        };
        pem("cert.pem", "CERTIFICATE", made.cert.der());
        pem("key.pem", "PRIVATE KEY", &made.signing_key.serialize_der());
        let line = "host --session round --name Hal --input tone:440 --output null --json --no-mdns --listen 127.0.0.1:0 \
                    --state host --web-listen 127.0.0.1:0 --web-name localhost --web-cert cert.pem --web-key key.pem";
        let mut host = Process::start(alm(dir.path(), &line.split_whitespace().collect::<Vec<_>>()));
        let own = host.wait("page")["link"].as_str().unwrap().to_owned();
        let first = host.wait("guest");
        assert!(first["fingerprint"].is_null(), "who has a certificate knows it: {first}");
        let (addr, token) = parts(first["link"].as_str().unwrap());
        host.wait("session");
        Self { dir, host, certificate: made.cert.der().clone(), addr, token, own }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr.replace("localhost", "127.0.0.1")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Who believes in the certificate that was given, and in no other.
    fn secure(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), self.connect())
    }

    /// Status and text of the answer to a request with these headers beside `Host`.
    fn ask(&self, what: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut head = format!("{what} HTTP/1.1\r\nConnection: close\r\n");
        for (name, value) in [("Host", self.addr.clone()), ("Content-Length", body.len().to_string())] {
            if !headers.iter().any(|(given, _)| *given == name) {
                head += &format!("{name}: {value}\r\n");
            }
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = self.secure();
        let mut answer = Vec::new();
        // A server that has said no may close before it has read everything.
        let _ = stream.write_all(&[format!("{head}\r\n").as_bytes(), body].concat());
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0), answer)
    }

    fn offer(&self, token: &str, body: &[u8]) -> (u16, String) {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/sdp")];
        self.ask("POST /whip?name=Gus", &headers, body)
    }

    fn run(&self, args: &str) -> String {
        run(self.dir.path(), args)
    }
}

fn run(dir: &Path, args: &str) -> String {
    let line = format!("{args} --state host");
    let done = alm(dir, &line.split_whitespace().collect::<Vec<_>>()).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// Address and token of a guests' link.
fn parts(link: &str) -> (String, String) {
    let (addr, token) = link.strip_prefix("https://").unwrap().split_once("/#").unwrap();
    (addr.to_owned(), token.to_owned())
}

const LINE: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\n";

#[test]
fn a_guest_is_served_by_the_given_certificate_and_nobody_else_is() {
    let door = Door::open();
    let bearer = format!("Bearer {}", door.token);
    let guest = [("Authorization", bearer.as_str())];
    let (status, text) = door.ask("GET /", &[], b"");
    assert_eq!(status, 200);
    assert!(text.contains("content-security-policy: default-src 'none'") && !text.contains(&door.token));
    let (status, text) = door.ask("GET /api/v1/state", &guest, b"");
    assert_eq!(status, 200);
    let state: Value = serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&state["session"]["id"], &state["session"]["role"]), (&Value::Null, &Value::from("guest")));
    assert!(state.get("chat").is_none() && state.get("news").is_none(), "{state}");

    // Whoever has no link of this port, or asks from another site or by another name.
    let own = door.own.split_once('#').unwrap().1;
    for token in ["", "a", &"a".repeat(26), &"a".repeat(4_000), own] {
        let wrong = format!("Bearer {token}");
        for what in ["GET /api/v1/state", "GET /api/v1/events", "POST /whip", "POST /whep/0/say"] {
            assert_eq!(door.ask(what, &[("Authorization", &wrong)], b"").0, 401, "{what} {token}");
        }
    }
    let host = ("Host", "evil.example");
    assert_eq!(door.ask("GET /", &[host], b"").0, 421);
    let origin = ("Origin", "https://evil.example");
    assert_eq!(door.ask("POST /whip", &[guest[0], origin], b"v=0").0, 403);

    // What a guest's link does not open.
    for what in ["POST /api/v1/do", "GET /metrics"] {
        assert_eq!(door.ask(what, &guest, br#"{"do":"leave"}"#).0, 404, "{what}");
    }
    assert_eq!(door.ask("POST /whep/0/say", &guest, b"hello").0, 404);
    assert_eq!(door.ask("POST /whep/0/say", &guest, &[0xFF; 9]).0, 400);

    // Taken back.
    let (_, other) = parts(&door.run("guest press"));
    door.run("guest press --revoke");
    let (status, text) = door.ask("GET /api/v1/state", &[("Authorization", &format!("Bearer {other}"))], b"");
    assert!(status == 403 && text.contains("taken back"), "{text}");
    assert_eq!(door.offer(&other, b"v=0\r\n").0, 403);

    door.host.signal("TERM");
    assert_eq!(door.host.end().code, Some(0));
}

#[test]
fn floods_and_nonsense_are_refused_in_a_sentence_and_others_go_on() {
    let door = Door::open();
    let bearer = format!("Bearer {}", door.token);
    let guest = ("Authorization", bearer.as_str());

    // What is no offer, and what is too long for one.
    let many = format!("v=0\r\n{}", LINE.repeat(17));
    for broken in ["", "v=0\r\n", "hello", "v=0\r\nm=video 9 x 96\r\n", &format!("v=0\r\n{LINE}"), &many] {
        let (status, text) = door.offer(&door.token, broken.as_bytes());
        assert!(status == 400 && text.contains("\"error\":"), "{broken:?}: {text}");
    }
    assert_eq!(door.offer(&door.token, &[0xFF; 100]).0, 400);
    let long = vec![b'a'; 40_000];
    assert_eq!(door.offer(&door.token, &long).0, 413);
    assert_eq!(door.ask("POST /whep/0/say", &[guest], &long).0, 413);
    // One that is announced and does not come.
    assert_eq!(door.ask("POST /whep/0/say", &[guest, ("Content-Length", "1000000")], b"").0, 408);
    let header = ("X-Long", &*"a".repeat(100_000));
    assert!([0, 431].contains(&door.ask("GET /", &[header], b"").0));

    // One link's flood is cut, and is not another's.
    let (_, other) = parts(&door.run("guest other"));
    let refused: Vec<String> = (0..40)
        .map(|_| door.offer(&door.token, b"v=0\r\n"))
        .filter(|(status, _)| *status == 429)
        .map(|(_, text)| text)
        .collect();
    assert!(refused.len() > 10, "{}", refused.len());
    assert!(
        refused[0].contains("retry-after: 2") && refused[0].contains("too many offers"),
        "{}",
        refused[0]
    );
    assert_eq!(door.offer(&other, b"v=0\r\n").0, 400);

    // Who does not speak TLS is shown the door, and who says nothing holds up nobody for long.
    let mut plain = door.connect();
    plain.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", door.addr).as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.windows(4).any(|window| window == b"HTTP"), "{answer:?}");
    let idle: Vec<TcpStream> = (0..80).map(|_| door.connect()).collect();
    let own = door.own.strip_prefix("http://").unwrap().split_once('/').unwrap().0;
    let mut page = TcpStream::connect(own).unwrap();
    page.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(page, "GET / HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    page.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "the host's own page is another port: {answer}");
    assert_eq!(door.ask("GET /", &[], b"").0, 200);
    drop(idle);
}

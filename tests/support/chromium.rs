//! Headless Chromium with a fake microphone, spoken to over a pair of pipes (the DevTools protocol, one JSON object after
//! another, a zero byte between two).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than anything a page does here may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at something that is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A browser of its own, with an empty profile in `dir`; killed when dropped.
pub struct Chromium {
    child: Child,
    orders: File,
    answers: Receiver<Value>,
    last: u64,
}

/// A tab.
pub struct Tab {
    session: String,
    target: String,
}

impl Chromium {
    pub fn start(dir: &Path) -> Self {
        let program = ["chromium", "chromium-browser", "google-chrome"]
            .into_iter()
            .find(|name| Command::new(name).arg("--version").stderr(Stdio::null()).output().is_ok())
            .expect("Chromium is not installed: `make test-browser` sees to that");
        let (orders, answers) = (dir.join("orders"), dir.join("answers"));
        assert!(Command::new("mkfifo").args([&orders, &answers]).status().unwrap().success());
        // It reads from descriptor 3 and writes to 4.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$@" 3<orders 4>answers"#, "sh", program]).current_dir(dir);
        command.args(FLAGS).arg(format!("--user-data-dir={}", dir.join("profile").display()));
        command.arg("about:blank").stdout(Stdio::null()).stderr(Stdio::null()).env("HOME", dir);
        let child = command.spawn().unwrap();
        let orders = OpenOptions::new().write(true).open(orders).unwrap();
        let mut reader = BufReader::new(File::open(answers).unwrap());
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            while reader.read_until(0, &mut text).is_ok_and(|length| length > 0) {
                text.pop();
                let Ok(value) = serde_json::from_slice(&text) else { return };
                text.clear();
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self { child, orders, answers, last: 0 }
    }

    /// Orders something and waits for the result.
    fn order(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        let answer = self.try_order(session, method, params);
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Orders something and waits for the answer, which may be an error.
    fn try_order(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut order = json!({ "id": self.last, "method": method, "params": params });
        if let Some(session) = session {
            order["sessionId"] = json!(session);
        }
        self.orders.write_all(format!("{order}\0").as_bytes()).unwrap();
        loop {
            let answer =
                self.answers.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {method}"));
            if answer["id"] == self.last {
                return answer;
            }
        }
    }

    /// A tab that has opened `link`.
    pub fn open(&mut self, link: &str) -> Tab {
        let target = self.order(None, "Target.createTarget", json!({ "url": link }))["targetId"].clone();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = self.order(None, "Target.attachToTarget", attach)["sessionId"].clone();
        Tab { session: session.as_str().unwrap().to_owned(), target: target.as_str().unwrap().to_owned() }
    }

    /// What a script of the page comes to.
    pub fn ask(&mut self, tab: &Tab, script: &str) -> Value {
        let answer = self.order(Some(&tab.session), "Runtime.evaluate", evaluated(script));
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Looks until a script of the page comes to something true, and says how long that took.
    #[expect(clippy::disallowed_methods, reason = "another process is waited for")]
    pub fn wait(&mut self, tab: &Tab, script: &str) -> Duration {
        let begun = Instant::now();
        // A page that is still loading has nothing to ask, or not what is asked for.
        let script = format!("({script})");
        while !is_true(&self.try_order(Some(&tab.session), "Runtime.evaluate", evaluated(&script))) {
            if begun.elapsed() > PATIENCE {
                let text = self.ask(tab, "document.body.innerText");
                panic!("never: {script}; the page says {text}");
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        begun.elapsed()
    }

    /// Loads the page again.
    pub fn reload(&mut self, tab: &Tab) {
        self.order(Some(&tab.session), "Page.reload", json!({}));
    }

    /// Closes a tab as its owner would.
    pub fn close(&mut self, tab: &Tab) {
        self.order(None, "Target.closeTarget", json!({ "targetId": tab.target }));
    }

    /// Without any goodbye.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn evaluated(script: &str) -> Value {
    json!({ "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true })
}

fn is_true(answer: &Value) -> bool {
    answer["result"]["result"]["value"] == json!(true)
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No picture, no sound card, no question about the microphone or a certificate that was made on the spot, no word to anywhere.
const FLAGS: &[&str] = &[
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--ignore-certificate-errors",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
];

//! Programs that speak WHIP and WHEP and know nothing of the page.

use serde_json::json;

use crate::chromium::Chromium;
use crate::conference::Conference;

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
    browser.wait(&tab, "heard().then(({ packetsReceived }) => packetsReceived > 100)");
    assert_eq!(browser.ask(&tab, "end()"), json!(200));
    conference.host.wait("member_left");
    assert_eq!(browser.ask(&tab, "end()"), json!(404));
}

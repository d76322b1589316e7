//! What a browser is told while it is in: who speaks under which number, and, where it seals and opens the sound itself, the
//! keys for that and the session's time.

use alm_media::{SenderKey, SourceIndex};
use data_encoding::HEXLOWER;
use futures_util::stream::unfold;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, timeout};

use crate::live::Secrets;
use crate::web::News;

/// What of a member is sealed and opened in the browser.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sealed {
    pub(super) voice: bool,
    pub(super) ears: bool,
}

/// Tells at once, when something has changed, and now and then, for clocks that drift; until the member is out.
pub(super) fn news(secrets: watch::Receiver<Secrets>, sealed: watch::Receiver<Sealed>) -> News {
    let begun = (secrets, sealed, false);
    Box::pin(unfold(begun, |(mut secrets, mut sealed, told)| async move {
        if told {
            let changed = async {
                tokio::select! {
                    changed = secrets.changed() => changed.is_ok(),
                    changed = sealed.changed() => changed.is_ok(),
                }
            };
            if timeout(TIME_AGAIN, changed).await == Ok(false) {
                return None;
            }
        }
        let text = {
            let (secrets, sealed) = (secrets.borrow_and_update(), *sealed.borrow_and_update());
            written(&secrets, sealed, Instant::now()).to_string()
        };
        Some((text, (secrets, sealed, true)))
    }))
}

fn written(secrets: &Secrets, sealed: Sealed, now: Instant) -> Value {
    let voices: Map<String, Value> = secrets
        .nodes
        .iter()
        .map(|(source, node)| {
            let keys = secrets.open.get(source).filter(|_| sealed.ears);
            let keys: Vec<Value> = keys.into_iter().flatten().map(|known| key(known, *source)).collect();
            (source.0.to_string(), json!({ "node": node.to_string(), "keys": keys }))
        })
        .collect();
    let seal = secrets.seal.as_ref().zip(secrets.own).filter(|_| sealed.voice);
    json!({
        "source": secrets.own.map(|own| own.0),
        "ticks": secrets.clock.map(|clock| clock.ticks(now.into_std())),
        "seal": seal.map(|(known, own)| key(known, own)),
        "voices": voices,
    })
}

fn key(key: &SenderKey, source: SourceIndex) -> Value {
    json!({ "id": key.id(source), "key": HEXLOWER.encode(key.base()) })
}

/// Clocks that are 100 ppm apart are 0.2 ms apart by then.
const TIME_AGAIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_only_where_the_sound_is_sealed() {
        let key = SenderKey::derive(b"secret", &[1; 32], &[2; 16]).with_tag(7);
        let mut secrets =
            Secrets { own: Some(SourceIndex(3)), seal: Some(key.clone()), ..Secrets::default() };
        secrets.nodes.insert(SourceIndex(5), crate::identity::NodeId([9; 32]));
        secrets.open.insert(SourceIndex(5), vec![key]);
        let told = |voice, ears| written(&secrets, Sealed { voice, ears }, Instant::now());
        let none = told(false, false);
        assert_eq!((&none["seal"], &none["voices"]["5"]["keys"]), (&json!(null), &json!([])));
        assert!(none["voices"]["5"]["node"].is_string());
        assert_eq!(told(true, false)["seal"]["id"], json!(7 << 16 | 3));
        assert_eq!(told(true, false)["voices"]["5"]["keys"], json!([]));
        assert_eq!(told(false, true)["voices"]["5"]["keys"][0]["id"], json!(7 << 16 | 5));
    }
}

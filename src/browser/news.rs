//! What a browser is told while it is in: what happens and is written, who speaks under which number, and, where it seals and
//! opens the sound itself, the keys for that, the session's time, and what the others have signed of their voices.

use alm_media::{SenderKey, SourceIndex, Vouched};
use data_encoding::{BASE64, HEXLOWER};
use futures_util::stream::unfold;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Duration, Instant, sleep_until};

use super::told::Told;
use crate::live::Secrets;
use crate::web::News;

/// What of a member is sealed and opened in the browser.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sealed {
    pub(super) voice: bool,
    pub(super) ears: bool,
}

/// Where it comes from.
pub(super) struct Sources {
    pub(super) secrets: watch::Receiver<Secrets>,
    pub(super) sealed: watch::Receiver<Sealed>,
    pub(super) vouched: broadcast::Receiver<(SourceIndex, Vouched)>,
    pub(super) told: watch::Receiver<Told>,
}

/// Tells at once, when something has changed, and the keys and the time now and then as well, for clocks that drift; until
/// the member is out.
pub(super) fn news(mut sources: Sources) -> News {
    sources.told.mark_changed();
    let begun = Reader { sources, read: 0, due: None };
    Box::pin(unfold(begun, |mut reader| async { Some((reader.next().await?.to_string(), reader)) }))
}

struct Reader {
    sources: Sources,
    /// Lines that it has been told.
    read: u64,
    /// When keys and time are due again; at once in the beginning.
    due: Option<Instant>,
}

impl Reader {
    async fn next(&mut self) -> Option<Value> {
        loop {
            let Sources { secrets, sealed, vouched, told } = &mut self.sources;
            let due = self.due.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                () = sleep_until(due) => return Some(self.keys()),
                changed = secrets.changed() => return changed.is_ok().then(|| self.keys()),
                changed = sealed.changed() => return changed.is_ok().then(|| self.keys()),
                changed = told.changed() => {
                    changed.ok()?;
                    if let Some(lines) = self.lines() {
                        return Some(lines);
                    }
                }
                signed = vouched.recv() => match signed {
                    Ok((source, vouched)) => return Some(written_vouched(source, &vouched)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    fn keys(&mut self) -> Value {
        let now = Instant::now();
        self.due = Some(now + TIME_AGAIN);
        let Sources { secrets, sealed, .. } = &mut self.sources;
        written(&secrets.borrow_and_update(), *sealed.borrow_and_update(), now)
    }

    /// What there is to read that was not told before, and how much there was before it.
    fn lines(&mut self) -> Option<Value> {
        let told = self.sources.told.borrow_and_update();
        let kept = told.lines();
        let fresh = usize::try_from(told.count() - self.read).unwrap_or(usize::MAX).min(kept.len());
        let lines: Vec<&String> = kept.iter().skip(kept.len() - fresh).collect();
        self.read = told.count();
        (fresh > 0).then(|| json!({ "after": self.read - fresh as u64, "lines": lines }))
    }
}

fn written_vouched(source: SourceIndex, vouched: &Vouched) -> Value {
    let marks = BASE64.encode(vouched.marks.as_flattened());
    json!({ "vouched": { "source": source.0, "first": vouched.first, "marks": marks } })
}

fn written(secrets: &Secrets, sealed: Sealed, now: Instant) -> Value {
    let voices: Map<String, Value> = secrets
        .nodes
        .iter()
        .map(|(source, node)| {
            let keys = secrets.open.get(source).filter(|_| sealed.ears);
            let keys: Vec<Value> = keys.into_iter().flatten().map(|known| key(known, *source)).collect();
            let (standing, bad) = secrets.standings.get(source).copied().unwrap_or_default();
            // Where the browser opens the voices, it knows better.
            let standing = (!sealed.ears).then(|| standing.word());
            let voice = json!({ "node": node.to_string(), "keys": keys, "standing": standing, "bad": bad });
            (source.0.to_string(), voice)
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
    use crate::event::Event;
    use futures_util::StreamExt;

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
        let opened = told(false, true);
        assert_eq!(opened["voices"]["5"]["keys"][0]["id"], json!(7 << 16 | 5));
        assert_eq!(
            (&opened["voices"]["5"]["standing"], &none["voices"]["5"]["standing"]),
            (&json!(null), &json!("new"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn lines_are_told_once_and_what_is_signed_as_it_comes() {
        let ((_keys, secrets), (_how, sealed)) =
            (watch::channel(Secrets::default()), watch::channel(Sealed::default()));
        let (signed, vouched) = broadcast::channel(4);
        let (telling, told) = watch::channel(Told::default());
        let write = |text: &str| {
            let (node, text) = ("a".to_owned(), text.to_owned());
            telling.send_if_modified(|told| told.note(&Event::Chat { node, text, sent: 0.0 }));
        };
        (0..150).for_each(|line| write(&line.to_string()));
        let mut news = news(Sources { secrets, sealed, vouched, told });
        let mut next = async || serde_json::from_str::<Value>(&news.next().await.unwrap()).unwrap();
        assert!(next().await["voices"].is_object());
        let lines = next().await;
        assert_eq!(
            (&lines["after"], lines["lines"].as_array().unwrap().len()),
            (&json!(50), 100),
            "the rest is forgotten"
        );
        write("one more");
        assert_eq!(next().await, json!({ "after": 150, "lines": ["a: one more"] }));
        let marks = vec![[0, 1, 2, 3, 4, 5], [6; 6]];
        signed.send((SourceIndex(5), Vouched { first: 77, marks })).unwrap();
        assert_eq!(
            next().await,
            json!({ "vouched": { "source": 5, "first": 77, "marks": "AAECAwQFBgYGBgYG" } })
        );
        // Nothing happens: keys and time again.
        assert!(next().await["voices"].is_object());
        drop(signed);
        assert!(news.next().await.is_none(), "it is out");
    }
}

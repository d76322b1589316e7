//! What the transport under the voices makes of a path: real QUIC and the hop carrier beside it on an emulated path, in
//! virtual time, so that neither the machine's speed nor its load is measured. First random loss on a long way, next to
//! QUIC's own datagrams; then an access line that another program fills, up to the ear.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use alm::identity::Identity;
use alm::net::emulated::{Datagram, EmulatedNetwork, EmulatedSocket, PathProfile, Uplink, address_of};
use alm::net::quic::{Carrier, QuicLink, Socket};
use alm::net::{Channel, Link, LinkEvent, next_event};
use alm_media::{CaptureTime, MediaPacket, SourceIndex, TreeId};
use bytes::{Bytes, BytesMut};
use quinn::{ClientConfig, Endpoint, EndpointConfig, ServerConfig, TokioRuntime};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::time::{Instant, sleep, sleep_until};

use support::pace::PACKET_LEN;
use support::player::{self, FRAME_MS};
use support::{Size, quantile};

const ONE_WAY: Duration = Duration::from_millis(100);
const LOSS: f64 = 0.05;
/// Voices on the link, each with a packet every 20 ms.
const STREAMS: u32 = 8;
/// Before the first packet: connections are made, and the hop is found to work.
const WARM_UP: Duration = Duration::from_secs(5);
/// After the last one: what is still under way arrives.
const TAIL: Duration = Duration::from_secs(20);

/// What carries the datagrams.
#[derive(Clone, Copy)]
enum Way {
    Alm(Carrier),
    /// QUIC as the crate has it: CUBIC, and as much room for datagrams as there is.
    Quinn,
}

/// What became of a run's packets: when each that came was sent, and how long it took, ms.
struct Carried {
    sent: u32,
    came: Vec<(u32, f64, f64)>,
}

/// Who sends and who receives.
struct Ends {
    network: EmulatedNetwork<Datagram>,
    begun: Instant,
}

impl Ends {
    fn new(seed: u64, path: PathProfile) -> Self {
        Self { network: EmulatedNetwork::start(2, seed, |_, _| path), begun: Instant::now() }
    }

    fn socket(&self, node: usize) -> Arc<EmulatedSocket> {
        EmulatedSocket::new(&self.network, node)
    }

    /// Packets of so many voices for some time, from one end to the other; `at` is called as time passes.
    async fn carry(&self, way: Way, voices: u32, time: Duration, mut at: impl FnMut(&Self, f64)) -> Carried {
        let (came, mut coming) = tokio::sync::mpsc::unbounded_channel();
        let mut speak = self.connect(way, came).await;
        let start = self.begun + WARM_UP;
        let interval = Duration::from_millis(20) / voices;
        let count = (time.as_secs_f64() / interval.as_secs_f64()) as u32;
        for number in 0..count {
            let due = start + interval * number;
            sleep_until(due).await;
            at(self, (due - start).as_secs_f64());
            speak(packet(number, self.ms(due)));
        }
        sleep(TAIL).await;
        let mut all = Vec::new();
        while let Ok((bytes, ms)) = coming.try_recv() {
            all.extend(read(&bytes).map(|(number, sent_ms)| (number, sent_ms, ms - sent_ms)));
        }
        Carried { sent: count, came: all }
    }

    fn ms(&self, at: Instant) -> f64 {
        (at - self.begun).as_secs_f64() * 1_000.0
    }
}

type Came = tokio::sync::mpsc::UnboundedSender<(Bytes, f64)>;
type Speak = Box<dyn FnMut(Bytes)>;

impl Ends {
    async fn connect(&self, way: Way, came: Came) -> Speak {
        match way {
            Way::Alm(carrier) => self.connect_links(carrier, came).await,
            Way::Quinn => self.connect_quinn(came).await,
        }
    }

    async fn connect_links(&self, carrier: Carrier, came: Came) -> Speak {
        let begun = self.begun;
        let open = |node: u8| {
            let socket = Socket::Abstract(self.socket(node.into()), [node; 32]);
            let identity = Identity::from_seed([node + 1; 32]);
            let link = QuicLink::open_with(&identity, socket, carrier).expect("an emulated socket opens");
            (link, identity.node_id())
        };
        let ((mut sender, _), (mut receiver, to)) = (open(0), open(1));
        sender.dial(address_of(1), Some(to));
        tokio::spawn(async move {
            loop {
                if let LinkEvent::Datagram { bytes, at, .. } = next_event(&mut receiver).await {
                    let ms = (Instant::from_std(at) - begun).as_secs_f64() * 1_000.0;
                    if came.send((bytes, ms)).is_err() {
                        return;
                    }
                }
            }
        });
        while !matches!(next_event(&mut sender).await, LinkEvent::Connected { .. }) {}
        let (packets, mut wanted) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    packet = wanted.recv() => {
                        let Some(packet) = packet else { return };
                        // What is refused is missed at the other end.
                        let _ = sender.send(to, Channel::Datagram, packet);
                        sender.flush();
                    }
                    _ = next_event(&mut sender) => {}
                }
            }
        });
        Box::new(move |packet| drop(packets.send(packet)))
    }

    async fn connect_quinn(&self, came: Came) -> Speak {
        let begun = self.begun;
        let certified =
            rcgen::generate_simple_self_signed(vec!["alm".to_owned()]).expect("a key can be made");
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let server = ServerConfig::with_single_cert(vec![certified.cert.der().clone()], key.into())
            .expect("a key fits its certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).expect("a certificate of one's own is believed");
        let client = ClientConfig::with_root_certificates(Arc::new(roots)).expect("there is one root");
        let open = |node: u8, server| {
            let mut config = EndpointConfig::default();
            config.rng_seed(Some([node; 32]));
            let (socket, runtime) = (self.socket(node.into()), Arc::new(TokioRuntime));
            Endpoint::new_with_abstract_socket(config, server, socket, runtime)
                .expect("an emulated socket opens")
        };
        let (sender, receiver) = (open(0, None), open(1, Some(server)));
        tokio::spawn(async move {
            let incoming = receiver.accept().await.expect("somebody dials");
            let connection = incoming.await.expect("the handshake is done in the end");
            while let Ok(bytes) = connection.read_datagram().await {
                let ms = (Instant::now() - begun).as_secs_f64() * 1_000.0;
                if came.send((bytes, ms)).is_err() {
                    return;
                }
            }
        });
        let dialled = sender.connect_with(client, address_of(1), "alm").expect("an address can be dialled");
        let connection = dialled.await.expect("the handshake is done in the end");
        Box::new(move |packet| {
            let _keep = &sender;
            // What is refused is missed at the other end.
            let _ = connection.send_datagram(packet);
        })
    }
}

fn packet(number: u32, sent_ms: f64) -> Bytes {
    let mut frame = [0; PACKET_LEN - alm_media::HEADER_LEN];
    frame[..4].copy_from_slice(&number.to_be_bytes());
    frame[4..12].copy_from_slice(&sent_ms.to_be_bytes());
    let (tree, source, capture_time) = (TreeId(0), SourceIndex(0), CaptureTime(number));
    let packet =
        MediaPacket { tree, source, counter: number.into(), capture_time, priority: false, frame: &frame };
    let mut bytes = BytesMut::with_capacity(PACKET_LEN);
    packet.write(&mut bytes);
    bytes.freeze()
}

fn read(bytes: &[u8]) -> Option<(u32, f64)> {
    let frame = MediaPacket::parse(bytes).ok()?.frame;
    let (number, rest) = frame.split_first_chunk::<4>()?;
    let (sent_ms, _) = rest.split_first_chunk::<8>()?;
    Some((u32::from_be_bytes(*number), f64::from_be_bytes(*sent_ms)))
}

/// In virtual time.
fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime needs few resources");
    runtime.block_on(work)
}

fn random_loss(time: Duration, seeds: u64) {
    println!(
        "{} voices on one link, round trip {} ms, {} % of packets lost at random, {time:?}, {seeds} seeds",
        STREAMS,
        2 * ONE_WAY.as_millis(),
        LOSS * 100.0
    );
    println!("delay over the path's, ms {:>32} {:>9} {:>9} {:>12}", "p50", "p99", "most", "delivered %");
    let ways = [
        ("beside QUIC (what alm uses)", Way::Alm(Carrier::Hops)),
        ("QUIC datagrams, alm's window", Way::Alm(Carrier::Quic)),
        ("QUIC datagrams, quinn as it is", Way::Quinn),
    ];
    for (name, way) in ways {
        let (mut delays, mut sent) = (Vec::new(), 0);
        for seed in 0..seeds {
            let path = PathProfile { loss: LOSS, ..PathProfile::clean(ONE_WAY) };
            let carried = run(async { Ends::new(seed, path).carry(way, STREAMS, time, |_, _| {}).await });
            let own_ms = ONE_WAY.as_secs_f64() * 1_000.0;
            delays.extend(carried.came.iter().map(|(_, _, took_ms)| took_ms - own_ms));
            sent += carried.sent;
        }
        assert!(!delays.is_empty(), "something comes");
        let delivered = delays.len() as f64 / f64::from(sent) * 100.0;
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| quantile(&mut delays, share));
        println!("  {name:48} {p50:9.1} {p99:9.1} {most:9.1} {delivered:12.2}");
    }
}

/// An access line as many homes have it.
const LINE: Uplink = Uplink { rate_bps: 1_000_000, queue: Duration::from_secs(1) };
const LINE_ONE_WAY: Duration = Duration::from_millis(30);
/// What counts as a conversation again, from microphone to ear.
const USABLE_MS: f64 = 400.0;

fn filled_line(before: f64, filled_for: f64, after: f64) {
    println!(
        "\na microphone's own line of {} kbit/s with a drop-tail queue of {:?}, filled by another program for {filled_for} s",
        LINE.rate_bps / 1_000,
        LINE.queue
    );
    let time = Duration::from_secs_f64(before + filled_for + after);
    let carried = run(async {
        let ends = Ends::new(1, PathProfile::clean(LINE_ONE_WAY));
        let now = ends.begun.into_std();
        ends.network.with_core(|core| core.set_uplink(0, LINE, now));
        let mut filled = false;
        let fill = |ends: &Ends, at: f64| {
            let wanted = (before..before + filled_for).contains(&at);
            if wanted != std::mem::replace(&mut filled, wanted) {
                let now = Instant::now().into_std();
                ends.network.with_core(|core| core.set_filled(0, wanted, now));
            }
        };
        ends.carry(Way::Alm(Carrier::Hops), 1, time, fill).await
    });
    let start_ms = WARM_UP.as_secs_f64() * 1_000.0;
    let arrivals =
        carried.came.iter().map(|(number, sent_ms, took_ms)| (sent_ms + took_ms - start_ms, *number));
    let until_ms = time.as_secs_f64() * 1_000.0;
    // A frame has been spoken when its packet leaves: its first sound is a frame older.
    let mut heard = Vec::new();
    player::play(arrivals.collect(), until_ms, support::now(), |_, played_ms, _, packet| {
        heard.extend(packet.map(|packet| (played_ms, played_ms - f64::from(packet) * FRAME_MS + FRAME_MS)));
    });
    let (from_ms, to_ms) = (before * 1_000.0, (before + filled_for) * 1_000.0);
    let p95 = |from: f64, to: f64| {
        let within = heard.iter().filter(|(played, _)| (from..to).contains(played));
        quantile(&mut within.map(|(_, delay)| *delay).collect::<Vec<_>>(), 0.95)
    };
    let lost = |from: f64, to: f64| {
        let spoken = |number: u32| (from..to).contains(&(f64::from(number) * FRAME_MS));
        let all = (0..carried.sent).filter(|number| spoken(*number)).count() as f64;
        let came = carried.came.iter().filter(|(number, ..)| spoken(*number)).count() as f64;
        (1.0 - came / all.max(1.0)) * 100.0
    };
    println!("{:34} {:>24} {:>12}", "", "microphone to ear p95, ms", "lost %");
    for (name, from, to) in [
        ("before", 2_000.0, from_ms),
        ("while it is filled", from_ms, to_ms),
        ("from 5 s after that", to_ms + 5_000.0, until_ms),
    ] {
        println!("  {name:32} {:24.0} {:12.2}", p95(from, to), lost(from, to));
    }
    let late = heard.iter().filter(|(played, delay)| *played >= to_ms && *delay > USABLE_MS);
    let back_ms = late.map(|(played, _)| played - to_ms).fold(0.0, f64::max);
    println!("  under {USABLE_MS} ms again {:.2} s after the other program has ended", back_ms / 1_000.0);
    assert!(!heard.is_empty(), "something is heard");
}

fn main() {
    let Some(size) = Size::from_args("transport") else { return };
    let (time, seeds) = size.pick((Duration::from_secs(5), 1), (Duration::from_secs(60), 5));
    println!("{}\n", size.headline("transport"));
    random_loss(time, seeds);
    let (before, filled_for, after) = size.pick((5.0, 5.0, 10.0), (20.0, 60.0, 40.0));
    filled_line(before, filled_for, after);
}

//! One connection with a browser: WebRTC, by the library.
//!
//! Addresses are the page's own alone: nobody is asked what this machine looks like from outside.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use alm_media::Level;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::Registry;
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::media_engine::MIME_TYPE_OPUS;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, SettingEngineBuilder, configure_rtcp_reports,
};
use webrtc::runtime::TokioRuntime;

use super::offer::{LEVEL_EXTENSION, Line, OPUS_FORMAT, with_wishes};
use super::rtp::{Inflow, Numbers, Outflow};
use super::seats::Seats;
use crate::live::{Spoken, Uttered};
use crate::web::Refused;

/// What the connection is for.
pub(super) enum Purpose {
    /// The browser sends, sealed or not.
    Speak(mpsc::Sender<Spoken>, bool),
    /// The browser listens on so many tracks. The ears are given back at the end.
    Listen(mpsc::Receiver<Uttered>, usize),
}

/// A connection that is answered. It lasts until [`Peer::end`].
pub(super) struct Peer {
    connection: Arc<dyn PeerConnection>,
    /// How it stands with it.
    state: watch::Receiver<RTCPeerConnectionState>,
    sending: Option<(oneshot::Sender<()>, JoinHandle<mpsc::Receiver<Uttered>>)>,
}

impl Peer {
    /// Answers an offer, whose lines are `lines`, from the address `ip` of this machine. `chance` is for the numbers that
    /// the streams begin with.
    pub(super) async fn answer(
        offer: String,
        lines: &[Line],
        purpose: Purpose,
        ip: IpAddr,
        chance: [u8; 32],
    ) -> Result<(Self, String), Refused> {
        let failed =
            |error: &dyn std::fmt::Display| Refused::Failed(format!("no connection can be made ({error})"));
        let misread = |error: &dyn std::fmt::Display| {
            Refused::Malformed(format!("the offer cannot be taken ({error})"))
        };
        let (gathering, mut gathered) = watch::channel(false);
        let (standing, state) = watch::channel(RTCPeerConnectionState::New);
        let (voice, ears) = match purpose {
            Purpose::Speak(voice, sealed) => (Some((voice, sealed)), None),
            Purpose::Listen(ears, tracks) => (None, Some((ears, tracks))),
        };
        let level = lines.iter().find(|line| line.sends).and_then(|line| line.level);
        let handler = Handler { gathering, standing, voice, level };
        let engine = media_engine(lines).map_err(|error| failed(&error))?;
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(MulticastDnsMode::Disabled)
            .with_include_loopback_candidate(ip.is_loopback())
            .with_ice_timeouts(Some(DISCONNECTED_AFTER), Some(FAILED_AFTER), Some(ALIVE))
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_setting_engine(settings)
            .with_interceptor_registry(configure_rtcp_reports(Registry::new()))
            .with_handler(Arc::new(handler))
            .with_runtime(Arc::new(TokioRuntime))
            .with_udp_addrs(vec![SocketAddr::new(ip, 0)])
            .build()
            .await
            .map_err(|error| failed(&error))?;
        let mut peer = Self { connection: Arc::new(connection), state, sending: None };
        let negotiated = peer.negotiate(offer, lines, ears, chance, &mut gathered).await;
        match negotiated {
            Ok(answer) => Ok((peer, answer)),
            Err(error) => {
                peer.end().await;
                Err(misread(&error))
            }
        }
    }

    async fn negotiate(
        &mut self,
        offer: String,
        lines: &[Line],
        ears: Option<(mpsc::Receiver<Uttered>, usize)>,
        chance: [u8; 32],
        gathered: &mut watch::Receiver<bool>,
    ) -> webrtc::error::Result<String> {
        let connection = &self.connection;
        connection.set_remote_description(RTCSessionDescription::offer(offer)?).await?;
        if let Some((ears, count)) = ears {
            let mut numbers = chance.chunks_exact(8).cycle();
            let mut tracks = Vec::with_capacity(count);
            for (at, line) in lines.iter().filter(|line| line.listens).take(count).enumerate() {
                let chance = numbers.next().unwrap_or(&[7; 8]);
                // Another one for each, whatever the numbers.
                let ssrc = u32::from_be_bytes([chance[0], chance[1], chance[2], at as u8]);
                let track = Arc::new(TrackLocalStaticRTP::new(media_track(at, ssrc)));
                connection.add_track(Arc::clone(&track) as Arc<dyn TrackLocal>).await?;
                let begun = Outflow::new(
                    u16::from_be_bytes([chance[3], chance[4]]),
                    u32::from_be_bytes([0, chance[5], chance[6], chance[7]]),
                );
                tracks.push(Track { track, ssrc, payload_type: line.opus, outflow: begun });
            }
            let (stop, stopped) = oneshot::channel();
            self.sending = Some((stop, tokio::spawn(send(ears, tracks, self.state.clone(), stopped))));
        }
        let answer = connection.create_answer(None).await?;
        connection.set_local_description(answer).await?;
        // What is not there by then is done without: there is one address.
        let _ = timeout(GATHERED_WITHIN, gathered.wait_for(|done| *done)).await;
        let answer = connection.local_description().await;
        answer.map(|answer| with_wishes(&answer.sdp)).ok_or(webrtc::error::Error::ErrConnectionClosed)
    }

    /// Closes the connection and gives back the ears that were lent.
    pub(super) async fn end(self) -> Option<mpsc::Receiver<Uttered>> {
        // It is gone either way.
        let _ = self.connection.close().await;
        let (stop, sending) = self.sending?;
        drop(stop);
        sending.await.ok()
    }
}

/// A track that goes to a browser.
struct Track {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    payload_type: u8,
    outflow: Outflow,
}

/// Sends until it is `stopped`.
async fn send(
    mut ears: mpsc::Receiver<Uttered>,
    mut tracks: Vec<Track>,
    state: watch::Receiver<RTCPeerConnectionState>,
    mut stopped: oneshot::Receiver<()>,
) -> mpsc::Receiver<Uttered> {
    let mut seats = Seats::new(tracks.len());
    loop {
        let uttered = tokio::select! {
            biased;
            _ = &mut stopped => return ears,
            uttered = ears.recv() => uttered,
        };
        let Some(uttered) = uttered else { return ears };
        if *state.borrow() != RTCPeerConnectionState::Connected {
            continue;
        }
        let seat = match uttered.source {
            Some(source) => seats.seat(source, uttered.level, Instant::now().into_std()),
            None => Some((0, false)),
        };
        let Some((at, changed)) = seat else { continue };
        let Some(track) = tracks.get_mut(at) else { continue };
        if changed {
            track.outflow.change();
        }
        let Numbers { sequence, timestamp, marker } =
            track.outflow.next(uttered.counter, uttered.capture_time);
        let header = rtc::rtp::Header {
            version: 2,
            marker,
            payload_type: track.payload_type,
            sequence_number: sequence,
            timestamp,
            ssrc: track.ssrc,
            // Whose voice it is, or nobody's alone.
            csrc: uttered.source.map(|source| u32::from(source.0)).into_iter().collect(),
            ..Default::default()
        };
        let packet = rtc::rtp::Packet { header, payload: uttered.payload };
        // A connection that is going takes nothing more; its state says so next.
        let _ = timeout(SENT_WITHIN, track.track.write_rtp(packet)).await;
    }
}

fn is_over(state: &RTCPeerConnectionState) -> bool {
    matches!(state, RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed)
}

impl Peer {
    /// Resolves when there is no hope for the connection any more: it broke, or never came about.
    pub(super) fn over(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut state = self.state.clone();
        async move {
            let begun = |state: &RTCPeerConnectionState| {
                *state == RTCPeerConnectionState::Connected || is_over(state)
            };
            let came = matches!(timeout(CONNECTED_WITHIN, state.wait_for(begun)).await, Ok(Ok(_)));
            if came {
                let _ = state.wait_for(is_over).await;
            }
        }
    }
}

/// What the library calls.
struct Handler {
    gathering: watch::Sender<bool>,
    standing: watch::Sender<RTCPeerConnectionState>,
    voice: Option<(mpsc::Sender<Spoken>, bool)>,
    level: Option<u8>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathering.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.standing.send_replace(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        if let Some((voice, sealed)) = &self.voice {
            tokio::spawn(receive(track, voice.clone(), *sealed, self.level));
        }
    }
}

/// Takes what a browser says.
async fn receive(track: Arc<dyn TrackRemote>, voice: mpsc::Sender<Spoken>, sealed: bool, level: Option<u8>) {
    let mut inflow = Inflow::default();
    while let Some(event) = track.poll().await {
        let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
        let Some(lost) = inflow.take(packet.header.sequence_number) else { continue };
        let level = level.and_then(|number| packet.header.get_extension(number));
        let spoken = Spoken {
            lost,
            timestamp: packet.header.timestamp,
            // The top bit says whether it is speech.
            level: level.and_then(|level| level.first().map(|byte| Level::from_byte(*byte))),
            payload: packet.payload,
            sealed,
            at: Instant::now().into_std(),
        };
        // A stand-in that does not keep up loses the newest.
        let _ = voice.try_send(spoken);
    }
}

/// Opus alone, by the number that the other side has for it, and the loudness of each packet.
fn media_engine(lines: &[Line]) -> webrtc::error::Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    let payload_type = lines.first().map_or(111, |line| line.opus);
    let codec = RTCRtpCodecParameters { rtp_codec: opus(), payload_type };
    engine.register_codec(codec, RtpCodecKind::Audio)?;
    let level = RTCRtpHeaderExtensionCapability { uri: LEVEL_EXTENSION.to_owned() };
    engine.register_header_extension(level, RtpCodecKind::Audio, None)?;
    Ok(engine)
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: MIME_TYPE_OPUS.to_owned(),
        clock_rate: alm_media::SAMPLE_RATE,
        channels: 2,
        sdp_fmtp_line: OPUS_FORMAT.to_owned(),
        rtcp_feedback: vec![],
    }
}

fn media_track(at: usize, ssrc: u32) -> MediaStreamTrack {
    let rtp_coding_parameters = RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() };
    let coding = RTCRtpEncodingParameters { rtp_coding_parameters, codec: opus(), ..Default::default() };
    let (stream, track) = (format!("alm{at}"), format!("voice{at}"));
    MediaStreamTrack::new(stream, track.clone(), track, RtpCodecKind::Audio, vec![coding])
}

/// Without a word from the browser for so long, the connection is in doubt, and after as long again, lost: a tab that is
/// closed without goodbye is noticed within 6 s. A browser asks every 2.5 s at the latest whether we are there.
const DISCONNECTED_AFTER: Duration = Duration::from_millis(2_500);
const FAILED_AFTER: Duration = Duration::from_millis(2_000);
/// Between two signs of life.
const ALIVE: Duration = Duration::from_millis(500);
/// From the answer to the first word over the connection.
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// For the addresses of this machine.
const GATHERED_WITHIN: Duration = Duration::from_secs(1);
/// A packet that the library does not take by then is late.
const SENT_WITHIN: Duration = Duration::from_millis(100);

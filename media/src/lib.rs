//! From microphone to packet and from packet to ear.
//!
//! State machines: time and randomness are arguments, and the only I/O is the sound device or the WAV file
//! that stands in for it. [`Speaker`] turns captured frames into sealed packets, [`ForwardingTable`] says
//! where a node sends packets on, [`Listener`] turns packets into what is heard.
//!
//! ```
//! use std::time::Instant;
//! use alm_media::{
//!     CaptureTime, CodecConfig, ForwardingTable, LinkId, Listener, SenderKey, SourceIndex, Speaker, TreeId,
//!     TreeLinks, peek_tree,
//! };
//!
//! // The source: its salt is new with every speaker and stands in the roster.
//! let key = SenderKey::derive(b"the session's secret", &[1; 32], &[2; 16]);
//! let mut speaker = Speaker::new(SourceIndex(1), &key, CodecConfig::default())?;
//! let mut packets = Vec::new();
//! speaker.packet(&[0.0; 960], CaptureTime(0), &[TreeId(7)], &mut packets)?;
//!
//! // A relay, which has no keys: what comes by link 0 leaves by link 1.
//! let (parent, child) = (LinkId(0), LinkId(1));
//! let tree = TreeLinks {
//!     tree: TreeId(7), links: vec![child], shared: false, parents: vec![parent], deliver: false,
//! };
//! let mut table = ForwardingTable::new();
//! table.install(1, &[tree])?;
//! let tree = peek_tree(&packets[0]).ok_or("not a media packet")?;
//! assert_eq!(table.route(tree, Some(parent)).map(|route| route.links), Some(&[child][..]));
//!
//! // A member.
//! let mut listener = Listener::new();
//! listener.add_source(SourceIndex(1), &key)?;
//! listener.push(&packets[0], Instant::now())?;
//! let mut frame = [0.0; 960];
//! listener.pull(Instant::now(), &mut frame);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod codec;
pub mod device;
mod envelope;
mod floor;
mod group;
mod heard;
mod jitter;
mod level;
mod listener;
mod mixer;
mod packet;
mod playback;
mod record;
mod relay;
mod repair;
mod seal;
mod speaker;
mod strain;
mod stretch;
#[cfg(test)]
mod testing;
mod transit;
mod voice;
mod vouch;
mod wav;
mod witness;

pub use self::codec::{
    BITRATE_MAX, BITRATE_MIN, CHANNELS_MAX, Channels, CodecConfig, CodecError, Decoder, Encoder,
    FRAME_SAMPLES_MAX, FrameLength, carries_previous, is_pause, payload_channels, payload_samples,
};
pub use self::envelope::Envelope;
pub use self::floor::{Floor, PLACES_MIN, Turn, WAIT_MAX};
pub use self::group::{
    Applicant, GROUP_MEMBERS_MAX, GROUP_MESSAGE_MAX, Group, GroupChange, GroupError, GroupSigner,
    KEY_PACKAGE_MAX, NodeKey,
};
pub use self::heard::{Playing, RECORDING_MAX, SOURCE_MAX, SourceHeard, heard};
pub use self::jitter::{
    BUFFER_MAX, CONCEAL_MS_MAX, FAR_TOO_DEEP_MS, JitterBuffer, JitterStats, Pull, TARGET_MS_MAX,
    TARGET_MS_START,
};
pub use self::level::{LEVEL_LEN, Level};
pub use self::listener::{
    HearError, Heard, Listener, ListenerStats, PULL_SAMPLES_MAX, SOURCES_MAX, SourceError, SourceStats,
};
pub use self::mixer::Mixer;
pub use self::packet::{
    COUNTER_MAX, CaptureTime, HEADER_LEN, MEDIA_KIND, METADATA_LEN, MediaPacket, PACKET_MAX, PAYLOAD_MAX,
    PacketError, SFRAME_HEADER_MAX, SourceIndex, TAG_LEN, TreeId, VERSION, peek_priority, peek_tree,
    set_tree, with_tree, without_tree,
};
pub use self::record::{FILES_MAX, MIX_NAME, RecordError, Recording};
pub use self::relay::{
    EPOCHS_MAX, ForwardingTable, LINKS_MAX, LinkId, Route, TREES_MAX, TableError, TreeLinks,
};
pub use self::repair::{Carried, LOSS_KIND, RECENT_MAX, REQUEST_KIND, Repair, RepairStats, STREAMS_MAX};
pub use self::seal::{KEYS_MAX, OpenError, Opener, REPLAY_WINDOW, SealError, Sealer, SenderKey};
pub use self::speaker::Speaker;
pub use self::strain::Strain;
pub use self::voice::{VOICE_BLOCK, VoiceConfig, VoiceProcessor};
pub use self::vouch::{MARK_LEN, SIGNATURE_LEN, Sign, VOUCHED_MAX};
pub use self::wav::{
    WAV_CHANNELS_MAX, WAV_RATES, WAV_SAMPLES_MAX, WAV_SECONDS_MAX, WavError, WavWriter, read_wav, read_wav_as,
};
pub use self::witness::{
    CLEAN_DIGESTS, SILENCED_AFTER, Standing, UNCONFIRMED_AFTER, Vouched, Witness, WitnessStats,
};

/// Samples a second, everywhere in this crate: one channel of `f32` between -1 and 1.
pub const SAMPLE_RATE: u32 = 48_000;

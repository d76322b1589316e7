//! From an encoded frame to packets for any number of trees: the level in front, sealed, with counter and capture time.

use bytes::Bytes;

use crate::level::{LEVEL_LEN, Level};
use crate::packet::{CaptureTime, MediaPacket, PACKET_MAX, SourceIndex, TreeId};
use crate::seal::{SealError, Sealer, SenderKey};
use crate::vouch::{Sign, Voucher};

/// One source's frames on their way out, whoever encodes them.
pub struct Envelope {
    sealer: Sealer,
    source: SourceIndex,
    counter: u64,
    priority: bool,
    voucher: Option<Voucher>,
    /// What is sealed: the level, and the encoded frame.
    plain: Vec<u8>,
    frame: Vec<u8>,
}

impl Envelope {
    /// For `source`. The key must come from a salt that nothing else of this source has used.
    pub fn new(source: SourceIndex, key: &SenderKey) -> Self {
        Self {
            sealer: Sealer::new(key, source),
            source,
            counter: 0,
            priority: false,
            voucher: None,
            plain: Vec::with_capacity(PACKET_MAX),
            frame: Vec::with_capacity(PACKET_MAX),
        }
    }

    /// Has a digest of the last second's frames signed twice a second, and appended to the packets. `salt` is the key's.
    #[must_use]
    pub fn vouched(mut self, key: &SenderKey, salt: [u8; 16], sign: Sign) -> Self {
        self.voucher = Some(Voucher::new(self.source, key, salt, sign));
        self
    }

    /// Vouches for a frame of this source that was sealed elsewhere: appends a digest to `out` when one is due.
    pub fn vouch_for(&mut self, packet: &MediaPacket<'_>, trees: &[TreeId], out: &mut Vec<Bytes>) {
        if let Some(voucher) = &mut self.voucher
            && voucher.on_frame(packet)
        {
            voucher.digest(packet.capture_time, trees, out);
        }
    }

    /// The source whose frames these are.
    pub fn source(&self) -> SourceIndex {
        self.source
    }

    /// What the last packet holds of the voice.
    pub fn payload(&self) -> &[u8] {
        self.plain.get(LEVEL_LEN..).unwrap_or_default()
    }

    /// Sets the priority bit of the packets to come. Default off.
    pub fn set_priority(&mut self, priority: bool) {
        self.priority = priority;
    }

    /// Seals by another epoch's key from now on; counters go on.
    pub fn set_key(&mut self, key: &SenderKey) {
        self.sealer.set_key(key, self.source);
        if let Some(voucher) = &mut self.voucher {
            voucher.set_key(key);
        }
    }

    /// So many frames were lost before they came here: whoever listens counts them as lost, and makes up for them.
    pub fn skip(&mut self, frames: u64) {
        self.counter += frames;
    }

    /// Seals one encoded frame, whose first sample was captured at `capture_time` and which is as loud as `level` says, and
    /// appends one packet for each of `trees` to `out`. The packets differ in their tree id alone. A digest may follow.
    ///
    /// # Errors
    /// The payload is longer than fits a packet, or the counters are used up; nothing was sealed.
    pub fn packet(
        &mut self,
        level: Level,
        payload: &[u8],
        capture_time: CaptureTime,
        trees: &[TreeId],
        out: &mut Vec<Bytes>,
    ) -> Result<(), SealError> {
        self.plain.clear();
        self.plain.push(level.byte());
        self.plain.extend_from_slice(payload);
        let mut packet = MediaPacket {
            tree: TreeId(0),
            source: self.source,
            counter: self.counter,
            capture_time,
            priority: self.priority,
            frame: &[],
        };
        // Lent out while the packets are made.
        let mut frame = std::mem::take(&mut self.frame);
        self.sealer.seal(self.counter, &packet.metadata(), &self.plain, &mut frame)?;
        self.counter += 1;
        packet.frame = &frame;
        packet.write_for(trees, out);
        self.vouch_for(&packet, trees, out);
        self.frame = frame;
        Ok(())
    }
}

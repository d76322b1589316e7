//! Opus in Ogg (RFC 7845), one channel or two.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use ogg::{PacketWriteEndInfo, PacketWriter};

use super::{RecordError, io_error};
use crate::SAMPLE_RATE;
use crate::codec::Channels;
use crate::packet::SourceIndex;

/// Samples that a decoder gives out before the first that went in: the codec's delay (RFC 7845, section 4.2), which is the same
/// at every rate and frame length that is used here.
pub(super) const PRE_SKIP: i64 = 312;

/// A file that is valid whenever the process ends, as far as its last second.
pub(super) struct OpusFile {
    inner: PacketWriter<'static, BufWriter<File>>,
    path: PathBuf,
    serial: u32,
    /// The last packet: only its successor tells that it was not the end.
    last: Option<Vec<u8>>,
    /// Samples up to the end of the last packet.
    written: i64,
    /// And when pages were last written out.
    flushed: i64,
}

impl OpusFile {
    pub(super) fn begin(
        file: File,
        path: &Path,
        source: SourceIndex,
        name: &str,
        channels: Channels,
    ) -> Result<Self, RecordError> {
        let inner = PacketWriter::new(BufWriter::new(file));
        let (path, serial) = (path.to_owned(), u32::from(source.0));
        let mut opus = Self { inner, path, serial, last: None, written: 0, flushed: 0 };
        opus.put(head(channels), PacketWriteEndInfo::EndPage, 0)?;
        opus.put(tags(name), PacketWriteEndInfo::EndPage, 0)?;
        opus.flush()?;
        Ok(opus)
    }

    /// Samples so far.
    pub(super) fn written(&self) -> i64 {
        self.written
    }

    /// Appends a packet of so many samples.
    pub(super) fn packet(&mut self, packet: Vec<u8>, samples: i64) -> Result<(), RecordError> {
        if let Some(last) = self.last.replace(packet) {
            let is_due = self.written - self.flushed >= FLUSH_INTERVAL;
            let end = if is_due { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
            self.put(last, end, self.written)?;
            if is_due {
                self.flushed = self.written;
                self.flush()?;
            }
        }
        self.written += samples;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), RecordError> {
        if let Some(last) = self.last.take() {
            self.put(last, PacketWriteEndInfo::EndStream, self.written)?;
        }
        self.flush()
    }

    fn put(&mut self, packet: Vec<u8>, end: PacketWriteEndInfo, position: i64) -> Result<(), RecordError> {
        let put = self.inner.write_packet(packet, self.serial, end, position.cast_unsigned());
        put.map_err(|error| io_error(&self.path, error))
    }

    fn flush(&mut self) -> Result<(), RecordError> {
        self.inner.inner_mut().flush().map_err(|error| io_error(&self.path, error))
    }
}

/// Samples of a page: one second.
const FLUSH_INTERVAL: i64 = SAMPLE_RATE as i64;

/// The identification header (RFC 7845, section 5.1): version 1, channels, no gain, mapping family 0. Whatever a packet has, a
/// player gives so many.
fn head(channels: Channels) -> Vec<u8> {
    let mut head = b"OpusHead\x01".to_vec();
    head.push(channels.count() as u8);
    head.extend_from_slice(&(PRE_SKIP as u16).to_le_bytes());
    head.extend_from_slice(&SAMPLE_RATE.to_le_bytes());
    head.extend_from_slice(&[0, 0, 0]);
    head
}

/// The comment header (RFC 7845, section 5.2): who made the file, and who speaks.
fn tags(name: &str) -> Vec<u8> {
    let mut tags = b"OpusTags".to_vec();
    let artist = format!("ARTIST={name}");
    let comments = if name.is_empty() { vec![] } else { vec![artist] };
    put_text(&mut tags, "alm");
    tags.extend_from_slice(&(comments.len() as u32).to_le_bytes());
    comments.iter().for_each(|comment| put_text(&mut tags, comment));
    tags
}

fn put_text(tags: &mut Vec<u8>, text: &str) {
    tags.extend_from_slice(&(text.len() as u32).to_le_bytes());
    tags.extend_from_slice(text.as_bytes());
}

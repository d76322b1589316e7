//! A conference on disk: what each speaker said, as it was sent (Opus in Ogg, not encoded again), and all of it together
//! (WAV). All files begin at the same moment, so that they lie side by side in any editor.
//!
//! Packets are put where they were captured, whenever they came: a recording waits two seconds for them, which ears
//! cannot. Positions are samples of 48 kHz since the recording began.

mod mix;
mod ogg_opus;
mod track;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use self::mix::Mix;
use self::track::Track;
use crate::packet::SourceIndex;
use crate::wav::WavError;

/// Why nothing, or nothing more, is recorded. What has been written so far is complete and valid.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A file or the directory cannot be made or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The directory holds a recording, which is not written over.
    #[error("{}: a recording is there already", .0.display())]
    Taken(PathBuf),
    /// The mix cannot be written.
    #[error(transparent)]
    Mix(#[from] WavError),
    /// There are [`FILES_MAX`] files.
    #[error("{}: more than {FILES_MAX} speakers", .0.display())]
    TooMany(PathBuf),
}

/// Speakers of one recording, those that have left included.
pub const FILES_MAX: usize = 1_024;

/// What the mix is called.
pub const MIX_NAME: &str = "mix.wav";

/// One conference, or the part of it that one member was in.
pub struct Recording {
    dir: PathBuf,
    mix: Mix,
    tracks: BTreeMap<SourceIndex, Track>,
    names: BTreeMap<SourceIndex, String>,
    files: usize,
    now: i64,
}

impl Recording {
    /// Makes the directory, if it is not there, and the mix in it.
    ///
    /// # Errors
    /// Neither can be made, or there is a mix already.
    pub fn create(dir: &Path) -> Result<Self, RecordError> {
        fs::create_dir_all(dir).map_err(|error| io_error(dir, error))?;
        let path = dir.join(MIX_NAME);
        new_file(&path)?;
        let mix = Mix::create(&path)?;
        let (tracks, names) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { dir: dir.to_owned(), mix, tracks, names, files: 0, now: 0 })
    }

    /// What `source` calls itself: its file is called so, as far as a file can be.
    pub fn name(&mut self, source: SourceIndex, name: &str) {
        if self.names.len() < FILES_MAX {
            self.names.insert(source, plain(name));
        }
    }

    /// Takes a frame that `source` captured `at`. Frames that come too late, or from the future, are left out.
    pub fn frame(&mut self, source: SourceIndex, at: i64, payload: Bytes) {
        let is_in_time = (self.now - HOLD..self.now + AHEAD_MAX).contains(&at);
        if is_in_time && at >= 0 && (self.tracks.len() < FILES_MAX || self.tracks.contains_key(&source)) {
            self.tracks.entry(source).or_insert_with(Track::new).hold(at, payload);
        }
    }

    /// It is `now`: writes what nothing more can come for.
    ///
    /// # Errors
    /// A file cannot be made or written; the recording is over.
    pub fn advance(&mut self, now: i64) -> Result<(), RecordError> {
        self.now = self.now.max(now);
        self.write_until(self.now - HOLD)
    }

    /// `source` has left and says nothing more: its file is complete.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn leave(&mut self, source: SourceIndex) -> Result<(), RecordError> {
        self.write_track(source, i64::MAX)?;
        self.tracks.remove(&source).map_or(Ok(()), Track::finish)
    }

    /// Completes all files.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn finish(mut self) -> Result<(), RecordError> {
        self.write_until(self.now)?;
        self.mix.write_until(self.now)?;
        self.tracks.into_values().try_for_each(Track::finish)
    }

    fn write_until(&mut self, horizon: i64) -> Result<(), RecordError> {
        for source in self.tracks.keys().copied().collect::<Vec<_>>() {
            self.write_track(source, horizon)?;
        }
        // A frame yet to come begins no earlier, less what is made up in front of it and the codec's delay.
        self.mix.write_until(horizon - track::CONCEALED_MAX - ogg_opus::PRE_SKIP)?;
        Ok(())
    }

    fn write_track(&mut self, source: SourceIndex, horizon: i64) -> Result<(), RecordError> {
        let Some(track) = self.tracks.get_mut(&source) else { return Ok(()) };
        if !track.is_open() && track.holds_before(horizon) {
            if self.files == FILES_MAX {
                return Err(RecordError::TooMany(self.dir.clone()));
            }
            self.files += 1;
            let name = self.names.get(&source).map_or("", String::as_str);
            let file = match name {
                "" => format!("{:02}.opus", source.0),
                name => format!("{:02}-{name}.opus", source.0),
            };
            track.open(&self.dir.join(file), source, name)?;
        }
        track.write_until(horizon, &mut self.mix)
    }
}

/// How long a frame may be on its way, 2 s: longer than any buffer that plays it.
const HOLD: i64 = 96_000;

/// How far another's clock may be ahead of this one's, 1 s: estimates differ by milliseconds.
const AHEAD_MAX: i64 = 48_000;

/// Letters of a name that a file's name takes.
const NAME_MAX: usize = 40;

/// A name that any file system takes.
fn plain(name: &str) -> String {
    let letters = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' });
    let joined: String = letters.take(NAME_MAX).collect();
    joined.trim_matches('-').to_owned()
}

/// A file that was not there before.
fn new_file(path: &Path) -> Result<File, RecordError> {
    File::create_new(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => RecordError::Taken(path.to_owned()),
        _ => io_error(path, error),
    })
}

fn io_error(path: &Path, source: io::Error) -> RecordError {
    RecordError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;

//! Where the recordings go, and a place beside them for what the demo needs while it runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::cast::SPEAKERS;
use crate::cli::error::{CliError, reason};
use crate::cli::state::random;

/// The user's folder, and a private one in it that goes when this is dropped.
pub(super) struct Folder {
    out: PathBuf,
    private: PathBuf,
}

impl Folder {
    /// Makes both, and puts the voices into the private one.
    pub(super) fn make(out: &Path) -> Result<Self, CliError> {
        fs::create_dir_all(out).map_err(|error| refused("make the folder", out, &error))?;
        // A name that nobody has, for it is removed whole.
        let private = out.join(format!(".alm-demo-{}", HEXLOWER.encode(&random::<4>())));
        fs::create_dir(&private).map_err(|error| refused("write to the folder", out, &error))?;
        let folder = Self { out: out.to_owned(), private };
        folder.write(&folder.config(), b"")?;
        for speaker in &SPEAKERS {
            folder.write(&folder.voice(speaker.name), speaker.voice)?;
        }
        Ok(folder)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), CliError> {
        fs::write(path, bytes).map_err(|error| refused("write to the folder", &self.out, &error))
    }

    /// As the user named it.
    pub(super) fn out(&self) -> &Path {
        &self.out
    }

    /// What a member heard.
    pub(super) fn recording(&self, name: &str) -> PathBuf {
        self.out.join(format!("{name}.wav"))
    }

    /// What a member says.
    pub(super) fn voice(&self, name: &str) -> PathBuf {
        self.private.join(format!("{name}.wav"))
    }

    /// A process's state directory.
    pub(super) fn state(&self, name: &str) -> PathBuf {
        self.private.join(name)
    }

    /// An empty configuration: the user's own may lead to other pools.
    pub(super) fn config(&self) -> PathBuf {
        self.private.join("config.toml")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed harms nobody.
        let _ = fs::remove_dir_all(&self.private);
    }
}

fn refused(what: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::failed(
        format_args!("cannot {what} ({})", reason(error)),
        path.display(),
        "choose another with --out DIR",
    )
}

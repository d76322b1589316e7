//! The state directory: this machine's key, and a lock so that one process at a time goes by it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, choose_base_strategy};
use ring::rand::{SecureRandom, SystemRandom};

use super::error::{CliError, reason};
use crate::identity::Identity;

const KEY_FILE: &str = "identity.key";
const LOCK_FILE: &str = "lock";

/// An open state directory.
pub(super) struct State {
    pub(super) dir: PathBuf,
    identity: Option<Identity>,
    /// Held as long as this lives.
    lock: Option<File>,
}

impl State {
    /// Opens `dir`, or the platform's data directory, and makes what is missing. If another process holds it, this one
    /// goes by a fresh key for its lifetime.
    pub(super) fn open(dir: Option<PathBuf>) -> Result<Self, CliError> {
        let dir = directory(dir)?;
        fs::create_dir_all(&dir).map_err(|error| refused("make the state directory", &dir, &error))?;
        let lock_path = dir.join(LOCK_FILE);
        let lock = private(OpenOptions::new().create(true).truncate(false).write(true))
            .open(&lock_path)
            .map_err(|error| refused("open the lock", &lock_path, &error))?;
        match lock.try_lock() {
            Ok(()) => {
                let identity = Some(load_or_make(&dir.join(KEY_FILE))?);
                Ok(Self { dir, identity, lock: Some(lock) })
            }
            Err(TryLockError::WouldBlock) => {
                Ok(Self { dir, identity: Some(Identity::from_seed(random())), lock: None })
            }
            Err(TryLockError::Error(error)) => Err(refused("lock the state directory", &lock_path, &error)),
        }
    }

    /// The key that is kept, once; not one for the lifetime of this process.
    pub(super) fn lasting_identity(&mut self) -> Result<Identity, CliError> {
        if self.lock.is_none() {
            let todo = "end that one first, or name another directory with --state DIR";
            return Err(CliError::failed(
                "another process goes by this machine's key",
                self.dir.display(),
                todo,
            ));
        }
        Ok(self.take_identity())
    }

    /// The key, once.
    pub(super) fn take_identity(&mut self) -> Identity {
        self.identity.take().unwrap_or_else(|| Identity::from_seed(random()))
    }
}

/// The state directory: `dir`, or the platform's data directory.
pub(super) fn directory(dir: Option<PathBuf>) -> Result<PathBuf, CliError> {
    let platform = || Some(choose_base_strategy().ok()?.data_dir().join("alm"));
    dir.or_else(platform).ok_or_else(|| {
        CliError::failed("there is no home directory to keep the key in", "", "name one with --state DIR")
    })
}

fn load_or_make(path: &Path) -> Result<Identity, CliError> {
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(128).read_to_string(&mut text)) {
        Ok(_) => {
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
            let seed = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            seed.map(Identity::from_seed).ok_or_else(|| {
                CliError::wrong("the key file is damaged", path.display(), "remove it, and a new key is made")
            })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let seed = random();
            // Written whole under another name first, so that a crash leaves no half of a key.
            let draft = path.with_extension("new");
            private(OpenOptions::new().create(true).truncate(true).write(true))
                .open(&draft)
                .and_then(|mut file| writeln!(file, "{}", data_encoding::HEXLOWER.encode(&seed)))
                .and_then(|()| fs::rename(&draft, path))
                .map_err(|error| refused("write the key", path, &error))?;
            Ok(Identity::from_seed(seed))
        }
        Err(error) => Err(refused("read the key", path, &error)),
    }
}

/// For the owner alone.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn refused(what: &str, path: &Path, error: &std::io::Error) -> CliError {
    let todo = "choose another directory with --state DIR";
    CliError::failed(format_args!("cannot {what} ({})", reason(error)), path.display(), todo)
}

/// Bytes from the system's generator.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has a random generator, or no key can be made at all");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stays_and_a_second_process_goes_by_another() {
        let dir = tempfile::tempdir().unwrap();
        let open = || State::open(Some(dir.path().join("state"))).unwrap();
        let mut first = open();
        let id = first.take_identity().node_id();
        assert_ne!(open().take_identity().node_id(), id, "locked");
        drop(first);
        assert_eq!(open().take_identity().node_id(), id);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        drop(State::open(Some(dir.path().to_owned())).unwrap());
        let mode = fs::metadata(dir.path().join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_not_replaced_silently() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(KEY_FILE), "not a key").unwrap();
        let error = State::open(Some(dir.path().to_owned())).err().unwrap();
        assert!(error.line().unwrap().contains("damaged"));
    }
}

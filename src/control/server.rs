//! The running node's end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::message::{ANSWER_MAX, Answer, FOLDER, REQUEST_MAX, Request, SUFFIX};

/// What answers.
pub trait Served: Send + Sync + 'static {
    /// Answers one request; must not wait.
    fn answer(&self, request: Request) -> Answer;
}

/// Answers on the socket until it is dropped, which removes it.
pub struct Server {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Opens this process's socket in the state directory `dir`. Within a tokio runtime.
    #[cfg(unix)]
    pub fn open(dir: &Path, served: Arc<dyn Served>) -> io::Result<Self> {
        use std::fs::{self, DirBuilder, Permissions};
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};

        let folder = dir.join(FOLDER);
        // Nobody else gets into the folder, so that there is no moment at which the socket is open to others.
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        let path = folder.join(format!("{}.{SUFFIX}", std::process::id()));
        // Left over from a process of the same number that was killed.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = tokio::net::UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let task = tokio::spawn(async move {
            let places = Arc::new(Semaphore::new(CLIENTS_MAX));
            loop {
                // A client that finds no place waits in the kernel's queue.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let Ok((stream, _)) = listener.accept().await else { return };
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    // Who breaks off or is too slow is not told.
                    let _ = tokio::time::timeout(PATIENCE, serve(stream, &*served)).await;
                    drop(place);
                });
            }
        });
        Ok(Self { path, task })
    }

    /// There is no such socket on this system.
    #[cfg(not(unix))]
    pub fn open(_dir: &Path, _served: Arc<dyn Served>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // A socket that stays behind is cleared away by the next client.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// One request, one answer.
#[cfg(unix)]
async fn serve(mut stream: tokio::net::UnixStream, served: &dyn Served) -> io::Result<()> {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

    let (reader, mut writer) = stream.split();
    let mut line = Vec::new();
    BufReader::new(reader).take(REQUEST_MAX as u64).read_until(b'\n', &mut line).await?;
    let answer = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => served.answer(request),
        Err(error) => Answer::Refused(format!("not understood ({error})")),
    };
    let mut bytes = serde_json::to_vec(&answer)?;
    if bytes.len() >= ANSWER_MAX {
        bytes = serde_json::to_vec(&Answer::Refused("the answer is too long".to_owned()))?;
    }
    bytes.push(b'\n');
    writer.write_all(&bytes).await?;
    writer.shutdown().await
}

/// Served at a time.
const CLIENTS_MAX: usize = 16;
/// From the connection to the answer's last byte.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

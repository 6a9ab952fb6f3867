//! Files of the data directory, written by a thread of their own so that no shard waits for a disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

/// Files that wait to be written; newer ones are dropped beyond it, since the next publication brings another.
const WAITING_MAX: usize = 16;

/// Hands files to the disk thread.
#[derive(Clone)]
pub struct Disk {
    jobs: Sender<Job>,
}

struct Job {
    path: PathBuf,
    bytes: Arc<[u8]>,
}

/// The disk thread; it ends when the last [`Disk`] is dropped, after writing what waits.
pub struct DiskThread(JoinHandle<()>);

impl Disk {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start() -> io::Result<(Self, DiskThread)> {
        let (jobs, waiting) = bounded(WAITING_MAX);
        let builder = std::thread::Builder::new().name("disk".to_owned());
        let thread = builder.spawn(move || write_all(&waiting))?;
        Ok((Self { jobs }, DiskThread(thread)))
    }

    /// Has the file at `path` replaced. False where too much waits already.
    #[must_use]
    pub fn replace(&self, path: &Path, bytes: Arc<[u8]>) -> bool {
        self.jobs.try_send(Job { path: path.to_owned(), bytes }).is_ok()
    }
}

impl DiskThread {
    /// Waits until all is written.
    pub fn finish(self) {
        if self.0.join().is_err() {
            tracing::error!("the disk thread failed");
        }
    }
}

fn write_all(waiting: &Receiver<Job>) {
    for Job { path, bytes } in waiting {
        if let Err(error) = replace_file(&path, &bytes) {
            let path = path.display();
            tracing::warn!(%path, %error, "cannot write a file of the data directory");
        }
    }
}

/// Replaces a file at once: whoever reads it sees the old content or the new, also after a crash.
///
/// # Errors
/// What the file system reports; the old file then stands.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, path)?;
    sync_directory_of(path)
}

/// Makes sure that the name of a new or renamed file outlives a crash.
///
/// # Errors
/// What the file system reports.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_and_nothing_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("router.info");
        let (disk, thread) = Disk::start().unwrap();
        assert!(disk.replace(&path, Arc::from(*b"old")));
        assert!(disk.replace(&path, Arc::from(*b"new")));
        drop(disk);
        thread.finish();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing").join("router.info");
        assert!(replace_file(&path, b"new").is_err());
    }
}

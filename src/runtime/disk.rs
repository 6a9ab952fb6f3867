//! Files of the data directory, written by a thread of their own so that no shard waits for a disk.

mod records;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select, tick};

pub use self::records::{NoAnswer, RecordReader};
use self::records::{Question, RecordWriter};
use crate::base::id::RouterHash;
use crate::runtime::clock;
use crate::runtime::record_file::{RecordFile, Table};

/// Files that wait to be written; newer ones are dropped beyond it, since the next publication brings another.
const WAITING_MAX: usize = 16;
/// How often the time is noted, by which the next start can see that the clock has gone back.
const NOTE_INTERVAL: Duration = Duration::from_secs(600);
/// Changes of the netdb that wait to be collected; the collecting takes no disk but where very much has changed.
const CHANGES_MAX: usize = 16_384;
/// How often changes of the netdb are written: what a crash costs, and less than the minute that it may.
const COMMIT_INTERVAL: Duration = Duration::from_secs(30);

/// Hands files and changes of the netdb to the disk thread.
#[derive(Clone)]
pub struct Disk {
    jobs: Sender<Job>,
    changes: Sender<Change>,
}

/// What a table of the netdb's file is now to hold of a router.
pub struct Change {
    /// Which table.
    pub table: Table,
    /// Which router.
    pub router: RouterHash,
    /// What the table holds of it; absent where that is gone.
    pub bytes: Option<Arc<[u8]>>,
}

struct Job {
    path: PathBuf,
    bytes: Arc<[u8]>,
}

/// The disk thread; it ends when the last [`Disk`] is dropped, after writing what waits.
pub struct DiskThread {
    thread: JoinHandle<()>,
    records: Option<RecordReader>,
}

/// What the disk thread works with.
struct Desk {
    jobs: Receiver<Job>,
    changes: Receiver<Change>,
    questions: Receiver<Question>,
    records: Option<RecordWriter>,
    last_seen: PathBuf,
}

impl Disk {
    /// Starts the thread, which notes the time in the file `last_seen` now, every ten minutes and at its end, and keeps what
    /// the netdb holds of routers in the file `records`, where one is given.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn start(
        last_seen: PathBuf,
        records: Option<RecordFile>,
    ) -> io::Result<(Self, DiskThread)> {
        let (jobs, waiting) = bounded(WAITING_MAX);
        let (changes, changed) = bounded(CHANGES_MAX);
        let (records, reader, questions) = match records.map(RecordWriter::new) {
            Some((writer, reader, questions)) => (Some(writer), Some(reader), questions),
            None => (None, None, never()),
        };
        let desk = Desk { jobs: waiting, changes: changed, questions, records, last_seen };
        let builder = std::thread::Builder::new().name("disk".to_owned());
        let thread = builder.spawn(move || desk.work())?;
        Ok((Self { jobs, changes }, DiskThread { thread, records: reader }))
    }

    /// Has the netdb's file changed. False where too much waits already.
    #[must_use]
    pub fn remember(&self, change: Change) -> bool {
        self.changes.try_send(change).is_ok()
    }

    /// Has the file at `path` replaced. False where too much waits already.
    #[must_use]
    pub fn replace(&self, path: &Path, bytes: Arc<[u8]>) -> bool {
        self.jobs.try_send(Job { path: path.to_owned(), bytes }).is_ok()
    }
}

impl DiskThread {
    /// Reads the netdb's file, where there is one.
    #[must_use]
    pub fn records(&self) -> Option<&RecordReader> {
        self.records.as_ref()
    }

    /// Waits until all is written.
    pub fn finish(self) {
        if self.thread.join().is_err() {
            tracing::error!("the disk thread failed");
        }
    }
}

impl Desk {
    fn work(mut self) {
        let (notes, commits) = (tick(NOTE_INTERVAL), tick(COMMIT_INTERVAL));
        note_time(&self.last_seen);
        loop {
            select! {
                recv(self.jobs) -> job => match job {
                    Ok(Job { path, bytes }) => write(&path, &bytes),
                    Err(_) => break,
                },
                recv(self.changes) -> change => match change {
                    Ok(change) => self.take(change),
                    Err(_) => break,
                },
                recv(self.questions) -> question => match question {
                    Ok(question) => self.answer(question),
                    Err(_) => self.questions = never(),
                },
                recv(commits) -> _ => self.commit(),
                recv(notes) -> _ => note_time(&self.last_seen),
            }
        }
        // Both ended together; either may still hold something.
        for Job { path, bytes } in std::mem::replace(&mut self.jobs, never()) {
            write(&path, &bytes);
        }
        self.collect();
        if let Some(records) = self.records.take() {
            records.finish();
        }
        note_time(&self.last_seen);
    }

    fn take(&mut self, change: Change) {
        if let Some(records) = &mut self.records {
            records.take(change);
        }
    }

    /// Takes the changes that wait.
    fn collect(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            self.take(change);
        }
    }

    fn commit(&mut self) {
        if let Some(records) = &mut self.records {
            // Logged, counted, and tried again.
            let _ = records.commit();
        }
    }

    fn answer(&mut self, question: Question) {
        self.collect();
        if let Some(records) = &mut self.records {
            records.answer(question);
        }
    }
}

fn note_time(last_seen: &Path) {
    let seconds = clock::unix_time().seconds_rounded();
    write(last_seen, format!("{seconds}\n").as_bytes());
}

fn write(path: &Path, bytes: &[u8]) {
    if let Err(error) = replace_file(path, bytes) {
        let path = path.display();
        tracing::warn!(%path, %error, "cannot write a file of the data directory");
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
        let last_seen = directory.path().join("last_seen");
        let (disk, thread) = Disk::start(last_seen.clone(), None).unwrap();
        assert!(disk.replace(&path, Arc::from(*b"old")));
        assert!(disk.replace(&path, Arc::from(*b"new")));
        drop(disk);
        thread.finish();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        let noted: u32 = fs::read_to_string(&last_seen).unwrap().trim().parse().unwrap();
        assert!(noted > 1_700_000_000);
    }

    #[test]
    fn changes_of_the_netdb_are_read_at_once_and_kept_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netdb.redb");
        let file = RecordFile::open(&path).unwrap().file;
        let (disk, thread) = Disk::start(directory.path().join("last_seen"), Some(file)).unwrap();
        let [first, second] = [1, 2].map(|n| RouterHash([n; 32]));
        let info = |n| Some(Arc::from([n; 600]));
        let tell = |table, router, bytes| disk.remember(Change { table, router, bytes });
        let change = |router, info| tell(Table::RouterInfos, router, info);
        assert!(change(first, info(1)) && change(second, info(2)));
        let records = thread.records().unwrap().clone();
        let page = records.page(None, 10).unwrap();
        assert_eq!(page.iter().map(|(router, _)| *router).collect::<Vec<_>>(), [first, second]);
        assert_eq!(records.page(Some(first), 10).unwrap().len(), 1);
        assert!(change(second, None));
        let profile = Arc::<[u8]>::from([9; 36]);
        assert!(tell(Table::Profiles, first, Some(Arc::clone(&profile))));
        assert!(
            tell(Table::Profiles, second, Some(profile)) && tell(Table::Profiles, second, None)
        );
        drop(disk);
        thread.finish();
        assert!(records.page(None, 10).is_err());
        let file = RecordFile::open(&path).unwrap().file;
        assert_eq!(file.count().unwrap(), 1);
        assert_eq!(file.profiles().unwrap(), [(first, [9; 36].into())]);
    }

    #[test]
    fn a_failure_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing").join("router.info");
        assert!(replace_file(&path, b"new").is_err());
    }
}

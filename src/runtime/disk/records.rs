//! The netdb's file as the disk thread keeps it: changes are collected and written together, and failures outlived.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Change;
use crate::base::id::RouterHash;
use crate::runtime::record_file::{Changes, Entries, Opened, RecordFile, RecordFileError, Table};
use crate::shard::report::{Sample, SampleKind};

/// Changes of one table that wait to be written at most: those of a full netdb. Reached only where the disk fails.
const PENDING_MAX: usize = 65_536;
/// Questions that wait.
const QUESTIONS_MAX: usize = 4;
/// Time for an answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
/// Failures in a row between two lines in the log: they come twice a minute.
const FAILURES_PER_WARNING: u64 = 20;

/// Counts of what became of the changes.
#[derive(Default)]
struct Counts {
    records: AtomicU64,
    commits: AtomicU64,
    failures: AtomicU64,
    dropped: AtomicU64,
}

/// Something is asked of the file.
pub(super) struct Question {
    after: Option<RouterHash>,
    count: usize,
    reply: Sender<Result<Entries, String>>,
}

/// The file gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the netdb's file cannot be read now: {0}")]
pub struct NoAnswer(String);

/// Reads the file that the disk thread has open. It may be kept longer than the thread lives.
#[derive(Clone)]
pub struct RecordReader {
    questions: Sender<Question>,
    counts: Arc<Counts>,
}

impl RecordReader {
    /// Up to `count` RouterInfos in the order of their routers' hashes, from the one behind `after` on. Waits for the disk.
    ///
    /// # Errors
    /// When the file cannot be read, or the router is stopping.
    pub fn page(&self, after: Option<RouterHash>, count: usize) -> Result<Entries, NoAnswer> {
        let (reply, answer) = bounded(1);
        let stopping = || NoAnswer("the disk thread does not answer".to_owned());
        let question = Question { after, count, reply };
        self.questions.send_timeout(question, ANSWER_TIME_MAX).map_err(|_| stopping())?;
        answer.recv_timeout(ANSWER_TIME_MAX).map_err(|_| stopping())?.map_err(NoAnswer)
    }

    /// Numbers for the metrics.
    #[must_use]
    pub fn samples(&self) -> Vec<Sample> {
        let counts = &self.counts;
        let sample = |name, help, value: &AtomicU64, kind| Sample {
            name,
            help,
            labels: Vec::new(),
            value: value.load(Ordering::Relaxed),
            kind,
        };
        let (gauge, counter) = (SampleKind::Gauge, SampleKind::Counter);
        vec![
            sample(
                "netdb_file_records",
                "RouterInfos in the netdb's file.",
                &counts.records,
                gauge,
            ),
            sample(
                "netdb_file_commits_total",
                "Times that changes were written to the netdb's file.",
                &counts.commits,
                counter,
            ),
            sample(
                "netdb_file_failures_total",
                "Times that the netdb's file could not be written; what waits is tried again.",
                &counts.failures,
                counter,
            ),
            sample(
                "netdb_file_dropped_total",
                "Changes that were given up because too many waited.",
                &counts.dropped,
                counter,
            ),
        ]
    }
}

/// Writes the file.
pub(super) struct RecordWriter {
    /// Absent after a failure, until it could be opened anew.
    file: Option<RecordFile>,
    path: PathBuf,
    /// By table.
    pending: [Changes; Table::ALL.len()],
    counts: Arc<Counts>,
    failures: u64,
}

impl RecordWriter {
    /// The writer of `file`, its reader, and where the reader's questions arrive.
    pub(super) fn new(file: RecordFile) -> (Self, RecordReader, Receiver<Question>) {
        let counts = Arc::new(Counts::default());
        let (questions, asked) = bounded(QUESTIONS_MAX);
        let reader = RecordReader { questions, counts: Arc::clone(&counts) };
        let path = file.path().to_owned();
        let pending = Table::ALL.map(|_| Changes::new());
        let writer = Self { file: Some(file), path, pending, counts, failures: 0 };
        writer.count_records();
        (writer, reader, asked)
    }

    /// Takes a change, to be written with the next commit.
    pub(super) fn take(&mut self, change: Change) {
        let Change { table, router, bytes } = change;
        let is_full = |pending: &[Changes]| {
            let pending = &pending[table as usize];
            pending.len() >= PENDING_MAX && !pending.contains_key(&router)
        };
        if is_full(&self.pending) {
            // Logged and counted.
            let _ = self.commit();
        }
        if is_full(&self.pending) {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.pending[table as usize].insert(router, bytes);
    }

    /// Writes what has changed. What cannot be written stays.
    ///
    /// # Errors
    /// Why it cannot; the log has it as well.
    pub(super) fn commit(&mut self) -> Result<(), RecordFileError> {
        if self.waiting() == 0 {
            return Ok(());
        }
        self.try_commit().inspect_err(|error| self.note_failure(error))?;
        self.pending.iter_mut().for_each(Changes::clear);
        self.counts.commits.fetch_add(1, Ordering::Relaxed);
        self.count_records();
        if self.failures > 0 {
            tracing::info!(path = %self.path.display(), "the netdb's file is written again");
            self.failures = 0;
        }
        Ok(())
    }

    fn try_commit(&mut self) -> Result<(), RecordFileError> {
        let file = reopen(&mut self.file, &self.path)?;
        for (table, changes) in Table::ALL.into_iter().zip(&self.pending) {
            if !changes.is_empty() {
                file.commit(table, changes)?;
            }
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.pending.iter().map(Changes::len).sum()
    }

    fn note_failure(&mut self, error: &RecordFileError) {
        // After an error of the system the library refuses everything until the file is opened anew.
        self.file = None;
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
        if self.failures.is_multiple_of(FAILURES_PER_WARNING) {
            tracing::warn!(%error, waiting = self.waiting(), "the netdb's file is not written; it is tried again");
        }
        self.failures += 1;
    }

    fn count_records(&self) {
        let count = self.file.as_ref().map_or(Ok(0), RecordFile::count);
        self.counts.records.store(count.unwrap_or_default(), Ordering::Relaxed);
    }

    /// Answers a question about the file, with all changes so far in it.
    pub(super) fn answer(&mut self, question: Question) {
        let Question { after, count, reply } = question;
        // Whoever pages on has had this done.
        let up_to_date = if after.is_none() { self.commit() } else { Ok(()) };
        let page = up_to_date.and_then(|()| {
            let file = reopen(&mut self.file, &self.path)?;
            file.page(after, count)
        });
        // Whoever asked may have given up.
        let _ = reply.try_send(page.map_err(|error| error.to_string()));
    }

    /// Writes what waits, for the last time.
    pub(super) fn finish(mut self) {
        if self.commit().is_err() {
            tracing::warn!(lost = self.waiting(), "changes of the netdb's file are lost");
        }
    }
}

/// The file, opened anew where a failure has closed it.
fn reopen<'a>(
    slot: &'a mut Option<RecordFile>,
    path: &Path,
) -> Result<&'a RecordFile, RecordFileError> {
    let file = match slot.take() {
        Some(file) => file,
        None => {
            let Opened { file, set_aside } = RecordFile::open(path)?;
            if let Some((aside, reason)) = set_aside {
                tracing::warn!(
                    aside = %aside.display(), %reason,
                    "the netdb's file was damaged: a new one is begun"
                );
            }
            file
        }
    };
    Ok(slot.insert(file))
}

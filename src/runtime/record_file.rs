//! The netdb's file: RouterInfos with which the router goes on after a restart.
//!
//! One redb database with two tables: from a router's hash to its RouterInfo as signed, and to what we have seen of its
//! behaviour, bans above all. Lease sets are not in it: they live
//! for ten minutes, their owners store them anew when nobody has them, and a list of who published what to us belongs on no
//! disk. What is read from it is no more trusted than what a peer sends.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::TableDefinition;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use crate::base::id::RouterHash;

/// By the router's hash.
const ROUTER_INFOS: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("router_infos");
/// By the router's hash.
const PROFILES: TableDefinition<'_, [u8; 32], &[u8]> = TableDefinition::new("profiles");
/// Memory for pages of the file, in bytes.
const CACHE_SIZE: usize = 8 * 1024 * 1024;
/// What is put behind the name of a file that cannot be read.
const SET_ASIDE: &str = "damaged";

/// The tables of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// RouterInfos as signed.
    RouterInfos,
    /// How routers behaved.
    Profiles,
}

impl Table {
    /// Both.
    pub const ALL: [Self; 2] = [Self::RouterInfos, Self::Profiles];

    fn definition(self) -> TableDefinition<'static, [u8; 32], &'static [u8]> {
        match self {
            Self::RouterInfos => ROUTER_INFOS,
            Self::Profiles => PROFILES,
        }
    }
}

/// What a table now holds of routers, and no longer: the newest state of each.
pub type Changes = HashMap<RouterHash, Option<Arc<[u8]>>>;

/// RouterInfos or profiles with their routers' hashes, as they stand in the file.
pub type Entries = Vec<(RouterHash, Box<[u8]>)>;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordFileError {
    /// The system refuses.
    #[error("cannot use {}: {error}; see to its rights and to room on the disk", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another process has it open.
    #[error("{} is in use by another process: stop that one", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    #[error("there is no {}: a router writes it within a minute of its start", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// What is in it cannot be read.
    #[error("{} is damaged: {reason}; the router sets it aside at its next start", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl RecordFileError {
    fn of(path: &Path, error: redb::Error) -> Self {
        let path = path.to_owned();
        // The library's error may grow; whatever is not a refusal of the system is damage.
        #[expect(clippy::wildcard_enum_match_arm, reason = "the library's error is non-exhaustive")]
        match error {
            redb::Error::Io(error) if !is_damage(&error) => Self::System { path, error },
            redb::Error::DatabaseAlreadyOpen => Self::InUse { path },
            other => Self::Damaged { path, reason: other.to_string() },
        }
    }
}

/// Whether this is no refusal of the system: a file of another kind, or one that has been cut off.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// The netdb's file, open.
pub struct RecordFile {
    database: Database,
    path: PathBuf,
}

/// The outcome of [`RecordFile::open`].
pub struct Opened {
    /// The file.
    pub file: RecordFile,
    /// Where what stood there before was put, and what was wrong with it.
    pub set_aside: Option<(PathBuf, String)>,
}

impl RecordFile {
    /// Opens the file at `path`, or makes it; every page is checked. One that is damaged is set aside under another name, in
    /// place of one that was set aside before, and a new one begun.
    ///
    /// # Errors
    /// When the system does not let us, or another process has it open.
    pub fn open(path: &Path) -> Result<Opened, RecordFileError> {
        match Self::try_open(path) {
            Ok(file) => Ok(Opened { file, set_aside: None }),
            Err(RecordFileError::Damaged { reason, .. }) => {
                let aside = path.with_extension(SET_ASIDE);
                std::fs::rename(path, &aside)
                    .map_err(|error| RecordFileError::System { path: path.to_owned(), error })?;
                let file = Self::try_open(path)?;
                Ok(Opened { file, set_aside: Some((aside, reason)) })
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the file at `path`, where there is one, and leaves one that is damaged as it is.
    ///
    /// # Errors
    /// When there is none, it is damaged, the system does not let us, or a router that runs has it.
    pub fn open_existing(path: &Path) -> Result<Self, RecordFileError> {
        if !path.exists() {
            return Err(RecordFileError::Missing { path: path.to_owned() });
        }
        Self::try_open(path)
    }

    fn try_open(path: &Path) -> Result<Self, RecordFileError> {
        let failed = |error: redb::Error| RecordFileError::of(path, error);
        // The library would make it readable by others.
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| RecordFileError::System { path: path.to_owned(), error })?;
        let database = Database::builder()
            .set_cache_size(CACHE_SIZE)
            .set_check_integrity_on_open(true)
            .create(path)
            .map_err(|error: DatabaseError| failed(error.into()))?;
        let file = Self { database, path: path.to_owned() };
        file.make_tables().map_err(failed)?;
        Ok(file)
    }

    /// So that readers find their tables; one that is of another kind shows here.
    fn make_tables(&self) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        for table in Table::ALL {
            transaction.open_table(table.definition())?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Puts `changes` into a table of the file, all of them or none; they are on the disk when this returns.
    ///
    /// # Errors
    /// When the disk is full or fails; the file then has to be opened anew.
    pub fn commit(&self, table: Table, changes: &Changes) -> Result<(), RecordFileError> {
        self.try_commit(table, changes).map_err(|error| RecordFileError::of(&self.path, error))
    }

    fn try_commit(&self, table: Table, changes: &Changes) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(table.definition())?;
            for (router, info) in changes {
                match info {
                    Some(info) => {
                        // At a start the netdb tells of everything that came out of here.
                        let known =
                            table.get(router.0)?.is_some_and(|held| held.value() == &**info);
                        if !known {
                            table.insert(router.0, &**info)?;
                        }
                    }
                    None => drop(table.remove(router.0)?),
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// How many RouterInfos are in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn count(&self) -> Result<u64, RecordFileError> {
        let count = || Ok(self.database.begin_read()?.open_table(ROUTER_INFOS)?.len()?);
        count().map_err(|error| RecordFileError::of(&self.path, error))
    }

    /// Up to `count` RouterInfos, in the order of their routers' hashes, from the one behind `after` on.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn page(
        &self,
        after: Option<RouterHash>,
        count: usize,
    ) -> Result<Entries, RecordFileError> {
        self.try_page(after, count).map_err(|error| RecordFileError::of(&self.path, error))
    }

    fn try_page(&self, after: Option<RouterHash>, count: usize) -> Result<Entries, redb::Error> {
        let table = self.database.begin_read()?.open_table(ROUTER_INFOS)?;
        let start = after.map_or(Bound::Unbounded, |router| Bound::Excluded(router.0));
        let mut entries = Entries::new();
        for entry in table.range::<[u8; 32]>((start, Bound::Unbounded))?.take(count) {
            let (router, info) = entry?;
            entries.push((RouterHash(router.value()), info.value().into()));
        }
        Ok(entries)
    }

    /// All profiles, of which there are no more than the router had room for.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn profiles(&self) -> Result<Entries, RecordFileError> {
        let profiles = || {
            let table = self.database.begin_read()?.open_table(PROFILES)?;
            let entries = table.iter()?.map(|entry| {
                let (router, profile) = entry?;
                Ok((RouterHash(router.value()), profile.value().into()))
            });
            entries.collect::<Result<Entries, redb::Error>>()
        };
        profiles().map_err(|error| RecordFileError::of(&self.path, error))
    }

    /// The RouterInfo of `router`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn find(&self, router: &RouterHash) -> Result<Option<Box<[u8]>>, RecordFileError> {
        let find = || {
            let table = self.database.begin_read()?.open_table(ROUTER_INFOS)?;
            Ok(table.get(router.0)?.map(|info| info.value().into()))
        };
        find().map_err(|error: redb::Error| RecordFileError::of(&self.path, error))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(n: u16) -> RouterHash {
        let mut hash = [0; 32];
        hash[..2].copy_from_slice(&n.to_be_bytes());
        RouterHash(hash)
    }

    fn info(n: u8) -> Option<Arc<[u8]>> {
        Some(Arc::from(vec![n; 700]))
    }

    fn open(path: &Path) -> RecordFile {
        let opened = RecordFile::open(path).unwrap();
        assert!(opened.set_aside.is_none());
        opened.file
    }

    #[test]
    fn what_was_committed_is_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netdb.redb");
        let file = open(&path);
        let all: Changes = (0..100).map(|n| (router(n), info(1))).collect();
        file.commit(Table::RouterInfos, &all).unwrap();
        let profiles = [(router(3), Some(Arc::from([7; 36]))), (router(5), None)].into();
        file.commit(Table::Profiles, &profiles).unwrap();
        let later = Changes::from([(router(3), info(2)), (router(4), None), (router(999), None)]);
        file.commit(Table::RouterInfos, &later).unwrap();
        drop(file);
        let file = open(&path);
        assert_eq!(file.count().unwrap(), 99);
        assert_eq!(file.find(&router(3)).unwrap().unwrap()[..], [2; 700]);
        assert_eq!(file.find(&router(4)).unwrap(), None);
        assert_eq!(file.profiles().unwrap(), [(router(3), [7; 36].into())]);
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn pages_go_through_all_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = open(&directory.path().join("netdb.redb"));
        let all = (0..100).map(|n| (router(n), info(1))).collect();
        file.commit(Table::RouterInfos, &all).unwrap();
        let (mut after, mut seen) = (None, Vec::new());
        loop {
            let page = file.page(after, 7).unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            seen.extend(page.into_iter().map(|(router, _)| router));
        }
        assert_eq!(seen, (0..100).map(router).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_is_open_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netdb.redb");
        let missing = RecordFile::open_existing(&path).err().unwrap().to_string();
        assert!(missing.contains("there is no"), "{missing}");
        let first = open(&path);
        let error = RecordFile::open(&path).err().unwrap();
        assert!(matches!(error, RecordFileError::InUse { .. }), "{error}");
        drop(first);
        RecordFile::open_existing(&path).unwrap();
    }

    #[test]
    fn what_is_no_database_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("netdb.redb");
        for content in [&b"not a database"[..], &[0; 10_000], &[0xff; 100_000]] {
            std::fs::write(&path, content).unwrap();
            let opened = RecordFile::open(&path).unwrap();
            let (aside, reason) = opened.set_aside.unwrap();
            assert!(!reason.is_empty());
            assert_eq!(std::fs::read(aside).unwrap(), content);
            assert_eq!(opened.file.count().unwrap(), 0);
        }
    }

    #[test]
    fn a_file_damaged_anywhere_opens_or_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let whole = directory.path().join("whole.redb");
        let all = (0..300).map(|n| (router(n), info(5))).collect();
        open(&whole).commit(Table::RouterInfos, &all).unwrap();
        let whole = std::fs::read(&whole).unwrap();
        let path = directory.path().join("netdb.redb");
        let mut set_aside = 0;
        let mut check = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let opened = RecordFile::open(&path).unwrap();
            set_aside += usize::from(opened.set_aside.is_some());
            for (router, info) in opened.file.page(None, 1000).unwrap() {
                assert!(router.0[2..] == [0; 30] && info[..] == [5; 700], "{router:?}");
            }
            let change = Changes::from([(router(7), info(5))]);
            opened.file.commit(Table::RouterInfos, &change).unwrap();
        };
        let mut place = 1;
        while place < whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x55;
            check(&damaged);
            check(&whole[..place]);
            place += place / 9 + 17;
        }
        assert!(set_aside > 20, "{set_aside}");
    }

    #[test]
    fn a_full_disk_is_told() {
        let path = Path::new("/dev/full");
        let error = RecordFile::open(path).err().unwrap();
        assert!(matches!(error, RecordFileError::System { .. }), "{error}");
    }
}

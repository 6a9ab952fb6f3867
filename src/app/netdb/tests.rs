//! A netdb on disk, read back.

use super::*;
use std::sync::Arc;

use crate::base::time::UnixTime;
use crate::proto::netdb::testing::{FLOODFILL, ROUTER, router_info};

const NETWORK: u8 = 99;

fn fill(data_dir: &Path, now: UnixTime) -> Vec<RouterHash> {
    let file = RecordFile::open(&file_of(data_dir)).unwrap().file;
    let infos = (0..40).map(|n| router_info(n, now, if n % 4 == 0 { FLOODFILL } else { ROUTER }));
    let changes: Changes =
        infos.map(|info| (info.hash(), Some(Arc::clone(info.bytes())))).collect();
    file.commit(Table::RouterInfos, &changes).unwrap();
    let mut hashes: Vec<_> = changes.into_keys().collect();
    hashes.sort();
    hashes
}

#[test]
fn a_router_starts_with_what_it_knew() {
    let directory = tempfile::tempdir().unwrap();
    let hashes = fill(directory.path(), clock::unix_time());
    let (file, seeds) = load(directory.path(), NETWORK).unwrap();
    assert_eq!(seeds.routers.iter().map(|info| info.hash()).collect::<Vec<_>>(), hashes);
    assert!(seeds.refused.is_empty());
    drop(file);
    assert_eq!(load(directory.path(), 98).unwrap().1.foreign, 40);
}

#[test]
fn what_was_changed_on_disk_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    let now = clock::unix_time();
    let hashes = fill(directory.path(), now);
    let mut forged = router_info(1, now, ROUTER).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let file = RecordFile::open(&file_of(directory.path())).unwrap().file;
    let changes = Changes::from([(hashes[0], Some(forged.into()))]);
    file.commit(Table::RouterInfos, &changes).unwrap();
    drop(file);
    let (_, seeds) = load(directory.path(), NETWORK).unwrap();
    assert_eq!((seeds.routers.len(), seeds.refused.len()), (39, 1));
}

#[test]
fn stats_count_kinds() {
    let directory = tempfile::tempdir().unwrap();
    let now = clock::unix_time();
    fill(directory.path(), now);
    let source = Source::open(directory.path()).unwrap();
    let mut stats = Stats::new(now);
    let taken: Result<(), NetdbError> = source.for_each(|_, info| {
        stats.take(info);
        Ok(())
    });
    taken.unwrap();
    stats.take(b"nonsense");
    let fields: Map<_, _> = stats.into_fields().into_iter().collect();
    assert_eq!(fields["routers"], 41);
    assert_eq!(fields["unreadable"], 1);
    assert_eq!(fields["floodfills"], 10);
    assert_eq!(fields["ages"]["up_to_1_hour"], 40);
    assert_eq!(fields["networks"], json!({ "99": 40 }));
}

#[test]
fn an_export_is_a_netdb_directory() {
    let directory = tempfile::tempdir().unwrap();
    let now = clock::unix_time();
    let hashes = fill(directory.path(), now);
    let target = directory.path().join("netDb");
    let common =
        crate::app::args::CommonArgs { data_dir: Some(directory.path().to_owned()), config: None };
    export(&NetdbExportArgs { common, directory: target.clone(), json: true }).unwrap();
    let name = base64::encode(&hashes[5].0);
    let path = target.join(format!("r{}", &name[..1])).join(format!("routerInfo-{name}.dat"));
    let source = Source::open(directory.path()).unwrap();
    assert_eq!(source.find(&hashes[5]).unwrap().unwrap()[..], fs::read(path).unwrap());
    assert_eq!(source.find(&RouterHash([9; 32])).unwrap(), None);
}

#[test]
fn what_is_no_profile_is_taken_out_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = RecordFile::open(&file_of(directory.path())).unwrap().file;
    let [good, bad] = [1, 2].map(|n| RouterHash([n; 32]));
    let mut profile = Profile::default();
    profile.answered = 3;
    let stored: Changes =
        [(good, Some(Arc::from(profile.write()))), (bad, Some(Arc::from([7; 36])))].into();
    file.commit(Table::Profiles, &stored).unwrap();
    assert_eq!(profiles(&file).unwrap()[..], [(good, profile)]);
    assert_eq!(file.profiles().unwrap().len(), 1);
}

//! Bundles made and read back.

use super::*;
use std::os::unix::fs::PermissionsExt;

use crate::app::args::CommonArgs;
use crate::app::reseed::bundle;
use crate::base::time::UnixTime;
use crate::proto::netdb::testing::{ROUTER, router_info, router_info_at};

const NETWORK: u8 = 99;
const NAME: &str = "someone@mail.example";

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// A netDb directory as i2pd has it: ten routers on shelves, and what does not belong into a bundle.
    fn new(now: UnixTime) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = Self { directory };
        let write = |name: &str, bytes: &[u8]| {
            let path = place.netdb().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        for seed in 0..10 {
            let info = router_info(seed, now, ROUTER);
            write(&format!("r{}/routerInfo-{seed}.dat", seed % 3), info.bytes());
        }
        let old = router_info(20, now - Duration::from_secs(25 * 3600), ROUTER);
        write("rA/routerInfo-old.dat", old.bytes());
        write("rA/routerInfo-nowhere.dat", router_info_at(21, now, ROUTER, vec![]).bytes());
        let foreign = [("caps", "XR"), ("netId", "98"), ("router.version", "0.9.67")];
        write("rA/routerInfo-foreign.dat", router_info(22, now, &foreign).bytes());
        let hidden = [("caps", "XU"), ("netId", "99"), ("router.version", "0.9.67")];
        write("rA/routerInfo-unreachable.dat", router_info(23, now, &hidden).bytes());
        write("rA/routerInfo-junk.dat", b"junk");
        place
    }

    fn netdb(&self) -> PathBuf {
        self.directory.path().join("netDb")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn args(&self) -> ReseedMakeArgs {
        ReseedMakeArgs {
            common: CommonArgs::default(),
            from: vec![self.netdb()],
            out: self.path("i2pseeds.su3"),
            signer: NAME.to_owned(),
            key: self.path("key.pem"),
            new_key: false,
            network_id: NETWORK,
            count: 100,
            age_max_hours: 24,
            json: true,
        }
    }
}

fn make(args: ReseedMakeArgs) -> Result<(), MakeError> {
    run(&ReseedCommand::Make(args))
}

#[test]
fn routers_to_begin_with_are_picked() {
    let now = clock::unix_time();
    let place = Place::new(now);
    let mut rng = ShardRng::from_seed([3; 32]);
    let choice = choose(&place.args(), now, &mut rng).unwrap();
    assert_eq!((choice.routers.len(), choice.found), (10, 13));
    assert_eq!((choice.old, choice.unusable, choice.foreign, choice.refused), (1, 2, 1, 1));
    let few = choose(&ReseedMakeArgs { count: 3, ..place.args() }, now, &mut rng).unwrap();
    assert_eq!(few.routers.len(), 3);
    let none = choose(&ReseedMakeArgs { network_id: 97, ..place.args() }, now, &mut rng);
    let text = none.err().unwrap().to_string();
    assert!(
        text.contains("14 are of other networks than 97") && text.contains("1 files"),
        "{text}"
    );
}

#[cfg(feature = "accelerated")]
#[test]
fn a_bundle_with_a_new_key_is_read_back_by_its_certificate() {
    let now = clock::unix_time();
    let place = Place::new(now);
    make(ReseedMakeArgs { new_key: true, ..place.args() }).unwrap();
    let mode = fs::metadata(place.path("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(place.path("someone_at_mail.example.crt").is_file());

    let bytes = fs::read(place.path("i2pseeds.su3")).unwrap();
    let (signers, refused) = Signers::load(place.directory.path()).unwrap();
    assert!(refused.is_empty(), "{refused:?}");
    let trust = Trust { signers: &signers, now };
    let seeds = bundle::open(&bytes, NETWORK, &trust).unwrap();
    assert_eq!(seeds.routers.len(), 10);
    let mut flipped = bytes.clone();
    flipped[2000] ^= 0x10;
    let error = bundle::open(&flipped, NETWORK, &trust).unwrap_err();
    assert_eq!(error, bundle::BundleError::Signature { signer: NAME.to_owned() });
    let later = now + Duration::from_secs(3700 * 86_400);
    let error = bundle::open(&bytes, NETWORK, &Trust { now: later, ..trust }).unwrap_err();
    assert!(matches!(error, bundle::BundleError::Expired { .. }), "{error}");

    // Another bundle with the same key; no key is replaced.
    make(ReseedMakeArgs { count: 2, ..place.args() }).unwrap();
    let bytes = fs::read(place.path("i2pseeds.su3")).unwrap();
    assert_eq!(bundle::open(&bytes, NETWORK, &trust).unwrap().routers.len(), 2);
    let again = make(ReseedMakeArgs { new_key: true, ..place.args() }).unwrap_err();
    assert!(again.to_string().contains("someone_at_mail.example.crt"), "{again}");
    fs::remove_file(place.path("someone_at_mail.example.crt")).unwrap();
    let again = make(ReseedMakeArgs { new_key: true, ..place.args() }).unwrap_err();
    assert!(again.to_string().contains("key.pem"), "{again}");

    let readable = fs::Permissions::from_mode(0o640);
    fs::set_permissions(place.path("key.pem"), readable).unwrap();
    let exposed = make(place.args()).unwrap_err();
    assert!(exposed.to_string().contains("chmod 600"), "{exposed}");
}

#[test]
fn a_key_of_openssl_is_read_and_others_are_refused() {
    let place = Place::new(clock::unix_time());
    let path = place.path("key.pem");
    let write = |text: &str| {
        let _ = fs::remove_file(&path);
        key_file_at(&path, text);
        key::read(&path)
    };
    let text = key::read(&path).err().unwrap().to_string();
    assert!(text.contains("--new-key makes one"), "{text}");
    let text = write("hello").err().unwrap().to_string();
    assert!(text.contains("holds no RSA key in PEM"), "{text}");
    let ed25519 = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let text = write(ed25519).err().unwrap().to_string();
    assert!(text.contains("its key is of another type"), "{text}");
    let text = make(ReseedMakeArgs { signer: "a b".to_owned(), ..place.args() }).unwrap_err();
    assert!(text.to_string().contains("\"a b\""), "{text}");
}

fn key_file_at(path: &Path, text: &str) {
    crate::app::identity::key_file::write_new(path, text.as_bytes()).unwrap();
}

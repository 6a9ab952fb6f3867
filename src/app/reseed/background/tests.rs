//! Pauses, and hosts of our own over HTTPS.

use super::*;

#[test]
fn pauses_grow_to_an_hour_and_differ() {
    let mut rng = ShardRng::from_seed([1; 32]);
    let quarter = |pause: Duration| (pause * 3 / 4, pause * 5 / 4);
    for (attempt, seconds) in [(0, 60), (1, 120), (3, 480), (6, 3600), (900, 3600)] {
        let (least, most) = quarter(Duration::from_secs(seconds));
        let pause = pause(attempt, &mut rng);
        assert!(least <= pause && pause <= most, "{attempt}: {pause:?}");
    }
    assert_ne!(pause(6, &mut rng), pause(6, &mut rng));
}

#[cfg(feature = "accelerated")]
mod with_hosts {
    use super::*;
    use std::fs;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::path::Path;

    use crossbeam_channel::{Receiver, bounded};
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use crate::app::reseed::archive;
    use crate::app::reseed::bundle::BundleError;
    use crate::app::reseed::https::FetchError;
    use crate::app::signers::Certified;
    use crate::base::time::UnixTime;
    use crate::crypto::signature::{SignatureType, SigningSecret};
    use crate::proto::netdb::testing::{ROUTER, hash, router_info};
    use crate::runtime::mesh::Bell;
    use crate::wire::su3::{Su3ContentType, Su3Draft, Su3FileType};

    const NETWORK: u8 = 99;
    const NAME: &str = "someone@mail.example";
    const OWN: u8 = 1;

    /// An authority, and a server configuration that it vouches for.
    struct Authority {
        pem: String,
        server: Arc<ServerConfig>,
    }

    impl Authority {
        fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let own = params.self_signed(&key).unwrap();
            let issuer = Issuer::new(params, key);
            let host_key = KeyPair::generate().unwrap();
            let host = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let host = host.signed_by(&host_key, &issuer).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let server = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![host.der().clone()],
                    PrivatePkcs8KeyDer::from(host_key.serialize_der()).into(),
                )
                .unwrap();
            Self { pem: own.pem(), server: Arc::new(server) }
        }

        /// A host that answers each request with `response`; gives its URL, and the first lines of the requests.
        fn host(&self, response: Vec<u8>) -> (HostUrl, Receiver<String>) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
            let server = Arc::clone(&self.server);
            let (lines, requests) = bounded(16);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let connection = ServerConnection::new(Arc::clone(&server)).unwrap();
                    let mut stream = StreamOwned::new(connection, stream.unwrap());
                    let mut request = Vec::new();
                    let mut byte = [0];
                    // A client that does not trust us ends here.
                    while !request.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                        request.extend_from_slice(&byte);
                    }
                    let _ = lines.try_send(String::from_utf8_lossy(&request).into_owned());
                    let _ = stream.write_all(&response);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            });
            (url.parse().unwrap(), requests)
        }
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    fn secret() -> SigningSecret {
        SigningSecret::new(SignatureType::Ed25519, &[9; 32]).unwrap()
    }

    fn signers() -> Signers {
        let (from, until) = (UnixTime(0), UnixTime(u64::MAX));
        Signers::of_one(NAME, Certified { key: secret().public_key(), from, until })
    }

    /// A bundle of the routers with these seeds.
    fn bundle(seeds: &[u8]) -> Vec<u8> {
        let now = clock::unix_time();
        let routers: Vec<_> = seeds.iter().map(|seed| router_info(*seed, now, ROUTER)).collect();
        let content = archive::write(&routers).unwrap();
        let draft = Su3Draft {
            signature_type: SignatureType::Ed25519,
            file_type: Su3FileType::Zip,
            content_type: Su3ContentType::Reseed,
            version: &now.seconds_rounded().to_string(),
            signer: NAME,
            content: &content,
        };
        let mut bytes = Vec::new();
        draft.write(&mut bytes, |message| secret().sign(&[0; 80], message).into()).unwrap();
        bytes
    }

    fn task(hosts: Vec<HostUrl>, ca: &Path) -> (Task, Receiver<Command>) {
        let (commands, received) = bounded(4);
        let line = ShardLine { commands, bell: Arc::new(Bell::new().unwrap()) };
        let task = Task {
            hosts,
            network: NETWORK,
            ca: Some(ca.to_owned()),
            signers: signers(),
            shards: vec![line],
            own: hash(OWN),
        };
        (task, received)
    }

    #[test]
    fn where_one_host_fails_the_other_serves() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        let authority = Authority::new();
        fs::write(&ca, &authority.pem).unwrap();
        let (broken, _) =
            authority.host(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n".to_vec());
        let (first, requests) = authority.host(ok(&bundle(&[OWN, 2, 3])));
        let (second, _) = authority.host(ok(&bundle(&[3, 4])));
        let (task, received) = task(vec![broken, first, second], &ca);
        task.run();
        let Ok(Command::Seeds(seeds)) = received.try_recv() else { panic!("no seeds came") };
        let mut hashes: Vec<_> = seeds.iter().map(|info| info.hash()).collect();
        let mut expected = vec![hash(2), hash(3), hash(4)];
        hashes.sort();
        expected.sort();
        assert_eq!(hashes, expected, "of both hosts, each once, and not ourselves");
        let request = requests.try_recv().unwrap();
        assert!(request.starts_with("GET /i2pseeds.su3?netid=99 HTTP/1.1\r\n"), "{request}");
        assert!(request.to_lowercase().contains("user-agent: wget/1.11.4\r\n"), "{request}");
    }

    #[test]
    fn each_failure_of_a_host_has_its_reason() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        let authority = Authority::new();
        fs::write(&ca, &authority.pem).unwrap();
        let client = Client::new(Some(&ca)).unwrap();
        let (task, _) = task(Vec::new(), &ca);
        let failure = |response: Vec<u8>| {
            let (host, _) = authority.host(response);
            task.ask(&client, &host).unwrap_err()
        };
        let missing = failure(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec());
        assert_eq!(missing, HostError::Fetch(FetchError::Status(404)));
        let large = failure(ok(&vec![0; (1 << 20) + 1]));
        assert_eq!(large, HostError::Fetch(FetchError::TooLarge));
        let page = failure(ok(b"<!DOCTYPE html><html>This is no su3 file, but a page.</html>"));
        assert!(matches!(page, HostError::Bundle(BundleError::Malformed(_))), "{page}");
        let mut flipped = bundle(&[2]);
        flipped[300] ^= 1;
        let flipped = failure(ok(&flipped));
        assert!(matches!(flipped, HostError::Bundle(BundleError::Signature { .. })), "{flipped}");
        let cut = failure(ok(&bundle(&[2]))[..500].to_vec());
        assert!(matches!(cut, HostError::Fetch(FetchError::Connection(_))), "{cut}");
        let clear =
            b"HTTP/1.1 302 Found\r\nLocation: http://localhost/x\r\nContent-Length: 0\r\n\r\n";
        let clear = failure(clear.to_vec());
        assert!(matches!(clear, HostError::Fetch(FetchError::Connection(_))), "{clear}");
        let nobody = "https://localhost:1/".parse().unwrap();
        let nobody = task.ask(&client, &nobody).unwrap_err();
        assert!(matches!(nobody, HostError::Fetch(FetchError::Connection(_))), "{nobody}");

        // Whom nobody vouches for is not asked at all.
        let (stranger, requests) = Authority::new().host(ok(&bundle(&[2])));
        let refused = task.ask(&client, &stranger).unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
        assert_eq!(requests.recv().unwrap(), "");
        // Nor with the usual authorities.
        let (host, _) = authority.host(ok(&bundle(&[2])));
        let refused = task.ask(&Client::new(None).unwrap(), &host).unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }

    #[test]
    fn a_file_without_authorities_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        let text = Client::new(Some(&ca)).err().unwrap().to_string();
        assert!(text.contains("ca.pem"), "{text}");
        fs::write(&ca, "nothing").unwrap();
        let text = Client::new(Some(&ca)).err().unwrap().to_string();
        assert!(text.contains("holds no certificate in PEM"), "{text}");
    }
}

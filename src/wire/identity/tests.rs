//! Identities of every kind of certificate and key.

use super::*;
use crate::crypto::signature::SignatureType;
use proptest::prelude::*;

fn parse(bytes: &[u8]) -> Result<Destination, Malformed> {
    let mut reader = Reader::new(bytes);
    let destination = Destination::parse(&mut reader)?;
    reader.finish()?;
    Ok(destination)
}

/// 384 bytes that count up, and a certificate.
fn keys_with(certificate: &[u8]) -> Vec<u8> {
    (0..=255).cycle().take(KEYS_SIZE).chain(certificate.iter().copied()).collect()
}

#[test]
fn a_router_identity_has_the_layout_of_the_specification() {
    let signer = Signer::from_seed(&Ed25519Seed::from_bytes([1; 32]));
    let identity = RouterIdentity::build(&signer.public_key(), X25519Public([2; 32]), [3; 32]);
    let bytes = identity.bytes();
    assert_eq!(bytes.len(), 391);
    assert_eq!(bytes[..32], [2; 32]);
    assert_eq!(bytes[32..352], [3; 320]);
    assert_eq!(bytes[352..384], *signer.public_key().bytes());
    assert_eq!(bytes[384..], [5, 0, 4, 0, 7, 0, 4]);
    assert_eq!(identity.hash().0, sha256(bytes));

    let mut reader = Reader::new(bytes);
    let read = RouterIdentity::parse(&mut reader).unwrap();
    assert_eq!(read, identity);
    assert_eq!(read.encryption_key(), Some(X25519Public([2; 32])));
    assert_eq!(read.signing_key(), &signer.public_key());
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn an_identity_is_read_from_where_the_reader_stands() {
    let bytes = [vec![9; 5], keys_with(&[0, 0, 0]), vec![9]].concat();
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.take(5, "before").unwrap(), [9; 5]);
    let identity = RouterIdentity::parse(&mut reader).unwrap();
    assert_eq!(identity.bytes(), &bytes[5..392]);
    assert_eq!(reader.left(), 1);
}

#[test]
fn a_null_certificate_means_dsa_and_elgamal() {
    let bytes = keys_with(&[0, 0, 0]);
    let destination = parse(&bytes).unwrap();
    assert_eq!(destination.signing_key().kind(), SignatureType::DsaSha1);
    assert_eq!(destination.signing_key().bytes(), &bytes[256..384]);
    assert_eq!(destination.hash().0, sha256(&bytes));
    assert_eq!(RouterIdentity::parse(&mut Reader::new(&bytes)).unwrap().encryption_key(), None);
}

#[test]
fn keys_stand_at_the_end_of_their_slot_and_go_on_in_the_certificate() {
    for (code, size) in [
        (0, 128),
        (1, 64),
        (2, 96),
        (3, 132),
        (4, 256),
        (5, 384),
        (6, 512),
        (7, 32),
        (8, 32),
        (11, 32),
    ] {
        let excess = vec![0xee; size.max(128) - 128];
        let length = u16::try_from(4 + excess.len()).unwrap().to_be_bytes();
        let certificate = [&[5, length[0], length[1], 0, code, 0, 0][..], &excess].concat();
        let bytes = keys_with(&certificate);
        let destination = parse(&bytes).unwrap();
        let key = destination.signing_key();
        assert_eq!(key.kind().code(), u16::from(code));
        let in_slot = &bytes[384 - size.min(128)..384];
        assert_eq!(key.bytes(), [in_slot, &excess].concat());

        let built = Destination::build(key, [7; 32]);
        assert_eq!(parse(built.bytes()), Ok(built.clone()));
        assert_eq!(built.signing_key(), key);
    }
}

#[test]
fn a_key_certificate_holds_what_its_types_need() {
    assert_eq!(
        parse(&keys_with(&[5, 0, 5, 0, 7, 0, 4, 0])),
        Err(Malformed::Length { field: "key certificate", expected: 4, found: 5 })
    );
    assert_eq!(
        parse(&keys_with(&[5, 0, 4, 0, 3, 0, 0])),
        Err(Malformed::Truncated { field: "rest of the signing key", needed: 4, left: 0 })
    );
    assert_eq!(
        parse(&keys_with(&[5, 0, 3, 0, 7, 0])),
        Err(Malformed::Truncated { field: "encryption key type", needed: 2, left: 1 })
    );
    assert_eq!(
        parse(&keys_with(&[5, 0, 4, 0, 12, 0, 4])),
        Err(Malformed::Unsupported { field: "signing key type", found: 12 })
    );
    assert_eq!(
        parse(&keys_with(&[5, 0xff, 0xff])),
        Err(Malformed::TooLarge { field: "certificate length", limit: 512, found: 65_535 })
    );
}

#[test]
fn an_unknown_encryption_type_is_kept() {
    let bytes = keys_with(&[5, 0, 6, 0, 7, 0, 99, 1, 2]);
    let identity = RouterIdentity::parse(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(identity.encryption_key(), None);
    assert_eq!(identity.bytes(), bytes);
}

#[test]
fn every_certificate_is_read_and_kept() {
    for code in (0..=u8::MAX).filter(|code| *code != 5) {
        let bytes = keys_with(&[code, 0, 3, 7, 8, 9]);
        let destination = parse(&bytes).unwrap();
        assert_eq!(destination.certificate_kind(), CertificateKind::from_code(code));
        assert_eq!(destination.certificate_kind().code(), code);
        assert_eq!(destination.encryption_type(), EncryptionType::ElGamal);
        assert_eq!(destination.signing_key().kind(), SignatureType::DsaSha1);
        assert_eq!(destination.bytes(), bytes);
        let view = KeysView::parse(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(view.certificate().payload(), [7, 8, 9]);
        let mut written = Vec::new();
        view.certificate().write(&mut written);
        assert_eq!(written, bytes[384..]);
    }
}

#[test]
fn encryption_keys_stand_at_the_start_of_their_slot() {
    for (code, size) in
        [(0, 256), (1, 64), (2, 96), (3, 132), (4, 32), (5, 32), (6, 32), (7, 32), (255, 0)]
    {
        let bytes = keys_with(&[5, 0, 4, 0, 7, 0, code]);
        let view = KeysView::parse(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(view.encryption_key(), Some(&bytes[..size]), "type {code}");
        assert_eq!(view.x25519_key().is_some(), code == 4);
        assert_eq!(view.certificate().encryption_type().code(), u16::from(code));
        assert_eq!(view.hash(), sha256(&bytes));
        let longer = keys_with(&[5, 0, 5, 0, 7, 0, code, 1]);
        let refused = Malformed::Length { field: "key certificate", expected: 4, found: 5 };
        assert_eq!(parse(&longer), Err(refused), "type {code}");
    }
    for code in 0..=u16::MAX {
        assert_eq!(EncryptionType::from_code(code).code(), code);
    }
}

#[test]
fn an_identity_with_an_unknown_signing_type_is_viewed() {
    let bytes = keys_with(&[5, 0, 6, 0, 12, 0, 4, 1, 2]);
    let mut reader = Reader::new(&bytes);
    let view = KeysView::parse(&mut reader).unwrap();
    assert_eq!(reader.left(), 0);
    assert_eq!(view.signing_key(), None);
    assert_eq!(view.certificate().signing_type(), SignatureType::Unknown(12));
    assert_eq!(view.certificate().payload(), [0, 12, 0, 4, 1, 2]);
    assert_eq!(view.x25519_key().map(|key| key.0.to_vec()), Some(bytes[..32].to_vec()));
    assert_eq!(view.bytes(), bytes);
}

proptest! {
    #[test]
    fn any_bytes_are_an_identity_or_an_error(
        certificate in proptest::collection::vec(any::<u8>(), 0..40),
        cut in 0usize..500,
    ) {
        let bytes = keys_with(&certificate);
        let _ = parse(&bytes);
        let _ = parse(bytes.get(..cut).unwrap_or(&bytes));
    }
}

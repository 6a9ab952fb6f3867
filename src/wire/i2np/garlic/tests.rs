//! Garlic as others write it, and as they should not.

use proptest::prelude::*;

use super::*;
use crate::base::id::MessageId;
use crate::base::time::UnixTime;
use crate::wire::i2np::MessageType;

fn message() -> I2npMessage {
    I2npMessage {
        kind: MessageType::DatabaseLookup,
        id: MessageId(0x0102_0304),
        expiration: UnixTime(5_000),
        body: Frame::copy_of(&[0xaa, 0xbb]),
    }
}

fn all(bytes: &[u8]) -> Result<Vec<GarlicBlock<'_>>, Malformed> {
    parse_blocks(bytes).collect()
}

#[test]
fn the_frame_is_a_length_and_what_it_counts() {
    let mut body = GarlicMessage::write(&[7, 8, 9]);
    assert_eq!(&body[..], &[0, 0, 0, 3, 7, 8, 9]);
    assert_eq!(GarlicMessage::payload(&body), Ok(&[7, 8, 9][..]));
    body.append(&[1]);
    assert_eq!(GarlicMessage::payload_mut(&mut body), Ok(&mut [7, 8, 9][..]));
    assert!(GarlicMessage::payload(&body[..6]).is_err());
    assert!(GarlicMessage::payload(&[0xff; 64]).is_err());
    assert!(GarlicMessage::payload_mut(&mut [0xff; 3]).is_err());
}

#[test]
fn blocks_byte_by_byte() {
    let mut out = Vec::new();
    append_date_time(&mut out, UnixTime(1_500));
    append_clove(&mut out, &CloveDelivery::Local, &message());
    append_padding(&mut out, 2);
    let expected =
        [0, 0, 4, 0, 0, 0, 2, 11, 0, 12, 0, 2, 1, 2, 3, 4, 0, 0, 0, 5, 0xaa, 0xbb, 254, 0, 2, 0, 0];
    assert_eq!(out, expected);
    let clove = Clove { delivery: CloveDelivery::Local, message: message() };
    assert_eq!(
        all(&out).unwrap(),
        [
            GarlicBlock::DateTime(UnixTime(2_000)),
            GarlicBlock::Clove(clove),
            GarlicBlock::Padding(&[0, 0]),
        ]
    );
}

#[test]
fn deliveries_byte_by_byte() {
    let gateway = RouterHash([3; 32]);
    let tunnel = TunnelId::new(6).unwrap();
    for (delivery, flag, fields) in [
        (CloveDelivery::Local, 0x00, vec![]),
        (CloveDelivery::Destination(RecordKey([1; 32])), 0x20, vec![1; 32]),
        (CloveDelivery::Router(RouterHash([2; 32])), 0x40, vec![2; 32]),
        (CloveDelivery::Tunnel { gateway, tunnel }, 0x60, [&[3; 32][..], &[0, 0, 0, 6]].concat()),
    ] {
        let mut out = Vec::new();
        append_clove(&mut out, &delivery, &message());
        assert_eq!(out[3], flag);
        assert_eq!(out[4..4 + fields.len()], fields);
        let clove = Clove { delivery, message: message() };
        assert_eq!(all(&out), Ok(vec![GarlicBlock::Clove(clove)]));
        for length in 1..out.len() {
            assert!(all(&out[..length]).is_err());
        }
    }
}

#[test]
fn nothing_follows_padding_and_tunnel_zero_is_refused() {
    assert!(all(&[254, 0, 0, 0, 0, 4, 0, 0, 0, 1]).is_err());
    assert_eq!(all(&[99, 0, 1, 9]), Ok(vec![GarlicBlock::Unknown { kind: 99, data: &[9] }]));
    let mut clove = vec![11, 0, 46, 0x60];
    clove.extend_from_slice(&[0; 45]);
    let refusal = Malformed::ZeroTunnelId { field: "delivery of clove" };
    assert_eq!(all(&clove), Err(refusal));
}

#[test]
fn session_blocks_byte_by_byte() {
    let acks = [[0, 1, 0, 2], [0, 3, 0, 4]];
    let next = |key| NextKey {
        id: 0x0102,
        key,
        is_reverse: false,
        requests_reverse: true,
        unused_flags: 0x80,
    };
    for (block, expected) in [
        (SessionBlock::Termination { reason: 1, data: &[7] }, vec![4, 0, 2, 1, 7]),
        (SessionBlock::Options(&[1; 21]), [&[5, 0, 21][..], &[1; 21]].concat()),
        (SessionBlock::MessageNumber(0x0304), vec![6, 0, 2, 3, 4]),
        (SessionBlock::NextKey(next(None)), vec![7, 0, 3, 0x84, 1, 2]),
        (
            SessionBlock::NextKey(next(Some(&[9; 32]))),
            [&[7, 0, 35, 0x85, 1, 2][..], &[9; 32]].concat(),
        ),
        (
            SessionBlock::Acks(GarlicAcks::new(&acks).unwrap()),
            vec![8, 0, 8, 0, 1, 0, 2, 0, 3, 0, 4],
        ),
        (SessionBlock::AckRequest(0), vec![9, 0, 1, 0]),
    ] {
        let mut out = Vec::new();
        append_session(&mut out, &block);
        assert_eq!(out, expected);
        assert_eq!(all(&out), Ok(vec![GarlicBlock::Session(block)]));
    }
    let entries: Vec<_> = GarlicAcks::new(&acks).unwrap().iter().collect();
    let second = GarlicAck { tagset: 3, message: 4 };
    assert_eq!(entries, [GarlicAck { tagset: 1, message: 2 }, second]);
}

#[test]
fn session_blocks_of_other_sizes_are_refused() {
    for bytes in [
        &[4, 0, 0][..],
        &[5, 0, 1, 0],
        &[6, 0, 1, 0],
        &[6, 0, 3, 0, 0, 0],
        &[7, 0, 3, 1, 0, 0],
        &[7, 0, 4, 0, 0, 0, 0],
        &[8, 0, 0],
        &[8, 0, 5, 0, 0, 0, 0, 0],
        &[9, 0, 0],
        &[9, 0, 2, 0, 0],
    ] {
        assert!(all(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_delay_is_passed_over_and_a_second_encryption_refused() {
    let mut out = Vec::new();
    append_clove(&mut out, &CloveDelivery::Local, &message());
    out[2] += 4;
    out[3] |= 0x10;
    out.splice(4..4, [0, 0, 0, 9]);
    let clove = Clove { delivery: CloveDelivery::Local, message: message() };
    assert_eq!(all(&out), Ok(vec![GarlicBlock::Clove(clove)]));
    out[3] = 0x80;
    let refused = Malformed::Unsupported { field: "flag of clove", found: 0x80 };
    assert_eq!(all(&out), Err(refused));
}

proptest! {
    #[test]
    fn blocks_that_are_read_can_be_written(
        kind in 0u8..14, data in proptest::collection::vec(0u8..8, 0..60),
    ) {
        let mut bytes = Vec::new();
        append_unknown(&mut bytes, kind, &data);
        let mut written = Vec::new();
        match all(&bytes).as_deref() {
            Ok([GarlicBlock::Session(block)]) => append_session(&mut written, block),
            Ok([GarlicBlock::DateTime(date)]) => append_date_time(&mut written, *date),
            Ok([GarlicBlock::Unknown { kind, data }]) => append_unknown(&mut written, *kind, data),
            // The flag of a clove has bits that are not kept.
            Ok([GarlicBlock::Clove(_)]) | Err(_) => return Ok(()),
            other => prop_assert!(false, "{other:?}"),
        }
        prop_assert_eq!(written, bytes);
    }

    #[test]
    fn any_bytes_give_errors_or_blocks(bytes in proptest::collection::vec(0u8..16, 0..200)) {
        prop_assert!(parse_blocks(&bytes).count() <= bytes.len());
    }

    #[test]
    fn changed_blocks_give_errors_or_blocks(at in 0usize..30, flip: u8, cut in 0usize..80, tail: u64) {
        let mut out = Vec::new();
        append_date_time(&mut out, UnixTime(1));
        append_clove(&mut out, &CloveDelivery::Router(RouterHash([1; 32])), &message());
        out[at] ^= flip;
        out.truncate(cut);
        out.extend_from_slice(&tail.to_be_bytes());
        prop_assert!(parse_blocks(&out).count() <= out.len());
    }
}

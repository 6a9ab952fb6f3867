//! Blocks as the specification lays them out, and as nobody should send them.

use proptest::prelude::*;

use super::*;

fn v4() -> SocketAddr {
    "192.0.2.1:5000".parse().unwrap()
}

fn v6() -> SocketAddr {
    "[2001:db8::1]:5000".parse().unwrap()
}

fn relay_terms() -> RelayTerms {
    RelayTerms {
        nonce: 0x0102_0304,
        tag: RelayTag::new(0x0506_0708).unwrap(),
        timestamp: 0x6600_0000,
        version: 2,
        address: v4(),
    }
}

const RELAY_TERMS: [u8; 20] =
    [1, 2, 3, 4, 5, 6, 7, 8, 0x66, 0, 0, 0, 2, 6, 0x13, 0x88, 192, 0, 2, 1];

fn test_terms() -> PeerTestTerms {
    PeerTestTerms { version: 2, nonce: 0x0102_0304, timestamp: 0x6600_0000, address: v4() }
}

const TEST_TERMS: [u8; 16] = [2, 1, 2, 3, 4, 0x66, 0, 0, 0, 6, 0x13, 0x88, 192, 0, 2, 1];

fn all(bytes: &[u8]) -> Result<Vec<Ssu2Block<'_>>, Malformed> {
    parse_blocks(bytes).collect()
}

fn written(block: &Ssu2Block<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    append_block(&mut out, block);
    out
}

/// The block, with its data as the specification lays it out.
fn assert_layout(kind: u8, block: Ssu2Block<'_>, data: &[u8]) {
    let size = u16::try_from(data.len()).unwrap().to_be_bytes();
    let expected = [&[kind, size[0], size[1]][..], data].concat();
    assert_eq!(written(&block), expected, "{block:?}");
    assert_eq!(all(&expected), Ok(vec![block]));
    for length in 1..expected.len() {
        let refused = all(&expected[..length]);
        assert!(matches!(refused, Err(Malformed::Truncated { .. })), "{length}: {refused:?}");
    }
}

#[test]
fn blocks_of_the_handshake_byte_by_byte() {
    assert_layout(0, Ssu2Block::DateTime(0x6600_0000), &[0x66, 0, 0, 0]);
    assert_layout(1, Ssu2Block::Options(&[1; 12]), &[1; 12]);
    let info = Ssu2Block::RouterInfo {
        flood: FloodRequest::Requested,
        encoding: InfoEncoding::Gzip,
        unused_flags: 0x80,
        info: &[7; 10],
    };
    assert_layout(2, info, &[&[0x83, 1][..], &[7; 10]].concat());
    assert_layout(13, Ssu2Block::Address(v4()), &[0x13, 0x88, 192, 0, 2, 1]);
    let v6_bytes = [0x13, 0x88, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_layout(13, Ssu2Block::Address(v6()), &v6_bytes);
    assert_layout(15, Ssu2Block::RelayTagRequest, &[]);
    assert_layout(16, Ssu2Block::RelayTag(RelayTag::new(9).unwrap()), &[0, 0, 0, 9]);
    let token = Ssu2Block::NewToken { expires: 0x6600_0000, token: Token([5; 8]) };
    assert_layout(17, token, &[0x66, 0, 0, 0, 5, 5, 5, 5, 5, 5, 5, 5]);
    assert_layout(20, Ssu2Block::FirstPacketNumber(3), &[0, 0, 0, 3]);
}

#[test]
fn blocks_of_the_session_byte_by_byte() {
    let message = [20, 0, 0, 0, 7, 0, 0, 0, 9, 0xaa];
    assert_layout(3, Ssu2Block::I2np(&message), &message);
    assert_layout(4, Ssu2Block::FirstFragment(&message), &message);
    let message = MessageId(7);
    let follow = Ssu2Block::FollowOnFragment { message, number: 127, last: true, data: &[1, 2] };
    assert_layout(5, follow, &[0xff, 0, 0, 0, 7, 1, 2]);
    let reason = Ssu2Reason::BadToken;
    let end = Ssu2Block::Termination { received: 258, reason, data: &[3] };
    assert_layout(6, end, &[0, 0, 0, 0, 0, 0, 1, 2, 18, 3]);
    assert_layout(11, Ssu2Block::NextNonce(&[1]), &[1]);
    let ack = Ack::new(10, 2, &[[1, 2], [2, 3]]).unwrap();
    assert_layout(12, Ssu2Block::Ack(ack), &[0, 0, 0, 10, 2, 1, 2, 2, 3]);
    assert_layout(18, Ssu2Block::PathChallenge(&[4; 8]), &[4; 8]);
    assert_layout(19, Ssu2Block::PathResponse(&[4; 8]), &[4; 8]);
    assert_layout(21, Ssu2Block::Congestion { flags: 3, data: &[9] }, &[3, 9]);
    assert_layout(254, Ssu2Block::Padding(&[0; 5]), &[0; 5]);
    assert_layout(99, Ssu2Block::Unknown { kind: 99, data: &[7] }, &[7]);
}

#[test]
fn relay_blocks_byte_by_byte() {
    let signature = &[8; 64][..];
    let request = RelayRequest { flag: 0, terms: relay_terms(), signature };
    let data = [&[0][..], &RELAY_TERMS, signature].concat();
    assert_layout(7, Ssu2Block::RelayRequest(request), &data);

    let router = RouterHash([3; 32]);
    let intro = RelayIntro { flag: 0, router, terms: relay_terms(), signature };
    let data = [&[0][..], &[3; 32], &RELAY_TERMS, signature].concat();
    assert_layout(9, Ssu2Block::RelayIntro(intro), &data);

    let answer = RelayAnswer { timestamp: 0x6600_0000, version: 2, address: Some(v4()) };
    let accepted = RelayResponse {
        flag: 0,
        code: 0,
        nonce: 0x0102_0304,
        answer: Some(answer),
        signature,
        token: Some(Token([5; 8])),
    };
    let head = [0, 0, 1, 2, 3, 4, 0x66, 0, 0, 0, 2, 6, 0x13, 0x88, 192, 0, 2, 1];
    let data = [&head[..], signature, &[5; 8]].concat();
    assert_layout(8, Ssu2Block::RelayResponse(accepted), &data);

    let answer = Some(RelayAnswer { address: None, ..answer });
    let refused = RelayResponse { code: 70, answer, token: None, ..accepted };
    let data = [&[0, 70, 1, 2, 3, 4, 0x66, 0, 0, 0, 2, 0][..], signature].concat();
    assert_layout(8, Ssu2Block::RelayResponse(refused), &data);

    let bare = RelayResponse { code: 5, answer: None, signature: &[], ..refused };
    assert_layout(8, Ssu2Block::RelayResponse(bare), &[0, 5, 1, 2, 3, 4]);
}

#[test]
fn peer_tests_byte_by_byte() {
    for message in 1..=7 {
        let router = matches!(message, 2 | 4).then_some(RouterHash([3; 32]));
        let signature: &[u8] = if message < 5 { &[8; 64] } else { &[] };
        let terms = test_terms();
        let test = PeerTest { message, code: 0, flag: 0, router, terms, signature };
        let hash: &[u8] = if router.is_some() { &[3; 32] } else { &[] };
        let data = [&[message, 0, 0][..], hash, &TEST_TERMS, signature].concat();
        assert_layout(10, Ssu2Block::PeerTest(test), &data);
    }
    for message in [0, 8] {
        let refused =
            Malformed::Value { field: "message of PeerTest block", found: u32::from(message) };
        assert_eq!(all(&[10, 0, 1, message]), Err(refused));
    }
}

#[test]
fn what_is_signed_is_put_together_as_the_specification_says() {
    let (bob, other) = (RouterHash([1; 32]), RouterHash([2; 32]));
    let expected = [&b"RelayRequestData"[..], &[1; 32], &[2; 32], &RELAY_TERMS].concat();
    assert_eq!(relay_terms().signed(&bob, &other), expected);
    let expected = [&b"PeerTestValidate"[..], &[1; 32], &TEST_TERMS].concat();
    assert_eq!(test_terms().signed(&bob, None), expected);
    let expected = [&b"PeerTestValidate"[..], &[1; 32], &[2; 32], &TEST_TERMS].concat();
    assert_eq!(test_terms().signed(&bob, Some(&other)), expected);
    let answer = RelayAnswer { timestamp: 0x6600_0000, version: 2, address: None };
    let response = RelayResponse {
        flag: 0,
        code: 5,
        nonce: 0x0102_0304,
        answer: Some(answer),
        signature: &[],
        token: None,
    };
    let rest = [1, 2, 3, 4, 0x66, 0, 0, 0, 2, 0];
    let expected = [&b"RelayAgreementOK"[..], &[1; 32], &rest].concat();
    assert_eq!(response.signed(&bob), expected);
}

#[test]
fn malformed_blocks_are_refused_by_name() {
    let field = |bytes: &[u8]| match all(bytes) {
        Err(Malformed::Truncated { field, .. } | Malformed::Value { field, .. }) => field,
        Err(Malformed::Trailing { .. }) => "trailing",
        other => panic!("{other:?}"),
    };
    for (bytes, expected) in [
        (&[0, 0, 5, 0, 0, 0, 0, 0][..], "trailing"),
        (&[1, 0, 1, 0], "Options block"),
        (&[2, 0, 2, 0, 2], "fragment of RouterInfo block"),
        (&[3, 0, 1, 0], "I2NP block"),
        (&[4, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0], "FirstFragment block"),
        (&[5, 0, 6, 1, 0, 0, 0, 0, 0], "number of FollowOnFragment block"),
        (&[5, 0, 5, 2, 0, 0, 0, 0], "FollowOnFragment block"),
        (&[12, 0, 6, 0, 0, 0, 0, 0, 1], "range of Ack block"),
        (&[12, 0, 7, 0, 0, 0, 0, 0, 0, 0], "range of Ack block"),
        (&[13, 0, 7, 0, 0, 0, 0, 0, 0, 0], "Address block"),
        (&[15, 0, 1, 0], "trailing"),
        (&[16, 0, 4, 0, 0, 0, 0], "relay tag"),
        (&[17, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "NewToken block"),
        (&[21, 0, 0], "Congestion block"),
    ] {
        assert_eq!(field(bytes), expected);
    }
    // Who accepts an introduction says where he is, and gives a token.
    let accepted = [8, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0];
    assert_eq!(field(&accepted), "address of relay block");
    let no_token = [8, 0, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 6, 0, 1, 192, 0, 2, 1];
    assert_eq!(field(&no_token), "token of RelayResponse block");
}

#[test]
fn only_padding_follows_a_termination_and_nothing_follows_padding() {
    let reason = Ssu2Reason::Common(TerminationReason::Normal);
    let end = written(&Ssu2Block::Termination { received: 0, reason, data: &[] });
    let date = written(&Ssu2Block::DateTime(1));
    let mut padding = Vec::new();
    append_padding(&mut padding, 2);
    assert_eq!(padding, [254, 0, 2, 0, 0]);
    assert_eq!(all(&[date.clone(), end.clone(), padding.clone()].concat()).unwrap().len(), 3);
    let order = |found| Err(Malformed::Value { field: "order of blocks", found });
    assert_eq!(all(&[end, date.clone()].concat()), order(0));
    assert_eq!(all(&[padding.clone(), date].concat()), order(0));
    assert_eq!(all(&[padding.clone(), padding].concat()), order(254));
}

#[test]
fn reason_codes_survive() {
    for code in 0..=u8::MAX {
        assert_eq!(Ssu2Reason::from_code(code).code(), code);
    }
}

// Payload of the known Session Created: DateTime 0x66000001 and Address 192.0.2.1:5000.
#[test]
fn the_known_payloads_read() {
    let created = [0, 0, 4, 0x66, 0, 0, 1, 13, 0, 6, 0x13, 0x88, 192, 0, 2, 1];
    let blocks = [Ssu2Block::DateTime(0x6600_0001), Ssu2Block::Address(v4())];
    assert_eq!(all(&created).unwrap(), blocks);
    let request = [0, 0, 4, 0x66, 0, 0, 0, 0xfe, 0, 1, 0];
    assert_eq!(all(&request).unwrap()[1], Ssu2Block::Padding(&[0]));
}

proptest! {
    #[test]
    fn what_is_read_is_written_as_it_came(
        kind in 0u8..24, data in proptest::collection::vec(prop_oneof![0u8..8, any::<u8>()], 0..120),
    ) {
        let size = u16::try_from(data.len()).unwrap().to_be_bytes();
        let bytes = [&[kind, size[0], size[1]][..], &data].concat();
        if let Ok(blocks) = all(&bytes) {
            prop_assert_eq!(blocks.len(), 1);
            prop_assert_eq!(written(&blocks[0]), bytes);
        }
    }

    #[test]
    fn relay_and_test_blocks_survive(
        kind in 7u8..11, head in proptest::collection::vec(0u8..8, 0..48), is_v6: bool,
        rest in proptest::collection::vec(any::<u8>(), 0..90),
    ) {
        let size = if is_v6 { 18 } else { 6 };
        let data = [&head[..], &[size], &rest].concat();
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        let bytes = [&[kind, length[0], length[1]][..], &data].concat();
        if let Ok(blocks) = all(&bytes) {
            prop_assert_eq!(written(&blocks[0]), bytes);
        }
    }

    #[test]
    fn any_packet_gives_errors_or_blocks(bytes in proptest::collection::vec(0u8..24, 0..300)) {
        prop_assert!(parse_blocks(&bytes).count() <= bytes.len());
    }
}

//! A whole handshake with fixed inputs, byte by byte.

use super::super::handshake::Step;
use super::super::initiator::{self, Initiator};
use super::super::responder::{
    self, answer, begin_answer, begin_confirmed, begin_request, open_confirmed, open_request,
};
use super::super::{Keys, Local, ReplayFilter};
use crate::base::id::RouterHash;
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, Now, UnixTime};
use crate::crypto::chacha::open_in_place;
use crate::crypto::secret::{AeadKey, X25519Secret};
use crate::crypto::siphash::{SipKey, siphash24};
use crate::crypto::testing::{hex, unhex, unhex_array};
use crate::crypto::x25519::{diffie_hellman, public_key};
use crate::proto::ntcp2::framing::DataKeys;
use crate::proto::ntcp2::{Direction, Session};
use crate::wire::ntcp2::TerminationReason;
use crate::wire::router_address::Ntcp2Endpoint;

const MESSAGE_1: &str = "5e08645409e41006246255b83a0eeef63295a51c40d21e821f2cff2f4041e3e6\
    8e3c34b5ccd3daf4df80a393ef56b95ab0740b802fb382135f2dc1a984e1502008080808";
const MESSAGE_2: &str = "878e9d03b5320e0a747cc6c4f88cfaa9307b1c6fb44f1a3a4bc0264115863eb5\
    aa3ed415cd5609ddd1fc9bce8f670987db2125621a402d8dd92c9208eceef17c090909";
const MESSAGE_3: &str = "2ec7790425953bd929dcd37d1b4e44910b9f98c37779355d90aa2a6faeee7c37\
    711368173fc6dfac4e3e75a4882949910b8f4d7eb3603f99613f2f8673975e3288bd0a39f7299927fed06c01ebf9";
const HASH: &str = "12fd81442e0afbdd1b50a2c2563e2ba38b73cc1540c016ad128d9f32fbac424d";
const KEY_AB: &str = "61b53315e97f6d6d32ea97f074c9f9ddd90f2c1357957118313c3cb6a5f99e00";
const KEY_BA: &str = "a68f84e6c4eb5d7be294042688d2f072b9a6d600f691d1400a099037f21cd8ac";
const SIP_AB: &str = "ae094612def1c402abfb1d9c759458494d3d71a61e1f3ada";
const SIP_BA: &str = "7fd4370061caa17eb68cfb304ec39aaba8ff92e1b0cfce7d";

fn secret(byte: u8) -> X25519Secret {
    X25519Secret::from_bytes([byte; 32])
}

fn clock(seconds: u32) -> Now {
    Now { instant: Instant(0), unix: UnixTime::from_seconds(seconds) }
}

#[test]
fn a_handshake_with_fixed_inputs_is_the_known_one() {
    let alice = Keys::new(RouterHash([1; 32]), secret(2), [0; 16]);
    let alice = Local { keys: &alice, network: 2, router_info: &[7; 10] };
    let bob = Keys::new(RouterHash([5; 32]), secret(3), [6; 16]);
    let remote = Ntcp2Endpoint {
        router: bob.router,
        address: "192.0.2.1:5000".parse().unwrap(),
        static_key: bob.static_public,
        iv: bob.iv,
    };
    let bob = Local { keys: &bob, network: 2, router_info: &[] };

    let choices =
        initiator::Choices { ephemeral: secret(1), padding: vec![8; 4], confirmed_padding: 0 };
    let begin = clock(0x6600_0000);
    let (initiator, request) = Initiator::start(&alice, &remote, choices, begin).unwrap();
    assert_eq!(hex(&request), MESSAGE_1.replace(' ', ""));

    let mut bytes = request.to_vec();
    let (head, padding) = bytes.split_at_mut(64);
    let mut replay = ReplayFilter::new();
    let later = clock(0x6600_0001);
    let opening = begin_request(&bob, head, &replay).unwrap();
    let shared = diffie_hellman(&secret(3), &public_key(&secret(1)));
    let requested = open_request(&bob, opening, shared, later, &mut replay).unwrap();
    let choices = responder::Choices { ephemeral: secret(4), padding: vec![9; 3] };
    let answering = begin_answer(requested, padding, choices);
    let shared = diffie_hellman(&secret(4), &public_key(&secret(1)));
    let (answered, created) = answer(&bob, answering, shared, later).unwrap();
    assert_eq!(hex(&created), MESSAGE_2);

    let mut bytes = created.to_vec();
    let (head, padding) = bytes.split_at_mut(64);
    let Ok(Step::Continue(initiator, None)) = initiator.handle(&alice, head, 3, later) else {
        panic!("message 2 opens");
    };
    assert_eq!(initiator.needed(), 3);
    let Ok(Step::Done(established, last)) = initiator.handle(&alice, padding, 0, later) else {
        panic!("message 2 is complete");
    };
    let confirmed = last.unwrap();
    assert_eq!(hex(&confirmed), MESSAGE_3);

    let mut bytes = confirmed.to_vec();
    let proving = begin_confirmed(answered, &mut bytes).unwrap();
    let shared = diffie_hellman(&secret(4), &public_key(&secret(2)));
    let opened = open_confirmed(proving, shared).unwrap();
    assert_eq!(hex(opened.noise.hash()), HASH);
    assert_eq!(opened.static_key, alice.keys.static_public);
    assert_eq!(opened.blocks, [&[2, 0, 11, 0][..], &[7; 10]].concat());
    let keys = DataKeys::derive(&opened.noise);
    check_first_frames(established.session, KEY_AB, SIP_AB);
    check_first_frames(Session::new(Direction::Inbound, keys, Instant(0)), KEY_BA, SIP_BA);
}

/// Whether what the session sends is sealed with `key` and masked with `sip`.
fn check_first_frames(mut session: Session, key: &str, sip: &str) {
    let key = AeadKey::from_bytes(unhex_array(key));
    let sip = unhex(sip);
    let sip_key = SipKey::from_bytes(sip[..16].try_into().unwrap());
    let mut iv: [u8; 8] = sip[16..].try_into().unwrap();
    let mut rng = ShardRng::from_seed([0; 32]);
    let mut frames = Vec::new();
    session.queue_date_time(clock(0x6600_0002));
    session.flush(clock(1), &mut rng, &mut frames);
    session.queue_termination(TerminationReason::Normal);
    session.flush(clock(1), &mut rng, &mut frames);
    let mut rest = &mut frames[..];
    for (nonce, starts) in [(0, [0, 0, 4, 0x66]), (1, [4, 0, 9, 0])] {
        iv = siphash24(&sip_key, &iv).to_le_bytes();
        let length = usize::from(u16::from_be_bytes([rest[0] ^ iv[1], rest[1] ^ iv[0]]));
        let (frame, behind) = rest.split_at_mut(2 + length);
        let blocks = open_in_place(&key, nonce, b"", &mut frame[2..]).unwrap();
        assert_eq!(blocks[..4], starts);
        rest = behind;
    }
    assert!(rest.is_empty());
}

//! Bad handshakes, and bad frames behind a good one.

use std::time::Duration;

use floodway::base::rng::ShardRng;
use floodway::crypto::aes::cbc_encrypt;
use floodway::crypto::secret::X25519Secret;
use floodway::wire::i2np::MessageType;
use floodway::wire::ntcp2::{
    Block, FloodRequest, Message1Options, append_i2np, append_router_info, parse_blocks,
};
use floodway::wire::router_address::Ntcp2Endpoint;
use loadtest::clock::Clock;
use loadtest::played::PlayedRouter;
use loadtest::target::NETWORK;

use super::bench::{
    Bench, CLOSED, GOES_ON, MUTE, NONE, PATIENCE, own_lookup, played, role, source,
};
use super::stranger::{Line, Request, Stranger};

/// More than is ever swallowed after a refused message 1.
const ENOUGH: [u8; 300] = [0x55; 300];
const STRANGER: u8 = 9;

fn options(network: u8, part_2: usize, clock: Clock) -> Message1Options {
    let timestamp = clock.now().unix.seconds_rounded();
    let part2 = u16::try_from(part_2).unwrap();
    Message1Options { network, version: 2, padding: 0, part2, timestamp }
}

fn seen(closed: bool) -> &'static str {
    if closed { CLOSED } else { MUTE }
}

/// Sends the beginning of a message 1 and waits for the end: how long that took.
pub fn truncated(to: &Ntcp2Endpoint, clock: Clock) -> Option<Duration> {
    let mut rng = ShardRng::from_seed([71; 32]);
    let request = Request::new(to, &options(NETWORK, 500, clock), &mut rng);
    let mut line = Line::open(to, source(STRANGER));
    let start = clock.elapsed();
    line.write(&request.bytes[..40]);
    line.closes_within(Duration::from_secs(12)).then(|| clock.elapsed() - start)
}

/// Everything that can be wrong with message 1.
pub fn requests(bench: &mut Bench) {
    let (to, clock) = (bench.endpoint, bench.clock);
    let mut rng = ShardRng::from_seed([72; 32]);
    let good = options(NETWORK, 500, clock);
    let mut fresh =
        |to: &Ntcp2Endpoint, options: &Message1Options| Request::new(to, options, &mut rng).bytes;

    let extended = [&fresh(&to, &good)[..], &[7; 32]].concat();
    let mut flipped = fresh(&to, &good);
    flipped[40] ^= 1;
    let elsewhere = Ntcp2Endpoint { static_key: played(8, clock).keys.ntcp2.static_public, ..to };
    let disguised = Ntcp2Endpoint { router: played(8, clock).hash(), ..to };
    let mut zero = fresh(&to, &good);
    let mut key = [0; 32];
    cbc_encrypt(&to.router.0, to.iv, &mut key);
    zero[..32].copy_from_slice(&key);
    let late = Message1Options { timestamp: good.timestamp - 300, ..good };
    let early = Message1Options { timestamp: good.timestamp + 300, ..good };

    for (input, bytes, counter) in [
        ("message 1 extended", extended, "handshake_invalid"),
        ("message 1 with a flipped bit", flipped, "handshake_invalid"),
        ("message 1 with X = 0", zero, "handshake_invalid"),
        ("message 1 to another static key", fresh(&elsewhere, &good), "handshake_invalid"),
        ("message 1 to another router hash", fresh(&disguised, &good), "handshake_invalid"),
        ("message 1 of random bytes", rng_bytes(), "handshake_invalid"),
        (
            "message 1 of another version",
            fresh(&to, &Message1Options { version: 3, ..good }),
            "handshake_invalid",
        ),
        (
            "message 1 with 300 bytes of padding",
            fresh(&to, &Message1Options { padding: 300, ..good }),
            "handshake_invalid",
        ),
        (
            "message 1 that announces a message 3 of 60 kB",
            fresh(&to, &Message1Options { part2: 60_000, ..good }),
            "handshake_invalid",
        ),
        ("message 1 of another network", fresh(&to, &options(2, 500, clock)), "handshake_network"),
        ("message 1, clock 5 minutes late", fresh(&to, &late), "handshake_clock_skew"),
        ("message 1, clock 5 minutes early", fresh(&to, &early), "handshake_clock_skew"),
    ] {
        refused_request(bench, input, &bytes, counter);
    }
    let once = fresh(&to, &good);
    let mut first = Line::open(&to, source(STRANGER));
    first.write(&once);
    let _answer: [u8; 64] = first.read();
    refused_request(bench, "message 1 replayed", &once, "handshake_replayed");
}

fn rng_bytes() -> Vec<u8> {
    ShardRng::from_seed([73; 32]).bytes::<64>().to_vec()
}

fn refused_request(bench: &mut Bench, input: &str, bytes: &[u8], counter: &str) {
    let mut line = Line::open(&bench.endpoint, source(STRANGER));
    line.write(bytes);
    // Refused without a sign: only who sends on finds out.
    std::thread::sleep(Duration::from_millis(50));
    line.write(&ENOUGH[..150]);
    std::thread::sleep(Duration::from_millis(10));
    line.write(&ENOUGH);
    bench.row(input, (CLOSED, seen(line.closes_within(PATIENCE))), counter);
}

fn router_info_block(router: &PlayedRouter) -> Vec<u8> {
    let mut blocks = Vec::new();
    append_router_info(&mut blocks, FloodRequest::NotRequested, router.info.bytes());
    blocks
}

/// A handshake up to message 3, which is not sent.
fn shake(bench: &Bench, secret: &X25519Secret, blocks: Vec<u8>, seed: u8) -> (Vec<u8>, Stranger) {
    let mut rng = ShardRng::from_seed([seed; 32]);
    let options = options(NETWORK, blocks.len() + 16, bench.clock);
    let request = Request::new(&bench.endpoint, &options, &mut rng);
    request.answered(&bench.endpoint, source(STRANGER)).confirm(secret, blocks)
}

/// Everything that can be wrong with message 3.
pub fn confirmations(bench: &mut Bench) {
    let (clock, now) = (bench.clock, bench.clock.now().unix);
    let good = played(STRANGER, clock);
    let secret = &good.keys.ntcp2.static_secret;
    let other = played(8, clock);
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let foreign = PlayedRouter::new(role(STRANGER, 2), [STRANGER; 32], now);
    let dated = |time| PlayedRouter::new(role(STRANGER, NETWORK), [STRANGER; 32], time);
    let (stale, future) = (dated(now - minutes(120)), dated(now + minutes(5)));
    let mut unsigned = router_info_block(&good);
    *unsigned.last_mut().unwrap() ^= 1;
    let mut behind = router_info_block(&good);
    behind.extend_from_slice(&[4, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let overrun = vec![2, 0xff, 0xff, 0, 1, 2];

    let claimed = "handshake_router_info";
    for (seed, (input, secret, blocks, counter)) in (80..).zip([
        (
            "message 3 with another static key",
            &other.keys.ntcp2.static_secret,
            router_info_block(&good),
            claimed,
        ),
        (
            "message 3, RouterInfo of another network",
            secret,
            router_info_block(&foreign),
            "handshake_network",
        ),
        ("message 3, RouterInfo of 2 hours ago", secret, router_info_block(&stale), claimed),
        ("message 3, RouterInfo from the future", secret, router_info_block(&future), claimed),
        ("message 3, RouterInfo with a bad signature", secret, unsigned, claimed),
        ("message 3 without RouterInfo", secret, vec![254, 0, 4, 0, 0, 0, 0], claimed),
        ("message 3 with a Termination", secret, behind, "handshake_invalid"),
        ("message 3 with an overrunning block", secret, overrun, "handshake_invalid"),
    ]) {
        let (message, mut stranger) = shake(bench, secret, blocks, seed);
        stranger.line.write(&message);
        bench.row(input, (CLOSED, seen(stranger.line.closes_within(PATIENCE))), counter);
    }
    for (seed, at, input) in
        [(90, 5, "message 3 corrupted, part 1"), (91, 100, "message 3 corrupted, part 2")]
    {
        let (mut message, mut stranger) = shake(bench, secret, router_info_block(&good), seed);
        message[at] ^= 1;
        stranger.line.write(&message);
        let closed = seen(stranger.line.closes_within(PATIENCE));
        bench.row(input, (CLOSED, closed), "handshake_invalid");
    }
}

/// Everything that can be wrong with a frame.
pub fn frames(bench: &mut Bench) {
    let router = played(STRANGER, bench.clock);
    let mut seed = 100;
    let mut session = |bench: &Bench| {
        seed += 1;
        let (message, mut stranger) =
            shake(bench, &router.keys.ntcp2.static_secret, router_info_block(&router), seed);
        stranger.line.write(&message);
        // Its first frame shows that the session stands.
        stranger.receive();
        stranger
    };
    let mut row = |bench: &mut Bench, input: &str, send: &dyn Fn(&mut Stranger)| {
        let mut stranger = session(bench);
        send(&mut stranger);
        let closed = seen(stranger.line.closes_within(PATIENCE));
        bench.row(input, (CLOSED, closed), "session_broken");
    };
    row(bench, "frame of length 0", &|s| s.send_raw(0, &[]));
    row(bench, "frame shorter than a tag", &|s| s.send_raw(15, &[0; 15]));
    row(bench, "frame that is garbage", &|s| s.send_raw(64, &[0x5a; 64]));
    row(bench, "frame with an overrunning block", &|s| s.send(&[3, 1, 0, 1, 2, 3]));
    row(bench, "frame with half a block header", &|s| s.send(&[3, 0]));
    row(bench, "I2NP block without room for a header", &|s| s.send(&[3, 0, 4, 1, 2, 3, 4]));
    row(bench, "block behind padding", &|s| s.send(&[254, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0]));

    let mut stranger = session(bench);
    stranger.send(&[77, 0, 3, 1, 2, 3]);
    let mut asking = played(STRANGER, bench.clock);
    let body = own_lookup(&bench.endpoint, &asking);
    let lookup = asking.message(MessageType::DatabaseLookup, body, bench.clock.now());
    let mut blocks = Vec::new();
    append_i2np(&mut blocks, &lookup);
    stranger.send(&blocks);
    let answer = stranger.receive();
    let answered = parse_blocks(&answer).any(|block| matches!(block, Ok(Block::I2np(_))));
    let outcome = if answered { GOES_ON } else { MUTE };
    bench.row("block of unknown type", (GOES_ON, outcome), NONE);
    // A clock that has moved away ends the session, too, but in order.
    stranger.send(&[0, 0, 4, 0, 0, 0, 1]);
    let closed = seen(stranger.line.closes_within(PATIENCE));
    bench.row("DateTime block of 1970", (CLOSED, closed), "session_clock_skew");
}

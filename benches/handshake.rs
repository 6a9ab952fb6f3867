//! What it costs to answer a handshake, and beside it what its public-key operations cost alone: three X25519
//! agreements, one X25519 key pair and one Ed25519 verification.
//!
//! Only the responder's steps are timed; the initiator at the other end works in between.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use floodway::base::rng::ShardRng;
use floodway::base::time::{Instant, Now, UnixTime};
use floodway::crypto::secret::X25519Secret;
use floodway::crypto::x25519::{diffie_hellman, public_key};
use floodway::proto::ntcp2::{Handshake, Local, ReplayFilter};
use floodway::wire::router_info::RouterInfo;
use loadtest::clock::Clock;
use loadtest::played::{PlayedRouter, Role};

const NETWORK: u8 = 99;
const NOW: Now = Now { instant: Instant(5_000_000), unix: UnixTime(1_790_000_000_000) };

fn router(n: u8) -> PlayedRouter {
    let address = SocketAddr::from(([51, 200, 0, n], 15_000));
    let role = Role { network: NETWORK, address, capabilities: "XfR".to_owned() };
    PlayedRouter::new(role, [n; 32], NOW.unix)
}

fn local(router: &PlayedRouter) -> Local<'_> {
    Local { keys: &router.keys.ntcp2, network: NETWORK, router_info: router.info.bytes() }
}

/// The responder's share of the time of one handshake.
fn respond(alice: &PlayedRouter, bob: &PlayedRouter, clock: Clock, world: &mut World) -> Duration {
    let endpoint = bob.info.ntcp2_endpoint().expect("it publishes an address");
    let World { rng, replay, unused } = world;
    let mut dialling =
        Handshake::initiate(&local(alice), &endpoint, NOW, rng).expect("the key is good");
    let request = dialling.poll_transmit().expect("message 1");

    let begun = clock.elapsed();
    let here = local(bob);
    let mut answering = Handshake::respond(NOW, rng);
    answering.handle_bytes(&here, &request, NOW, rng, replay).expect("message 1 is good");
    answering.work_alone(&here, NOW, rng, replay).expect("message 1 opens");
    let created = answering.poll_transmit().expect("message 2");
    let spent = clock.elapsed() - begun;

    dialling.handle_bytes(&local(alice), &created, NOW, rng, unused).expect("message 2 opens");
    let confirmed = dialling.poll_transmit().expect("message 3");

    let begun = clock.elapsed();
    answering.handle_bytes(&here, &confirmed, NOW, rng, replay).expect("message 3 is good");
    answering.work_alone(&here, NOW, rng, replay).expect("message 3 opens");
    black_box(answering.poll_established()).expect("a session");
    spent + (clock.elapsed() - begun)
}

struct World {
    rng: ShardRng,
    replay: ReplayFilter,
    unused: ReplayFilter,
}

fn handshakes(criterion: &mut Criterion) {
    let (alice, bob) = (router(1), router(2));
    let clock = Clock::start();
    let mut group = criterion.benchmark_group("handshake");
    group.throughput(Throughput::Elements(1));
    group.bench_function("responder", |bencher| {
        let rng = ShardRng::from_seed([3; 32]);
        let mut world = World { rng, replay: ReplayFilter::new(), unused: ReplayFilter::new() };
        bencher.iter_custom(|count| {
            (0..count).map(|_| respond(&alice, &bob, clock, &mut world)).sum()
        });
    });
    let (secret, other) = (X25519Secret::from_bytes([7; 32]), X25519Secret::from_bytes([8; 32]));
    let public = public_key(&other);
    group.bench_function("x25519 agreement", |bencher| {
        bencher.iter(|| diffie_hellman(black_box(&secret), black_box(&public)).is_ok());
    });
    group.bench_function("x25519 key pair", |bencher| {
        bencher.iter(|| public_key(black_box(&secret)));
    });
    group.bench_function("ed25519 verification", |bencher| {
        let info = RouterInfo::parse(alice.info.bytes()).expect("it was signed here");
        bencher.iter(|| floodway::crypto::signature::verify(&black_box(&info).check()));
    });
    group.finish();
}

criterion_group!(benches, handshakes);
criterion_main!(benches);

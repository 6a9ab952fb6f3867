//! Parsing a tunnel message allocates nothing: views lie in the buffer that it arrived in. What a transit tunnel takes
//! while it is idle is counted as well.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use floodway::base::id::{RouterHash, TunnelId};
use floodway::base::limits::TRANSIT_LIFE;
use floodway::base::rng::ShardRng;
use floodway::base::time::{Instant, UnixTime};
use floodway::crypto::layer::{Kernel, LayerJob, LayerKeys, decrypt_batch, encrypt_batch};
use floodway::crypto::secret::{IvKey, LayerKey};
use floodway::proto::tunnel::limiter::{Passage, Traffic, TransitLimiter, TransitRates, Weight};
use floodway::wire::delivery::{Delivery, Fragment, TunnelMessageBuilder, parse_tunnel_payload};
use floodway::wire::i2np::tunnel_data::{TUNNEL_LAYER_SIZE, TunnelData};
use floodway::wire::router_info::RouterInfo;
use loadtest::played::{PlayedRouter, Role};

#[path = "../benches/transit/hop.rs"]
#[expect(dead_code, reason = "the benchmark measures time as well")]
mod hop;

thread_local! {
    /// Allocations of this thread; the harness and other tests have threads of their own.
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread has asked for less those that it has given back.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn allocated(bytes: usize) {
    COUNT.set(COUNT.get() + 1);
    HELD.set(HELD.get().wrapping_add(bytes));
}

fn freed(bytes: usize) {
    HELD.set(HELD.get().wrapping_sub(bytes));
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it and allocates none,
// for the counter is made at compile time and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size());
        // SAFETY: as our caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        freed(layout.size());
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        allocated(size);
        freed(layout.size());
        // SAFETY: as our caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> usize {
    let before = COUNT.get();
    work();
    COUNT.get() - before
}

#[test]
fn an_allocation_is_counted() {
    assert_eq!(allocations(|| drop(black_box(Box::new(7)))), 1);
    let mut growing = Vec::with_capacity(1);
    assert_eq!(allocations(|| growing.extend_from_slice(black_box(&[1, 2, 3]))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn viewing_a_tunnel_message_allocates_nothing() {
    let (tunnel, next) = (TunnelId::new(7).unwrap(), TunnelId::new(8).unwrap());
    let mut body = TunnelData::write(tunnel, &[1; TUNNEL_LAYER_SIZE]);
    let count = allocations(|| {
        assert_eq!(TunnelData::tunnel_of(black_box(&body)), Some(tunnel));
        let mut view = TunnelData::parse(black_box(&mut body)).unwrap();
        assert_eq!(view.tunnel(), tunnel);
        black_box((view.replay_key(), view.layer()));
        view.layer_mut().fill(2);
        view.set_tunnel(next);
        assert!(TunnelData::parse(black_box(&mut body[1..])).is_err());
    });
    assert_eq!(count, 0);
}

/// Cleartext of a tunnel message with a whole message and fragments of others.
fn tunnel_payload() -> [u8; TUNNEL_LAYER_SIZE] {
    let mut builder = TunnelMessageBuilder::new();
    let router = Delivery::Router(RouterHash([2; 32]));
    let tunnel = Delivery::Tunnel {
        gateway: RouterHash([3; 32]),
        tunnel: TunnelId::new(9).expect("not zero"),
    };
    for fragment in [
        Fragment::First { delivery: router, message: None, data: &[4; 100] },
        Fragment::First { delivery: tunnel, message: Some(5), data: &[6; 200] },
        Fragment::Follow { message: 7, number: 1, last: true, data: &[8; 300] },
    ] {
        builder.push(&fragment).expect("an empty builder has room for all three");
    }
    builder.finish(&mut ShardRng::from_seed([9; 32]))
}

#[test]
fn reading_delivery_instructions_allocates_nothing() {
    let payload = tunnel_payload();
    let mut broken = payload;
    // The checksum stands behind the IV.
    broken[16] ^= 1;
    let count = allocations(|| {
        let mut bytes = 0;
        for fragment in parse_tunnel_payload(black_box(&payload)).unwrap() {
            bytes += fragment.unwrap().data().len();
        }
        assert_eq!(bytes, 600);
        assert!(parse_tunnel_payload(black_box(&broken)).is_err());
    });
    assert_eq!(count, 0);
}

#[test]
fn a_batch_of_layers_allocates_nothing() {
    let keys = LayerKeys { layer: LayerKey::from_bytes([1; 32]), iv: IvKey::from_bytes([2; 32]) };
    let mut data = [[3; TUNNEL_LAYER_SIZE]; 30];
    let mut jobs: Vec<_> = data.iter_mut().map(|data| LayerJob { keys: &keys, data }).collect();
    for kernel in Kernel::available() {
        let count = allocations(|| {
            encrypt_batch(kernel, &mut jobs);
            decrypt_batch(kernel, &mut jobs);
        });
        assert_eq!(count, 0, "{kernel}");
    }
}

/// Builds so many tunnels through a shard and sends a message through each; gives the bytes that this took.
fn build_and_carry(hop: &mut hop::Hop, tunnels: usize) -> usize {
    let (first, before) = (hop.tunnels(), hop.held());
    hop.build(tunnels);
    hop.carry(first);
    assert_eq!(hop.live().iter().sum::<u64>(), hop.tunnels() as u64);
    hop.held() - before
}

/// What is held of a RouterInfo is its bytes and little more: a floodfill has tens of thousands.
#[test]
fn a_router_info_takes_less_than_twice_its_bytes() {
    let address = SocketAddr::from(([51, 200, 0, 1], 15_000));
    let role = Role { network: 99, address, capabilities: "XfR".to_owned() };
    let router = PlayedRouter::new(role, [7; 32], UnixTime(1_790_000_000_000));
    let bytes = router.info.bytes().to_vec();
    let before = HELD.get();
    let parsed = Arc::new(RouterInfo::parse(&bytes).unwrap());
    let held = HELD.get() - before;
    drop(parsed);
    assert_eq!(HELD.get(), before);
    // Printed last: where the harness keeps what a test prints, it takes memory of this thread.
    println!("{held} bytes for {}", bytes.len());
    assert!(held < 2 * bytes.len(), "{held}");
}

/// As long as there is bandwidth, holding to it costs no memory: nothing waits, and no tunnel has an account.
#[test]
fn a_limiter_at_rest_allocates_nothing() {
    let mut now = Instant(5_000_000);
    let rates = TransitRates::new(1_250_000_000, 1_000_000_000);
    let mut limiter = TransitLimiter::new(rates, 1 << 15, now);
    let mut rng = ShardRng::from_seed([9; 32]);
    let mut traffic = Traffic::default();
    let before = (COUNT.get(), HELD.get());
    for turn in 0..1000 {
        now = now + Duration::from_millis(1);
        traffic.sent.record(100_000, 99_000, 90_000);
        limiter.begin_turn(&traffic, now);
        for flow in 1..=100 {
            let flow = TunnelId::new(flow + turn % 7).unwrap();
            let passage = limiter.offer(flow, Weight::ONE, [0_u64; 4], &mut rng);
            assert_eq!(passage, Passage::Passes([0; 4]));
        }
        assert!(limiter.poll().is_none());
    }
    assert_eq!((COUNT.get(), HELD.get()), before);
}

#[test]
fn an_idle_transit_tunnel_takes_600_bytes_and_leaves_none() {
    const TUNNELS: usize = 2_000;
    let gauge = hop::Gauge { held: || HELD.get(), spent: hop::Spent::default };
    let mut hop = hop::Hop::start(8, gauge);
    let begun = hop.now();
    // What the shard takes once, for its sessions and its turns, it has after these.
    let once = build_and_carry(&mut hop, TUNNELS / 8);
    let each = build_and_carry(&mut hop, TUNNELS) / TUNNELS;
    assert!((100..=600).contains(&each), "{each} bytes, of which keys and next hop take 100");
    assert_eq!(hop.live(), [750; 3]);
    let ended = hop.now() + TRANSIT_LIFE;
    hop.wait(begun + TRANSIT_LIFE - Duration::from_millis(1));
    assert_eq!(hop.live(), [750; 3], "each lives for its time");
    hop.wait(ended);
    assert_eq!(hop.live(), [0; 3]);
    let left = hop.held().saturating_sub(once) / TUNNELS;
    assert!(left <= 20, "{left} bytes");
}

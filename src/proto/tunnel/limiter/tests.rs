use proptest::prelude::*;

use super::*;

/// Bytes on a socket of a tunnel message in the frames of these tests.
const FRAMED: usize = 1089;

fn flow(n: u32) -> TunnelId {
    TunnelId::new(n + 1).unwrap()
}

/// A limiter whose messages are numbers, with sessions that send what passes at the end of the turn.
struct Router {
    limiter: TransitLimiter<u64>,
    traffic: Traffic,
    rng: ShardRng,
    now: Instant,
    number: u64,
    /// What passed: which flow's, when it came, when it went.
    passed: Vec<(TunnelId, Instant, Instant)>,
    came: Vec<(TunnelId, Instant)>,
    dropped: u64,
}

impl Router {
    fn new(router: u64, transit: u64) -> Self {
        let rates = TransitRates::new(router, transit);
        Self {
            limiter: TransitLimiter::new(rates, 1 << 15, Instant(0)),
            traffic: Traffic::default(),
            rng: ShardRng::from_seed([7; 32]),
            now: Instant(0),
            number: 0,
            passed: Vec::new(),
            came: Vec::new(),
            dropped: 0,
        }
    }

    /// A turn at `now`, at which a message of each of these flows comes.
    fn turn(&mut self, now: Instant, flows: impl IntoIterator<Item = u32>) {
        self.now = now;
        self.limiter.begin_turn(&self.traffic, now);
        while let Some((of, next)) = self.limiter.poll() {
            match next {
                Ok(message) => self.pass(of, message),
                Err(_) => self.dropped += 1,
            }
        }
        assert!(self.limiter.waiting() == 0 || !self.limiter.is_open(), "it works on");
        for from in flows.into_iter().map(flow) {
            let message = self.number;
            self.number += 1;
            self.came.push((from, now));
            self.traffic.received.record(FRAMED, 1040, 1040);
            match self.limiter.offer(from, Weight::ONE, message, &mut self.rng) {
                Passage::Passes(message) => self.pass(from, message),
                Passage::Waits => {}
                Passage::Displaces(_) | Passage::Dropped(..) => self.dropped += 1,
            }
        }
    }

    fn pass(&mut self, of: TunnelId, message: u64) {
        let (from, came) = self.came[usize::try_from(message).unwrap()];
        assert_eq!(from, of);
        self.traffic.sent.record(FRAMED, 1040, 1040);
        self.passed.push((of, came, self.now));
    }

    /// Bytes on sockets that passed from then on.
    fn bytes_since(&self, start: Instant) -> u64 {
        let count = self.passed.iter().filter(|(_, _, went)| *went >= start).count();
        u64::try_from(count * FRAMED).unwrap()
    }

    /// Offers so many messages a second of `flows` flows in turn for some milliseconds, in turns of a millisecond.
    fn run(&mut self, millis: u64, per_second: u64, flows: u32) {
        let start = self.now;
        let mut sent = 0;
        for ms in 1..=millis {
            let due = per_second * ms / 1000;
            let come: Vec<u32> =
                (sent..due).map(|n| u32::try_from(n % u64::from(flows)).unwrap()).collect();
            sent = due;
            self.turn(start + Duration::from_millis(ms), come);
        }
    }
}

fn is_within(found: u64, expected: u64, percent: u64) -> bool {
    found.abs_diff(expected) * 100 <= expected * percent
}

#[test]
fn below_the_limit_everything_passes_at_once() {
    let mut router = Router::new(1_000_000, 800_000);
    router.run(2_000, 700, 10);
    assert_eq!((router.passed.len(), router.dropped), (1_400, 0));
    assert!(router.passed.iter().all(|(_, came, went)| came == went));
    assert_eq!(router.limiter.deadline(), None);
}

#[test]
fn above_it_as_much_passes_as_may_and_waits_for_a_queue_on_average() {
    for (rate, millis, flows) in
        [(125_000, 10_000, 10), (1_250_000, 2_000, 100), (125_000_000, 1_000, 1_000)]
    {
        let mut router = Router::new(rate, rate);
        router.run(500, 2 * rate / 1089, flows);
        let start = router.now + Duration::from_micros(1);
        router.run(millis, 2 * rate / 1089, flows);
        let bytes = router.bytes_since(start);
        assert!(is_within(bytes, rate * millis / 1000, 1), "{bytes} at {rate}");
        let waits = router.passed.iter().map(|(_, came, went)| went.since(*came));
        let average = waits.clone().sum::<Duration>() / u32::try_from(router.passed.len()).unwrap();
        assert!(average < QUEUE_TIME, "{average:?} at {rate}");
        // Those that have had less are let past.
        let longest = waits.max().unwrap();
        assert!(longest <= WAIT_MAX, "{longest:?} at {rate}");
    }
}

#[test]
fn transit_has_its_share_and_gives_way_to_the_rest() {
    let mut router = Router::new(1_000_000, 800_000);
    router.run(1_000, 2_000, 10);
    let alone = router.bytes_since(Instant(0));
    assert!(is_within(alone, 800_000, 2), "{alone}");
    // Half of the bandwidth goes to the netdb: transit has the other half.
    let start = router.now + Duration::from_micros(1);
    for _ in 0..100 {
        router.traffic.sent.record(5_000, 4_900, 0);
        router.run(10, 2_000, 10);
    }
    let beside = router.bytes_since(start);
    assert!(is_within(beside, 500_000, 3), "{beside}");
    // All of it goes there, and more: a second after that it is over.
    router.traffic.sent.record(50_000_000, 49_000_000, 0);
    router.run(990, 2_000, 10);
    let start = router.now + Duration::from_micros(1);
    router.run(1_000, 2_000, 10);
    let after = router.bytes_since(start);
    assert!(is_within(after, 800_000, 3), "{after}");
}

#[test]
fn another_rate_is_followed_from_the_next_turn_on() {
    let mut router = Router::new(1_000_000, 1_000_000);
    router.run(1_000, 2_000, 10);
    for rate in [100_000, 2_000_000, 500_000] {
        router.limiter.take_rates(TransitRates::new(rate, rate), router.now);
        while router.limiter.push_out().is_some() {
            router.dropped += 1;
        }
        let start = router.now + Duration::from_micros(1);
        router.run(1_000, 4_000, 10);
        let bytes = router.bytes_since(start);
        assert!(is_within(bytes, rate, 4), "{bytes} of {rate}");
    }
}

#[test]
fn what_ends_here_is_charged_as_what_is_delivered() {
    let mut limiter = TransitLimiter::new(TransitRates::new(1_000_000, 1_000_000), 100, Instant(0));
    let mut rng = ShardRng::from_seed([1; 32]);
    let before = limiter.sent.transit;
    let passage = limiter.offer(flow(1), Weight::ONE, (), &mut rng);
    assert_eq!(passage, Passage::Passes(()));
    assert_ne!(limiter.sent.transit, before);
    limiter.arrive();
    assert_eq!(limiter.sent.transit, before);
    limiter.deliver(2 * TUNNEL_BLOCK);
    let mut expected = before;
    expected.charge(2 * limiter.sent.usual);
    assert_eq!(limiter.sent.transit, expected);
    assert!(limiter.sent.router.is_open(), "its session's shard charges the router");
}

#[test]
fn a_message_for_a_gateway_is_charged_as_it_came_and_as_it_goes() {
    let mut limiter = TransitLimiter::new(TransitRates::new(1_000_000, 1_000_000), 100, Instant(0));
    let mut rng = ShardRng::from_seed([1; 32]);
    assert_eq!(limiter.admit(flow(1), 20_000, &mut rng), Ok(()));
    // Overdrawn: what is made of it waits until the twentieth of a second is over.
    assert_eq!(limiter.offer_made(flow(1), Weight::ONE, 1), Passage::Waits);
    limiter.begin_turn(&Traffic::default(), Instant(9_000));
    assert!(limiter.poll().is_none());
    limiter.begin_turn(&Traffic::default(), Instant(12_000));
    assert_eq!(limiter.poll(), Some((flow(1), Ok(1))));
}

#[test]
fn what_has_waited_too_long_is_dropped() {
    let mut limiter = TransitLimiter::new(TransitRates::new(100, 100), 100, Instant(0));
    let mut rng = ShardRng::from_seed([1; 32]);
    for message in 0..2 {
        let _ = limiter.offer(flow(1), Weight::ONE, message, &mut rng);
    }
    let open = limiter.deadline().unwrap();
    assert!(open > Instant(0) + WAIT_MAX);
    limiter.begin_turn(&Traffic::default(), open);
    assert_eq!(limiter.poll(), Some((flow(1), Err((LimiterDrop::Late, 1)))));
    assert_eq!(limiter.deadline(), None);
}

#[test]
fn the_overhead_of_frames_is_learnt() {
    let mut overhead = Overhead::assumed();
    assert_eq!(overhead.on_socket(1040), 1089);
    for _ in 0..3_000 {
        overhead.observe(1050, 1040);
    }
    assert!(overhead.on_socket(1040).abs_diff(1050) <= 1);
    // Whatever is told, a message costs its own bytes, and not much more.
    overhead.observe(1 << 40, 0);
    assert_eq!(overhead.on_socket(1000), 1250);
    overhead.observe(0, 1 << 40);
    assert_eq!(overhead.on_socket(1000), 1000);
}

proptest! {
    /// Whatever comes and when: never more than the rate, the burst and one message since the start, each message goes once
    /// or is dropped once, and while some wait the limiter is closed (which `turn` looks at).
    #[test]
    fn it_holds_the_limit_and_works_on(
        rate in 10_000u64..10_000_000,
        turns in proptest::collection::vec((0u64..20_000, 0usize..40, 1u32..8), 1..150),
    ) {
        let mut router = Router::new(rate, rate);
        let mut now = 0;
        for (wait, count, flows) in turns {
            now += wait;
            router.turn(Instant(now), (0..count).map(|n| u32::try_from(n).unwrap() % flows));
            let burst = (rate / 100).max(BURST_MIN);
            let allowed = u128::from(rate) * u128::from(now) / 1_000_000 + u128::from(burst);
            let bytes = u128::from(router.bytes_since(Instant(0)));
            prop_assert!(bytes <= allowed * 101 / 100 + 1089, "{bytes} of {allowed}");
        }
        // All that still waits goes in time, since a deadline is named.
        while let Some(due) = router.limiter.deadline() {
            router.turn(due, []);
        }
        prop_assert_eq!(u64::try_from(router.passed.len()).unwrap() + router.dropped, router.number);
    }
}

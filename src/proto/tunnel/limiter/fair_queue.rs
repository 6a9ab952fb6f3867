//! The queue in which messages of many flows wait for one link, each flow getting its share by weight.
//!
//! Start-time fair queueing: a message carries the virtual time at which its flow's turn comes, a step behind that flow's
//! message before it; the smallest goes first, and where there is no room the largest is pushed out. Against deficit round
//! robin it keeps what each flow has had also while nothing of it waits, so that it is fair where there are fewer places than
//! flows, as at a low rate with a short queue. All tunnel messages have one size, so that messages are counted and not
//! bytes.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;

use crate::base::id::TunnelId;
use crate::base::rng::ShardRng;

/// The step of a flow of weight one for each message.
const STEP: u64 = 1 << 16;
/// How far a flow may lie behind the others and still catch up.
const CREDIT: u64 = 8 * STEP;
/// From this part of the capacity on, on average, messages are dropped by lot.
const EARLY: usize = 4;
/// Over how many arrivals the average goes: a stream's window may come at once, since that passes by itself.
const AVERAGED: usize = 128;

/// How large the share of a flow is beside those of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight(pub NonZeroU16);

impl Weight {
    /// That of a flow to which nothing else was granted.
    pub const ONE: Self = Self(NonZeroU16::MIN);

    fn step(self) -> u64 {
        STEP / u64::from(self.0.get())
    }
}

/// What waits, of all flows.
pub struct FairQueue<T> {
    /// By virtual time, then by arrival.
    waiting: BTreeMap<(u64, u64), (TunnelId, T)>,
    /// Of flows of which something has waited.
    accounts: HashMap<TunnelId, Account>,
    /// Virtual time: how far the flow whose message went last has come.
    time: u64,
    arrivals: u64,
    /// How often nothing was left; accounts of before count no more.
    round: u64,
    capacity: usize,
    /// [`AVERAGED`] times the average length as messages found it since it was last empty.
    lengths: usize,
}

/// What one flow has had.
#[derive(Clone, Copy)]
struct Account {
    round: u64,
    /// When the turn of its next message comes.
    next: u64,
}

impl<T> FairQueue<T> {
    /// An empty queue for `capacity` messages, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            accounts: HashMap::new(),
            time: 0,
            arrivals: 0,
            round: 0,
            capacity: capacity.max(1),
            lengths: 0,
        }
    }

    /// Messages that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// From now on this many messages may wait; those that exceed it are for [`FairQueue::push_out`].
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity.max(1);
    }

    /// Whether a message of this flow is to be dropped by lot: the likelier the fuller the queue has been on average, from
    /// nothing at a quarter to certainty at the end. A flow that has had less than its share is spared.
    pub fn draw(&mut self, flow: TunnelId, rng: &mut ShardRng) -> bool {
        self.lengths = self.lengths - self.lengths / AVERAGED + self.len();
        let start = self.capacity / EARLY;
        let above = (self.lengths / AVERAGED).saturating_sub(start);
        above > 0 && self.turn_of(flow) > self.time && rng.below(self.capacity - start) < above
    }

    /// Takes a message. Where there is no room, that one is given back whose turn is last, which may be itself.
    pub fn push(&mut self, flow: TunnelId, weight: Weight, message: T) -> Option<T> {
        let turn = self.turn_of(flow);
        let mut pushed_out = None;
        if self.waiting.len() >= self.capacity {
            let last = self.waiting.last_key_value().map_or(0, |((turn, _), _)| *turn);
            if last <= turn {
                // It is known from now on, so that its turn comes before that of those who have had more.
                self.accounts.insert(flow, Account { round: self.round, next: turn });
                return Some(message);
            }
            pushed_out = self.push_last_out();
        }
        self.arrivals += 1;
        self.waiting.insert((turn, self.arrivals), (flow, message));
        let next = turn + weight.step();
        self.accounts.insert(flow, Account { round: self.round, next });
        pushed_out
    }

    /// The message whose turn it is, with its flow.
    pub fn pop(&mut self) -> Option<(TunnelId, T)> {
        let ((turn, _), next) = self.waiting.pop_first()?;
        self.time = self.time.max(turn);
        if self.waiting.is_empty() {
            self.round += 1;
            self.lengths = 0;
        }
        Some(next)
    }

    /// One of the messages that exceed the capacity.
    pub fn push_out(&mut self) -> Option<T> {
        if self.waiting.len() > self.capacity { self.push_last_out() } else { None }
    }

    /// Forgets a flow; what waits of it goes on.
    pub fn forget(&mut self, flow: TunnelId) {
        self.accounts.remove(&flow);
    }

    /// When the turn of a flow's next message comes.
    fn turn_of(&self, flow: TunnelId) -> u64 {
        let account = self.accounts.get(&flow).filter(|account| account.round == self.round);
        account.map_or(self.time, |account| account.next.max(self.time.saturating_sub(CREDIT)))
    }

    fn push_last_out(&mut self) -> Option<T> {
        let ((turn, _), (flow, message)) = self.waiting.pop_last()?;
        // It was its flow's last, and has not been had.
        if let Some(account) = self.accounts.get_mut(&flow) {
            account.next = turn;
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow(n: u32) -> TunnelId {
        TunnelId::new(n + 1).unwrap()
    }

    fn weight(n: u16) -> Weight {
        Weight(NonZeroU16::new(n).unwrap())
    }

    /// How many of the next `count` messages are of each of `flows` flows, each of which always offers more.
    fn served(queue: &mut FairQueue<()>, weights: &[u16], count: usize) -> Vec<u32> {
        let mut served = vec![0; weights.len()];
        for _ in 0..count {
            for (n, share) in (0..).zip(weights) {
                queue.push(flow(n), weight(*share), ());
            }
            let (next, ()) = queue.pop().unwrap();
            served[usize::try_from(next.number() - 1).unwrap()] += 1;
        }
        served
    }

    #[test]
    fn flows_get_equal_shares_whatever_they_offer() {
        let mut queue = FairQueue::new(100);
        // The first has filled the queue before the others come.
        for _ in 0..100 {
            queue.push(flow(0), Weight::ONE, ());
        }
        let counts = served(&mut queue, &[1; 10], 1_000);
        assert!(counts.iter().all(|count| (99..=101).contains(count)), "{counts:?}");
    }

    #[test]
    fn shares_follow_the_weights() {
        let mut queue = FairQueue::new(200);
        let counts = served(&mut queue, &[1, 2, 3, 10], 1_600);
        assert_eq!(counts.iter().sum::<u32>(), 1_600);
        for (count, expected) in counts.iter().zip([100, 200, 300, 1000]) {
            assert!(count.abs_diff(expected) <= 2, "{counts:?}");
        }
    }

    #[test]
    fn it_is_fair_with_fewer_places_than_flows() {
        let mut queue = FairQueue::new(8);
        let mut rng = ShardRng::from_seed([1; 32]);
        let mut counts = [0; 100];
        for _ in 0..4_000 {
            // Two come for each that goes, of any flows.
            for _ in 0..2 {
                let from = flow(u32::try_from(rng.below(100)).unwrap());
                if !queue.draw(from, &mut rng) {
                    queue.push(from, Weight::ONE, ());
                }
            }
            let (next, ()) = queue.pop().unwrap();
            counts[usize::try_from(next.number() - 1).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (34..=46).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_flow_that_comes_back_gets_what_is_current_not_what_it_never_asked_for() {
        let mut queue = FairQueue::new(1_000);
        for from in [0, 1, 0] {
            queue.push(flow(from), Weight::ONE, ());
        }
        assert_eq!([queue.pop(), queue.pop()], [Some((flow(0), ())), Some((flow(1), ()))]);
        assert_eq!(served(&mut queue, &[1], 500), [500]);
        // It has a credit of eight messages, and no more.
        let mut before = 0;
        for _ in 0..20 {
            queue.push(flow(1), Weight::ONE, ());
        }
        while queue.pop().is_some_and(|(next, ())| next == flow(1)) {
            before += 1;
        }
        assert!((8..=10).contains(&before), "{before}");
    }

    #[test]
    fn the_lot_falls_on_none_below_a_quarter_and_on_all_at_the_end() {
        let mut queue = FairQueue::new(40);
        let mut rng = ShardRng::from_seed([2; 32]);
        let mut unlucky = |queue: &mut FairQueue<()>, of| {
            // It has been as full as it is for long.
            (0..1_000).for_each(|_| {
                let _ = queue.draw(flow(2), &mut rng);
            });
            (0..1_000).filter(|_| queue.draw(flow(of), &mut rng)).count()
        };
        for _ in 0..10 {
            queue.push(flow(0), Weight::ONE, ());
        }
        assert_eq!(unlucky(&mut queue, 0), 0);
        for _ in 0..15 {
            queue.push(flow(0), Weight::ONE, ());
        }
        let half = unlucky(&mut queue, 0);
        assert!((430..570).contains(&half), "{half}");
        assert_eq!(unlucky(&mut queue, 1), 0, "it has had nothing yet");
        for _ in 0..15 {
            queue.push(flow(0), Weight::ONE, ());
        }
        assert_eq!(unlucky(&mut queue, 0), 1_000);
    }

    #[test]
    fn a_window_that_comes_at_once_passes_and_one_behind_another_does_not() {
        let mut queue = FairQueue::new(400);
        let mut rng = ShardRng::from_seed([3; 32]);
        let mut burst = |queue: &mut FairQueue<()>| {
            (0..200)
                .filter(|_| {
                    let lost = queue.draw(flow(0), &mut rng);
                    if !lost {
                        queue.push(flow(0), Weight::ONE, ());
                    }
                    lost
                })
                .count()
        };
        assert_eq!(burst(&mut queue), 0);
        while queue.pop().is_some() {}
        assert_eq!(burst(&mut queue), 0);
        // It has not drained.
        let lost = burst(&mut queue);
        assert!((10..150).contains(&lost), "{lost}");
    }

    #[test]
    fn a_smaller_capacity_pushes_out_what_comes_last() {
        let mut queue = FairQueue::new(10);
        for n in 0..10 {
            queue.push(flow(n % 2), Weight::ONE, n);
        }
        queue.set_capacity(7);
        let out: Vec<_> = std::iter::from_fn(|| queue.push_out()).collect();
        assert_eq!(out, [9, 8, 7]);
        let left: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, n)| n).collect();
        assert_eq!(left, [0, 1, 2, 3, 4, 5, 6]);
        queue.forget(flow(0));
        assert!(queue.is_empty() && queue.accounts.len() == 1);
    }

    proptest! {
        /// Against any pattern of arrivals: each flow's messages keep their order, none is lost without being given back,
        /// the bound holds, and of two flows that both have something waiting neither gets more than a message ahead beyond
        /// the credit.
        #[test]
        fn it_keeps_order_bound_and_shares(
            capacity in 1usize..64,
            steps in proptest::collection::vec((0u32..6, 1u16..4, any::<bool>()), 1..400),
        ) {
            let mut queue = FairQueue::new(capacity);
            let (mut number, mut out, mut given_back) = (0u32, Vec::new(), Vec::new());
            for (from, share, pop) in steps {
                number += 1;
                given_back.extend(queue.push(flow(from), weight(share), number));
                prop_assert!(queue.len() <= capacity);
                if pop {
                    let next = queue.pop();
                    prop_assert!(next.is_some(), "it works on while something waits");
                    out.extend(next);
                }
            }
            out.extend(std::iter::from_fn(|| queue.pop()));
            prop_assert!(queue.is_empty());
            for from in 0..6 {
                let of: Vec<_> = out.iter().filter(|(f, _)| *f == flow(from)).collect();
                prop_assert!(of.is_sorted_by_key(|(_, number)| *number));
            }
            let mut all: Vec<_> = out.iter().map(|(_, n)| *n).chain(given_back).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (1..=number).collect::<Vec<_>>());
        }

        /// While all have messages waiting, no two differ by more than one message each for their weight.
        #[test]
        fn two_flows_that_wait_differ_by_a_message(
            weights in proptest::collection::vec(1u16..20, 2..8),
            count in 1usize..500,
        ) {
            let mut queue = FairQueue::new(100_000);
            for _ in 0..count {
                for (n, share) in (0..).zip(&weights) {
                    for _ in 0..*share {
                        queue.push(flow(n), weight(*share), ());
                    }
                }
            }
            let mut had = vec![0u64; weights.len()];
            for _ in 0..count {
                let (next, ()) = queue.pop().unwrap();
                had[usize::try_from(next.number() - 1).unwrap()] += 1;
                // In steps of virtual time.
                let at = |n: usize| had[n] * (STEP / u64::from(weights[n]));
                for (one, other) in (0..weights.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
                    let step = STEP / u64::from(weights[one].min(weights[other]));
                    prop_assert!(at(one).abs_diff(at(other)) <= step, "{had:?} {weights:?}");
                }
            }
        }
    }
}

//! Telling the network of ourselves: sign our RouterInfo anew, store it at the closest floodfill, and see that it
//! was taken.

use std::collections::VecDeque;
use std::time::Duration;

use crate::base::id::RouterHash;
use crate::base::rng::ShardRng;
use crate::base::time::{Instant, Now, UnixTime};

use super::routing_key::closest;

/// From the start to the first publication.
pub const FIRST_DELAY: Duration = Duration::from_secs(2);
/// From one publication to the next. Other routers refuse sessions when our RouterInfo is 90 min old, and
/// floodfills forget it after 60.
pub const INTERVAL: Duration = Duration::from_secs(25 * 60);
/// Shortest time between two publications, whatever changes.
pub const INTERVAL_MIN: Duration = Duration::from_secs(60);
/// How long one floodfill has to confirm before the next is told.
pub const CONFIRM_WAIT: Duration = Duration::from_secs(5);
/// Floodfills told in one publication, if none confirms.
pub const TRIED_MAX: usize = 15;
/// Pause until the next look, while no floodfill but ourselves is known or none confirms.
const FRUITLESS_PAUSE: Duration = Duration::from_secs(2);

const _: () = assert!(INTERVAL.as_secs() < 30 * 60);
const _: () = assert!(CONFIRM_WAIT.as_secs() * 15 < INTERVAL.as_secs());

/// What the owner of our RouterInfo has to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicationAction {
    /// Sign our RouterInfo with this date.
    Resign {
        /// Its date: never one that an earlier RouterInfo had.
        published: UnixTime,
    },
    /// Store our RouterInfo at a floodfill, directly.
    Store {
        /// The floodfill.
        to: RouterHash,
        /// The reply token that it is to confirm.
        token: u32,
    },
}

/// The publication of our own RouterInfo.
#[derive(Debug)]
pub struct Publication {
    our: RouterHash,
    /// Date of our newest RouterInfo.
    published: UnixTime,
    /// When the latest publication began.
    begun: Option<Instant>,
    state: State,
    actions: VecDeque<PublicationAction>,
}

#[derive(Debug)]
enum State {
    /// Nothing to do before `until`.
    Waiting { until: Instant },
    /// Freshly signed, but there is no floodfill to tell; looked for again at `until`.
    Seeking { until: Instant },
    /// The last floodfill in `tried` has until `until` to confirm its token. `changed` is when to publish again
    /// because something changed meanwhile.
    Confirming { tried: Vec<(RouterHash, u32)>, until: Instant, changed: Option<Instant> },
}

impl Publication {
    /// Publishes for the router `our`, whose RouterInfo was last signed with the date `published`.
    #[must_use]
    pub fn new(our: RouterHash, published: UnixTime, now: Instant) -> Self {
        let state = State::Waiting { until: now + FIRST_DELAY };
        Self { our, published, begun: None, state, actions: VecDeque::new() }
    }

    /// Our RouterInfo's content changed: it is published as soon as a minute has passed since the last time.
    pub fn change(&mut self, now: Instant) {
        let soon = match self.begun {
            Some(begun) => now.max(begun + INTERVAL_MIN),
            None => now,
        };
        match &mut self.state {
            State::Waiting { until } => {
                // The first publication waits for its moment, since changes come in showers at the start.
                if self.begun.is_some() {
                    *until = soon.min(*until);
                }
            }
            State::Seeking { .. } => {
                self.state = State::Waiting { until: soon };
            }
            State::Confirming { changed, .. } => *changed = Some(soon),
        }
    }

    /// A DeliveryStatus with the id `token` came. Says whether it confirms this publication.
    pub fn handle_confirmed(&mut self, token: u32, now: Instant) -> bool {
        match &self.state {
            State::Confirming { tried, changed, .. } => {
                if !tried.iter().any(|(_, own)| *own == token) {
                    return false;
                }
                let regular = self.regular(now);
                self.state = State::Waiting { until: changed.unwrap_or(regular).min(regular) };
                true
            }
            State::Waiting { .. } | State::Seeking { .. } => false,
        }
    }

    /// Publishes when it is time, and tells the next floodfill when one does not confirm. `floodfills` are all known
    /// ones, sorted.
    pub fn handle_timeout(&mut self, now: Now, floodfills: &[RouterHash], rng: &mut ShardRng) {
        if now.instant < self.deadline() {
            return;
        }
        match &mut self.state {
            State::Waiting { .. } => {
                self.resign(now);
                self.tell_next(Vec::new(), None, now, floodfills, rng);
            }
            State::Seeking { .. } => {
                if self.begun.is_some_and(|begun| now.instant >= begun + INTERVAL) {
                    self.resign(now);
                }
                self.tell_next(Vec::new(), None, now, floodfills, rng);
            }
            State::Confirming { tried, changed, .. } => {
                let (tried, changed) = (std::mem::take(tried), *changed);
                if changed.is_some_and(|at| at <= now.instant) {
                    self.resign(now);
                    self.tell_next(Vec::new(), None, now, floodfills, rng);
                } else {
                    self.tell_next(tried, changed, now, floodfills, rng);
                }
            }
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<PublicationAction> {
        self.actions.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        match &self.state {
            State::Waiting { until } | State::Seeking { until } => *until,
            State::Confirming { until, changed, .. } => changed.unwrap_or(*until).min(*until),
        }
    }

    /// When the next publication is due if nothing changes.
    fn regular(&self, now: Instant) -> Instant {
        self.begun.unwrap_or(now) + INTERVAL
    }

    fn resign(&mut self, now: Now) {
        self.published = now.unix.max(self.published + Duration::from_millis(1));
        self.begun = Some(now.instant);
        self.actions.push_back(PublicationAction::Resign { published: self.published });
    }

    /// Tells the closest floodfill that was not tried; if none is left, waits for another time.
    fn tell_next(
        &mut self,
        mut tried: Vec<(RouterHash, u32)>,
        changed: Option<Instant>,
        now: Now,
        floodfills: &[RouterHash],
        rng: &mut ShardRng,
    ) {
        let is_excluded = |router: &RouterHash| {
            *router == self.our || tried.iter().any(|(floodfill, _)| floodfill == router)
        };
        let next = match tried.len() {
            0..TRIED_MAX => closest(&self.our.into(), now.unix, floodfills, &is_excluded, 1),
            _ => Vec::new(),
        };
        match next.first() {
            Some(to) => {
                let token = rng.id();
                tried.push((*to, token));
                self.actions.push_back(PublicationAction::Store { to: *to, token });
                let until = now.instant + CONFIRM_WAIT;
                self.state = State::Confirming { tried, until, changed };
            }
            None if tried.is_empty() => {
                self.state = State::Seeking { until: now.instant + FRUITLESS_PAUSE };
            }
            // Nobody confirmed: once more, freshly signed, after the shortest pause.
            None => {
                let soon = self.begun.unwrap_or(now.instant) + INTERVAL_MIN;
                self.state = State::Waiting { until: soon.max(now.instant + FRUITLESS_PAUSE) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OUR: RouterHash = RouterHash([0xFF; 32]);
    const START_UNIX: u64 = 1_767_225_600_000;

    fn now(milliseconds: u64) -> Now {
        Now { instant: Instant(milliseconds * 1000), unix: UnixTime(START_UNIX + milliseconds) }
    }

    fn floodfills(count: u8) -> Vec<RouterHash> {
        (1..=count).map(|n| RouterHash([n; 32])).chain([OUR]).collect()
    }

    struct Bench {
        publication: Publication,
        rng: ShardRng,
        floodfills: Vec<RouterHash>,
    }

    impl Bench {
        fn new(count: u8) -> Self {
            let published = UnixTime(START_UNIX);
            Self {
                publication: Publication::new(OUR, published, now(0).instant),
                rng: ShardRng::from_seed([7; 32]),
                floodfills: floodfills(count),
            }
        }

        fn step(&mut self, milliseconds: u64) -> Vec<PublicationAction> {
            let at = now(milliseconds);
            self.publication.handle_timeout(at, &self.floodfills, &mut self.rng);
            std::iter::from_fn(|| self.publication.poll_action()).collect()
        }

        fn step_at_deadline(&mut self) -> (u64, Vec<PublicationAction>) {
            let at = self.publication.deadline().0 / 1000;
            (at, self.step(at))
        }
    }

    fn stored(actions: &[PublicationAction]) -> (RouterHash, u32) {
        match actions {
            [.., PublicationAction::Store { to, token }] => (*to, *token),
            other => panic!("no store in {other:?}"),
        }
    }

    fn signed(actions: &[PublicationAction]) -> UnixTime {
        match actions {
            [PublicationAction::Resign { published }, ..] => *published,
            other => panic!("not signed in {other:?}"),
        }
    }

    #[test]
    fn publishes_after_two_seconds_to_the_closest_other_floodfill() {
        let mut bench = Bench::new(5);
        assert!(bench.step(1999).is_empty());
        let actions = bench.step(2000);
        assert_eq!(actions.len(), 2);
        assert_eq!(signed(&actions), UnixTime(START_UNIX + 2000));
        let (to, token) = stored(&actions);
        let nearest = closest(&OUR.into(), now(2000).unix, &floodfills(5), &|r| *r == OUR, 1);
        assert_eq!(vec![to], nearest);
        assert!(!bench.publication.handle_confirmed(token ^ 1, now(2500).instant));
        assert!(bench.publication.handle_confirmed(token, now(2500).instant));
        assert!(!bench.publication.handle_confirmed(token, now(2500).instant), "only once");
        let (at, actions) = bench.step_at_deadline();
        assert_eq!(at, 2000 + 25 * 60_000);
        assert!(signed(&actions) > UnixTime(START_UNIX + 2000));
    }

    #[test]
    fn tries_the_next_closest_and_takes_late_confirmations() {
        let mut bench = Bench::new(3);
        let (first, first_token) = stored(&bench.step(2000));
        assert!(bench.step(6999).is_empty());
        let actions = bench.step(7000);
        assert_eq!(actions.len(), 1, "the same record: not signed again");
        let (second, second_token) = stored(&actions);
        assert_ne!((first, first_token), (second, second_token));
        assert!(bench.publication.handle_confirmed(first_token, now(7100).instant));
        assert_eq!(bench.publication.deadline(), now(2000 + 25 * 60_000).instant);
    }

    #[test]
    fn tries_fifteen_then_begins_anew() {
        let mut bench = Bench::new(40);
        let mut told = Vec::new();
        let (begun, actions) = bench.step_at_deadline();
        told.push(stored(&actions).0);
        let again = loop {
            let (at, actions) = bench.step_at_deadline();
            match actions.as_slice() {
                [] => {}
                [PublicationAction::Store { to, .. }] => told.push(*to),
                _ => break at,
            }
        };
        assert_eq!(told.len(), TRIED_MAX);
        told.sort();
        told.dedup();
        assert_eq!(told.len(), TRIED_MAX, "nobody twice");
        assert!(!told.contains(&OUR));
        assert!(again - begun >= 60_000);
    }

    #[test]
    fn waits_for_a_floodfill_other_than_us() {
        let mut bench = Bench::new(0);
        let actions = bench.step(2000);
        assert_eq!(actions.len(), 1, "signed, but nobody to tell: {actions:?}");
        assert!(bench.step_at_deadline().1.is_empty());
        bench.floodfills = floodfills(1);
        let (at, actions) = bench.step_at_deadline();
        assert!(at <= 6000);
        assert_eq!(actions.len(), 1);
        assert_eq!(stored(&actions).0, RouterHash([1; 32]));
    }

    #[test]
    fn without_floodfills_it_is_still_signed_every_25_minutes() {
        let mut bench = Bench::new(0);
        let mut signed_at = Vec::new();
        loop {
            let (at, actions) = bench.step_at_deadline();
            if at > 60 * 60_000 {
                break;
            }
            signed_at.extend(actions.iter().map(|_| at));
        }
        assert_eq!(signed_at, [2000, 2000 + 25 * 60_000, 2000 + 50 * 60_000]);
    }

    #[test]
    fn a_change_is_published_at_once_but_not_within_a_minute() {
        let mut bench = Bench::new(3);
        bench.publication.change(now(500).instant);
        assert_eq!(bench.publication.deadline(), now(2000).instant, "the start is waited for");
        let (_, token) = stored(&bench.step(2000));
        assert!(bench.publication.handle_confirmed(token, now(2100).instant));
        bench.publication.change(now(10_000).instant);
        bench.publication.change(now(11_000).instant);
        let (at, actions) = bench.step_at_deadline();
        assert_eq!(at, 62_000);
        let (_, token) = stored(&actions);
        assert_eq!(actions.len(), 2);
        assert!(bench.publication.handle_confirmed(token, now(62_100).instant));
        bench.publication.change(now(300_000).instant);
        assert_eq!(bench.publication.deadline(), now(300_000).instant);
    }

    #[test]
    fn a_change_while_unconfirmed_waits_for_its_minute() {
        let mut bench = Bench::new(3);
        let (_, token) = stored(&bench.step(2000));
        bench.publication.change(now(2500).instant);
        assert!(bench.publication.handle_confirmed(token, now(2600).instant));
        assert_eq!(bench.publication.deadline(), now(62_000).instant);
    }

    #[test]
    fn dates_rise_even_when_the_clock_goes_back() {
        let mut publication = Publication::new(OUR, UnixTime(START_UNIX + 90_000), Instant(0));
        let mut rng = ShardRng::from_seed([1; 32]);
        publication.handle_timeout(now(2000), &[], &mut rng);
        let action = publication.poll_action();
        let published = UnixTime(START_UNIX + 90_001);
        assert_eq!(action, Some(PublicationAction::Resign { published }));
    }

    proptest! {
        #[test]
        fn dates_rise_and_pauses_hold(
            steps in proptest::collection::vec((0u8..4, 0u64..40_000), 1..120),
            count in 0u8..20,
        ) {
            let mut bench = Bench::new(count);
            let mut at = 0;
            let mut last: Option<(u64, UnixTime)> = None;
            let mut token = None;
            for (step, pause) in steps {
                at += pause;
                match (step, token) {
                    (0, _) => bench.publication.change(now(at).instant),
                    (1, Some(token)) => {
                        bench.publication.handle_confirmed(token, now(at).instant);
                    }
                    _ => {}
                }
                for action in bench.step(at) {
                    match action {
                        PublicationAction::Resign { published } => {
                            if let Some((before, date)) = last {
                                prop_assert!(at - before >= 60_000);
                                prop_assert!(published > date);
                            }
                            last = Some((at, published));
                        }
                        PublicationAction::Store { to, token: drawn } => {
                            prop_assert!(to != OUR);
                            prop_assert!(last.is_some());
                            token = Some(drawn);
                        }
                    }
                }
                prop_assert!(bench.publication.deadline() > now(at).instant);
            }
        }
    }
}

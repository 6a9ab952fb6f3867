//! How other routers have behaved: dials and questions that came to something or not, and bans, which end.
//!
//! Kept for a bounded number of routers, and across restarts. A ban is only for what a router proves against itself: what
//! comes out of a tunnel through it, or can be done to its connection by somebody in between, is held against nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::id::RouterHash;
use crate::base::time::UnixTime;

/// Questions in a row that a router may leave unanswered before it is asked no more for a while.
pub const UNANSWERED_MAX: u8 = 3;
/// For how long a router is not asked that cannot be reached or does not answer: as long as others leave it alone.
pub const POOR_TIME: Duration = Duration::from_secs(8 * 60);
/// For how long a router is remembered of which nothing has been seen.
pub const PROFILE_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Length of a stored profile in bytes.
pub const STORED_SIZE: usize = 34;
/// What a stored profile begins with.
const STORED_VERSION: u8 = 1;

/// Why a router is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanReason {
    /// It showed us, over its own session, a RouterInfo of its own that it did not sign.
    Forged,
    /// It showed us a RouterInfo of its own that is of another network.
    Network,
}

impl BanReason {
    /// All reasons, in order.
    pub const ALL: [Self; 2] = [Self::Forged, Self::Network];

    /// The reason as the metrics name it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Network => "network",
        }
    }

    /// How long the ban lasts.
    #[must_use]
    pub fn time(self) -> Duration {
        match self {
            Self::Forged => Duration::from_secs(3600),
            Self::Network => Duration::from_secs(86_400),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Forged => 1,
            Self::Network => 2,
        }
    }
}

/// A ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Why.
    pub reason: BanReason,
    /// Until when.
    pub until: UnixTime,
}

/// How a router stands with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing speaks against it.
    Good,
    /// It could not be reached or did not answer lately: others are asked first.
    Poor,
    /// We have nothing to do with it.
    Banned,
}

/// What is known of one router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Sessions with it that came up, whoever dialled.
    pub connected: u32,
    /// Dials of it that came to nothing.
    pub unreachable: u32,
    /// Questions that it answered.
    pub answered: u32,
    /// Questions that it did not answer in time.
    pub unanswered: u32,
    /// How many of those were the last ones, with no answer behind them.
    in_a_row: u8,
    /// Until when others are asked first, because it does not answer.
    silent_until: UnixTime,
    /// The same, because it could not be reached.
    away_until: UnixTime,
    /// When anything of this was last seen.
    seen: UnixTime,
    /// Its ban.
    pub ban: Option<Ban>,
}

impl Profile {
    fn standing(&self, now: UnixTime) -> Standing {
        if self.ban.is_some_and(|ban| ban.until > now) {
            Standing::Banned
        } else if self.poor_until() > now {
            Standing::Poor
        } else {
            Standing::Good
        }
    }

    fn poor_until(&self) -> UnixTime {
        self.silent_until.max(self.away_until)
    }

    /// Forgets a poor standing that is over; says whether there was one.
    fn end_poor(&mut self, now: UnixTime) -> bool {
        let is_over = self.poor_until() > UnixTime(0) && self.poor_until() <= now;
        if is_over {
            (self.silent_until, self.away_until) = (UnixTime(0), UnixTime(0));
        }
        is_over
    }

    /// What is to be looked at next of it: the end of its ban, else that of its poor standing, else that of its memory.
    fn due(&self) -> UnixTime {
        match self.ban {
            Some(ban) => ban.until,
            None if self.poor_until() > self.seen => self.poor_until(),
            None => self.seen + PROFILE_LIFE,
        }
    }

    /// The profile as it is stored. For how long others are asked first is not in it: after a restart all begin anew.
    #[must_use]
    pub fn write(&self) -> [u8; STORED_SIZE] {
        let ban = self.ban.map_or([0; 9], |ban| {
            let mut bytes = [ban.reason.code(); 9];
            bytes[1..].copy_from_slice(&ban.until.0.to_be_bytes());
            bytes
        });
        let counts = [self.connected, self.unreachable, self.answered, self.unanswered];
        let mut bytes = [STORED_VERSION; STORED_SIZE];
        let fields = counts.iter().flat_map(|count| count.to_be_bytes());
        let fields = fields.chain(self.seen.0.to_be_bytes()).chain(ban);
        for (byte, field) in bytes.iter_mut().skip(1).zip(fields) {
            *byte = field;
        }
        bytes
    }

    /// Reads a stored profile; none where it is not one.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let ([version], rest) = bytes.split_first_chunk()?;
        let (connected, rest) = rest.split_first_chunk()?;
        let (unreachable, rest) = rest.split_first_chunk()?;
        let (answered, rest) = rest.split_first_chunk()?;
        let (unanswered, rest) = rest.split_first_chunk()?;
        let (seen, rest) = rest.split_first_chunk()?;
        let ([reason], rest) = rest.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk()?;
        if *version != STORED_VERSION || !rest.is_empty() {
            return None;
        }
        let until = UnixTime(u64::from_be_bytes(*until));
        let ban = match BanReason::ALL.into_iter().find(|known| known.code() == *reason) {
            Some(reason) => Some(Ban { reason, until }),
            None if *reason == 0 => None,
            None => return None,
        };
        Some(Self {
            connected: u32::from_be_bytes(*connected),
            unreachable: u32::from_be_bytes(*unreachable),
            answered: u32::from_be_bytes(*answered),
            unanswered: u32::from_be_bytes(*unanswered),
            seen: UnixTime(u64::from_be_bytes(*seen)),
            ban,
            ..Self::default()
        })
    }
}

/// Something that a router did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A session with it came up.
    Connected,
    /// A dial of it came to nothing.
    Unreachable,
    /// It answered a question.
    Answered,
    /// It did not answer in time.
    Unanswered,
    /// It is to be banned.
    Offence(BanReason),
}

/// Profiles of the routers of one shard.
///
/// Bounded: at the bound the router gives way of which nothing has been seen for the longest time, and one that is banned
/// only where all are: then the one whose ban ends first.
#[derive(Debug, Default)]
pub struct Profiles {
    capacity: usize,
    entries: BTreeMap<RouterHash, Profile>,
    /// Who gives way first; those without a ban stand before those with one.
    order: BTreeSet<(bool, UnixTime, RouterHash)>,
    /// When each is to be looked at again.
    due: BTreeSet<(UnixTime, RouterHash)>,
    /// Whose profile has changed since it was last taken to be stored.
    unsaved: BTreeSet<RouterHash>,
    /// Whose standing has changed since that was last taken.
    moved: BTreeSet<RouterHash>,
}

impl Profiles {
    /// Room for so many.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, ..Self::default() }
    }

    /// How `router` stands at `now`.
    #[must_use]
    pub fn standing(&self, router: &RouterHash, now: UnixTime) -> Standing {
        self.entries.get(router).map_or(Standing::Good, |profile| profile.standing(now))
    }

    /// What is known of `router`.
    #[must_use]
    pub fn find(&self, router: &RouterHash) -> Option<&Profile> {
        self.entries.get(router)
    }

    /// Notes what `router` did at `now`.
    pub fn note(&mut self, router: RouterHash, deed: Deed, now: UnixTime) {
        let mut profile = self.entries.get(&router).copied().unwrap_or_default();
        if profile.end_poor(now) {
            self.moved.insert(router);
        }
        let before = profile.standing(now);
        profile.seen = profile.seen.max(now);
        match deed {
            Deed::Connected => {
                profile.connected = profile.connected.saturating_add(1);
                profile.away_until = UnixTime(0);
            }
            Deed::Unreachable => {
                profile.unreachable = profile.unreachable.saturating_add(1);
                profile.away_until = now + POOR_TIME;
            }
            Deed::Answered => {
                profile.answered = profile.answered.saturating_add(1);
                (profile.in_a_row, profile.silent_until) = (0, UnixTime(0));
                profile.away_until = UnixTime(0);
            }
            Deed::Unanswered => {
                profile.unanswered = profile.unanswered.saturating_add(1);
                profile.in_a_row = profile.in_a_row.saturating_add(1);
                if profile.in_a_row >= UNANSWERED_MAX {
                    (profile.in_a_row, profile.silent_until) = (0, now + POOR_TIME);
                }
            }
            Deed::Offence(reason) => {
                let until = now + reason.time();
                let longer = profile.ban.filter(|ban| ban.until >= until);
                profile.ban = Some(longer.unwrap_or(Ban { reason, until }));
            }
        }
        if self.put(router, profile) {
            self.unsaved.insert(router);
            if profile.standing(now) != before {
                self.moved.insert(router);
            }
        }
    }

    /// Takes in a profile that was stored; of one that is known already, or not worth its place, nothing. A clock that was
    /// wrong when it was stored does not make a ban longer.
    pub fn restore(&mut self, router: RouterHash, stored: Profile, now: UnixTime) {
        if self.entries.contains_key(&router) {
            return;
        }
        let ban = stored.ban.map(|Ban { reason, until }| {
            let until = until.min(now + reason.time());
            Ban { reason, until }
        });
        let profile = Profile { seen: stored.seen.min(now), ban, ..stored };
        let is_over = profile.seen + PROFILE_LIFE <= now && profile.standing(now) == Standing::Good;
        if is_over || !self.put(router, profile) {
            self.unsaved.insert(router);
        } else if profile.standing(now) != Standing::Good {
            self.moved.insert(router);
        }
    }

    /// Ends what has lasted long enough: bans, poor standings, and profiles of routers of which nothing was seen.
    pub fn expire(&mut self, now: UnixTime) {
        while let Some((at, router)) = self.due.first().copied()
            && at <= now
        {
            let Some(mut profile) = self.remove(&router) else { break };
            if profile.seen + PROFILE_LIFE > now {
                profile.ban = profile.ban.filter(|ban| ban.until > now);
                profile.end_poor(now);
                self.put(router, profile);
            }
            self.unsaved.insert(router);
            self.moved.insert(router);
        }
    }

    /// The next router whose standing may have changed, with how it stands.
    pub fn poll_moved(&mut self, now: UnixTime) -> Option<(RouterHash, Standing)> {
        let router = self.moved.pop_first()?;
        Some((router, self.standing(&router, now)))
    }

    /// The next router whose profile is to be stored anew; `None` in place of one that is known no more.
    pub fn poll_unsaved(&mut self) -> Option<(RouterHash, Option<Profile>)> {
        let router = self.unsaved.pop_first()?;
        Some((router, self.entries.get(&router).copied()))
    }

    /// When [`Self::expire`] has something to do next.
    #[must_use]
    pub fn due(&self) -> Option<UnixTime> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many routers are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no router is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many of them are banned for each reason, in the order of [`BanReason::ALL`].
    #[must_use]
    pub fn bans(&self) -> [usize; BanReason::ALL.len()] {
        let banned = self.order.iter().rev().take_while(|(banned, ..)| *banned);
        let mut counts = [0; BanReason::ALL.len()];
        for (.., router) in banned {
            let ban = self.entries.get(router).and_then(|profile| profile.ban);
            if let Some(count) = ban.and_then(|ban| counts.get_mut(ban.reason as usize)) {
                *count += 1;
            }
        }
        counts
    }

    /// Puts a profile in its place, if it has one; another may give way to it.
    fn put(&mut self, router: RouterHash, profile: Profile) -> bool {
        self.remove(&router);
        let place = place(router, &profile);
        if self.entries.len() >= self.capacity {
            let Some(first) = self.order.first().copied().filter(|first| *first < place) else {
                return false;
            };
            self.remove(&first.2);
            self.unsaved.insert(first.2);
            self.moved.insert(first.2);
        }
        self.order.insert(place);
        self.due.insert((profile.due(), router));
        self.entries.insert(router, profile);
        true
    }

    fn remove(&mut self, router: &RouterHash) -> Option<Profile> {
        let profile = self.entries.remove(router)?;
        self.order.remove(&place(*router, &profile));
        self.due.remove(&(profile.due(), *router));
        Some(profile)
    }
}

fn place(router: RouterHash, profile: &Profile) -> (bool, UnixTime, RouterHash) {
    match profile.ban {
        Some(ban) => (true, ban.until, router),
        None => (false, profile.seen, router),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROUTER: RouterHash = RouterHash([1; 32]);
    const START: UnixTime = UnixTime(1_767_268_800_000);

    fn after(seconds: u64) -> UnixTime {
        START + Duration::from_secs(seconds)
    }

    #[test]
    fn who_does_not_answer_is_left_alone_for_a_while() {
        let mut profiles = Profiles::new(8);
        let standing = |profiles: &Profiles, at| profiles.standing(&ROUTER, after(at));
        for _ in 0..2 {
            profiles.note(ROUTER, Deed::Unanswered, START);
        }
        profiles.note(ROUTER, Deed::Answered, START);
        for _ in 0..2 {
            profiles.note(ROUTER, Deed::Unanswered, START);
        }
        assert_eq!(standing(&profiles, 0), Standing::Good, "an answer makes good for those before");
        assert_eq!(profiles.poll_moved(START), None);
        profiles.note(ROUTER, Deed::Unanswered, START);
        assert_eq!(profiles.poll_moved(START), Some((ROUTER, Standing::Poor)));
        assert_eq!(
            (standing(&profiles, 479), standing(&profiles, 480)),
            (Standing::Poor, Standing::Good)
        );
        profiles.expire(after(480));
        assert_eq!(profiles.poll_moved(after(480)), Some((ROUTER, Standing::Good)));
        profiles.note(ROUTER, Deed::Unreachable, after(500));
        assert_eq!(standing(&profiles, 500), Standing::Poor);
        profiles.note(ROUTER, Deed::Connected, after(510));
        assert_eq!(standing(&profiles, 510), Standing::Good);
        let known = profiles.find(&ROUTER).unwrap();
        let counts = (known.connected, known.unreachable, known.answered, known.unanswered);
        assert_eq!(counts, (1, 1, 1, 5));
    }

    #[test]
    fn a_ban_ends_and_nothing_else_ends_it() {
        let mut profiles = Profiles::new(8);
        profiles.note(ROUTER, Deed::Offence(BanReason::Network), START);
        profiles.note(ROUTER, Deed::Offence(BanReason::Forged), after(10));
        profiles.note(ROUTER, Deed::Answered, after(20));
        assert_eq!(profiles.bans(), [0, 1], "the longer one stays");
        profiles.expire(after(86_399));
        assert_eq!(profiles.standing(&ROUTER, after(86_399)), Standing::Banned);
        assert_eq!(profiles.due(), Some(after(86_400)));
        profiles.expire(after(86_400));
        assert_eq!(profiles.standing(&ROUTER, after(86_400)), Standing::Good);
        assert_eq!((profiles.bans(), profiles.len()), ([0, 0], 1));
        profiles.expire(after(20) + PROFILE_LIFE);
        assert!(profiles.is_empty());
    }

    #[test]
    fn the_banned_give_way_last() {
        let mut profiles = Profiles::new(2);
        let [first, second, third] = [1, 2, 3].map(|n| RouterHash([n; 32]));
        profiles.note(first, Deed::Offence(BanReason::Forged), START);
        profiles.note(second, Deed::Connected, after(1));
        profiles.note(third, Deed::Connected, after(2));
        assert!(profiles.find(&first).is_some() && profiles.find(&second).is_none());
        profiles.note(second, Deed::Offence(BanReason::Network), after(3));
        assert!(profiles.find(&first).is_some() && profiles.find(&third).is_none());
        profiles.note(third, Deed::Connected, after(4));
        assert!(profiles.find(&third).is_none(), "not for one that is not banned");
        profiles.note(third, Deed::Offence(BanReason::Network), after(5));
        assert!(profiles.find(&first).is_none(), "its ban ends first");
    }

    #[test]
    fn profiles_are_stored_and_restored() {
        let mut profiles = Profiles::new(8);
        profiles.note(ROUTER, Deed::Connected, START);
        profiles.note(ROUTER, Deed::Offence(BanReason::Network), START);
        let (router, profile) = profiles.poll_unsaved().unwrap();
        let stored = profile.unwrap().write();
        let read = Profile::read(&stored).unwrap();
        assert_eq!(Some(read), profile);
        let mut later = Profiles::new(8);
        later.restore(router, read, after(60));
        assert_eq!(later.poll_moved(after(60)), Some((ROUTER, Standing::Banned)));
        assert_eq!(later.poll_unsaved(), None);
        let mut much_later = Profiles::new(8);
        much_later.restore(router, read, after(8 * 86_400));
        assert_eq!(much_later.poll_unsaved(), Some((ROUTER, None)), "not worth its place");
        // The clock was a year ahead when it was stored.
        let mut before = Profiles::new(8);
        let year = 365 * 86_400;
        before.restore(router, read, UnixTime(START.0 - year * 1000));
        assert_eq!(before.due(), Some(UnixTime(START.0 - year * 1000) + BanReason::Network.time()));
        // What there is no room for is taken off the disk as well.
        let mut small = Profiles::new(2);
        for n in 0..5u8 {
            let profile = Profile { seen: after(n.into()), ..Profile::default() };
            small.restore(RouterHash([n; 32]), profile, after(60));
        }
        let gone = std::iter::from_fn(|| small.poll_unsaved());
        assert_eq!(gone.collect::<Vec<_>>(), [0, 1, 2].map(|n| (RouterHash([n; 32]), None)));
        for length in 0..stored.len() {
            assert_eq!(Profile::read(&stored[..length]), None);
        }
        for (place, value) in [(0, 2), (25, 3), (25, 0xff)] {
            let mut changed = stored;
            changed[place] = value;
            assert_eq!(Profile::read(&changed), None, "byte {place}");
        }
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_all_indexes_agree(
            steps in proptest::collection::vec((0u8..9, 0u8..7, 0u64..40_000), 0..120),
        ) {
            let mut profiles = Profiles::new(4);
            let mut now = START;
            for (router, step, pause) in steps {
                now = now + Duration::from_secs(pause);
                let router = RouterHash([router; 32]);
                match step {
                    0 => profiles.note(router, Deed::Connected, now),
                    1 => profiles.note(router, Deed::Unreachable, now),
                    2 => profiles.note(router, Deed::Answered, now),
                    3 => profiles.note(router, Deed::Unanswered, now),
                    4 => profiles.note(router, Deed::Offence(BanReason::Forged), now),
                    5 => profiles.note(router, Deed::Offence(BanReason::Network), now),
                    _ => {
                        profiles.expire(now);
                        prop_assert!(profiles.due().is_none_or(|due| due > now));
                    }
                }
                prop_assert!(profiles.len() <= 4);
                prop_assert_eq!(profiles.entries.len(), profiles.order.len());
                prop_assert_eq!(profiles.entries.len(), profiles.due.len());
                for (router, profile) in &profiles.entries {
                    prop_assert!(profiles.order.contains(&place(*router, profile)));
                    prop_assert!(profiles.due.contains(&(profile.due(), *router)));
                }
            }
        }
    }
}

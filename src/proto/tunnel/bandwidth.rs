//! What a creator asks a hop to set aside for one tunnel, and what the hop sets aside.
//!
//! Spec: proposal 168, tunnel bandwidth parameters. Its unit, KBps, is one tunnel message of 1024 bytes a second, without what
//! the transport adds; so rates are in messages a second here.

use std::num::NonZeroU32;

use super::limiter::TUNNEL_BLOCK;
use crate::wire::mapping::Mapping;

/// Option of a request: below this the tunnel is of no use.
const MINIMUM: &str = "m";
/// Option of a request: what the tunnel would use.
const REQUESTED: &str = "r";
/// Option of a request to an inbound gateway: it lets no more in.
const LIMIT: &str = "l";
/// Option of an answer: what the hop sets aside.
const AVAILABLE: &str = "b";

/// Of the router's share, one tunnel gets no more than this part.
const SHARE_PART: u64 = 20;
/// Of what is free, one tunnel gets no more than this part.
const FREE_PART: u64 = 4;

/// What a creator asks for, in tunnel messages a second. All of it may be left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandwidthRequest {
    /// Less is of no use to it.
    pub minimum: Option<NonZeroU32>,
    /// What it would use.
    pub requested: Option<NonZeroU32>,
    /// What its gateway is to let in at most; other hops have nothing to do with it.
    pub limit: Option<NonZeroU32>,
}

/// Why the options of a request are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BandwidthError {
    /// An option is no positive number.
    #[error("option {option} is no positive number of KB a second")]
    NoNumber {
        /// Which.
        option: &'static str,
    },
    /// They contradict each other.
    #[error("a minimum, a request and a limit of bandwidth that do not rise")]
    Order,
}

impl BandwidthRequest {
    /// Reads the options of a request; those of another meaning are left alone.
    ///
    /// # Errors
    /// [`BandwidthError`], for which the tunnel is to be refused: its creator cannot be given what it wants.
    pub fn read(options: &Mapping) -> Result<Self, BandwidthError> {
        let number = |option| match options.find(option) {
            None => Ok(None),
            Some(text) => parse(text).map(Some).ok_or(BandwidthError::NoNumber { option }),
        };
        let request = Self {
            minimum: number(MINIMUM)?,
            requested: number(REQUESTED)?,
            limit: number(LIMIT)?,
        };
        let given = [request.minimum, request.requested, request.limit];
        if given.iter().flatten().is_sorted() { Ok(request) } else { Err(BandwidthError::Order) }
    }

    /// The options that say so.
    #[must_use]
    pub fn write(&self) -> Mapping {
        let mut options = Mapping::new();
        let given = [(LIMIT, self.limit), (MINIMUM, self.minimum), (REQUESTED, self.requested)];
        for (option, number) in given {
            if let Some(number) = number {
                // Digits under a key of one letter always fit.
                let _ = options.insert(option, &number.to_string());
            }
        }
        options
    }

    /// What is to be set aside, if anything is asked for: what the tunnel would use, as far as it can be had, and the minimum
    /// in any case.
    ///
    /// # Errors
    /// [`Scarce`] when the minimum cannot be had.
    pub fn grant(&self, room: &Room) -> Result<Option<NonZeroU32>, Scarce> {
        let Some(wanted) = self.requested.or(self.minimum) else { return Ok(None) };
        let free = room.for_one();
        let minimum = self.minimum.unwrap_or(NonZeroU32::MIN);
        if self.minimum.is_some() && u64::from(minimum.get()) > free {
            return Err(Scarce { minimum: minimum.get(), free });
        }
        let free = u32::try_from(free).unwrap_or(u32::MAX);
        Ok(Some(NonZeroU32::new(wanted.get().min(free)).unwrap_or(minimum).max(minimum)))
    }
}

/// What there is to give away, in bytes of sockets a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What transit may take in all.
    pub share: u64,
    /// What it takes, or has been promised, whichever is more.
    pub used: u64,
}

impl Room {
    /// What one more tunnel can have, in messages a second: never so much that a few could take all, since nobody knows who
    /// will use what was set aside.
    fn for_one(&self) -> u64 {
        let free = self.share.saturating_sub(self.used) / FREE_PART;
        free.min(self.share / SHARE_PART) / TUNNEL_BLOCK
    }
}

/// A tunnel cannot have its minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at least {minimum} messages a second are wanted, {free} can be had")]
pub struct Scarce {
    /// What is wanted.
    pub minimum: u32,
    /// What one tunnel can have.
    pub free: u64,
}

/// The options of an answer that tells what was set aside.
#[must_use]
pub fn write_available(granted: Option<NonZeroU32>) -> Mapping {
    let mut options = Mapping::new();
    if let Some(granted) = granted {
        // Digits under a key of one letter always fit.
        let _ = options.insert(AVAILABLE, &granted.to_string());
    }
    options
}

/// What the options of an answer say was set aside.
#[must_use]
pub fn read_available(options: &Mapping) -> Option<NonZeroU32> {
    options.find(AVAILABLE).and_then(parse)
}

/// Digits and nothing else: a sign is none.
fn parse(text: &str) -> Option<NonZeroU32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn options(given: &[(&str, &str)]) -> Mapping {
        let mut options = Mapping::new();
        for (key, value) in given {
            options.insert(key, value).unwrap();
        }
        options
    }

    fn asked(minimum: u32, requested: u32, limit: u32) -> BandwidthRequest {
        BandwidthRequest {
            minimum: NonZeroU32::new(minimum),
            requested: NonZeroU32::new(requested),
            limit: NonZeroU32::new(limit),
        }
    }

    #[test]
    fn options_are_read_as_the_proposal_has_them() {
        let read = |given: &[_]| BandwidthRequest::read(&options(given));
        assert_eq!(read(&[]), Ok(BandwidthRequest::default()));
        assert_eq!(read(&[("b", "x"), ("other", "")]), Ok(BandwidthRequest::default()));
        assert_eq!(read(&[("m", "16"), ("r", "64"), ("l", "64")]), Ok(asked(16, 64, 64)));
        assert_eq!(read(&[("l", "4294967295")]), Ok(asked(0, 0, u32::MAX)));
        for text in ["", "0", "-1", "+1", "1.5", " 1", "1k", "4294967296"] {
            for option in ["m", "r", "l"] {
                assert_eq!(read(&[(option, text)]), Err(BandwidthError::NoNumber { option }));
            }
        }
        for falling in
            [[("m", "65"), ("r", "64")], [("r", "2"), ("l", "1")], [("m", "2"), ("l", "1")]]
        {
            assert_eq!(read(&falling), Err(BandwidthError::Order));
        }
    }

    #[test]
    fn a_minimum_is_had_or_the_tunnel_is_refused() {
        // 100 messages a second are free, of which one tunnel gets a quarter.
        let room = Room { share: 1000 * TUNNEL_BLOCK, used: 900 * TUNNEL_BLOCK };
        assert_eq!(asked(25, 0, 0).grant(&room), Ok(NonZeroU32::new(25)));
        assert_eq!(asked(26, 0, 0).grant(&room), Err(Scarce { minimum: 26, free: 25 }));
        assert_eq!(asked(26, 99, 0).grant(&room), Err(Scarce { minimum: 26, free: 25 }));
        assert_eq!(asked(20, 99, 0).grant(&room), Ok(NonZeroU32::new(25)));
        assert_eq!(asked(0, 99, 0).grant(&room), Ok(NonZeroU32::new(25)));
        // With all of it free, a twentieth.
        let empty = Room { share: 1000 * TUNNEL_BLOCK, used: 0 };
        assert_eq!(asked(0, 99, 0).grant(&empty), Ok(NonZeroU32::new(50)));
    }

    #[test]
    fn who_names_no_minimum_is_not_refused_for_what_is_not_there() {
        let full = Room { share: 1000, used: 5000 };
        assert_eq!(asked(0, 99, 0).grant(&full), Ok(NonZeroU32::new(1)));
        assert_eq!(asked(0, 0, 9).grant(&full), Ok(None));
        assert_eq!(BandwidthRequest::default().grant(&full), Ok(None));
        assert_eq!(asked(1, 0, 0).grant(&full), Err(Scarce { minimum: 1, free: 0 }));
    }

    #[test]
    fn an_answer_tells_what_was_set_aside() {
        let told = write_available(NonZeroU32::new(25));
        assert_eq!(told.iter().collect::<Vec<_>>(), [("b", "25")]);
        assert_eq!(read_available(&told), NonZeroU32::new(25));
        assert!(write_available(None).is_empty());
        assert_eq!(read_available(&options(&[("b", "0")])), None);
        assert_eq!(read_available(&options(&[("b", "-3")])), None);
    }

    proptest! {
        #[test]
        fn what_is_asked_survives_and_what_is_granted_lies_between(
            mut asked_for in any::<[u32; 3]>(), given in any::<[bool; 3]>(),
            share in 0u64..1 << 40, used in 0u64..1 << 40,
        ) {
            asked_for.sort_unstable();
            let [m, r, l] = [0, 1, 2].map(|n| if given[n] { asked_for[n] } else { 0 });
            let request = asked(m, r, l);
            prop_assert_eq!(BandwidthRequest::read(&request.write()), Ok(request));
            match request.grant(&Room { share, used }) {
                Ok(None) => prop_assert_eq!((m, r), (0, 0)),
                Ok(Some(granted)) => {
                    prop_assert!(granted.get() >= m.max(1));
                    prop_assert!(granted.get() <= r.max(m));
                }
                Err(Scarce { free, .. }) => prop_assert!(u64::from(m) > free),
            }
        }

        #[test]
        fn any_text_gives_a_number_or_an_error(text in ".{0,12}") {
            let mut given = Mapping::new();
            prop_assume!(given.insert("m", &text).is_ok());
            let _ = BandwidthRequest::read(&given);
        }
    }
}

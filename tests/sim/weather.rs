//! What the network does to connections: latency, segments that are lost and sent again, connections that are lost.

use floodway::base::rng::ShardRng;

/// Microseconds of a millisecond.
const MS: u64 = 1_000;
/// Bytes of a segment.
const SEGMENT: usize = 1_448;
/// Time after which a lost segment is sent again, doubled each time.
const RESEND: u64 = 200 * MS;
/// Time after which a lost connection attempt is repeated, doubled each time.
const REDIAL: u64 = 1_000 * MS;
/// Attempts, of segments and of connections, after which the connection is lost.
const TRIES_MAX: u32 = 6;
/// How long a connection bears that nothing comes through.
const PATIENCE: u64 = 30_000 * MS;

/// What becomes of something that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Arrives,
    Lost,
}

/// The state of all links. Without loss unless it is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Segments that are lost, of 100.
    pub loss_percent: usize,
}

impl Weather {
    /// Time from one end to the other, in microseconds.
    pub fn latency(&self, rng: &mut ShardRng) -> u64 {
        5 * MS + u64::try_from(rng.below(45_000)).unwrap()
    }

    /// Until when a connection attempt arrives, or is given up.
    pub fn dial(&self, cut: bool, rng: &mut ShardRng) -> (u64, Fate) {
        let latency = self.latency(rng);
        match self.tries(rng).filter(|_| !cut) {
            Some(lost) => (latency + waited(REDIAL, lost), Fate::Arrives),
            None => (waited(REDIAL, 4), Fate::Lost),
        }
    }

    /// Until when bytes on a connection arrive, or the connection is lost.
    pub fn carry(&self, bytes: usize, rng: &mut ShardRng) -> (u64, Fate) {
        let mut delay = self.latency(rng);
        let latency = delay;
        for _ in 0..bytes.div_ceil(SEGMENT) {
            match self.tries(rng) {
                Some(lost) => delay = delay.max(latency + waited(RESEND, lost)),
                None => return (0, Fate::Lost),
            }
        }
        (delay, Fate::Arrives)
    }

    /// How long what a partition holds back is waited for.
    pub fn patience(&self) -> u64 {
        PATIENCE
    }

    /// How often something is lost before it arrives, if it does.
    fn tries(&self, rng: &mut ShardRng) -> Option<u32> {
        if self.loss_percent == 0 {
            return Some(0);
        }
        (0..TRIES_MAX).find(|_| rng.below(100) >= self.loss_percent)
    }
}

/// Time spent waiting when `lost` attempts fail, the first of them after `first`.
fn waited(first: u64, lost: u32) -> u64 {
    first * ((1 << lost) - 1)
}

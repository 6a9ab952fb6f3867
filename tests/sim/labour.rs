//! What a shard's work takes, so that in a simulated world, too, it can have more to do than it gets done.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use floodway::actor::contract::Effort;
use floodway::base::permille::Permille;
use floodway::shard::core::{Input, Shard};

/// In microseconds.
const SECOND: u64 = 1_000_000;
/// Inputs of one turn, as in `runtime/pump.rs`.
const INPUTS_PER_TURN: usize = 1024;

/// Prices of work in microseconds.
#[derive(Clone, Copy)]
pub struct Prices {
    /// Of a Diffie-Hellman with all that hangs on it.
    pub diffie_hellman: u64,
    /// Of a message that comes: its share of the kernel's work, opened and parsed.
    pub received: u64,
    /// Of a tunnel message that goes on: its layer, its seal, its share of the kernel's work.
    pub carried: u64,
}

/// Shards of one node that take their time.
pub struct Labour {
    node: usize,
    prices: Prices,
    desks: HashMap<usize, Desk>,
}

/// One shard: what waits for it, and until when it is busy.
#[derive(Default)]
struct Desk {
    /// With the time at which each came.
    inputs: VecDeque<(u64, Input)>,
    /// How long those of this second have waited: how many, and for how long in all.
    waits: (u32, Duration),
    told: u64,
    until: u64,
    paid: u64,
    /// What was paid when it was told last.
    told_paid: u64,
}

impl Labour {
    /// The shards of `node` work at these prices from now on.
    pub fn of(node: usize, prices: Prices) -> Self {
        Self { node, prices, desks: HashMap::new() }
    }

    /// Whether the shards of this node take their time.
    pub fn is_of(&self, node: usize) -> bool {
        node == self.node
    }

    /// Puts an input where its shard finds it, and says until when that is busy.
    pub fn put(&mut self, shard: usize, input: Input, now: u64) -> u64 {
        let desk = self.desks.entry(shard).or_default();
        desk.inputs.push_back((now, input));
        desk.until
    }

    /// The inputs of a turn, and each second what the shard has had to do, as the pump tells it.
    pub fn take(&mut self, (node, shard): (usize, usize), now: u64) -> Vec<Input> {
        if node != self.node {
            return Vec::new();
        }
        let desk = self.desks.entry(shard).or_default();
        let count = desk.inputs.len().min(INPUTS_PER_TURN);
        let (waits, sum) = &mut desk.waits;
        let mut inputs: Vec<_> = desk
            .inputs
            .drain(..count)
            .map(|(at, input)| {
                *waits += 1;
                *sum += Duration::from_micros(now - at);
                input
            })
            .collect();
        if now - desk.told >= SECOND
            && let Some(mean) = sum.checked_div(*waits)
        {
            let busy = Permille::of(desk.paid - desk.told_paid, Some(now - desk.told));
            inputs.push(Input::Effort(Effort { queue_delay: mean, busy }));
            (desk.waits, desk.told, desk.told_paid) = ((0, Duration::ZERO), now, desk.paid);
        }
        inputs
    }

    /// Until when a shard is busy after a turn that ended with these counts; whether inputs wait for it.
    pub fn charge(&mut self, place: (usize, usize), shard: &Shard, now: u64) -> (u64, bool) {
        if place.0 != self.node {
            return (now, false);
        }
        let due = self.prices.of(shard);
        let desk = self.desks.entry(place.1).or_default();
        // What was done before the clock ran is not paid for.
        let price = if desk.paid == 0 { 0 } else { due - desk.paid };
        desk.paid = due;
        desk.until = now + price;
        (desk.until, !desk.inputs.is_empty())
    }

    /// Until when a shard is busy.
    pub fn until(&self, (node, shard): (usize, usize)) -> u64 {
        let desk = self.desks.get(&shard).filter(|_| node == self.node);
        desk.map_or(0, |desk| desk.until)
    }
}

impl Prices {
    /// What all has cost that a shard has done since its start.
    fn of(&self, shard: &Shard) -> u64 {
        let report = shard.report();
        let count = |name: &str, label: &str| -> u64 {
            let of_name = report.samples.iter().filter(|sample| sample.name == name);
            let wanted = of_name
                .filter(|s| label.is_empty() || s.labels.iter().any(|(_, value)| value == label));
            wanted.map(|sample| sample.value).sum()
        };
        let batches = report.histograms.iter().find(|h| h.name == "diffie_hellman_batch");
        let diffie_hellmans = batches.map_or(0, |batches| batches.histogram.sum());
        self.diffie_hellman * diffie_hellmans
            + self.received * count("messages_total", "received")
            + self.carried * count("transit_messages_total", "")
    }
}

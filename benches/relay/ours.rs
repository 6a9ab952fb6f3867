//! Our network, alone on its ring, and inside the whole loop of a shard with its executor.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use floodway::base::id::{ConnectionId, ShardId};
use floodway::base::time::{Instant, Now};
use floodway::runtime::clock::Clock;
use floodway::runtime::launch::{Plan, Running, start};
use floodway::runtime::probe;
use floodway::runtime::pump::Machine;
use floodway::runtime::ring::{Ring, RingSize};
use floodway::runtime::tcp::{Event, Network};
use floodway::shard::core::{Input, Output};
use floodway::shard::report::ShardReport;
use rustix::event::{EventfdFlags, eventfd};

use crate::frames::whole;

/// Events of one turn and depth of the ring, as a shard has them.
const EVENTS: usize = 1024;
const DEPTH: u16 = 1024;

/// What a network counted that was turned by hand.
#[derive(Default)]
pub struct Counts {
    /// Calls into the kernel, those to sleep included.
    pub calls: AtomicU64,
    /// Turns.
    pub turns: AtomicU64,
}

/// Starts of frames whose rest has not come, by connection.
#[derive(Default)]
struct Relay {
    parts: HashMap<ConnectionId, Vec<u8>>,
}

impl Relay {
    /// The whole frames, to be sent back.
    fn received(&mut self, connection: ConnectionId, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let part = self.parts.entry(connection).or_default();
        if !part.is_empty() {
            part.append(&mut bytes);
            bytes = std::mem::take(part);
        }
        let end = whole(&bytes);
        if end < bytes.len() {
            *part = bytes.split_off(end);
        }
        (end > 0).then_some(bytes)
    }
}

/// Turns a network as the pump does until this many connections have come and gone.
pub fn serve(listener: TcpListener, connections: usize, counts: &Counts) -> io::Result<()> {
    let counter = eventfd(0, EventfdFlags::CLOEXEC)?;
    let ring = Ring::new(RingSize::of_depth(DEPTH), counter.as_fd()).map_err(io::Error::other)?;
    let mut network = Network::new(ShardId(0), ring, Clock::start(), None, connections);
    network.start_accepting(listener)?;
    let mut bell = std::fs::File::from(counter);
    let (mut relay, mut left, mut sleeps) = (Relay::default(), connections, 0);
    while left > 0 {
        for _ in 0..EVENTS {
            let Some((_, event)) = network.next_event() else { break };
            match event {
                Event::Received { connection, bytes } => {
                    if let Some(frames) = relay.received(connection, bytes) {
                        network.send(connection, frames);
                    }
                }
                Event::Closed { .. } => left -= 1,
                Event::Accepted { .. } | Event::Sent { .. } => {}
                Event::Connected { .. } | Event::ConnectFailed { .. } => {
                    unreachable!("nothing was dialled")
                }
            }
        }
        network.flush()?;
        counts.turns.fetch_add(1, Ordering::Relaxed);
        if left > 0 && !network.wants_turn() {
            if !network.arm()? {
                counts.calls.store(network.counts().calls + sleeps + 1, Ordering::Release);
                bell.read_exact(&mut [0; 8])?;
                sleeps += 1;
            }
            network.disarm();
        }
    }
    Ok(())
}

/// A machine in place of the shard.
#[derive(Default)]
struct Echo {
    relay: Relay,
    outputs: VecDeque<Output>,
}

impl Machine for Echo {
    fn handle(&mut self, input: Input, _now: Now) {
        if let Input::Received { connection, bytes } = input
            && let Some(bytes) = self.relay.received(connection, bytes)
        {
            self.outputs.push_back(Output::Send { connection, bytes });
        }
    }

    fn turn(&mut self, _now: Now) {}

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn report(&self) -> ShardReport {
        ShardReport::empty(ShardId(0))
    }
}

/// Starts one shard, which the runtime pins to the first of our CPUs.
pub fn launch(listener: TcpListener) -> Running {
    let plan = Plan {
        clock: Clock::start(),
        listeners: vec![listener],
        dial_from: None,
        router_info_path: "/nonexistent/router.info".into(),
        last_seen_path: "/nonexistent/last_seen".into(),
        records: None,
        allowance: probe::check().expect("this machine lets a router run"),
        make: |_shard, _rng, _now: Now| Echo::default(),
    };
    start(plan).expect("a shard starts")
}

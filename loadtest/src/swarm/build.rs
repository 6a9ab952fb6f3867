//! Building the tunnels of a swarm, a few at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use floodway::wire::i2np::I2npMessage;
use serde::Serialize;

use crate::tunnels::{AskedTunnel, BuildFailure, Role, Tunnel, ask};

use super::load::Stream;
use super::{Swarm, SwarmError};

/// Builds under way at once.
const PENDING_MAX: usize = 16;
/// Time that a reply may take.
const REPLY_TIME_MAX: Duration = Duration::from_secs(10);
/// How often one tunnel is asked for.
const ATTEMPTS_MAX: u32 = 3;

/// What became of the tunnels of one role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BuildCounts {
    /// Tunnels that are there.
    pub built: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Requests that were answered with no.
    pub refused: u64,
    /// Requests that nobody answered within 10 s.
    pub unanswered: u64,
    /// Answers that could not be read.
    pub unreadable: u64,
}

impl BuildCounts {
    /// Adds what another swarm, or another role, came to.
    pub fn add(&mut self, other: &Self) {
        self.built += other.built;
        self.requests += other.requests;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.unreadable += other.unreadable;
    }
}

#[derive(Default)]
pub(super) struct Builds {
    pending: Vec<Pending>,
    counts: BTreeMap<Role, BuildCounts>,
    /// Tunnels to ask for: role, sender, receiver, attempt.
    wanted: Vec<Wanted>,
}

#[derive(Clone, Copy)]
struct Wanted {
    role: Role,
    sender: usize,
    receiver: usize,
    attempt: u32,
}

struct Pending {
    wanted: Wanted,
    asked: AskedTunnel,
    deadline: Duration,
}

impl Swarm {
    /// Builds `count` tunnels in which the router under test has `role`, between neighbouring played routers, each
    /// in three attempts at most.
    ///
    /// # Errors
    /// When a request cannot be made, a session is lost for good, or a signal came; not when tunnels are refused.
    pub fn build(&mut self, role: Role, count: usize) -> Result<BuildCounts, SwarmError> {
        let members = self.members.len();
        // Each role has its own distance between sender and receiver, so that sessions are used evenly.
        let distance = match role {
            Role::Participant => 1,
            Role::Gateway => 2,
            Role::Endpoint => 3,
        };
        for index in 0..count {
            let sender = index % members;
            let mut receiver = (sender + distance) % members;
            if receiver == sender {
                receiver = (sender + 1) % members;
            }
            self.builds.wanted.push(Wanted { role, sender, receiver, attempt: 1 });
        }
        self.builds.wanted.reverse();
        while !self.builds.wanted.is_empty() || !self.builds.pending.is_empty() {
            while self.builds.pending.len() < PENDING_MAX
                && let Some(wanted) = self.builds.wanted.pop()
            {
                self.request(wanted)?;
            }
            let end = self.clock.elapsed() + Duration::from_millis(20);
            self.round(end)?;
            self.give_up_builds();
        }
        Ok(self.build_counts(role))
    }

    /// What became of the builds of one role.
    #[must_use]
    pub fn build_counts(&self, role: Role) -> BuildCounts {
        self.builds.counts.get(&role).copied().unwrap_or_default()
    }

    fn request(&mut self, wanted: Wanted) -> Result<(), SwarmError> {
        let receiver = self.members.get(wanted.receiver).map(|member| member.router.hash());
        let now = self.clock.now();
        let (Some(subject), Some(receiver), Some(sender)) =
            (self.subject, receiver, self.members.get_mut(wanted.sender))
        else {
            return Ok(());
        };
        let (request, asked) = ask(wanted.role, subject.hop, &mut sender.router, receiver, now)?;
        self.builds.counts.entry(wanted.role).or_default().requests += 1;
        let deadline = self.clock.elapsed() + REPLY_TIME_MAX;
        self.builds.pending.push(Pending { wanted, asked, deadline });
        self.send(wanted.sender, &request);
        Ok(())
    }

    /// Takes a message that may be the reply to a build; whether it was.
    pub(super) fn settle_build(&mut self, member: usize, message: &I2npMessage) -> bool {
        let found = self.builds.pending.iter().position(|pending| {
            pending.wanted.receiver == member && pending.asked.is_reply(message)
        });
        let Some(found) = found else { return false };
        let Pending { wanted, asked, .. } = self.builds.pending.swap_remove(found);
        let counts = self.builds.counts.entry(wanted.role).or_default();
        match asked.settle(message) {
            Ok(tunnel) => {
                counts.built += 1;
                self.add_stream(wanted.sender, wanted.receiver, tunnel);
            }
            Err(BuildFailure::Refused { .. }) => {
                counts.refused += 1;
                self.ask_again(wanted);
            }
            Err(BuildFailure::Reply(_) | BuildFailure::Packaging) => {
                counts.unreadable += 1;
                self.ask_again(wanted);
            }
        }
        true
    }

    fn give_up_builds(&mut self) {
        let now = self.clock.elapsed();
        while let Some(late) = self.builds.pending.iter().position(|p| p.deadline <= now) {
            let Pending { wanted, .. } = self.builds.pending.swap_remove(late);
            self.builds.counts.entry(wanted.role).or_default().unanswered += 1;
            self.ask_again(wanted);
        }
    }

    fn ask_again(&mut self, wanted: Wanted) {
        if wanted.attempt < ATTEMPTS_MAX {
            self.builds.wanted.push(Wanted { attempt: wanted.attempt + 1, ..wanted });
        }
    }

    fn add_stream(&mut self, sender: usize, receiver: usize, tunnel: Tunnel) {
        let index = self.streams.len();
        if let Some(member) = self.members.get_mut(receiver) {
            member.arrivals.insert(tunnel.arrives(), index);
        }
        self.streams.push(Stream::new(sender, receiver, tunnel));
    }
}

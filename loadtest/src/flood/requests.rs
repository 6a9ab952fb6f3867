//! The routers that flood: they make their requests beforehand, and then send them at a pace.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Result, anyhow};
use floodway::base::limits::MESSAGE_LIFE;
use floodway::wire::i2np::I2npMessage;

use crate::clock::Clock;
use crate::swarm::{Subject, Swarm};
use crate::tunnels::{AskedTunnel, Role, ask};

/// Longest pause between two looks at what is due.
const STEP: Duration = Duration::from_millis(1);
/// Requests of one router in a row: they share frames.
const ROW: usize = 8;
/// How long answers are waited for when all is sent.
const PATIENCE: Duration = Duration::from_millis(500);

/// What came of one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Requests that went out.
    pub sent: u64,
    /// Requests that were due and did not, because the router under test did not read.
    pub held_back: u64,
    /// Requests that came back with an answer in them.
    pub answers: u64,
}

/// Played routers with sessions of their own.
pub(super) struct Flooders {
    swarm: Swarm,
    subject: Subject,
    /// What each router is to send.
    ready: Vec<VecDeque<I2npMessage>>,
}

impl Flooders {
    /// Opens the sessions.
    pub(super) fn join(mut swarm: Swarm, subject: Subject) -> Result<Self> {
        swarm.introduce(subject)?;
        let ready = (0..swarm.size()).map(|_| VecDeque::new()).collect();
        Ok(Self { swarm, subject, ready })
    }

    /// Makes `count` requests for tunnels from each router to the next, in which the router under test would be the gateway.
    pub(super) fn make(&mut self, count: usize) -> Result<()> {
        let routers = self.swarm.size().max(1);
        for number in 0..count {
            let member = number / ROW % routers;
            let (request, _) = self.request(member)?;
            if let Some(ready) = self.ready.get_mut(member) {
                ready.push_back(request);
            }
            // Sessions are kept, and what comes is taken.
            if number.is_multiple_of(1024) {
                self.swarm.step(Duration::ZERO)?;
            }
        }
        Ok(())
    }

    fn request(&mut self, member: usize) -> Result<(I2npMessage, AskedTunnel)> {
        let missing = || anyhow!("played router {member} does not exist");
        let next = (member + 1) % self.swarm.size().max(1);
        let (hop, now) = (self.subject.hop, self.swarm.now());
        let receiver = self.swarm.hash_of(next).ok_or_else(missing)?;
        let router = self.swarm.router_mut(member).ok_or_else(missing)?;
        Ok(ask(Role::Gateway, hop, router, receiver, now)?)
    }

    /// Sends what was made, `rate` requests a second, for `length`.
    pub(super) fn flood(&mut self, rate: u32, length: Duration, clock: Clock) -> Result<Sent> {
        let begun = clock.elapsed();
        let (mut sent, mut due_so_far) = (Sent::default(), 0);
        loop {
            let elapsed = clock.elapsed().saturating_sub(begun);
            let due = u128::from(rate) * elapsed.min(length).as_micros() / 1_000_000;
            let due = u64::try_from(due).unwrap_or(u64::MAX);
            self.send_row(due - due_so_far, due_so_far, clock, &mut sent);
            due_so_far = due;
            self.swarm.step(STEP)?;
            sent.answers += self.answers();
            if elapsed > length + PATIENCE {
                // What was held back is not for the next window.
                self.ready.iter_mut().for_each(VecDeque::clear);
                return Ok(sent);
            }
        }
    }

    /// Sends `count` requests, of which so many went before.
    fn send_row(&mut self, count: u64, before: u64, clock: Clock, sent: &mut Sent) {
        let routers = self.swarm.size().max(1);
        let expiration = clock.now().unix + MESSAGE_LIFE;
        for number in before..before + count {
            let member = usize::try_from(number).unwrap_or(usize::MAX) / ROW % routers;
            let takes_more = self.swarm.takes_more(member);
            let request = self.ready.get_mut(member).filter(|_| takes_more);
            match request.and_then(VecDeque::pop_front) {
                Some(mut request) => {
                    request.expiration = expiration;
                    self.swarm.send(member, &request);
                    sent.sent += 1;
                }
                None => sent.held_back += 1,
            }
        }
    }

    /// Answers that have come: build messages that no tunnel of the swarm waits for.
    fn answers(&mut self) -> u64 {
        std::iter::from_fn(|| self.swarm.next_unclaimed())
            .filter(|(_, message)| {
                message.kind == floodway::wire::i2np::MessageType::ShortTunnelBuild
            })
            .count()
            .try_into()
            .unwrap_or(u64::MAX)
    }

    pub(super) fn close(mut self) {
        self.swarm.close_all();
    }
}

//! The sockets of a swarm: accepting, reading, writing, and epoll.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use floodway::wire::i2np::I2npMessage;
use floodway::wire::ntcp2::TerminationReason;
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, OwnedFd};
use socket2::SockRef;

use crate::driver::is_timeout;
use crate::played::{PlayedConnection, PlayedRouter};

use super::{Swarm, SwarmError};

/// Bytes that may wait in a socket's queue before its tunnels stop sending.
const QUEUE_FULL: usize = 256 * 1024;
/// What the kernel takes beyond what the router under test lets it send.
const UNSENT: u32 = 64 << 10;
/// Events taken from epoll at once.
const EVENTS_MAX: usize = 64;

/// What an epoll event is about.
#[derive(Clone, Copy)]
pub(super) enum Token {
    /// A played router's listener.
    Listener(usize),
    /// A connection.
    Socket(usize),
}

impl Token {
    fn data(self) -> epoll::EventData {
        let (side, index) = match self {
            Self::Listener(index) => (0, index),
            Self::Socket(index) => (1, index),
        };
        epoll::EventData::new_u64(u64::try_from(index).unwrap_or(u64::MAX) << 1 | side)
    }

    fn from_data(data: epoll::EventData) -> Self {
        let word = data.u64();
        let index = usize::try_from(word >> 1).unwrap_or(usize::MAX);
        if word & 1 == 0 { Self::Listener(index) } else { Self::Socket(index) }
    }
}

/// Has epoll tell when `source` can be read.
pub(super) fn watch(epoll: &OwnedFd, source: impl AsFd, token: Token) -> io::Result<()> {
    Ok(epoll::add(epoll, source, token.data(), epoll::EventFlags::IN)?)
}

/// One connection of one played router.
pub(super) struct Socket {
    member: usize,
    stream: TcpStream,
    connection: PlayedConnection,
    outgoing: Vec<u8>,
    /// How much of `outgoing` has been written.
    written: usize,
    dirty: bool,
    blocked: bool,
}

impl Socket {
    pub(super) fn queue(&mut self, message: &I2npMessage) {
        self.connection.send(message);
        self.dirty = true;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Whether so much waits here that nothing should be added.
    pub(super) fn is_full(&self) -> bool {
        self.outgoing.len() - self.written > QUEUE_FULL
    }

    pub(super) fn say_goodbye(&mut self) {
        self.connection.terminate(TerminationReason::Normal);
    }

    /// Writes as much as goes; whether all went.
    fn write(
        &mut self,
        router: &mut PlayedRouter,
        now: floodway::base::time::Now,
    ) -> io::Result<bool> {
        self.dirty = false;
        let bytes = self.connection.take_output(router, now);
        if self.outgoing.is_empty() {
            self.outgoing = bytes;
        } else {
            self.outgoing.extend_from_slice(&bytes);
        }
        while let Some(rest) = self.outgoing.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(count) => self.written += count,
                Err(error) if is_timeout(&error) => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        Ok(true)
    }
}

impl Swarm {
    /// Takes a connection of `member` into the swarm; gives its index.
    pub(super) fn adopt(
        &mut self,
        member: usize,
        stream: TcpStream,
        connection: PlayedConnection,
    ) -> Result<usize, SwarmError> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        // What the router under test does not read is held back here, and does not wait in the kernel as if it were under way.
        SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)?;
        let free = self.sockets.iter().position(Option::is_none);
        let index = free.unwrap_or(self.sockets.len());
        watch(&self.epoll, &stream, Token::Socket(index))?;
        let socket = Socket {
            member,
            stream,
            connection,
            outgoing: Vec::new(),
            written: 0,
            dirty: false,
            blocked: false,
        };
        match self.sockets.get_mut(index) {
            Some(slot) => *slot = Some(socket),
            None => self.sockets.push(Some(socket)),
        }
        Ok(index)
    }

    /// Waits at most `patience` for sockets, and handles those that have something.
    pub(super) fn wait(&mut self, patience: Duration) -> Result<(), SwarmError> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; EVENTS_MAX];
        let timeout = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        };
        let count = match epoll::wait(&self.epoll, &mut events, Some(&timeout)) {
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => 0,
            Err(error) => return Err(io::Error::from(error).into()),
        };
        for event in events.into_iter().take(count) {
            match Token::from_data(event.data) {
                Token::Listener(member) => self.accept(member)?,
                Token::Socket(index) => {
                    let flags = event.flags;
                    if flags.contains(epoll::EventFlags::OUT) {
                        self.flush(index);
                    }
                    if flags.intersects(!epoll::EventFlags::OUT) {
                        self.read(index);
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, member: usize) -> Result<(), SwarmError> {
        let now = self.clock.now();
        let Some(listening) = self.members.get_mut(member) else { return Ok(()) };
        match listening.listener.accept() {
            Ok((stream, _)) => {
                let connection = PlayedConnection::accept(&mut listening.router, now);
                self.adopt(member, stream, connection).map(|_| ())
            }
            Err(error) if is_timeout(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn read(&mut self, index: usize) {
        let now = self.clock.now();
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) else { return };
        let count = match socket.stream.read(&mut self.buffer) {
            Ok(0) => return self.close(index),
            Ok(count) => count,
            Err(error) if is_timeout(&error) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return,
            Err(_) => return self.close(index),
        };
        let member = socket.member;
        let Some(router) = self.members.get_mut(member).map(|member| &mut member.router) else {
            return;
        };
        let mut events = std::mem::take(&mut self.events);
        let bytes = self.buffer.get_mut(..count).unwrap_or_default();
        let outcome = socket.connection.handle_bytes(router, bytes, now, &mut events);
        for event in events.drain(..) {
            self.handle_event(member, index, event);
        }
        self.events = events;
        self.flush(index);
        if outcome.is_err() {
            self.close(index);
        }
    }

    /// Writes out what the rounds have queued.
    pub(super) fn flush_all(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            self.flush(index);
        }
        self.dirty = dirty;
    }

    pub(super) fn flush(&mut self, index: usize) {
        let now = self.clock.now();
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::as_mut) else { return };
        let Some(member) = self.members.get_mut(socket.member) else { return };
        match socket.write(&mut member.router, now) {
            Ok(all) => {
                if socket.blocked == all {
                    socket.blocked = !all;
                    let wanted = if all {
                        epoll::EventFlags::IN
                    } else {
                        epoll::EventFlags::IN | epoll::EventFlags::OUT
                    };
                    let token = Token::Socket(index).data();
                    // It fails only for a socket that is not watched, and this one is.
                    let _ = epoll::modify(&self.epoll, &socket.stream, token, wanted);
                }
            }
            Err(_) => self.close(index),
        }
    }

    /// Forgets a connection; its router is dialled again if it was the one in use.
    pub(super) fn close(&mut self, index: usize) {
        let Some(socket) = self.sockets.get_mut(index).and_then(Option::take) else { return };
        // Closing the descriptor takes it out of the set as well.
        let _ = epoll::delete(&self.epoll, &socket.stream);
        let other = self.sockets.iter().position(|other| {
            other.as_ref().is_some_and(|other| {
                other.member == socket.member && other.connection.is_established()
            })
        });
        if let Some(member) = self.members.get_mut(socket.member)
            && member.session == Some(index)
        {
            member.session = other;
        }
    }

    /// Whether the session of a played router takes more at the moment.
    pub(crate) fn takes_more(&self, member: usize) -> bool {
        let session = self.members.get(member).and_then(|member| member.session);
        let socket = session.and_then(|index| self.sockets.get(index)).and_then(Option::as_ref);
        socket.is_some_and(|socket| !socket.is_full())
    }
}

//! The reference: a plain epoll loop, as one would write it who needs nothing else.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::frames::whole;

/// Bytes of the one buffer that all reads share.
const BUFFER: usize = 64 * 1024;
/// Connections that are looked at by one call.
const EVENTS: usize = 1024;

struct Connection {
    stream: TcpStream,
    /// The start of a frame whose rest has not come.
    part: Vec<u8>,
    /// What the kernel did not take.
    unsent: Vec<u8>,
}

/// Accepts this many connections and sends back whole frames until all have closed.
pub fn serve(listener: &TcpListener, connections: usize) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        epoll::add(&epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)?;
        open.push(Some(Connection { stream, part: Vec::new(), unsent: Vec::new() }));
    }
    let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
    let (mut events, mut buffer) = ([none; EVENTS], vec![0; BUFFER]);
    let mut left = connections;
    while left > 0 {
        let count = epoll::wait(&epoll, &mut events, None)?;
        for event in &events[..count] {
            let number = usize::try_from(event.data.u64()).expect("it was a usize");
            let Some(connection) = &mut open[number] else { continue };
            let flags = event.flags;
            if flags.contains(EventFlags::OUT) {
                connection.send_rest(&epoll, number)?;
            }
            if !connection.relay(&epoll, number, &mut buffer)? {
                open[number] = None;
                left -= 1;
            }
        }
    }
    Ok(())
}

impl Connection {
    /// One read, and one write of all whole frames. False at the end of the connection.
    fn relay(&mut self, epoll: &OwnedFd, number: usize, buffer: &mut [u8]) -> io::Result<bool> {
        let kept = self.part.len();
        buffer[..kept].copy_from_slice(&self.part);
        let length = match self.stream.read(&mut buffer[kept..]) {
            Ok(0) => return Ok(false),
            Ok(length) => kept + length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let bytes = &buffer[..length];
        let (frames, part) = bytes.split_at(whole(bytes));
        self.part.clear();
        self.part.extend_from_slice(part);
        if frames.is_empty() {
            return Ok(true);
        }
        let sent = if self.unsent.is_empty() { self.write(frames)? } else { 0 };
        if sent < frames.len() {
            self.unsent.extend_from_slice(&frames[sent..]);
            watch(epoll, &self.stream, number, EventFlags::IN | EventFlags::OUT)?;
        }
        Ok(true)
    }

    fn send_rest(&mut self, epoll: &OwnedFd, number: usize) -> io::Result<()> {
        let sent = self.write(&self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            watch(epoll, &self.stream, number, EventFlags::IN)?;
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match (&self.stream).write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            result => result,
        }
    }
}

fn watch(epoll: &OwnedFd, stream: &TcpStream, number: usize, flags: EventFlags) -> io::Result<()> {
    Ok(epoll::modify(epoll, stream, EventData::new_u64(number as u64), flags)?)
}

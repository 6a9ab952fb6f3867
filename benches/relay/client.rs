//! The client: many connections to one server, each with some frames under way, driven by plain epoll.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use socket2::SockRef;

use crate::frames::{FRAME, frames};

/// Frames that a connection has under way at most.
pub const DEPTH_MAX: usize = 16;
/// Bytes of one read.
const READ: usize = 64 * 1024;
/// Connections that are looked at by one call.
const EVENTS: usize = 1024;

/// Connections to one server.
pub struct Client {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// As many frames as may be sent at once.
    outgoing: Vec<u8>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// Frames under way.
    under_way: usize,
    /// Bytes of the next frame that have come back.
    part: usize,
}

/// Whether the client looks at what comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// At every byte.
    Bytes,
    /// At their number.
    Count,
}

/// Has a socket send as soon as it can, as by default, also where the system's default is to pace by timers, as BBR does:
/// over loopback these are all that one would see.
pub fn unpaced(socket: &impl AsFd) {
    // Where this fails the default is kept, for all alike.
    let _ = SockRef::from(socket).set_tcp_congestion(b"cubic");
}

impl Client {
    /// As many connections to `address`.
    pub fn connect(address: SocketAddr, connections: usize) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut made = Vec::with_capacity(connections);
        for number in 0..connections {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            unpaced(&stream);
            epoll::add(&epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)?;
            made.push(Connection { stream, under_way: 0, part: 0 });
        }
        let (outgoing, buffer) = (frames(DEPTH_MAX), vec![0; READ]);
        Ok(Self { epoll, connections: made, outgoing, buffer })
    }

    /// Keeps `depth` frames under way on each connection for this long and waits for those that are then; says how
    /// many came back.
    pub fn run(&mut self, depth: usize, time: Duration, check: Check) -> io::Result<u64> {
        let start = Instant::now();
        let mut under_way = 0;
        for connection in &mut self.connections {
            connection.stream.write_all(&self.outgoing[..depth * FRAME])?;
            connection.under_way = depth;
            under_way += depth;
        }
        let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let (mut events, mut came_back, mut ends) = ([none; EVENTS], 0, false);
        while under_way > 0 {
            let count = epoll::wait(&self.epoll, &mut events, None)?;
            ends = ends || start.elapsed() >= time;
            for event in &events[..count] {
                let number = usize::try_from(event.data.u64()).expect("it was a usize");
                let connection = &mut self.connections[number];
                let length = connection.stream.read(&mut self.buffer)?;
                let back = connection.received(&self.buffer[..length], &self.outgoing, check)?;
                came_back += back as u64;
                if ends {
                    under_way -= back;
                } else if back > 0 {
                    connection.stream.write_all(&self.outgoing[..back * FRAME])?;
                    connection.under_way += back;
                }
            }
        }
        Ok(came_back)
    }
}

impl Connection {
    /// Takes in bytes; how many frames are now whole.
    fn received(&mut self, bytes: &[u8], sent: &[u8], check: Check) -> io::Result<usize> {
        let begun = self.part + bytes.len();
        if bytes.is_empty() || begun > self.under_way * FRAME {
            return Err(io::Error::other("the server closed, or sent what it was not sent"));
        }
        if check == Check::Bytes && bytes != &sent[self.part..begun] {
            return Err(io::Error::other("what came back is not what was sent"));
        }
        self.part = begun % FRAME;
        self.under_way -= begun / FRAME;
        Ok(begun / FRAME)
    }
}

//! Plays a router over real sockets, one call after the other: for tests, and for the beginning of a load.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use floodway::base::id::RouterHash;
use floodway::wire::i2np::{I2npMessage, MessageType};
use floodway::wire::ntcp2::TerminationReason;
use floodway::wire::router_address::Ntcp2Endpoint;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::clock::Clock;
use crate::played::{PlayedConnection, PlayedError, PlayedEvent, PlayedRouter};

/// Time that a connection and its handshake may take.
pub const DIAL_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes read at once.
const READ_SIZE: usize = 64 * 1024;

/// Why a connection could not be made or has ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket.
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
    /// The protocol.
    #[error(transparent)]
    Protocol(#[from] PlayedError),
    /// The other side closed the connection.
    #[error("the other side has closed the connection")]
    Closed,
    /// Nothing that was waited for came in time.
    #[error("nothing came within {0:?}")]
    TimedOut(Duration),
}

/// One NTCP2 connection of a played router over a blocking socket.
pub struct Link {
    stream: TcpStream,
    connection: PlayedConnection,
    clock: Clock,
    events: VecDeque<PlayedEvent>,
    closed: bool,
    buffer: Vec<u8>,
}

impl Link {
    /// Dials `endpoint` from the source address `from`, any port, and waits until the session stands.
    ///
    /// # Errors
    /// When there is no session within [`DIAL_TIME_MAX`].
    pub fn dial(
        router: &mut PlayedRouter,
        endpoint: &Ntcp2Endpoint,
        from: IpAddr,
        clock: Clock,
    ) -> Result<Self, LinkError> {
        let stream = connect_from(from, endpoint.address)?;
        let connection = PlayedConnection::dial(router, endpoint, clock.now())?;
        let mut link = Self::new(stream, connection, clock);
        link.establish(router)?;
        Ok(link)
    }

    /// Takes the next connection to `listener` and waits until the session stands.
    ///
    /// # Errors
    /// When there is no session within [`DIAL_TIME_MAX`].
    pub fn accept(
        router: &mut PlayedRouter,
        listener: &TcpListener,
        clock: Clock,
    ) -> Result<Self, LinkError> {
        let stream = accept_within(listener, clock, DIAL_TIME_MAX)?;
        stream.set_nonblocking(false)?;
        let connection = PlayedConnection::accept(router, clock.now());
        let mut link = Self::new(stream, connection, clock);
        link.establish(router)?;
        Ok(link)
    }

    fn new(stream: TcpStream, connection: PlayedConnection, clock: Clock) -> Self {
        let buffer = vec![0; READ_SIZE];
        Self { stream, connection, clock, events: VecDeque::new(), closed: false, buffer }
    }

    fn establish(&mut self, router: &mut PlayedRouter) -> Result<(), LinkError> {
        self.stream.set_nodelay(true)?;
        let deadline = self.clock.elapsed() + DIAL_TIME_MAX;
        self.flush(router)?;
        while !self.connection.is_established() {
            if !self.read(router, deadline)? {
                return Err(LinkError::TimedOut(DIAL_TIME_MAX));
            }
        }
        Ok(())
    }

    /// Sends a message at once.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(
        &mut self,
        router: &mut PlayedRouter,
        message: &I2npMessage,
    ) -> Result<(), LinkError> {
        self.connection.send(message);
        self.flush(router)
    }

    /// Sends bytes as they are, past the session: what a broken or hostile peer might do.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Says goodbye and closes.
    pub fn close(mut self, router: &mut PlayedRouter) {
        self.connection.terminate(TerminationReason::Normal);
        // The other side may be gone already; then there is nobody to say goodbye to.
        drop(self.flush(router));
    }

    /// The connection beneath, to queue what [`Link::send`] does not know; [`Link::flush`] sends it.
    pub fn connection(&mut self) -> &mut PlayedConnection {
        &mut self.connection
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn flush(&mut self, router: &mut PlayedRouter) -> Result<(), LinkError> {
        let bytes = self.connection.take_output(router, self.clock.now());
        Ok(self.stream.write_all(&bytes)?)
    }

    /// The next thing that comes within `patience`; `None` if nothing does.
    ///
    /// # Errors
    /// When the connection has ended and everything that came before its end has been handed out.
    pub fn receive(
        &mut self,
        router: &mut PlayedRouter,
        patience: Duration,
    ) -> Result<Option<PlayedEvent>, LinkError> {
        let deadline = self.clock.elapsed() + patience;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if !self.read(router, deadline)? {
                return Ok(None);
            }
        }
    }

    /// The next message of type `kind` within `patience`; whatever else comes is thrown away.
    ///
    /// # Errors
    /// When the connection ends, or no such message comes in time.
    pub fn expect(
        &mut self,
        router: &mut PlayedRouter,
        kind: MessageType,
        patience: Duration,
    ) -> Result<I2npMessage, LinkError> {
        let deadline = self.clock.elapsed() + patience;
        loop {
            let left = deadline.saturating_sub(self.clock.elapsed());
            match self.receive(router, left)? {
                Some(PlayedEvent::Message(message)) if message.kind == kind => return Ok(message),
                Some(_) => {}
                None => return Err(LinkError::TimedOut(patience)),
            }
        }
    }

    /// Whether the other side closes within `patience`; what comes before is thrown away.
    pub fn closes_within(&mut self, router: &mut PlayedRouter, patience: Duration) -> bool {
        let deadline = self.clock.elapsed() + patience;
        loop {
            let left = deadline.saturating_sub(self.clock.elapsed());
            match self.receive(router, left) {
                Ok(Some(_)) => {}
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Takes the link apart: socket, connection, and the events that nobody has asked for.
    #[must_use]
    pub fn into_parts(self) -> (TcpStream, PlayedConnection, VecDeque<PlayedEvent>) {
        (self.stream, self.connection, self.events)
    }

    /// Reads once; `false` when `deadline` has passed.
    fn read(&mut self, router: &mut PlayedRouter, deadline: Duration) -> Result<bool, LinkError> {
        if self.closed {
            return Err(LinkError::Closed);
        }
        let left = deadline.saturating_sub(self.clock.elapsed());
        if left.is_zero() {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(left))?;
        let count = match self.stream.read(&mut self.buffer) {
            Ok(0) => {
                self.closed = true;
                return Err(LinkError::Closed);
            }
            Ok(count) => count,
            Err(error) if is_timeout(&error) => return Ok(false),
            Err(error) => {
                self.closed = true;
                return Err(error.into());
            }
        };
        let mut events = Vec::new();
        let bytes = self.buffer.get_mut(..count).unwrap_or_default();
        let outcome = self.connection.handle_bytes(router, bytes, self.clock.now(), &mut events);
        self.events.extend(events);
        // A failed handshake or session may still have something to say.
        let flushed = self.flush(router);
        if let Err(error) = outcome {
            self.closed = true;
            return Err(error.into());
        }
        flushed?;
        Ok(true)
    }
}

/// A socket that listens on `address`, which may be any of 127.0.0.0/8.
///
/// # Errors
/// When the address is taken.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects to `to` with the source address `from`: routers compare it with the published one.
///
/// # Errors
/// When the connection is refused or takes more than [`DIAL_TIME_MAX`].
pub fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SockAddr::from(SocketAddr::new(from, 0)))?;
    socket.connect_timeout(&SockAddr::from(to), DIAL_TIME_MAX)?;
    Ok(socket.into())
}

fn accept_within(
    listener: &TcpListener,
    clock: Clock,
    patience: Duration,
) -> Result<TcpStream, LinkError> {
    let deadline = clock.elapsed() + patience;
    while clock.elapsed() < deadline {
        match listener.accept() {
            Ok((stream, _)) => return Ok(stream),
            Err(error) if is_timeout(&error) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error.into()),
        }
    }
    Err(LinkError::TimedOut(patience))
}

/// Whether the operation only has to wait.
pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The router that a link leads to, once established.
#[must_use]
pub fn established_peer(events: &VecDeque<PlayedEvent>) -> Option<RouterHash> {
    events.iter().find_map(|event| match event {
        PlayedEvent::Established(peer) => Some(*peer),
        PlayedEvent::Message(_) | PlayedEvent::RouterInfo(_) | PlayedEvent::Terminated(_) => None,
    })
}

//! TCP connections of one shard: accepted, dialled, adopted from other shards, and handed over to them.
//!
//! Reading: one task per connection, which reads at most [`READ_MAX`] bytes and then waits at its [`Gate`] until the pump
//! has dealt with them. So there is one receive per connection and turn, an idle connection holds no buffer, and a slow
//! shard slows its peers down. Writing: at the end of a turn everything for one connection leaves in one gathered call;
//! only what the kernel does not take at once is left to a task.

mod connection;
mod socket;
mod tasks;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use glommio::net::TcpStream;
use glommio::{Task, spawn_local};

use self::connection::{Connection, Egress, Gate, Progress, Shared};
pub use self::socket::{ListenError, LocalSide, listen};
use crate::base::id::{ConnectionId, ConnectionOrigin, ShardId};
use crate::runtime::local::{Event, Local};
use crate::runtime::sys;

/// Bytes of one read.
pub const READ_MAX: usize = 16 * 1024;
/// Bytes that wait in one connection for its peer to read; over it the connection is reset.
pub const EGRESS_MAX: usize = 2 * 1024 * 1024;
/// Bytes written at once from which on the shard is told without delay, since it may hold more back.
const SENT_PROMPT: usize = 32 * 1024;

/// How a connection of ours ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// When all that was sent has left.
    AfterFlush,
    /// At once, with a reset.
    Reset,
}

/// Counts of one shard's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounts {
    /// Connections now.
    pub open: u64,
    /// Connections that peers opened.
    pub accepted: u64,
    /// Connections that were turned away because there were too many.
    pub turned_away: u64,
    /// Connections of ours that did not come up.
    pub connect_failed: u64,
    /// Connections that were reset because the peer did not read.
    pub overflowed: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes written.
    pub sent_bytes: u64,
}

/// A connection between two shards: its descriptor, what is still to be written, and what was not yet told.
pub struct Detached {
    descriptor: OwnedFd,
    unsent: Vec<Vec<u8>>,
    untold: Vec<Untold>,
}

/// What happened to a connection on its way between two shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untold {
    /// Bytes arrived.
    Received(Vec<u8>),
    /// Bytes were written.
    Sent(usize),
}

/// The connections of one shard.
pub struct Network {
    shard: ShardId,
    local: Rc<Local>,
    dial_from: Option<std::net::IpAddr>,
    connections: HashMap<ConnectionId, Slot>,
    connections_max: usize,
    accepted: u64,
    acceptor: Option<Acceptor>,
    touched: Vec<ConnectionId>,
    served: Vec<ConnectionId>,
    scratch: Rc<RefCell<Vec<u8>>>,
    farewells: Rc<Cell<usize>>,
    counts: TcpCounts,
}

struct Acceptor {
    /// The socket on which the task accepts, to end that.
    listener: std::net::TcpListener,
    _task: Task<()>,
}

enum Slot {
    Dialling { _task: Task<()> },
    Open(Connection),
}

impl Network {
    /// No connections, of at most `connections_max`.
    #[must_use]
    pub fn new(
        shard: ShardId,
        local: Rc<Local>,
        dial_from: Option<std::net::IpAddr>,
        connections_max: usize,
    ) -> Self {
        Self {
            shard,
            local,
            dial_from,
            connections: HashMap::new(),
            connections_max,
            accepted: 0,
            acceptor: None,
            touched: Vec::new(),
            served: Vec::new(),
            scratch: Rc::new(RefCell::new(vec![0; READ_MAX])),
            farewells: Rc::new(Cell::new(0)),
            counts: TcpCounts::default(),
        }
    }

    /// Accepts on this socket from now on. To be called on the executor.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn start_accepting(&mut self, listener: std::net::TcpListener) -> io::Result<()> {
        let accepting = sys::give(OwnedFd::from(listener.try_clone()?));
        let task = spawn_local(tasks::accept(accepting, self.local.clone()));
        self.acceptor = Some(Acceptor { listener, _task: task });
        Ok(())
    }

    /// Accepts nothing any more.
    pub fn stop_accepting(&mut self) {
        // The kernel holds the socket while an accept is under way; shut down, it gives the port free at once.
        if let Some(Acceptor { listener, .. }) = self.acceptor.take() {
            socket::stop_listening(&listener);
        }
    }

    /// Takes in a connection that a peer opened and gives it a name; none where there are too many.
    pub fn accept(&mut self, stream: TcpStream) -> Option<ConnectionId> {
        if self.connections.len() >= self.connections_max {
            self.counts.turned_away += 1;
            socket::reset_on_close(&stream);
            return None;
        }
        self.counts.accepted += 1;
        self.accepted += 1;
        let connection = ConnectionId::new(self.shard, ConnectionOrigin::Accepted, self.accepted);
        self.open(connection, stream, Egress::default());
        Some(connection)
    }

    /// Starts to connect; [`Event::Connected`] or [`Event::ConnectFailed`] follows.
    pub fn connect(&mut self, connection: ConnectionId, address: SocketAddr) {
        if self.connections.len() >= self.connections_max {
            self.counts.turned_away += 1;
            self.local.push(Event::ConnectFailed { connection });
            return;
        }
        let dialling = tasks::connect(connection, address, self.dial_from, self.local.clone());
        self.connections.insert(connection, Slot::Dialling { _task: spawn_local(dialling) });
    }

    /// A dialled connection has come up. False where it was closed meanwhile.
    #[must_use]
    pub fn connected(&mut self, connection: ConnectionId, stream: TcpStream) -> bool {
        match self.connections.get(&connection) {
            Some(Slot::Dialling { .. }) => {
                self.open(connection, stream, Egress::default());
                true
            }
            Some(Slot::Open(_)) | None => {
                socket::reset_on_close(&stream);
                false
            }
        }
    }

    /// A dialled connection did not come up. False where it was closed meanwhile.
    #[must_use]
    pub fn connect_failed(&mut self, connection: ConnectionId) -> bool {
        self.counts.connect_failed += 1;
        self.connections.remove(&connection).is_some()
    }

    /// A connection has received bytes, which the shard will have dealt with by the end of this turn. False where it is
    /// gone.
    #[must_use]
    pub fn received(&mut self, connection: ConnectionId, bytes: usize) -> bool {
        self.counts.received_bytes += u64::try_from(bytes).unwrap_or(0);
        let known = self.connections.contains_key(&connection);
        if known {
            self.served.push(connection);
        }
        known
    }

    /// Bytes were written. False where the connection is gone.
    #[must_use]
    pub fn sent(&mut self, connection: ConnectionId, bytes: usize) -> bool {
        self.counts.sent_bytes += u64::try_from(bytes).unwrap_or(0);
        self.connections.contains_key(&connection)
    }

    /// A connection was closed by its peer, or broke. False where it is gone already.
    #[must_use]
    pub fn closed(&mut self, connection: ConnectionId) -> bool {
        self.connections.remove(&connection).is_some()
    }

    /// Queues bytes, in order after all earlier ones; [`Network::flush`] writes them.
    pub fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        let Some(Slot::Open(open)) = self.connections.get_mut(&connection) else { return };
        if open.overflowed {
            return;
        }
        if open.egress.borrow().bytes() + bytes.len() > EGRESS_MAX {
            self.counts.overflowed += 1;
            open.overflowed = true;
            open.egress.borrow_mut().take();
            socket::reset_on_close(&open.stream.borrow());
            // The shard did not ask for this end, so it is told; the connection goes when it is.
            self.local.push(Event::Closed { connection });
            return;
        }
        if open.egress.borrow_mut().push(bytes) {
            self.touched.push(connection);
        }
    }

    /// Ends a connection; nothing more is heard of it.
    pub fn close(&mut self, connection: ConnectionId, ending: Ending) {
        let Some(Slot::Open(open)) = self.connections.remove(&connection) else { return };
        let Connection { stream, egress, .. } = open;
        match ending {
            Ending::Reset => socket::reset_on_close(&stream.borrow()),
            Ending::AfterFlush => {
                let farewell =
                    tasks::farewell(stream, egress, self.farewells.clone(), self.local.clone());
                spawn_local(farewell).detach();
            }
        }
    }

    /// Takes a connection out, to be handed to another shard.
    ///
    /// # Errors
    /// When the process has no descriptor left; the connection is then reset.
    pub fn detach(&mut self, connection: ConnectionId) -> Option<io::Result<Detached>> {
        let Some(Slot::Open(open)) = self.connections.remove(&connection) else { return None };
        let descriptor = sys::borrow(&*open.stream.borrow()).try_clone_to_owned();
        let detached = descriptor.map(|descriptor| Detached {
            descriptor,
            unsent: open.egress.borrow_mut().take(),
            untold: self.local.take_of(connection).into_iter().filter_map(untold).collect(),
        });
        if detached.is_err() {
            socket::reset_on_close(&open.stream.borrow());
        }
        Some(detached)
    }

    /// Goes on with a connection of another shard. What was not told there is for the shard to hear next.
    pub fn adopt(&mut self, connection: ConnectionId, detached: Detached) -> Vec<Untold> {
        let stream: TcpStream = sys::give(detached.descriptor);
        let mut egress = Egress::default();
        for bytes in detached.unsent {
            egress.push(bytes);
        }
        let has_unsent = egress.bytes() > 0;
        self.open(connection, stream, egress);
        if has_unsent {
            self.touched.push(connection);
        }
        detached.untold
    }

    fn open(&mut self, connection: ConnectionId, stream: TcpStream, egress: Egress) {
        let stream: Shared = Rc::new(RefCell::new(stream));
        let gate = Rc::new(Gate::default());
        let reader = spawn_local(tasks::read(
            connection,
            stream.clone(),
            gate.clone(),
            self.scratch.clone(),
            self.local.clone(),
        ));
        let egress = Rc::new(RefCell::new(egress));
        let open =
            Connection { stream, gate, egress, overflowed: false, _reader: reader, _writer: None };
        self.connections.insert(connection, Slot::Open(open));
    }

    /// Writes what was queued since the last flush, and lets those read on whose bytes were dealt with.
    pub fn flush(&mut self) {
        for connection in std::mem::take(&mut self.touched) {
            self.flush_one(connection);
        }
        for connection in self.served.drain(..) {
            if let Some(Slot::Open(open)) = self.connections.get(&connection) {
                open.gate.open();
            }
        }
    }

    fn flush_one(&mut self, connection: ConnectionId) {
        let Some(Slot::Open(open)) = self.connections.get_mut(&connection) else { return };
        if open.egress.borrow().is_writing() {
            return;
        }
        let progress = open.egress.borrow_mut().write(&open.stream.borrow());
        match progress {
            Ok(Progress { sent, left: 0 }) => self.tell_sent(connection, sent),
            Ok(Progress { sent, left: _ }) => {
                open.egress.borrow_mut().set_writing();
                let (stream, egress) = (open.stream.clone(), open.egress.clone());
                let writer = tasks::write(connection, stream, egress, self.local.clone());
                open._writer = Some(spawn_local(writer));
                self.tell_sent(connection, sent);
            }
            // Its reader may be at its gate, so the failure is told from here.
            Err(_) => self.local.push(Event::Closed { connection }),
        }
    }

    fn tell_sent(&self, connection: ConnectionId, bytes: usize) {
        let event = Event::Sent { connection, bytes };
        match bytes {
            0 => {}
            1..SENT_PROMPT => self.local.push_quietly(event),
            SENT_PROMPT.. => self.local.push(event),
        }
    }

    /// Whether no connection is left, nor one that waits for its last bytes to leave.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.connections.is_empty() && self.farewells.get() == 0
    }

    /// Counts so far.
    #[must_use]
    pub fn counts(&self) -> TcpCounts {
        TcpCounts { open: u64::try_from(self.connections.len()).unwrap_or(0), ..self.counts }
    }
}

fn untold(event: Event) -> Option<Untold> {
    match event {
        Event::Received { bytes, .. } => Some(Untold::Received(bytes)),
        Event::Sent { bytes, .. } => Some(Untold::Sent(bytes)),
        // An end is seen again by whoever reads next.
        Event::Closed { .. }
        | Event::Accepted { .. }
        | Event::Connected { .. }
        | Event::ConnectFailed { .. } => None,
    }
}

//! Networks on real sockets, turned by hand.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;

use super::*;
use crate::base::id::ConnectionOrigin;
use crate::runtime::ring::RingSize;
use crate::runtime::sys;

/// Time after which a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

struct Net {
    network: Network,
    address: SocketAddr,
    clock: Clock,
}

impl Net {
    fn of_depth(depth: u16) -> Self {
        let notify = sys::event_counter().unwrap();
        let ring = Ring::new(RingSize::of_depth(depth), notify.as_fd()).unwrap();
        let clock = Clock::start();
        let mut network = Network::new(ShardId(0), ring, clock, None, 10_000);
        let (side, mut listeners) = listen("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        network.start_accepting(listeners.pop().unwrap()).unwrap();
        Self { network, address: side.listen, clock }
    }

    fn new() -> Self {
        Self::of_depth(256)
    }

    fn turn(&mut self) -> Vec<Event> {
        self.network.flush().unwrap();
        std::iter::from_fn(|| self.network.next_event()).map(|(_, event)| event).collect()
    }

    /// Turns until something was told that `wanted` makes something of.
    fn until<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let start = self.clock.instant();
        loop {
            if let Some(found) = self.turn().into_iter().filter_map(&mut wanted).next() {
                return found;
            }
            assert!(self.clock.instant().since(start) < PATIENCE, "it never happened");
            self.pause();
        }
    }

    /// Waits for the kernel as a shard does, but not for ever.
    fn pause(&mut self) {
        if !self.network.wants_turn() && !self.network.arm().unwrap() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.network.disarm();
    }

    fn accept(&mut self) -> (ConnectionId, TcpStream) {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let accepted = |event| {
            if let Event::Accepted { connection, .. } = event { Some(connection) } else { None }
        };
        (self.until(accepted), stream)
    }

    fn dial(&mut self, address: SocketAddr) -> ConnectionId {
        let connection = ConnectionId::new(ShardId(0), ConnectionOrigin::Dialled, 1);
        self.network.connect(connection, address);
        connection
    }
}

fn closed(event: Event) -> Option<ConnectionId> {
    if let Event::Closed { connection } = event { Some(connection) } else { None }
}

fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|i| u8::try_from((i * 31 + i / 509) % 251).unwrap()).collect()
}

#[test]
fn a_half_closed_connection_is_told_after_its_bytes() {
    let mut net = Net::new();
    let (connection, mut stream) = net.accept();
    stream.write_all(&pattern(0, 100_000)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    let closed = net.until(|event| {
        if let Event::Received { bytes, .. } = &event {
            all.extend_from_slice(bytes);
        }
        closed(event)
    });
    assert_eq!(closed, connection);
    assert!(all == pattern(0, 100_000));
    assert!(net.network.is_idle());
    assert_eq!(net.network.counts().open, 0);
}

#[test]
fn a_reset_is_told_once() {
    let mut net = Net::new();
    let (connection, stream) = net.accept();
    socket::reset_on_close(&stream);
    drop(stream);
    let closed = net.until(closed);
    assert_eq!(closed, connection);
    // Nobody listens any more, and that harms nobody.
    net.network.send(connection, b"late".to_vec());
    net.network.close(connection, Ending::Reset);
    assert!(net.turn().is_empty());
}

#[test]
fn our_reset_reaches_the_peer_although_much_is_under_way() {
    let mut net = Net::new();
    let (connection, mut stream) = net.accept();
    for _ in 0..15 {
        net.network.send(connection, vec![1; 128 * 1024]);
    }
    net.turn();
    net.network.close(connection, Ending::Reset);
    assert!(net.turn().is_empty());
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(net.network.is_idle());
}

#[test]
fn one_who_sends_as_fast_as_we_read_gets_its_share_and_no_more() {
    let mut net = Net::new();
    let (heavy, stream) = net.accept();
    let (light, mut light_stream) = net.accept();
    const FLOOD: usize = 24 << 20;
    let flood = std::thread::spawn(move || {
        let bytes = vec![3; 1 << 20];
        for _ in 0..FLOOD >> 20 {
            (&stream).write_all(&bytes).unwrap();
        }
        stream
    });
    let (mut total, mut metered, mut metered_turns, mut answers) = (0, 0, 0, 0);
    light_stream.write_all(b"?").unwrap();
    while total < FLOOD {
        let is_metered = |net: &Net| {
            let key = net.network.names[&heavy];
            net.network.connections.find(key).unwrap().reading == Reading::Metered
        };
        let was_metered = is_metered(&net);
        let mut in_turn = 0;
        for event in net.turn() {
            let Event::Received { connection, bytes } = event else { continue };
            if connection == light {
                answers += 1;
                light_stream.write_all(b"?").unwrap();
            } else {
                in_turn += bytes.len();
            }
        }
        if was_metered && is_metered(&net) {
            metered_turns += 1;
            metered += in_turn;
            // One read is begun in a turn; that of the turn before may end in it as well.
            assert!(in_turn <= 2 * READ_MAX, "{in_turn}");
        }
        total += in_turn;
        net.pause();
    }
    assert_eq!(total, FLOOD);
    assert!(metered_turns > 10, "{metered_turns}");
    assert!(metered <= (metered_turns + 1) * READ_MAX, "{metered} in {metered_turns} turns");
    assert!(answers > 10, "{answers}");
    drop(flood.join().unwrap());
}

#[test]
fn a_connection_moves_under_traffic_and_loses_nothing() {
    const LENGTH: usize = 12 << 20;
    let mut nets = [Net::new(), Net::new()];
    let (connection, stream) = nets[0].accept();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let bytes = pattern(0, LENGTH);
        bytes.chunks(7919).for_each(|chunk| writer.write_all(chunk).unwrap());
    });
    let mut reader = stream;
    let reading = std::thread::spawn(move || {
        let mut bytes = vec![0; LENGTH];
        reader.read_exact(&mut bytes).unwrap();
        // Kept open, or its end would be told as well.
        (bytes, reader)
    });
    let outgoing = pattern(1, LENGTH);
    let (mut at, mut received, mut asked, mut sent) = (0, Vec::new(), 0, 0);
    let mut moves = 0;
    let start = nets[0].clock.instant();
    for turn in 1.. {
        while asked < LENGTH && asked - sent < EGRESS_MAX / 2 {
            let chunk = &outgoing[asked..LENGTH.min(asked + 50_021)];
            nets[at].network.send(connection, chunk.to_vec());
            asked += chunk.len();
        }
        for event in nets[at].turn() {
            assert!(!matches!(event, Event::Closed { .. }), "nobody has closed it");
            if let Event::Received { bytes, .. } = event {
                received.extend(bytes);
            } else if let Event::Sent { bytes, .. } = event {
                sent += bytes;
            }
        }
        if received.len() == LENGTH && sent == LENGTH {
            break;
        }
        if turn % 2 == 0 {
            // As much as possible is under way at this moment.
            nets[at].network.flush().unwrap();
            let detached = nets[at].network.detach(connection).unwrap().unwrap();
            assert!(nets[at].network.detach(connection).is_none());
            assert!(nets[at].network.is_idle());
            at = 1 - at;
            moves += 1;
            for untold in nets[at].network.adopt(connection, detached) {
                match untold {
                    Untold::Received(bytes) => received.extend(bytes),
                    Untold::Sent(bytes) => sent += bytes,
                }
            }
        }
        assert!(nets[0].clock.instant().since(start) < PATIENCE, "{} {sent}", received.len());
        nets[at].pause();
    }
    writing.join().unwrap();
    let (got, _reader) = reading.join().unwrap();
    assert!(got == outgoing, "what the peer got differs");
    assert!(received == pattern(0, LENGTH), "what we got differs");
    assert!(moves > 3, "{moves}");
}

#[test]
fn thousands_of_connections_share_a_few_buffers() {
    const CONNECTIONS: usize = 2000;
    let mut net = Net::of_depth(64);
    let mut peers = Vec::new();
    for _ in 0..CONNECTIONS / 100 {
        let mut more: Vec<_> = (0..100).map(|_| TcpStream::connect(net.address).unwrap()).collect();
        peers.append(&mut more);
        let wanted = u64::try_from(peers.len()).unwrap();
        while net.network.counts().open < wanted {
            net.turn();
            net.pause();
        }
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.write_all(&u32::try_from(number).unwrap().to_be_bytes()).unwrap();
    }
    let mut echoes = 0;
    let start = net.clock.instant();
    while echoes < CONNECTIONS {
        for event in net.turn() {
            if let Event::Received { connection, bytes } = event {
                assert_eq!(bytes.len(), 4);
                net.network.send(connection, bytes);
                echoes += 1;
            }
        }
        assert!(net.clock.instant().since(start) < PATIENCE, "{echoes}");
        net.pause();
    }
    net.turn();
    for (number, peer) in peers.iter_mut().enumerate() {
        let mut echo = [0; 4];
        peer.read_exact(&mut echo).unwrap();
        assert_eq!(u32::from_be_bytes(echo), u32::try_from(number).unwrap());
    }
    drop(peers);
    while !net.network.is_idle() {
        net.turn();
        net.pause();
    }
}

#[test]
fn a_dial_that_nobody_answers_ends_in_time() {
    let mut net = Net::new();
    // A queue that is full lets the kernel ignore who comes next.
    let busy = busy_listener();
    let address = busy.local_addr().unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket::dialling(address, None).unwrap();
            let stream = TcpStream::from(socket);
            stream.set_nonblocking(true).unwrap();
            let _ = socket2::SockRef::from(&stream).connect(&address.into());
            stream
        })
        .collect();
    let connection = net.dial(address);
    assert!(net.network.deadline().is_some());
    let failed = net.until(|event| {
        if let Event::ConnectFailed { connection } = event { Some(connection) } else { None }
    });
    assert_eq!(failed, connection);
    assert!(net.network.is_idle() && net.network.deadline().is_none());
    assert_eq!(net.network.counts().connect_failed, 1);
    drop(waiting);
}

#[test]
fn a_dial_can_be_given_up() {
    let mut net = Net::new();
    let busy = busy_listener();
    let connection = net.dial(busy.local_addr().unwrap());
    net.network.close(connection, Ending::Reset);
    for _ in 0..20 {
        assert!(net.turn().is_empty());
        net.pause();
    }
    assert!(net.network.is_idle() && net.network.deadline().is_none());
}

#[test]
fn over_ip_version_6_too() {
    let mut net = Net::new();
    let listener = TcpListener::bind("[::1]:0").expect("IPv6 on the loopback interface");
    let connection = net.dial(listener.local_addr().unwrap());
    net.until(|event| matches!(event, Event::Connected { .. }).then_some(()));
    net.network.send(connection, b"six".to_vec());
    net.network.close(connection, Ending::AfterFlush);
    net.turn();
    let (mut stream, _) = listener.accept().unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"six");
    drop(stream);
    while !net.network.is_idle() {
        net.turn();
        net.pause();
    }
}

#[test]
fn a_network_that_stops_leaves_its_port_to_others() {
    let mut net = Net::new();
    let (_connection, mut stream) = net.accept();
    net.network.stop_accepting();
    net.turn();
    let again = listen(net.address, 1);
    assert!(again.is_ok(), "{:?}", again.err());
    drop(net);
    // Dropped with everything open, it closes everything.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// A listener with the shortest of queues, from which nobody accepts.
fn busy_listener() -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(0).unwrap();
    socket.into()
}

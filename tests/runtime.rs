//! The runtime over real sockets, with a small machine in place of the shard: it echoes, after it has handed each
//! connection to the shard that the first byte names.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panic, and these run on real sockets in real time"
)]

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as StdInstant};

use floodway::actor::contract::Close;
use floodway::actor::message::{LocalRouterMessage, Message};
use floodway::base::id::{ConnectionId, ConnectionOrigin, ShardId};
use floodway::base::time::{Instant, Now};
use floodway::runtime::clock::Clock;
use floodway::runtime::control::stop_all;
use floodway::runtime::launch::{Plan, Running, start};
use floodway::runtime::probe;
use floodway::runtime::pump::Machine;
use floodway::runtime::tcp::listen;
use floodway::shard::core::{Input, Output};
use floodway::shard::envelope::Envelope;
use floodway::shard::report::ShardReport;

/// Bytes that came behind the first one, on their way to the new owner; the real shard has them in its envelope.
type Parked = Arc<Mutex<HashMap<u32, (ConnectionId, Vec<u8>)>>>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Connected,
    ConnectFailed,
    Closed,
    Sent(usize),
    Adopted,
}

struct Echo {
    shard: ShardId,
    shards: u16,
    settled: HashSet<ConnectionId>,
    parked: Parked,
    seen: Arc<Mutex<Vec<Seen>>>,
    outputs: VecDeque<Output>,
}

impl Echo {
    fn see(&self, what: Seen) {
        self.seen.lock().unwrap().push(what);
    }

    fn received(&mut self, connection: ConnectionId, mut bytes: Vec<u8>) {
        if self.settled.contains(&connection) {
            return self.echo(connection, bytes);
        }
        let to = ShardId(u16::from(bytes.remove(0)) % self.shards);
        if to == self.shard {
            self.settled.insert(connection);
            return self.echo(connection, bytes);
        }
        let mut parked = self.parked.lock().unwrap();
        let ticket =
            u32::try_from(parked.len()).unwrap() * u32::from(self.shards) + u32::from(self.shard.0);
        parked.insert(ticket, (connection, bytes));
        let envelope = Envelope(Message::LocalRouter(LocalRouterMessage::Confirmed(ticket)));
        self.outputs.push_back(Output::HandOver { connection, to, envelope });
    }

    fn echo(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        let last = bytes.contains(&b'!');
        let flood = bytes.contains(&b'#');
        if !bytes.is_empty() {
            self.outputs.push_back(Output::Send { connection, bytes });
        }
        if flood {
            let bytes = vec![b'x'; 8 << 20];
            for chunk in bytes.chunks(1 << 20) {
                self.outputs.push_back(Output::Send { connection, bytes: chunk.to_vec() });
            }
        }
        if last {
            self.outputs.push_back(Output::Close { connection, how: Close::AfterFlush });
        }
    }
}

impl Machine for Echo {
    fn handle(&mut self, input: Input, _now: Now) {
        match input {
            Input::Received { connection, bytes } => self.received(connection, bytes),
            Input::Envelope(Envelope(message)) => {
                let Message::LocalRouter(LocalRouterMessage::Confirmed(ticket)) = message else {
                    return;
                };
                let (connection, bytes) = self.parked.lock().unwrap()[&ticket].clone();
                self.settled.insert(connection);
                self.see(Seen::Adopted);
                self.echo(connection, bytes);
            }
            Input::Connected { connection } => {
                self.see(Seen::Connected);
                self.settled.insert(connection);
                self.outputs.push_back(Output::Send { connection, bytes: b"hello".to_vec() });
            }
            Input::ConnectFailed { .. } => self.see(Seen::ConnectFailed),
            Input::Closed { connection } => {
                self.settled.remove(&connection);
                self.see(Seen::Closed);
            }
            Input::Sent { bytes, .. } => self.see(Seen::Sent(bytes)),
            Input::Accepted { .. }
            | Input::Settings(_)
            | Input::Seeds(_)
            | Input::Effort(_)
            | Input::Profiles(_) => {}
            Input::Stop => {
                for connection in self.settled.drain() {
                    let bytes = b"bye".to_vec();
                    self.outputs.push_back(Output::Send { connection, bytes });
                    self.outputs.push_back(Output::Close { connection, how: Close::AfterFlush });
                }
            }
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
        ShardReport::empty(self.shard)
    }
}

struct Router {
    running: Running,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

fn run(shards: u16, dial: Vec<SocketAddr>) -> Router {
    let allowance = probe::check().unwrap();
    let (side, listeners) = listen("127.0.0.1:0".parse().unwrap(), shards).unwrap();
    let parked = Parked::default();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seen_by_shards = seen.clone();
    let plan = Plan {
        clock: Clock::start(),
        listeners,
        dial_from: side.dial_from,
        router_info_path: "/nonexistent/router.info".into(),
        last_seen_path: "/nonexistent/last_seen".into(),
        records: None,
        allowance,
        make: move |shard: ShardId, _rng, _now: Now| {
            let first = if shard.0 == 0 { dial.as_slice() } else { &[] };
            let connect = |(counter, address): (u64, &SocketAddr)| Output::Connect {
                connection: ConnectionId::new(shard, ConnectionOrigin::Dialled, counter),
                address: *address,
            };
            Echo {
                shard,
                shards,
                settled: HashSet::new(),
                parked: parked.clone(),
                seen: seen_by_shards.clone(),
                outputs: (0..).zip(first).map(connect).collect(),
            }
        },
    };
    Router { running: start(plan).unwrap(), address: side.listen, seen }
}

impl Router {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn wait_for(&self, what: &Seen) {
        let start = StdInstant::now();
        while !self.seen.lock().unwrap().contains(what) {
            let seen = self.seen.lock().unwrap().clone();
            assert!(start.elapsed() < Duration::from_secs(10), "{what:?} not in {seen:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(self) -> Duration {
        let start = StdInstant::now();
        stop_all(self.running.lines());
        self.running.wait().unwrap();
        start.elapsed()
    }
}

fn payload(length: usize, seed: usize) -> Vec<u8> {
    // Letters only, so that none of the echo's commands occurs.
    (0..length).map(|i| b'a' + u8::try_from((i * 7 + i / 251 + seed) % 26).unwrap()).collect()
}

#[test]
fn every_byte_comes_back_from_the_shard_that_was_asked() {
    let router = run(3, Vec::new());
    let clients: Vec<_> = (0..24)
        .map(|number: usize| {
            let stream = router.connect();
            std::thread::spawn(move || {
                let sent = payload(600_000, number);
                let mut writer = stream.try_clone().unwrap();
                let to_send = sent.clone();
                let writing = std::thread::spawn(move || {
                    writer.write_all(&[u8::try_from(number).unwrap()]).unwrap();
                    for chunk in to_send.chunks(10_007) {
                        writer.write_all(chunk).unwrap();
                    }
                });
                let mut back = vec![0; sent.len()];
                (&stream).read_exact(&mut back).unwrap();
                writing.join().unwrap();
                assert!(back == sent, "client {number}: the echo differs");
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    router.wait_for(&Seen::Adopted);
    router.stop();
}

#[test]
fn last_words_arrive_although_the_peer_goes_on_sending() {
    let router = run(1, Vec::new());
    let mut stream = router.connect();
    let mut sent = payload(500_000, 1);
    stream.write_all(&[0]).unwrap();
    stream.write_all(&sent).unwrap();
    stream.write_all(b"!").unwrap();
    sent.push(b'!');
    // What nobody reads any more must not turn into a reset that eats the echo.
    stream.write_all(&[b'z'; 100]).unwrap();
    let mut back = vec![0; sent.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == sent);
    drop(stream);
    router.stop();
}

#[test]
fn dialling_succeeds_or_fails_and_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let router = run(1, vec![listener.local_addr().unwrap(), closed]);
    let (mut peer, from) = listener.accept().unwrap();
    assert_eq!(from.ip(), router.address.ip());
    let mut hello = [0; 5];
    peer.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"hello");
    peer.write_all(b"echo").unwrap();
    peer.read_exact(&mut hello[..4]).unwrap();
    assert_eq!(&hello[..4], b"echo");
    router.wait_for(&Seen::Connected);
    router.wait_for(&Seen::ConnectFailed);
    router.wait_for(&Seen::Sent(5));
    drop(peer);
    router.wait_for(&Seen::Closed);
    router.stop();
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let router = run(1, Vec::new());
    let mut stream = router.connect();
    stream.write_all(&[0, b'#']).unwrap();
    router.wait_for(&Seen::Closed);
    let mut sink = Vec::new();
    let end = stream.read_to_end(&mut sink);
    assert!(end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    router.stop();
}

#[test]
fn a_stop_says_goodbye_and_ends() {
    let router = run(2, Vec::new());
    let mut stream = router.connect();
    stream.write_all(&[1, b'a']).unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    let reading = std::thread::spawn(move || {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        rest
    });
    let took = router.stop();
    assert_eq!(reading.join().unwrap(), b"bye");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

//! The servers that are compared, each running in a thread of its own with a client's connections to it.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::bounded;
use floodway::runtime::control::stop_all;
use floodway::runtime::launch::Running;
use floodway::runtime::tcp::listen;

use crate::client::{Client, unpaced};
use crate::clock::cpu_time_of;
use crate::ours::{self, Counts};
use crate::thread::pin;
use crate::{plain, streams};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plain epoll loop.
    Epoll,
    /// Our network, turned by hand.
    Ring,
    /// A whole shard: our network, turned by the pump, with an executor around it.
    Shard,
    /// glommio's streams.
    Streams,
}

impl Kind {
    /// All, in the order of their numbers.
    pub const ALL: [Kind; 4] = [Kind::Epoll, Kind::Ring, Kind::Shard, Kind::Streams];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Epoll => "epoll",
            Kind::Ring => "ring",
            Kind::Shard => "shard",
            Kind::Streams => "streams",
        }
    }
}

/// A server that runs, with all its connections.
pub struct Server {
    pub kind: Kind,
    pub client: Client,
    thread: String,
    counts: Option<Arc<Counts>>,
    running: Handle,
}

enum Handle {
    Thread(JoinHandle<()>),
    Shard(Running),
}

/// A thread that serves: where, which thread it is, and how to wait for its end.
struct Started {
    address: SocketAddr,
    thread: String,
    handle: JoinHandle<()>,
}

impl Server {
    /// Starts it on `cpu` and makes the connections.
    pub fn start(kind: Kind, cpu: usize, connections: usize) -> Self {
        let counts = Arc::new(Counts::default());
        let (address, thread, running) = match kind {
            Kind::Epoll => of_thread(spawn(kind, cpu, move |listener| {
                plain::serve(&listener, connections).expect("sockets work");
            })),
            Kind::Ring => {
                let counts = counts.clone();
                of_thread(spawn(kind, cpu, move |listener| {
                    ours::serve(listener, connections, &counts).expect("the ring works");
                }))
            }
            Kind::Shard => {
                let (address, listener) = listener();
                let running = ours::launch(listener);
                (address, shard_thread(), Handle::Shard(running))
            }
            Kind::Streams => of_thread(spawn(kind, cpu, move |listener| {
                streams::serve(cpu, listener, connections).expect("the streams work");
            })),
        };
        let client = Client::connect(address, connections).expect("it listens");
        let counts = (kind == Kind::Ring).then_some(counts);
        Self { kind, client, thread, counts, running }
    }

    /// CPU time of its thread; exact while it sleeps.
    pub fn cpu_time(&self) -> Duration {
        cpu_time_of(&self.thread)
    }

    /// Calls into the kernel, where they are counted.
    pub fn calls(&self) -> Option<u64> {
        self.counts.as_ref().map(|counts| counts.calls.load(Ordering::Acquire))
    }

    /// Closes the connections and waits for its end.
    pub fn stop(self) {
        drop(self.client);
        match self.running {
            Handle::Thread(handle) => handle.join().expect("it ends in order"),
            Handle::Shard(running) => {
                stop_all(running.lines());
                running.wait().expect("it ends in order");
            }
        }
    }
}

fn of_thread(started: Started) -> (SocketAddr, String, Handle) {
    (started.address, started.thread, Handle::Thread(started.handle))
}

fn listener() -> (SocketAddr, std::net::TcpListener) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (side, mut listeners) = listen(any, 1).expect("a free port");
    let listener = listeners.pop().expect("one was asked for");
    // What is accepted inherits it.
    unpaced(&listener);
    (side.listen, listener)
}

/// A thread that profilers show by its server's name.
fn named(kind: Kind) -> std::thread::Builder {
    std::thread::Builder::new().name(kind.name().to_owned())
}

fn spawn(
    kind: Kind,
    cpu: usize,
    serve: impl FnOnce(std::net::TcpListener) + Send + 'static,
) -> Started {
    let (address, listener) = listener();
    let (tell, told) = bounded(1);
    let serving = move || {
        pin(cpu);
        tell.send(this_thread()).expect("the other side waits");
        serve(listener);
    };
    let handle = named(kind).spawn(serving).expect("a thread can be made");
    Started { address, thread: told.recv().expect("it runs"), handle }
}

/// The calling thread.
fn this_thread() -> String {
    format!("self/task/{}", rustix::thread::gettid().as_raw_nonzero())
}

/// The thread of the only shard that runs.
fn shard_thread() -> String {
    let tasks = fs::read_dir("/proc/self/task").expect("a process knows its threads");
    let is_shard = |path: &std::path::PathBuf| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "shard-0")
    };
    let found = tasks.flatten().map(|entry| entry.path()).find(is_shard).expect("it runs");
    let thread = found.file_name().expect("a thread has a number");
    format!("self/task/{}", thread.to_string_lossy())
}

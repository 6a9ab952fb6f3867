//! Memory of idle connections: ten thousand to a server in a process of its own, whose memory is looked at before and after.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use floodway::base::id::ShardId;
use floodway::runtime::clock::Clock;
use floodway::runtime::ring::{Ring, RingSize};
use floodway::runtime::sys::{self, Resource};
use floodway::runtime::tcp::{Event, Network, listen};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpListener;
use glommio::{LocalExecutorBuilder, Placement, spawn_local};

use crate::process;
use crate::table::line;

/// Connections; our own end of them has to fit the usual limit on descriptors too.
const CONNECTIONS: usize = 10_000;
/// Bytes that each connection carries once.
const MESSAGE: usize = 1024;
/// Time for a server to come to rest.
const SETTLE: Duration = Duration::from_millis(500);

/// A server in a process of its own, which is this program with its name as an argument; it sends back what comes.
#[derive(Clone, Copy)]
pub enum Server {
    /// Our network.
    Ours,
    /// glommio's streams, each with a task that waits for bytes.
    Streams,
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Server::Ours => "serve-connections",
            Server::Streams => "serve-streams",
        }
    }

    /// The server that is called so.
    pub fn named(word: &str) -> Option<Self> {
        [Server::Ours, Server::Streams].into_iter().find(|server| server.name() == word)
    }

    /// Serves until it is killed.
    pub fn serve(self) {
        sys::raise_limit(Resource::Descriptors).expect("limits can be read");
        let result = match self {
            Server::Ours => serve_network(),
            Server::Streams => serve_streams(),
        };
        result.expect("a server serves");
    }
}

fn serve_network() -> io::Result<()> {
    let counter = sys::event_counter()?;
    let ring = Ring::new(RingSize::of_depth(1024), counter.as_fd()).map_err(io::Error::other)?;
    let mut network = Network::new(ShardId(0), ring, Clock::start(), None, 2 * CONNECTIONS);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (side, mut listeners) = listen(any, 1).map_err(io::Error::other)?;
    network.start_accepting(listeners.pop().expect("one was asked for"))?;
    println!("{}", side.listen);
    let mut bell = std::fs::File::from(counter);
    loop {
        while let Some((_, event)) = network.next_event() {
            if let Event::Received { connection, bytes } = event {
                network.send(connection, bytes);
            }
        }
        network.flush()?;
        if !network.wants_turn() {
            if !network.arm()? {
                bell.read_exact(&mut [0; 8])?;
            }
            network.disarm();
        }
    }
}

fn serve_streams() -> io::Result<()> {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(64 * 1024).make()?;
    executor.run(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("{}", listener.local_addr()?);
        loop {
            let mut stream = listener.accept().await?;
            let task = spawn_local(async move {
                // No buffer lives while it waits, as none does in ours.
                let mut length = [0; 1];
                while stream.read_exact(&mut length).await.is_ok() {
                    let mut rest = vec![0; MESSAGE - 1];
                    stream.read_exact(&mut rest).await?;
                    rest.insert(0, length[0]);
                    stream.write_all(&rest).await?;
                }
                io::Result::Ok(())
            });
            task.detach();
        }
    })
}

/// A server's process; killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Memory per connection in bytes: when they have just come, and when each has carried a message.
fn measure(server: Server) -> io::Result<[f64; 2]> {
    let mut child = Command::new(std::env::current_exe()?);
    let child = child.arg(server.name()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = Process(child.spawn()?);
    let mut address = String::new();
    let output = child.0.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut address)?;
    let address: SocketAddr = address.trim().parse().map_err(io::Error::other)?;
    let id = child.0.id();
    // The first one has the server touch what it needs in any case.
    let mut first = TcpStream::connect(address)?;
    exchange(&mut first)?;
    std::thread::sleep(SETTLE);
    let bare = process::memory(id);
    let connect = |_| TcpStream::connect(address);
    let mut connections = (0..CONNECTIONS).map(connect).collect::<io::Result<Vec<_>>>()?;
    std::thread::sleep(SETTLE);
    let came = process::memory(id);
    connections.iter_mut().try_for_each(exchange)?;
    std::thread::sleep(SETTLE);
    let used = process::memory(id);
    #[expect(clippy::cast_precision_loss, reason = "ten thousand")]
    let each = |memory: f64| (memory - bare) * 1024.0 / CONNECTIONS as f64;
    Ok([each(came), each(used)])
}

fn exchange(stream: &mut TcpStream) -> io::Result<()> {
    let mut message = [7; MESSAGE];
    stream.write_all(&message)?;
    stream.read_exact(&mut message)
}

/// Memory of an idle connection.
pub fn idle() {
    sys::raise_limit(Resource::Descriptors).expect("limits can be read");
    let ours = measure(Server::Ours).expect("our network serves");
    let streams = measure(Server::Streams).expect("glommio's streams serve");
    let states = ["an idle connection, new", "an idle connection, after a message"];
    for ((state, ours), streams) in states.into_iter().zip(ours).zip(streams) {
        let reference = format!("glommio's stream and its task {streams:.0} bytes");
        line(state, ours, "bytes", Some(1024.0), &reference);
    }
}

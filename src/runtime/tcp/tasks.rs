//! What runs beside the pump: the acceptor, and the reader, writer, dialler and farewell of a connection.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::sleep;

use super::connection::{Egress, Gate, Progress, Shared};
use super::socket;
use crate::base::id::ConnectionId;
use crate::runtime::local::{Event, Local};
use crate::runtime::sys;

/// Time for a connection of ours to come up.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Time for the last bytes of a connection to leave and for its peer to take note.
const FAREWELL_MAX: Duration = Duration::from_secs(4);
/// Pause of the acceptor when the process is out of descriptors or the pump behind.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Accepts until it is dropped.
pub async fn accept(listener: TcpListener, local: Rc<Local>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                // A peer that is gone again has no address.
                if let Ok(peer) = socket::prepare_accepted(&stream) {
                    local.push(Event::Accepted { stream, peer });
                }
            }
            Err(error) => {
                tracing::debug!(%error, "accepting failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        while local.is_crowded() {
            sleep(ACCEPT_PAUSE).await;
        }
    }
}

/// Reads until the connection ends, once per opening of the gate.
pub async fn read(
    connection: ConnectionId,
    stream: Shared,
    gate: Rc<Gate>,
    scratch: Rc<RefCell<Vec<u8>>>,
    local: Rc<Local>,
) {
    loop {
        poll_fn(|cx| gate.poll_pass(cx)).await;
        match receive(&stream, &scratch).await {
            Ok(bytes) if !bytes.is_empty() => local.push(Event::Received { connection, bytes }),
            Ok(_) | Err(_) => break,
        }
    }
    local.push(Event::Closed { connection });
}

/// The next bytes of a stream; none at its end. The buffer is borrowed only while the kernel fills it.
async fn receive(stream: &Shared, scratch: &RefCell<Vec<u8>>) -> io::Result<Vec<u8>> {
    poll_fn(|cx| {
        let mut buffer = scratch.borrow_mut();
        loop {
            return match Pin::new(&mut *stream.borrow_mut()).poll_read(cx, &mut buffer) {
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Poll::Ready(Ok(count)) => {
                    Poll::Ready(Ok(buffer.get(..count).unwrap_or_default().to_vec()))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
        }
    })
    .await
}

/// Writes until nothing waits any more.
pub async fn write(
    connection: ConnectionId,
    stream: Shared,
    egress: Rc<RefCell<Egress>>,
    local: Rc<Local>,
) {
    let told = |bytes| local.push(Event::Sent { connection, bytes });
    if write_all(&stream, &egress, told).await.is_err() {
        local.push(Event::Closed { connection });
    }
    egress.borrow_mut().clear_writing();
}

/// Writes all that waits and is added meanwhile, and tells how much at each step.
async fn write_all(
    stream: &Shared,
    egress: &RefCell<Egress>,
    told: impl Fn(usize),
) -> io::Result<()> {
    while egress.borrow().bytes() > 0 {
        // The first write waits until the kernel takes something; the rest follows in gathered calls.
        let sent = poll_fn(|cx| {
            let egress = egress.borrow();
            Pin::new(&mut *stream.borrow_mut()).poll_write(cx, egress.front())
        })
        .await?;
        egress.borrow_mut().advance(sent);
        let Progress { sent: more, .. } = egress.borrow_mut().write(&stream.borrow())?;
        told(sent + more);
    }
    Ok(())
}

/// Connects and reports what came of it.
pub async fn connect(
    connection: ConnectionId,
    address: SocketAddr,
    from: Option<IpAddr>,
    local: Rc<Local>,
) {
    match in_time(CONNECT_MAX, dial(address, from)).await {
        Some(Ok(stream)) => local.push(Event::Connected { connection, stream }),
        Some(Err(_)) | None => local.push(Event::ConnectFailed { connection }),
    }
}

async fn dial(address: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = socket::start_connect(address, from)?;
    let mut stream: TcpStream = sys::give(OwnedFd::from(socket));
    // An empty write waits until the connection is up, and fails where it cannot be.
    poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &[])).await?;
    Ok(stream)
}

/// Writes what is left, closes our side and waits for the peer to close its own: a socket closed earlier, with bytes
/// unread, would send a reset that can overtake the last words.
pub async fn farewell(
    stream: Shared,
    egress: Rc<RefCell<Egress>>,
    counter: Rc<Cell<usize>>,
    local: Rc<Local>,
) {
    let _counted = Counted::new(counter, local);
    let scratch = RefCell::new(vec![0; 1024]);
    let parting = async {
        write_all(&stream, &egress, |_| ()).await?;
        poll_fn(|cx| Pin::new(&mut *stream.borrow_mut()).poll_close(cx)).await?;
        while !receive(&stream, &scratch).await?.is_empty() {}
        io::Result::Ok(())
    };
    if !matches!(in_time(FAREWELL_MAX, parting).await, Some(Ok(()))) {
        socket::reset_on_close(&stream.borrow());
    }
}

/// The outcome of `work`, or nothing if it takes longer than `most`.
async fn in_time<T>(most: Duration, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        sleep(most).await;
        None
    };
    futures_lite::future::or(async { Some(work.await) }, late).await
}

/// One of the farewells that a stopping pump waits for.
struct Counted {
    counter: Rc<Cell<usize>>,
    local: Rc<Local>,
}

impl Counted {
    fn new(counter: Rc<Cell<usize>>, local: Rc<Local>) -> Self {
        counter.set(counter.get() + 1);
        Self { counter, local }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counter.set(self.counter.get().saturating_sub(1));
        self.local.wake();
    }
}

//! Sockets before and beside the ring: made, bound and tuned by ordinary calls.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::runtime::sys;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long a port may still be held by an earlier run whose rings the kernel has not taken down yet.
const IN_USE_MAX: Duration = Duration::from_millis(1500);
/// Pause between two looks at such a port.
const IN_USE_PAUSE: Duration = Duration::from_millis(50);

/// Where we listen and what we dial from, given the address that we publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalSide {
    /// Address that we listen on.
    pub listen: SocketAddr,
    /// Source of what we dial; `None` leaves it to the kernel's routes.
    pub dial_from: Option<IpAddr>,
}

/// A listening socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error(
        "port {} of {} is in use by another program: stop that one, or choose another port with --port",
        address.port(), address.ip()
    )]
    InUse {
        /// Where we wanted to listen.
        address: SocketAddr,
    },
    /// The port is reserved.
    #[error(
        "this user may not listen on port {}: choose one from 1024 up with --port",
        address.port()
    )]
    Reserved {
        /// Where we wanted to listen.
        address: SocketAddr,
    },
    /// Something else.
    #[error("cannot listen on {address}: {error}")]
    Other {
        /// Where we wanted to listen.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
}

/// Listens for the published address: on that very address where this machine has it, otherwise, as behind a
/// translating gateway, on all. One socket per shard; the kernel spreads connections over them.
///
/// # Errors
/// When the port is taken or reserved, or the system refuses.
pub fn listen(
    published: SocketAddr,
    shards: u16,
) -> Result<(LocalSide, Vec<TcpListener>), ListenError> {
    let everywhere = match published.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let mut side = LocalSide { listen: published, dial_from: Some(published.ip()) };
    // Sockets that share a port would also share it with another router of this user; one that does not share tells.
    let alone = match listening_alone(published) {
        Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {
            side.listen.set_ip(everywhere);
            side.dial_from = None;
            listening_alone(side.listen)
        }
        result => result,
    };
    let listening = alone.and_then(|socket| {
        if side.listen.port() == 0
            && let Some(chosen) = socket.local_addr()?.as_socket()
        {
            side.listen = chosen;
        }
        drop(socket);
        let sockets = (0..shards.max(1)).map(|_| {
            let socket = bound(side.listen, Sharing::BetweenShards)?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener::from(socket))
        });
        sockets.collect()
    });
    let address = side.listen;
    let sockets = listening.map_err(|error: io::Error| match error.raw_os_error() {
        Some(libc::EADDRINUSE) => ListenError::InUse { address },
        Some(libc::EACCES) => ListenError::Reserved { address },
        _ => ListenError::Other { address, error },
    })?;
    Ok((side, sockets))
}

/// A socket that listens and shares its port with nobody.
fn listening_alone(address: SocketAddr) -> io::Result<Socket> {
    let mut waited = Duration::ZERO;
    loop {
        let listening = bound(address, Sharing::Alone).and_then(|socket| {
            socket.listen(BACKLOG)?;
            Ok(socket)
        });
        match listening {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && waited < IN_USE_MAX => {
                std::thread::sleep(IN_USE_PAUSE);
                waited += IN_USE_PAUSE;
            }
            result => return result,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    BetweenShards,
}

fn bound(address: SocketAddr, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port with connections that linger from an earlier run may be bound again.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::BetweenShards {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Ends listening, for every descriptor of the socket.
pub fn stop_listening(listener: &OwnedFd) {
    // It fails only on a socket that does not listen any more.
    let _ = SockRef::from(listener).shutdown(Shutdown::Both);
}

/// Accepts a connection that waits and resets it. False where none waits or there is not even a descriptor for that.
pub fn turn_away(listener: &OwnedFd) -> bool {
    // The socket is one that waits, and only its own shard accepts from it, so what is ready stays so.
    if !sys::is_readable(listener) {
        return false;
    }
    let accepted = SockRef::from(listener).accept();
    accepted.is_ok_and(|(socket, _)| {
        reset_on_close(&socket);
        true
    })
}

/// What a peer may send before we read it. The kernel would let it have tens of megabytes: where a shard falls behind, all
/// of that is read in turn, seconds late. So much is 10 MB a second over a way of 100 ms, from one peer.
const WINDOW: i32 = 1 << 20;
/// What the kernel takes beyond what the peer lets it send: the rest waits in the session, where it is bounded and what has
/// expired is dropped.
const UNSENT: u32 = 128 << 10;

/// Tunes a connection for short messages, and for little that waits in the kernel.
fn tune(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    sys::clamp_window(socket, WINDOW)
}

/// A socket that can be connected to `address`, with `from` as its source where the families agree.
///
/// # Errors
/// What the system says: no descriptor, or no such address.
pub fn dialling(address: SocketAddr, from: Option<IpAddr>) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    tune(&socket)?;
    if let Some(ip) = from.filter(|ip| ip.is_ipv4() == address.is_ipv4()) {
        sys::bind_without_port(&socket)?;
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    Ok(OwnedFd::from(socket))
}

/// Tunes an accepted connection, and says who is at its other end.
///
/// # Errors
/// When the peer is gone again.
pub fn prepare_accepted(socket: &OwnedFd) -> io::Result<SocketAddr> {
    let socket = SockRef::from(socket);
    tune(&socket)?;
    let peer = socket.peer_addr()?;
    peer.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))
}

/// Closes our side: the peer reads an end after all that was sent.
///
/// # Errors
/// When the connection is broken.
pub fn close_our_side(socket: &OwnedFd) -> io::Result<()> {
    SockRef::from(socket).shutdown(Shutdown::Write)
}

/// Lets a connection end with a reset when it is closed, whatever waits in it.
pub fn reset_on_close(socket: &impl AsFd) {
    // It fails only on a socket that is broken already; then there is nothing to reset.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_a_port_and_strangers_do_not() {
        let published = "127.0.0.1:0".parse().unwrap();
        let (side, sockets) = listen(published, 3).unwrap();
        assert_eq!(sockets.len(), 3);
        assert_eq!(side.dial_from, Some(published.ip()));
        assert!(sockets.iter().all(|s| s.local_addr().unwrap() == side.listen));
        let error = listen(side.listen, 1).unwrap_err();
        assert!(matches!(error, ListenError::InUse { .. }));
        let text = error.to_string();
        assert!(
            text.contains(&side.listen.port().to_string()) && text.contains("--port"),
            "{text}"
        );
    }

    #[test]
    fn a_foreign_address_means_listening_everywhere() {
        let (side, _sockets) = listen("192.0.2.7:0".parse().unwrap(), 1).unwrap();
        assert!(side.listen.ip().is_unspecified());
        assert_eq!(side.dial_from, None);
    }
}

//! The other reference: glommio's own streams, with a task per connection.

use std::io;

use floodway::runtime::sys::give;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement, spawn_local};

use crate::client::DEPTH_MAX;
use crate::frames::{FRAME, whole};

/// Bytes of a connection's buffer: whatever can be under way, and the start of a frame.
const BUFFER: usize = (DEPTH_MAX + 1) * FRAME;
/// Depth of the executor's rings; with fewer, a thousand connections wait for one another.
const RING_DEPTH: usize = 4096;

/// Runs on `cpu`, accepts this many connections and sends back whole frames until all have closed.
pub fn serve(cpu: usize, listener: std::net::TcpListener, connections: usize) -> io::Result<()> {
    let executor = LocalExecutorBuilder::new(Placement::Fixed(cpu))
        .ring_depth(RING_DEPTH)
        .io_memory(64 * 1024)
        .make()?;
    executor.run(async move {
        let listener: TcpListener = give(listener.into());
        let mut tasks = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = listener.accept().await?;
            stream.set_nodelay(true)?;
            tasks.push(spawn_local(relay(stream)));
        }
        for task in tasks {
            task.await?;
        }
        Ok(())
    })
}

async fn relay(mut stream: TcpStream) -> io::Result<()> {
    let (mut buffer, mut kept) = (vec![0; BUFFER], 0);
    loop {
        let length = match stream.read(&mut buffer[kept..]).await? {
            0 => return Ok(()),
            length => kept + length,
        };
        let end = whole(&buffer[..length]);
        if end > 0 {
            stream.write_all(&buffer[..end]).await?;
            buffer.copy_within(end..length, 0);
        }
        kept = length - end;
    }
}

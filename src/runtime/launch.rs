//! One pinned executor per shard.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use glommio::{LocalExecutorBuilder, Placement};

use crate::base::id::ShardId;
use crate::base::rng::ShardRng;
use crate::base::time::Now;
use crate::runtime::clock::Clock;
use crate::runtime::control::{COMMANDS_MAX, Command, ShardLine};
use crate::runtime::disk::{Disk, DiskThread, RecordReader};
use crate::runtime::entropy::{self, NoEntropy};
use crate::runtime::local::Local;
use crate::runtime::mesh::{Bell, MeshEnd, weave};
use crate::runtime::probe::Allowance;
use crate::runtime::pump::{Machine, Parcel, Parts, Pump};
use crate::runtime::record_file::RecordFile;
use crate::runtime::ring::{Ring, RingError, RingSize};
use crate::runtime::sys;
use crate::runtime::tcp::Network;

/// Memory that glommio registers per executor for files, in bytes: the least that it takes.
const IO_MEMORY: usize = 64 * 1024;
/// Depth of an executor's own rings, which carry little: bells, timers and files.
const EXECUTOR_DEPTH: usize = 128;
/// Depth of a network ring where memory is short, and where it is not.
const RING_DEPTH: (u16, u16) = (128, 1024);
/// Memory of an executor's rings in bytes; measured, and rounded up.
const EXECUTOR_RINGS_SIZE: u64 = 52 * 1024;
/// Descriptors that are not connections: rings, bells, files, the metrics' clients.
const DESCRIPTORS_RESERVED: u64 = 128;
/// Connections that each shard can have in any case.
const CONNECTIONS_MIN: u64 = 16;
/// Descriptors of each shard that are not connections.
const DESCRIPTORS_PER_SHARD: u64 = 16;

/// What to start.
pub struct Plan<F> {
    /// The process's clock.
    pub clock: Clock,
    /// One listening socket per shard.
    pub listeners: Vec<TcpListener>,
    /// Source address of what we dial.
    pub dial_from: Option<IpAddr>,
    /// Where our RouterInfo is written.
    pub router_info_path: PathBuf,
    /// Where the time is noted at which the router was last seen to run.
    pub last_seen_path: PathBuf,
    /// The netdb's file, where what is known of routers is kept.
    pub records: Option<RecordFile>,
    /// What the machine allows.
    pub allowance: Allowance,
    /// Makes the shard with this number.
    pub make: F,
}

/// The shards do not run.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The system withholds something.
    #[error("cannot start the shards: {0}")]
    System(#[from] io::Error),
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// An executor did not come up.
    #[error(
        "shard {} on CPU {cpu} did not start: {reason}; where memory is short, raise the limit on locked memory \
         (`ulimit -l unlimited`, `--ulimit memlock=-1:-1`) or run fewer shards with --shards", shard.0
    )]
    Shard {
        /// Which.
        shard: ShardId,
        /// Where it was to run.
        cpu: usize,
        /// What was refused.
        reason: String,
    },
    /// A shard ended without having been told to.
    #[error("shard {} ended unasked: {reason}", shard.0)]
    Ended {
        /// Which.
        shard: ShardId,
        /// What it says.
        reason: String,
    },
}

/// Shards that run.
pub struct Running {
    lines: Vec<ShardLine>,
    ends: Receiver<End>,
    disk: DiskThread,
}

struct End {
    shard: ShardId,
    result: Result<(), String>,
}

impl End {
    fn into_result(self) -> Result<(), LaunchError> {
        self.result.map_err(|reason| LaunchError::Ended { shard: self.shard, reason })
    }
}

/// Everything that one shard's thread takes with it.
struct Seat<F> {
    cpu: usize,
    ring: RingSize,
    connections_max: usize,
    listener: TcpListener,
    dial_from: Option<IpAddr>,
    mesh: MeshEnd<Parcel>,
    bell: Arc<Bell>,
    commands: Receiver<Command>,
    disk: Disk,
    router_info_path: PathBuf,
    clock: Clock,
    rng: ShardRng,
    make: Arc<F>,
}

/// Starts one shard per listener, on the CPUs that this process may use, in turn, and waits until all run.
///
/// # Errors
/// The first reason for which a shard does not run.
pub fn start<M, F>(plan: Plan<F>) -> Result<Running, LaunchError>
where
    M: Machine + 'static,
    F: Fn(ShardId, ShardRng, Now) -> M + Send + Sync + 'static,
{
    let shards = plan.listeners.len();
    let cpus = sys::allowed_cpus()?;
    let bells: Vec<_> =
        (0..shards).map(|_| Bell::new().map(Arc::new)).collect::<io::Result<_>>()?;
    let (disk, disk_thread) = Disk::start(plan.last_seen_path, plan.records)?;
    let make = Arc::new(plan.make);
    let (started, starting) = bounded(shards.max(1));
    let (ended, ends) = bounded(shards.max(1));
    let mut lines = Vec::with_capacity(shards);
    let seats = bells.iter().zip(weave(&bells)).zip(plan.listeners).zip(cpus.iter().cycle());
    for (((bell, mesh), listener), cpu) in seats {
        let (commands, receiver) = bounded(COMMANDS_MAX);
        lines.push(ShardLine { commands, bell: bell.clone() });
        let seat = Seat {
            cpu: *cpu,
            ring: ring_size(&plan.allowance, shards),
            connections_max: connections_max(&plan.allowance, shards),
            listener,
            dial_from: plan.dial_from,
            mesh,
            bell: bell.clone(),
            commands: receiver,
            disk: disk.clone(),
            router_info_path: plan.router_info_path.clone(),
            clock: plan.clock,
            rng: entropy::rng()?,
            make: make.clone(),
        };
        spawn(seat, started.clone(), ended.clone())?;
    }
    drop(started);
    for _ in 0..shards {
        match starting.recv() {
            Ok(result) => result?,
            // A shard has ended before it ran; its end says why.
            Err(_) => ends.recv().map_or(Ok(()), End::into_result)?,
        }
    }
    Ok(Running { lines, ends, disk: disk_thread })
}

/// Size of each shard's network ring, so that all rings together stay within half of the memory that may be locked.
fn ring_size(allowance: &Allowance, shards: usize) -> RingSize {
    let (least, most) = RING_DEPTH;
    let Some(memory) = allowance.locked_memory else { return RingSize::of_depth(most) };
    let shards = u64::try_from(shards).unwrap_or(u64::MAX).max(1);
    let share = (memory / 2 / shards).saturating_sub(EXECUTOR_RINGS_SIZE);
    let mut depth = most;
    while depth > least && RingSize::of_depth(depth).shared_bytes() > share {
        depth /= 2;
    }
    RingSize::of_depth(depth)
}

/// The least that `shards` shards need of descriptors, to run at all and to serve a few peers each.
#[must_use]
pub fn descriptors_min(shards: u16) -> u64 {
    DESCRIPTORS_RESERVED + u64::from(shards) * (DESCRIPTORS_PER_SHARD + CONNECTIONS_MIN)
}

/// Connections that one shard may have, so that all together stay within the descriptors.
fn connections_max(allowance: &Allowance, shards: usize) -> usize {
    let shards = u64::try_from(shards).unwrap_or(u64::MAX).max(1);
    let Some(descriptors) = allowance.descriptors else { return usize::MAX };
    let left = descriptors.saturating_sub(DESCRIPTORS_RESERVED) / shards;
    usize::try_from(left.saturating_sub(DESCRIPTORS_PER_SHARD).max(CONNECTIONS_MIN))
        .unwrap_or(usize::MAX)
}

fn spawn<M, F>(
    seat: Seat<F>,
    started: Sender<Result<(), LaunchError>>,
    ended: Sender<End>,
) -> io::Result<()>
where
    M: Machine + 'static,
    F: Fn(ShardId, ShardRng, Now) -> M + Send + Sync + 'static,
{
    let shard = seat.mesh.shard();
    let builder = thread::Builder::new().name(format!("shard-{}", shard.0));
    builder.spawn(move || {
        let cpu = seat.cpu;
        let executor = LocalExecutorBuilder::new(Placement::Fixed(cpu))
            .io_memory(IO_MEMORY)
            .ring_depth(EXECUTOR_DEPTH)
            .make();
        let executor = match executor {
            Ok(executor) => executor,
            Err(error) => {
                let failed = LaunchError::Shard { shard, cpu, reason: error.to_string() };
                // The one who starts us has given up already where this is not heard.
                let _ = started.send(Err(failed));
                return;
            }
        };
        let result = executor.run(run_shard(seat, started));
        let result = result.map_err(|error| error.to_string());
        let _ = ended.send(End { shard, result });
    })?;
    Ok(())
}

async fn run_shard<M, F>(seat: Seat<F>, started: Sender<Result<(), LaunchError>>) -> io::Result<()>
where
    M: Machine + 'static,
    F: Fn(ShardId, ShardRng, Now) -> M,
{
    let shard = seat.mesh.shard();
    // The first sleep of an executor takes milliseconds; this is it.
    glommio::timer::sleep(Duration::from_micros(1)).await;
    let local = Rc::new(Local::default());
    let ring = match Ring::new(seat.ring, seat.bell.counter()) {
        Ok(ring) => ring,
        Err(error) => return refuse(&seat, &started, &error),
    };
    let mut network = Network::new(shard, ring, seat.clock, seat.dial_from, seat.connections_max);
    let machine = (seat.make)(shard, seat.rng, seat.clock.now());
    network.start_accepting(seat.listener)?;
    let pump = Pump::new(Parts {
        machine,
        clock: seat.clock,
        local,
        network,
        mesh: seat.mesh,
        bell: seat.bell,
        commands: seat.commands,
        disk: seat.disk,
        router_info_path: seat.router_info_path,
    });
    let _ = started.send(Ok(()));
    drop(started);
    pump.run().await
}

/// Says why a shard does not start, to the one who starts it.
fn refuse<F>(
    seat: &Seat<F>,
    started: &Sender<Result<(), LaunchError>>,
    error: &RingError,
) -> io::Result<()> {
    let failed =
        LaunchError::Shard { shard: seat.mesh.shard(), cpu: seat.cpu, reason: error.to_string() };
    // The one who starts us has given up already where this is not heard.
    let _ = started.send(Err(failed));
    Ok(())
}

impl Running {
    /// How to reach the shards, in the order of their numbers.
    #[must_use]
    pub fn lines(&self) -> &[ShardLine] {
        &self.lines
    }

    /// Reads the netdb's file, where there is one.
    #[must_use]
    pub fn records(&self) -> Option<&RecordReader> {
        self.disk.records()
    }

    /// Waits until all shards have ended and all files are written.
    ///
    /// # Errors
    /// When a shard ended by itself.
    pub fn wait(self) -> Result<(), LaunchError> {
        for _ in 0..self.lines.len() {
            let Ok(end) = self.ends.recv() else { break };
            end.into_result()?;
        }
        self.disk.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_fit_the_memory_that_may_be_locked() {
        let depth = |memory, shards| {
            let allowance = Allowance { locked_memory: memory, descriptors: None };
            ring_size(&allowance, shards).submissions
        };
        assert_eq!(depth(None, 64), 1024);
        assert_eq!(depth(Some(8 << 20), 4), 1024);
        assert_eq!(depth(Some(8 << 20), 32), 512);
        assert_eq!(depth(Some(512 << 10), 64), 128);
    }

    #[test]
    fn connections_fit_the_descriptors() {
        let most = |descriptors, shards| {
            connections_max(&Allowance { locked_memory: None, descriptors }, shards)
        };
        assert_eq!(most(None, 2), usize::MAX);
        assert_eq!(most(Some(1024), 2), 432);
        assert_eq!(most(Some(64), 2), 16);
    }
}

//! The queues between shards: for each ordered pair a bounded ring for data and one for control.
//!
//! What a turn sends is staged and published once, at the end of the turn, as one chunk per ring. A shard that sleeps is
//! woken through its [`Bell`], at most once until it has woken; a shard that is awake looks by itself. A full ring never
//! blocks: data is dropped and counted, control waits in a bounded backlog.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::base::id::ShardId;
use crate::runtime::sys;

/// Places in all data rings that lead to one shard, together; each has between 128 and 8192.
const DATA_PLACES: usize = 16_384;
/// Places in all control rings that lead to one shard, together; each has between 32 and 512.
const CONTROL_PLACES: usize = 4_096;
/// Control items that wait for room in one ring; newer ones are dropped.
const BACKLOG_MAX: usize = 8_192;

/// Wakes one shard, from any thread, if it sleeps.
pub struct Bell {
    counter: OwnedFd,
    asleep: AtomicBool,
}

impl Bell {
    /// A bell of a shard that is awake.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { counter: sys::event_counter()?, asleep: AtomicBool::new(false) })
    }

    /// Wakes the shard if it sleeps. To be called after what it shall find has been published.
    pub fn ring(&self) {
        // Pairs with the fence in `doze`: either we see that it sleeps, or it sees what we published.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst) {
            self.strike();
        }
    }

    /// Rings whether the shard sleeps or not.
    pub fn strike(&self) {
        sys::count_event(&self.counter);
    }

    /// The shard wants to sleep: from here on it is woken. It must look at all its queues once more before it does.
    pub fn doze(&self) {
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// The shard is awake and looks at its queues by itself.
    pub fn rise(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// The counter that a ringing counts up; whoever counts it up by other means wakes the shard as well.
    #[must_use]
    pub fn counter(&self) -> BorrowedFd<'_> {
        self.counter.as_fd()
    }

    /// A descriptor that becomes readable, as a count of eight bytes, when the bell was rung.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.counter.try_clone()
    }
}

/// Which queue an item takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Dropped when there is no room.
    Data,
    /// Kept back when there is no room.
    Control,
}

/// One shard's end of all its queues.
pub struct MeshEnd<T> {
    shard: ShardId,
    outlets: Vec<Outlet<T>>,
    inlets: Vec<Inlet<T>>,
    next_inlet: usize,
}

struct Outlet<T> {
    bell: Arc<Bell>,
    data: Staged<T>,
    control: Staged<T>,
    counts: OutletCounts,
}

/// What one shard sent to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutletCounts {
    /// Items that went into a ring.
    pub published: u64,
    /// Data items that found the ring full.
    pub dropped_data: u64,
    /// Control items that found the backlog full.
    pub dropped_control: u64,
}

struct Staged<T> {
    ring: Producer<T>,
    items: Vec<T>,
}

struct Inlet<T> {
    from: ShardId,
    data: Consumer<T>,
    control: Consumer<T>,
}

impl<T> Staged<T> {
    /// Moves as much as fits into the ring, and says how much that was.
    fn publish(&mut self) -> usize {
        let fits = self.items.len().min(self.ring.slots());
        if fits == 0 {
            return 0;
        }
        match self.ring.write_chunk_uninit(fits) {
            Ok(chunk) => chunk.fill_from_iter(self.items.drain(..fits)),
            Err(_) => 0,
        }
    }
}

/// The ends of a mesh between as many shards as there are bells, one end per shard.
#[must_use]
pub fn weave<T>(bells: &[Arc<Bell>]) -> Vec<MeshEnd<T>> {
    let shards = || (0u16..).map(ShardId).take(bells.len());
    let share =
        |places: usize, least: usize, most: usize| (places / bells.len().max(1)).clamp(least, most);
    let data_places = share(DATA_PLACES, 128, 8192);
    let control_places = share(CONTROL_PLACES, 32, 512);
    let mut ends: Vec<MeshEnd<T>> = shards()
        .map(|shard| MeshEnd { shard, outlets: Vec::new(), inlets: Vec::new(), next_inlet: 0 })
        .collect();
    for from in shards() {
        let mut outlets = Vec::with_capacity(bells.len());
        for (end, bell) in ends.iter_mut().zip(bells) {
            // The ring to oneself exists to keep positions equal to shard numbers; it has one place each.
            let oneself = end.shard == from;
            let (data, data_out) = RingBuffer::new(if oneself { 1 } else { data_places });
            let (control, control_out) = RingBuffer::new(if oneself { 1 } else { control_places });
            end.inlets.push(Inlet { from, data: data_out, control: control_out });
            outlets.push(Outlet {
                bell: bell.clone(),
                data: Staged { ring: data, items: Vec::new() },
                control: Staged { ring: control, items: Vec::new() },
                counts: OutletCounts::default(),
            });
        }
        if let Some(end) = ends.get_mut(from.index()) {
            end.outlets = outlets;
        }
    }
    ends
}

impl<T> MeshEnd<T> {
    /// Whose end this is.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Stages an item for another shard; [`MeshEnd::publish`] sends it. An unknown shard gets nothing.
    pub fn send(&mut self, to: ShardId, queue: Queue, item: T) {
        debug_assert_ne!(to, self.shard, "a shard keeps what is its own");
        let Some(outlet) = self.outlets.get_mut(to.index()) else { return };
        match queue {
            Queue::Data => outlet.data.items.push(item),
            Queue::Control if outlet.control.items.len() < BACKLOG_MAX => {
                outlet.control.items.push(item);
            }
            Queue::Control => outlet.counts.dropped_control += 1,
        }
    }

    /// Publishes what is staged and wakes those who sleep. Data that finds no room is dropped; control stays staged.
    pub fn publish(&mut self) {
        for outlet in &mut self.outlets {
            if outlet.data.items.is_empty() && outlet.control.items.is_empty() {
                continue;
            }
            let published = outlet.control.publish() + outlet.data.publish();
            outlet.counts.published += u64::try_from(published).unwrap_or(0);
            outlet.counts.dropped_data += u64::try_from(outlet.data.items.len()).unwrap_or(0);
            outlet.data.items.clear();
            if published > 0 {
                outlet.bell.ring();
            }
        }
    }

    /// Whether control items wait for room in a ring: the pump then comes back soon.
    #[must_use]
    pub fn has_backlog(&self) -> bool {
        self.outlets.iter().any(|outlet| !outlet.control.items.is_empty())
    }

    /// Takes up to `most` items that other shards sent, control before data of each shard, shards in turn.
    pub fn receive(&mut self, most: usize, items: &mut Vec<(ShardId, T)>) {
        let mut room = most;
        for _ in 0..self.inlets.len() {
            self.next_inlet = (self.next_inlet + 1) % self.inlets.len();
            let Some(inlet) = self.inlets.get_mut(self.next_inlet) else { continue };
            for ring in [&mut inlet.control, &mut inlet.data] {
                let count = ring.slots().min(room);
                if let Ok(chunk) = ring.read_chunk(count) {
                    items.extend(chunk.into_iter().map(|item| (inlet.from, item)));
                    room -= count;
                }
            }
        }
    }

    /// Whether something waits to be received.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.inlets.iter().any(|inlet| !inlet.control.is_empty() || !inlet.data.is_empty())
    }

    /// What went to each shard so far, in the order of their numbers.
    pub fn counts(&self) -> impl Iterator<Item = (ShardId, OutletCounts)> {
        (0u16..).map(ShardId).zip(self.outlets.iter().map(|outlet| outlet.counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh(shards: usize) -> (Vec<Arc<Bell>>, Vec<MeshEnd<usize>>) {
        let bells: Vec<_> = (0..shards).map(|_| Arc::new(Bell::new().unwrap())).collect();
        let ends = weave(&bells);
        (bells, ends)
    }

    fn received(end: &mut MeshEnd<usize>, most: usize) -> Vec<(ShardId, usize)> {
        let mut items = Vec::new();
        end.receive(most, &mut items);
        items
    }

    #[test]
    fn nothing_arrives_before_it_is_published() {
        let (_bells, mut ends) = mesh(3);
        ends[0].send(ShardId(2), Queue::Data, 7);
        assert!(!ends[2].has_waiting());
        ends[0].publish();
        assert!(ends[2].has_waiting() && !ends[1].has_waiting());
        assert_eq!(received(&mut ends[2], 10), [(ShardId(0), 7)]);
    }

    #[test]
    fn control_overtakes_data_and_order_holds_within_a_queue() {
        let (_bells, mut ends) = mesh(2);
        for item in [1, 2] {
            ends[0].send(ShardId(1), Queue::Data, item);
            ends[0].send(ShardId(1), Queue::Control, 10 * item);
        }
        ends[0].publish();
        let items: Vec<_> = received(&mut ends[1], 3).into_iter().map(|(_, item)| item).collect();
        assert_eq!(items, [10, 20, 1]);
        assert_eq!(received(&mut ends[1], 3), [(ShardId(0), 2)]);
    }

    #[test]
    fn a_full_ring_drops_data_and_keeps_control() {
        let (_bells, mut ends) = mesh(2);
        for item in 0..9_000 {
            ends[0].send(ShardId(1), Queue::Data, item);
        }
        for item in 0..3_000 {
            ends[0].send(ShardId(1), Queue::Control, item);
        }
        ends[0].publish();
        assert!(ends[0].has_backlog());
        let (_, counts) = ends[0].counts().nth(1).unwrap();
        assert_eq!(counts.dropped_data, 9_000 - 8_192);
        let mut all = 0;
        while ends[0].has_backlog() || ends[1].has_waiting() {
            all += received(&mut ends[1], 512).len();
            ends[0].publish();
        }
        assert_eq!(all, 3_000 + 8_192);
        let (_, counts) = ends[0].counts().nth(1).unwrap();
        assert_eq!(counts.published, 3_000 + 8_192);
        assert_eq!(counts.dropped_control, 0);
    }

    #[test]
    fn the_backlog_has_a_bound() {
        let (_bells, mut ends) = mesh(2);
        for item in 0..BACKLOG_MAX + 5 {
            ends[0].send(ShardId(1), Queue::Control, item);
        }
        let (_, counts) = ends[0].counts().nth(1).unwrap();
        assert_eq!(counts.dropped_control, 5);
    }

    #[test]
    fn a_bell_rings_once_and_only_for_sleepers() {
        use std::io::Read;
        let bell = Bell::new().unwrap();
        bell.ring();
        bell.doze();
        bell.ring();
        bell.ring();
        let mut file = std::fs::File::from(bell.descriptor().unwrap());
        let mut value = [0; 8];
        file.read_exact(&mut value).unwrap();
        assert_eq!(u64::from_ne_bytes(value), 1);
    }

    #[test]
    fn threads_lose_nothing_and_wake_each_other() {
        const ITEMS: usize = 20_000;
        let (bells, mut ends) = mesh(2);
        let mut receiver = ends.pop().unwrap();
        let mut sender = ends.pop().unwrap();
        let bell = bells[1].clone();
        let mut counter = std::fs::File::from(bell.descriptor().unwrap());
        let thread = std::thread::spawn(move || {
            let mut items = Vec::new();
            while items.len() < ITEMS {
                bell.doze();
                if !receiver.has_waiting() {
                    std::io::Read::read_exact(&mut counter, &mut [0; 8]).unwrap();
                }
                bell.rise();
                receiver.receive(100, &mut items);
            }
            items.into_iter().map(|(_, item)| item).collect::<Vec<_>>()
        });
        for item in 0..ITEMS {
            sender.send(ShardId(1), Queue::Control, item);
            if item % 7 == 0 {
                sender.publish();
            }
            while sender.has_backlog() {
                sender.publish();
                std::thread::yield_now();
            }
        }
        sender.publish();
        assert_eq!(thread.join().unwrap(), (0..ITEMS).collect::<Vec<_>>());
    }
}

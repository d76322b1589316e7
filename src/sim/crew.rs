//! Threads that simulate shards side by side. A window lasts a millisecond of the pool's time and less of theirs, so whoever waits
//! for the others looks for them a while before it sleeps. Where other programs have the processors, threads wait for each other
//! more than they gain.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Scope;

use super::shard::{Shard, World};
use crate::pool::Moment;

/// See the [module](self).
pub(super) struct Crew<'a>(Vec<Hand<'a>>);

/// One more thread.
struct Hand<'a> {
    orders: Sender<Order<'a>>,
    done: Receiver<Vec<Shard>>,
}

struct Order<'a> {
    shards: Vec<Shard>,
    world: Arc<World<'a>>,
    end: Moment,
}

/// Looks before a thread sleeps, some hundred microseconds.
const LOOKS: u32 = 2_000;

impl<'a> Crew<'a> {
    /// So many threads, the caller's included.
    pub(super) fn new<'scope>(threads: usize, scope: &'scope Scope<'scope, '_>) -> Self
    where
        'a: 'scope,
    {
        let hand = |_| {
            let (orders, ordered) = channel::<Order<'a>>();
            let (finished, done) = channel();
            scope.spawn(move || {
                while let Some(Order { mut shards, world, end }) = receive(&ordered) {
                    shards.iter_mut().for_each(|shard| shard.run(&world, end));
                    // Whoever has the shards back may change the world.
                    drop(world);
                    if finished.send(shards).is_err() {
                        return;
                    }
                }
            });
            Hand { orders, done }
        };
        Self((1..threads).map(hand).collect())
    }

    /// All that happens before `end`.
    pub(super) fn run(&self, shards: &mut Vec<Shard>, world: &Arc<World<'a>>, end: Moment) {
        if shards.iter().filter(|shard| shard.next_at() < end).count() < 2 || self.0.is_empty() {
            shards.iter_mut().for_each(|shard| shard.run(world, end));
            return;
        }
        let share = shards.len().div_ceil(self.0.len() + 1);
        for (before, hand) in self.0.iter().enumerate().rev() {
            let at = shards.len().min(share * (before + 1));
            let order = Order { shards: shards.split_off(at), world: world.clone(), end };
            hand.orders.send(order).expect(ENDED);
        }
        shards.iter_mut().for_each(|shard| shard.run(world, end));
        for hand in &self.0 {
            shards.extend(receive(&hand.done).expect(ENDED));
        }
    }
}

const ENDED: &str = "a thread that simulates ends before it is told to only if it panics";

/// What comes next; nothing if nobody is there to send it.
fn receive<T>(from: &Receiver<T>) -> Option<T> {
    for _ in 0..LOOKS {
        match from.try_recv() {
            Ok(next) => return Some(next),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => spin_loop(),
        }
    }
    from.recv().ok()
}

//! A sound device that is kept: when it fails, is unplugged or falls silent it is opened again, as often as it takes, when
//! the system's default becomes another device, that one is opened instead, and on a machine too busy for short blocks it
//! is opened with longer ones.
//!
//! Opening takes a sound server its time, and so does closing; both are done on a thread of their own. Whoever reads or
//! writes gets silence meanwhile, is told once that the device is gone and once that it is back, and never waits.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::{DeviceError, Direction};

/// What a kept device is: something that a card calls back.
pub(super) trait Card: Send {
    /// How often it has been called back.
    fn beats(&self) -> u64;

    /// How often its samples, or the room for them, have run out.
    fn gaps(&self) -> u64;

    /// So many samples have passed: whether its callback comes too late for the blocks that it is opened with. Said once.
    fn is_starved(&mut self, _samples: usize) -> bool {
        false
    }
}

/// How the thread gets at a device.
pub(super) trait Opener<D>: Send {
    /// Opens it.
    fn open(&mut self) -> Result<D, DeviceError>;

    /// What [`open`](Self::open) would open now; `None` when it cannot be told, or cannot change.
    fn name(&mut self) -> Option<String>;

    /// From now on it is opened with longer blocks; `false` where there are none.
    fn lengthen(&mut self) -> bool {
        false
    }
}

/// How patient the thread is.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Between two attempts to open what is gone.
    pub(super) retry: Duration,
    /// Between two looks at what the default is.
    pub(super) look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { retry: Duration::from_secs(1), look: Duration::from_secs(2) }
    }
}

/// See the [module](self).
pub(super) struct Kept<D> {
    direction: Direction,
    device: Option<D>,
    stall: Stall,
    /// Of this device and of those before it, each of which ended in one.
    gaps: u64,
    gaps_before: u64,
    orders: SyncSender<Order<D>>,
    opened: Receiver<D>,
}

enum Order<D> {
    /// It is gone: what is left of it is to be closed, and it is to be opened again.
    Again(Option<D>),
    /// Another one has taken its place.
    Close(D),
    /// One with longer blocks is to take its place.
    Longer,
}

impl<D: Card + 'static> Kept<D> {
    /// Keeps `device`; none is one that is gone already.
    pub(super) fn new(
        device: Option<D>,
        direction: Direction,
        opener: impl Opener<D> + 'static,
        patience: Patience,
    ) -> Self {
        let (orders, taken) = sync_channel(ORDERS_MAX);
        let (opens, opened) = sync_channel(1);
        let is_wanted = device.is_none();
        std::thread::spawn(move || keep(opener, &taken, &opens, patience, is_wanted));
        Self { direction, device, stall: Stall::default(), gaps: 0, gaps_before: 0, orders, opened }
    }

    /// Lets the device do its work on so many samples. `false` while there is none.
    ///
    /// # Errors
    /// It is gone as of now, or back.
    pub(super) fn with(
        &mut self,
        samples: usize,
        work: impl FnOnce(&mut D) -> Result<(), DeviceError>,
    ) -> Result<bool, DeviceError> {
        let mut is_back = false;
        if let Ok(device) = self.opened.try_recv() {
            self.stall = Stall::default();
            match self.device.replace(device) {
                // With a thread that is busy, it is closed here.
                Some(before) => {
                    self.gaps_before = self.gaps;
                    drop(self.orders.try_send(Order::Close(before)));
                }
                None => is_back = true,
            }
        }
        let Some(device) = &mut self.device else { return Ok(false) };
        let mut done = work(device);
        self.gaps = self.gaps_before + device.gaps();
        if device.is_starved(samples) {
            let _ = self.orders.try_send(Order::Longer);
        }
        if done.is_ok() && self.stall.on_beats(device.beats(), samples) {
            done = Err(DeviceError::Silent(self.direction));
        }
        match done {
            Ok(()) if is_back => Err(DeviceError::Restored(self.direction)),
            Ok(()) => Ok(true),
            Err(error) => {
                self.gaps += 1;
                self.gaps_before = self.gaps;
                let _ = self.orders.try_send(Order::Again(self.device.take()));
                Err(error)
            }
        }
    }
}

impl<D> Kept<D> {
    /// How often sound has come to a gap here.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps
    }
}

/// The thread: ends with the [`Kept`] that it works for.
fn keep<D: Send + 'static>(
    mut opener: impl Opener<D>,
    orders: &Receiver<Order<D>>,
    opened: &SyncSender<D>,
    patience: Patience,
    mut is_wanted: bool,
) {
    let mut name = if is_wanted { None } else { opener.name() };
    loop {
        match orders.recv_timeout(if is_wanted { patience.retry } else { patience.look }) {
            Ok(Order::Again(before)) => {
                before.into_iter().for_each(close);
                is_wanted = true;
            }
            Ok(Order::Close(before)) => {
                close(before);
                continue;
            }
            // The one that there is goes on until then.
            Ok(Order::Longer) if opener.lengthen() => is_wanted = true,
            Ok(Order::Longer) => continue,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = opener.name();
        if !is_wanted && (now.is_none() || now == name) {
            continue;
        }
        if let Ok(device) = opener.open() {
            (name, is_wanted) = (now, false);
            // Full: the one before has not been taken up yet, and is as good.
            let _ = opened.try_send(device);
        }
    }
}

/// A device that is gone may take forever to close: it waits for an answer to its last word. That is nobody else's affair.
fn close<D: Send + 'static>(device: D) {
    std::thread::spawn(move || drop(device));
}

/// Whether a device is called back at all.
#[derive(Default)]
struct Stall {
    beats: u64,
    quiet: usize,
}

impl Stall {
    /// So many samples have passed, and it has been called back so often: whether that has been too long ago.
    fn on_beats(&mut self, beats: u64, samples: usize) -> bool {
        self.quiet = if beats == self.beats { self.quiet + samples } else { 0 };
        self.beats = beats;
        self.quiet >= STALLED_SAMPLES
    }
}

/// Orders that wait for the thread: it may be opening something.
const ORDERS_MAX: usize = 4;

/// Without a callback for so long a device has stopped: 2 s, a hundred blocks.
const STALLED_SAMPLES: usize = 2 * crate::SAMPLE_RATE as usize;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A machine with one socket for a microphone.
    #[derive(Default)]
    struct Machine {
        is_plugged: AtomicBool,
        beats: AtomicU64,
        opened: AtomicU64,
        closed: AtomicU64,
        default: Mutex<String>,
        is_busy: AtomicBool,
        blocks: AtomicU64,
    }

    struct Microphone(Arc<Machine>);

    impl Card for Microphone {
        fn beats(&self) -> u64 {
            self.0.beats.load(Ordering::Relaxed)
        }

        fn gaps(&self) -> u64 {
            0
        }

        fn is_starved(&mut self, _samples: usize) -> bool {
            self.0.is_busy.swap(false, Ordering::Relaxed)
        }
    }

    impl Drop for Microphone {
        fn drop(&mut self) {
            self.0.closed.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Socket(Arc<Machine>);

    impl Opener<Microphone> for Socket {
        fn open(&mut self) -> Result<Microphone, DeviceError> {
            if !self.0.is_plugged.load(Ordering::Relaxed) {
                return Err(DeviceError::NoDefault(Direction::Input));
            }
            self.0.opened.fetch_add(1, Ordering::Relaxed);
            Ok(Microphone(self.0.clone()))
        }

        fn name(&mut self) -> Option<String> {
            Some(self.0.default.lock().unwrap().clone()).filter(|name| name != "asked for by name")
        }

        fn lengthen(&mut self) -> bool {
            self.0.blocks.fetch_add(1, Ordering::Relaxed) == 0
        }
    }

    fn kept(machine: &Arc<Machine>) -> Kept<Microphone> {
        let patience = Patience { retry: Duration::from_millis(1), look: Duration::from_millis(1) };
        Kept::new(None, Direction::Input, Socket(machine.clone()), patience)
    }

    /// Ticks until something is told.
    fn told(kept: &mut Kept<Microphone>, machine: &Arc<Machine>) -> DeviceError {
        loop {
            let works = machine.is_plugged.load(Ordering::Relaxed);
            let work = |_: &mut Microphone| match works {
                true => Ok(()),
                false => Err(DeviceError::Broken("unplugged".into(), Direction::Input)),
            };
            machine.beats.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = kept.with(240, work) {
                return error;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_unplugged_is_opened_again_when_it_is_back() {
        let machine = Arc::new(Machine::default());
        let mut kept = kept(&machine);
        for _ in 0..3 {
            assert!(!kept.with(240, |_| Ok(())).unwrap(), "nothing is there yet");
            machine.is_plugged.store(true, Ordering::Relaxed);
            assert!(matches!(told(&mut kept, &machine), DeviceError::Restored(_)));
            assert!(kept.with(240, |_| Ok(())).unwrap());
            machine.is_plugged.store(false, Ordering::Relaxed);
            assert!(matches!(told(&mut kept, &machine), DeviceError::Broken(..)));
        }
        assert_eq!((machine.opened.load(Ordering::Relaxed), kept.gaps()), (3, 3));
        while machine.closed.load(Ordering::Relaxed) < 3 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_device_that_calls_no_more_is_opened_again() {
        let machine = Arc::new(Machine::default());
        machine.is_plugged.store(true, Ordering::Relaxed);
        let mut kept = kept(&machine);
        assert!(matches!(told(&mut kept, &machine), DeviceError::Restored(_)));
        let silent = (0..).find(|_| matches!(kept.with(240, |_| Ok(())), Err(DeviceError::Silent(_))));
        assert_eq!(silent, Some(STALLED_SAMPLES / 240 - 1), "2 s, after the last beat");
        assert!(matches!(told(&mut kept, &machine), DeviceError::Restored(_)));
    }

    #[test]
    fn another_default_takes_over_without_a_word() {
        let machine = Arc::new(Machine::default());
        machine.is_plugged.store(true, Ordering::Relaxed);
        let mut kept = kept(&machine);
        assert!(matches!(told(&mut kept, &machine), DeviceError::Restored(_)));
        *machine.default.lock().unwrap() = "headset".into();
        while machine.closed.load(Ordering::Relaxed) < 1 {
            machine.beats.fetch_add(1, Ordering::Relaxed);
            assert!(kept.with(240, |_| Ok(())).unwrap());
            std::thread::yield_now();
        }
        assert_eq!(machine.opened.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_starved_device_is_opened_with_longer_blocks_whatever_it_is_called() {
        for name in ["default", "asked for by name"] {
            let machine = Arc::new(Machine::default());
            *machine.default.lock().unwrap() = name.into();
            machine.is_plugged.store(true, Ordering::Relaxed);
            let mut kept = kept(&machine);
            assert!(matches!(told(&mut kept, &machine), DeviceError::Restored(_)));
            for longest in [false, true] {
                machine.is_busy.store(true, Ordering::Relaxed);
                while machine.blocks.load(Ordering::Relaxed) < 1 + u64::from(longest)
                    || machine.closed.load(Ordering::Relaxed) < 1
                {
                    machine.beats.fetch_add(1, Ordering::Relaxed);
                    assert!(kept.with(240, |_| Ok(())).unwrap(), "never without one");
                    std::thread::yield_now();
                }
            }
            assert_eq!(
                machine.opened.load(Ordering::Relaxed),
                2,
                "{name}: there are none that are longer still"
            );
        }
    }
}

//! What a node keeps of others' records: bounded by number and by bytes, of each owner and in all.

use std::collections::BTreeMap;

use super::record::Record;
use crate::identity::Position;

/// Why a record was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A part of it is larger than it may be.
    Oversized,
    /// Its time is over.
    Over,
    /// Its expiry is farther off than that of any honest one.
    TooFar,
    /// The signature is not its owner's.
    Unsigned,
    /// One that is as new or newer is there.
    Older,
    /// Its owner has as much here as one may.
    OwnerFull,
    /// There is no room.
    Full,
    /// Other nodes are nearer to its key.
    Elsewhere,
    /// Its sender has had too many kept lately.
    Budget,
}

/// Records that were not taken, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusal {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::Oversized,
        Self::Over,
        Self::TooFar,
        Self::Unsigned,
        Self::Older,
        Self::OwnerFull,
        Self::Full,
        Self::Elsewhere,
        Self::Budget,
    ];
}

impl Refusals {
    /// How many for that reason.
    #[must_use]
    pub fn of(&self, reason: Refusal) -> u64 {
        self.0[reason as usize]
    }

    pub(super) fn count(&mut self, reason: Refusal) {
        self.0[reason as usize] += 1;
    }
}

/// Records in all: some five a node in a pool where everybody owns one, and much room for hot spots.
pub(super) const RECORDS_MAX: usize = 2_048;
/// Their bytes in all.
pub(super) const BYTES_MAX: usize = 1 << 20;
/// Records of one owner at one node: keys are spread over the ring, so an honest owner has few in one place.
pub(super) const OWNER_RECORDS_MAX: usize = 16;
/// Their bytes.
pub(super) const OWNER_BYTES_MAX: usize = 12 << 10;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Store {
    records: BTreeMap<Position, Record>,
    bytes: usize,
}

impl Store {
    /// Takes a record in, `now_s` being Unix time; an older one of its key goes.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    pub fn insert(&mut self, record: Record, now_s: u64) -> Result<Position, Refusal> {
        let key = record.key();
        let known = self.records.get(&key);
        if known.is_some_and(|known| !record.is_newer_than(known)) {
            return Err(Refusal::Older);
        }
        let (freed, replaces) = known.map_or((0, 0), |known| (known.size(), 1));
        if self.records.len() - replaces >= RECORDS_MAX || self.bytes - freed + record.size() > BYTES_MAX {
            return Err(Refusal::Full);
        }
        let (count, bytes) = self.owned(&record);
        if count - replaces >= OWNER_RECORDS_MAX || bytes - freed + record.size() > OWNER_BYTES_MAX {
            return Err(Refusal::OwnerFull);
        }
        record.check(now_s)?;
        self.bytes = self.bytes - freed + record.size();
        self.records.insert(key, record);
        Ok(key)
    }

    /// What is kept for a key.
    #[must_use]
    pub fn get(&self, key: Position) -> Option<&Record> {
        self.records.get(&key)
    }

    /// All that is kept, by key.
    pub fn iter(&self) -> impl Iterator<Item = (Position, &Record)> {
        self.records.iter().map(|(key, record)| (*key, record))
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True when nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all that is kept.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps only what `keep` is true of.
    pub fn retain(&mut self, mut keep: impl FnMut(Position, &Record) -> bool) {
        self.records.retain(|key, record| {
            let kept = keep(*key, record);
            self.bytes -= if kept { 0 } else { record.size() };
            kept
        });
    }

    /// Number and bytes of what an owner has here.
    fn owned(&self, of: &Record) -> (usize, usize) {
        let owner = of.claim().owner;
        let owned = self.records.values().filter(|record| record.claim().owner == owner);
        owned.fold((0, 0), |(count, bytes), record| (count + 1, bytes + record.size()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pool::records::record::tests::record;

    #[test]
    fn an_owner_has_its_share_and_no_more() {
        let mut store = Store::default();
        let names: Vec<String> = (0..=OWNER_RECORDS_MAX).map(|i| i.to_string()).collect();
        for name in &names[..OWNER_RECORDS_MAX] {
            assert!(store.insert(record(1, name, 1, 5_000), 1_000).is_ok());
        }
        let more = |owner, version, name: &str| record(owner, name, version, 5_000);
        assert_eq!(store.insert(more(1, 1, &names[OWNER_RECORDS_MAX]), 1_000), Err(Refusal::OwnerFull));
        assert!(
            store.insert(more(1, 2, "3"), 1_000).is_ok(),
            "a newer version takes the place of the old one"
        );
        assert!(store.insert(more(2, 1, "3"), 1_000).is_ok(), "another owner has its own share");
        store.retain(|_, _| false);
        assert_eq!((store.len(), store.bytes()), (0, 0));
    }

    #[test]
    fn a_full_store_refuses_and_still_renews() {
        let mut store = Store::default();
        let owners = 1..=(RECORDS_MAX / OWNER_RECORDS_MAX) as u8;
        for (owner, name) in owners.flat_map(|owner| (0..OWNER_RECORDS_MAX).map(move |name| (owner, name))) {
            assert!(store.insert(record(owner, &name.to_string(), 1, 5_000), 1_000).is_ok());
        }
        assert!(store.bytes() <= BYTES_MAX && store.len() == RECORDS_MAX);
        assert_eq!(store.insert(record(200, "new", 1, 5_000), 1_000), Err(Refusal::Full));
        assert!(store.insert(record(1, "0", 2, 5_000), 1_000).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// In whatever order and however often records come, the newest of them is kept, and sizes add up.
        #[test]
        fn the_newest_stays_in_any_order(
            arrivals in prop::collection::vec((0_u8..3, 0_u64..6, 1_u64..4), 1..24),
        ) {
            let mut store = Store::default();
            let mut newest: BTreeMap<Position, Record> = BTreeMap::new();
            for (owner, version, expires) in arrivals {
                let record = record(owner, "it", version, 2_000 + expires);
                let known = newest.entry(record.key()).or_insert_with(|| record.clone());
                if record.is_newer_than(known) {
                    *known = record.clone();
                }
                let _ = store.insert(record.clone(), 1_000);
                prop_assert!(!store.get(record.key()).is_none_or(|kept| record.is_newer_than(kept)));
            }
            for (key, record) in &newest {
                prop_assert_eq!(store.get(*key), Some(record));
            }
            prop_assert_eq!(store.bytes(), store.iter().map(|(_, record)| record.size()).sum::<usize>());
        }
    }
}

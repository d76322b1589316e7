//! How a pool node behaves.

use std::time::Duration;

use crate::identity::NodeId;
use crate::pool::degree::SESSIONS_MAX;
use crate::pool::grant::Grant;
use crate::pool::hours::Hours;

/// How a pool node behaves.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Tree links that this machine may carry.
    pub degree: u32,
    /// What one of them takes of the line upwards, kbit/s: of a line that is measured to carry fewer, only those are
    /// offered. `None`: `degree` are, whatever is measured.
    pub link_kbit_s: Option<u32>,
    /// It may serve sessions that it is not a member of.
    pub lends: bool,
    /// So many of them at once, at most.
    pub sessions: usize,
    /// Only then; nothing: at any hour.
    pub hours: Option<Hours>,
    /// What its owner allows others of its line upwards, kbit/s; 0: what its degree comes to.
    pub uplink_kbit_s: u32,
    /// It looks on, and is not on the ring.
    pub observer: bool,
    /// Between two pings to a peer that is wanted. Shorter: deaths are noticed sooner, traffic grows.
    pub heartbeat: Duration,
    /// A wanted peer that has been silent for this long is lost: at least three heartbeats.
    pub lost_after: Duration,
    /// Unix time when the node starts, seconds: records expire by it.
    pub born_s: u64,
    /// Whose grants count for priorities 1 and 2; without one, everybody's word does.
    pub authority: Option<NodeId>,
    /// By whose word this machine is of an authority's pool.
    pub grant: Option<Grant>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let (heartbeat, lost_after) = (Duration::from_secs(1), Duration::from_millis(3_500));
        Self {
            degree: 4,
            link_kbit_s: None,
            lends: false,
            sessions: SESSIONS_MAX,
            hours: None,
            uplink_kbit_s: 0,
            observer: false,
            heartbeat,
            lost_after,
            born_s: 0,
            authority: None,
            grant: None,
        }
    }
}

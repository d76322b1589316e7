//! What the own voice may ask of the line upwards: in which frames it goes while the line is under strain, and among how many
//! voices at once.

use std::time::Duration;

use alm_media::{
    CodecConfig, FrameLength, HEADER_LEN, LEVEL_LEN, PLACES_MIN, SFRAME_HEADER_MAX, Strain, TAG_LEN,
};

use crate::identity::NodeId;
use crate::session::SessionPlan;

/// See the [module](self).
pub(super) struct Uplink {
    strain: Strain<NodeId>,
    /// The frames that were asked for.
    usual: FrameLength,
    /// What a copy of the own voice takes on the wire, bit/s, and how many such the plan carries at once.
    copy_bps: u64,
    carried: usize,
}

impl Uplink {
    pub(super) fn new(codec: &CodecConfig) -> Self {
        let (strain, copy_bps) = (Strain::default(), copy_bps(codec));
        Self { strain, usual: codec.frame, copy_bps, carried: usize::MAX }
    }

    pub(super) fn on_plan(&mut self, plan: &SessionPlan) {
        self.carried = plan.voices_carried(self.copy_bps);
    }

    /// See [`Strain::on_second`].
    pub(super) fn on_second(
        &mut self,
        pressed: u64,
        round_trips: impl IntoIterator<Item = (NodeId, Duration)>,
    ) -> bool {
        let in_ms = |(peer, rtt): (NodeId, Duration)| (peer, rtt.as_secs_f64() * 1_000.0);
        self.strain.on_second(pressed, round_trips.into_iter().map(in_ms))
    }

    /// The frames to send in.
    pub(super) fn frame(&self) -> FrameLength {
        self.strain.frame(self.usual)
    }

    /// Voices at once: where longer frames have not been enough, the loudest alone.
    pub(super) fn voices(&self) -> usize {
        if self.strain.leaves_room_for_the_loudest_alone() { PLACES_MIN } else { self.carried }
    }
}

fn copy_bps(codec: &CodecConfig) -> u64 {
    let headers = HEADER_LEN + SFRAME_HEADER_MAX + TAG_LEN + LEVEL_LEN + ON_THE_WIRE;
    let frames_per_second = 1.0 / codec.frame.duration().as_secs_f64();
    u64::from(codec.bitrate) + (headers as f64 * 8.0 * frames_per_second) as u64
}

/// Headers of a hop, UDP and IPv6, bytes.
const ON_THE_WIRE: usize = 27 + 48;

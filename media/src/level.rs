//! How loud a voice is, in the terms of RFC 6464: decibels below full scale, from 0 to 127 (silence). Travels sealed in front
//! of every frame, so that members see who speaks and relays do not.

/// Bytes that a level takes in front of a frame.
pub const LEVEL_LEN: usize = 1;

/// See the [module](self). Greater is quieter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    /// Nothing to hear.
    pub const SILENCE: Self = Self(127);

    /// The root mean square of samples between -1 and 1 (RFC 6464, section 3).
    pub fn of(pcm: &[f32]) -> Self {
        let sum: f32 = pcm.iter().map(|sample| sample * sample).sum();
        let below = -10.0 * (sum / pcm.len().max(1) as f32).log10();
        // Samples that are no numbers, and none at all, are silence.
        if below.is_nan() { Self::SILENCE } else { Self(below.clamp(0.0, 127.0).round() as u8) }
    }

    /// So many decibels below full scale, 127 at most.
    pub const fn decibels_below(decibels: u8) -> Self {
        Self(if decibels > 127 { 127 } else { decibels })
    }

    /// As it stands on the wire; the top bit is kept free.
    pub fn from_byte(byte: u8) -> Self {
        Self(byte & 0x7f)
    }

    /// As it stands on the wire.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Decibels relative to full scale: 0 and less.
    pub fn decibels(self) -> f64 {
        -f64::from(self.0)
    }

    /// Louder than a room with its door closed: somebody speaks.
    pub fn is_voice(self) -> bool {
        self < Self::ROOM
    }

    const ROOM: Self = Self(60);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_decibels_below_full_scale() {
        assert_eq!(Level::of(&[1.0; 480]), Level(0));
        assert_eq!(Level::of(&[0.1; 480]), Level(20));
        for nothing in [&[][..], &[0.0; 480], &[f32::NAN; 480]] {
            assert_eq!(Level::of(nothing), Level::SILENCE);
        }
        assert_eq!(Level::of(&[9.0; 480]), Level(0), "no louder than that");
        assert_eq!(Level::from_byte(0xff), Level::SILENCE);
    }
}

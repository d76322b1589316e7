//! The hours of the day at which an owner lends a machine.

use std::fmt;
use std::str::FromStr;

/// From one minute of the day to another, UTC; beyond midnight if the second is the earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hours {
    from_min: u16,
    to_min: u16,
}

/// Minutes of a day.
const DAY_MIN: u64 = 24 * 60;

impl Hours {
    /// True at this Unix time, seconds.
    #[must_use]
    pub fn hold(self, unix_s: u64) -> bool {
        let minute = (unix_s / 60 % DAY_MIN) as u16;
        let (after, before) = (self.from_min <= minute, minute < self.to_min);
        if self.from_min < self.to_min { after && before } else { after || before }
    }
}

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            let two = |text: &str| text.parse::<u16>().ok().filter(|_| digits(text));
            let (hour, minute) = (two(hour)?, two(minute)?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let hours = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        match hours {
            Some((from_min, to_min)) if from_min != to_min => Ok(Self { from_min, to_min }),
            _ => Err("hours are two times of the day, UTC, such as 22:00-06:30".to_owned()),
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.from_min, self.to_min].map(|min| (min / 60, min % 60));
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.0, from.1, to.0, to.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_hold_from_the_first_minute_up_to_the_last() {
        let at = |hours: &str, hour: u64, minute: u64| {
            hours.parse::<Hours>().unwrap().hold(86_400 * 20_000 + hour * 3_600 + minute * 60 + 59)
        };
        assert!(at("09:00-17:30", 9, 0) && at("09:00-17:30", 17, 29));
        assert!(!at("09:00-17:30", 8, 59) && !at("09:00-17:30", 17, 30));
        assert!(at("22:00-06:30", 23, 0) && at("22:00-06:30", 6, 29) && !at("22:00-06:30", 12, 0));
        assert_eq!("22:00-06:30".parse::<Hours>().unwrap().to_string(), "22:00-06:30");
        for wrong in ["", "9-17", "09:00", "09:00-09:00", "24:00-01:00", "09:60-10:00", "+9:00-10:00"] {
            assert!(wrong.parse::<Hours>().is_err(), "{wrong}");
        }
    }
}

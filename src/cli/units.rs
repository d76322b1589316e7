//! The contract's units as a user types them: durations `250ms`, `5s`, `2m`; rates `64k`, `2M` in bit/s; shares `0.1`
//! or `10%`. Each parser's error is the sentence that follows the value on stderr.

use std::time::Duration;

/// A duration: a number with `ms`, `s`, `m` or `h`. A bare number is refused, but for 0.
///
/// # Errors
/// A sentence that says what a duration looks like.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let seconds = if text == "0" { Some(0.0) } else { with_unit(text, &units) };
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "a duration is a number with ms, s, m or h, such as 250ms, 5s or 2m".to_owned())
}

/// A rate in bit/s: a number with `k`, `M` or `G`, or without.
///
/// # Errors
/// A sentence that says what a rate looks like.
pub fn rate(text: &str) -> Result<u64, String> {
    let units = [("k", 1e3), ("M", 1e6), ("G", 1e9), ("", 1.0)];
    with_unit(text, &units)
        .filter(|rate| *rate <= RATE_MAX)
        .map(|rate| rate.round() as u64)
        .ok_or_else(|| "a rate is a number in bit/s, such as 64k or 2M, up to 1000G".to_owned())
}

/// A share, 0 to 1: a fraction or a percentage.
///
/// # Errors
/// A sentence that says what a share looks like.
pub fn share(text: &str) -> Result<f64, String> {
    with_unit(text, &[("%", 0.01), ("", 1.0)])
        .filter(|share| *share <= 1.0)
        .ok_or_else(|| "a share is between 0 and 1, such as 0.1 or 10%".to_owned())
}

/// The number before the first unit that fits, times that unit. Not negative, finite.
fn with_unit(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (number, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    // Rust reads "inf", "nan", "1e9" and "+5" as numbers too; nobody means them here.
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value = number.parse::<f64>().ok()? * unit;
    value.is_finite().then_some(value)
}

/// 1 Tbit/s; more is a slip of the pen.
const RATE_MAX: f64 = 1e12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2.5ms"), Ok(Duration::from_micros(2500)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for bad in
            ["", "ms", "5", "-5s", "1e3s", "infs", "nanms", "5 s", "5d", ".s", "99999999999999999999999s"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("64k"), Ok(64_000));
        assert_eq!(rate("2M"), Ok(2_000_000));
        assert_eq!(rate("1.5M"), Ok(1_500_000));
        assert_eq!(rate("8000"), Ok(8000));
        for bad in ["", "k", "-1k", "2m", "2 M", "1e6", "2000G"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares() {
        assert_eq!(share("0.1"), Ok(0.1));
        assert_eq!(share("10%"), Ok(0.1));
        assert_eq!(share("1"), Ok(1.0));
        for bad in ["", "%", "1.1", "101%", "-0.1", "nan", "x"] {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}

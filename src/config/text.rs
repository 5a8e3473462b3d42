//! Values that are written as text: durations and limits.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Parses `"500ms"`, `"30s"`, `"5m"`, `"1h30m"`, `"90d"`.
///
/// # Errors
/// Says which part is not a number with a unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write \"30s\", \"5m\", \"1h30m\" or \"90d\"");
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(wrong)?;
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at_checked(letters).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail.trim_start();
    }
    Ok(total)
}

/// The shortest text that [`duration`] reads back: `"1h30m"`.
pub fn duration_text(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if millis >= size {
            out.push_str(&format!("{}{unit}", millis / size));
            millis %= size;
        }
    }
    out
}

/// A rate with room for a burst: `count` in each `per`, `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many in each `per`.
    pub count: NonZeroU32,
    /// The time in which they come back: a second, a minute, an hour or a day.
    pub per: Duration,
    /// How many at once.
    pub burst: NonZeroU32,
}

impl RateLimit {
    /// `count` a second and `burst` at once; a zero counts as one.
    pub const fn per_second(count: u32, burst: u32) -> Self {
        Self::per(Duration::from_secs(1), count, burst)
    }

    /// `count` in each `per` and `burst` at once; a zero counts as one.
    pub const fn per(per: Duration, count: u32, burst: u32) -> Self {
        const fn at_least_one(n: u32) -> NonZeroU32 {
            match NonZeroU32::new(n) {
                Some(n) => n,
                None => NonZeroU32::MIN,
            }
        }
        Self { count: at_least_one(count), per, burst: at_least_one(burst) }
    }

    /// Parses `"50/s burst 100"`; without `burst`, as many at once as in one unit of time.
    ///
    /// # Errors
    /// Says what the text should look like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a limit: write \"50/s burst 100\" (per s, m, h or d; both at least 1)");
        let mut words = text.split_whitespace();
        let (count, unit) = words.next().and_then(|rate| rate.split_once('/')).ok_or_else(wrong)?;
        let count: NonZeroU32 = count.parse().map_err(|_| wrong())?;
        let per = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => count,
            (Some("burst"), Some(burst), None) => burst.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        Ok(Self { count, per: Duration::from_secs(per), burst })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            60 => "m",
            3600 => "h",
            86_400 => "d",
            _ => "s",
        };
        write!(f, "{}/{unit} burst {}", self.count, self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_what_they_print() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("90d", 7_776_000_000), ("0s", 0)]
        {
            let parsed = duration(text).unwrap();
            assert_eq!(parsed, Duration::from_millis(millis), "{text}");
            assert_eq!(duration_text(parsed), text);
        }
        assert_eq!(duration("1h 30m").unwrap(), Duration::from_secs(5400));
    }

    #[test]
    fn what_is_not_a_duration_says_how_to_write_one() {
        for text in ["", " ", "5", "5x", "m", "-5m", "1.5h", "5m!", "99999999999999999999s", "213503982335d9h", "5µs"]
        {
            let error = duration(text).unwrap_err();
            assert!(error.contains("\"30s\""), "{text}: {error}");
        }
    }

    #[test]
    fn limits_read_back_what_they_print() {
        for text in ["50/s burst 100", "1/d burst 1", "7/m burst 3"] {
            assert_eq!(RateLimit::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(RateLimit::parse("5/h").unwrap().to_string(), "5/h burst 5");
        for text in ["", "5", "0/s", "5/s burst 0", "5/s burst", "5/y", "5/s burst 5 more", "5/s bust 5", "-1/s"] {
            assert!(RateLimit::parse(text).is_err(), "{text}");
        }
    }
}

//! When to ask again: what the server says, else exponential waits with jitter.

use jiff::Timestamp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::header::HeaderMap;
use std::time::Duration;

/// Waits between attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// Attempts at one question, the first included.
    pub attempts: u32,
    /// The first wait.
    pub first: Duration,
    /// The longest, the server's own wishes included: a server that asks for more is given up on.
    pub longest: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 7,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
        }
    }
}

/// Draws waits.
#[derive(Debug)]
pub struct Backoff {
    patience: Patience,
    random: ChaCha8Rng,
}

impl Backoff {
    /// Waits of this patience, their jitter drawn from `seed`.
    pub fn new(patience: Patience, seed: u64) -> Self {
        Self {
            patience,
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// How long to wait after the failed attempt of this number (from 1): between half and all of
    /// first · 2^(number − 1), so that many who failed together do not come back together.
    pub fn wait(&mut self, attempt: u32) -> Duration {
        let doubled = 2f64.powi(attempt.saturating_sub(1).min(30) as i32);
        let whole =
            (self.patience.first.as_secs_f64() * doubled).min(self.patience.longest.as_secs_f64());
        Duration::from_secs_f64(whole * self.random.random_range(0.5..=1.0))
    }
}

/// What the server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date.
pub fn asked_to_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str, unit: f64| {
        let number: f64 = text.parse().ok()?;
        Duration::try_from_secs_f64(number * unit).ok()
    };
    if let Some(wait) = text("retry-after-ms").and_then(|text| number(text, 1e-3)) {
        return Some(wait);
    }
    let after = text("retry-after")?;
    number(after, 1.0).or_else(|| {
        let date = jiff::fmt::rfc2822::parse(after).ok()?.timestamp();
        let seconds = date.as_second() - now.as_second();
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    fn wait(name: &'static str, value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        // Wed, 25 Nov 2026 12:00:00 GMT
        asked_to_wait(&headers, Timestamp::from_second(1_795_608_000).unwrap())
    }

    #[test]
    fn what_the_server_asks_is_read() {
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(
            wait("retry-after-ms", "250"),
            Some(Duration::from_millis(250))
        );
        assert_eq!(
            wait("retry-after", "Wed, 25 Nov 2026 12:00:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(
            wait("retry-after", "Wed, 25 Nov 2026 11:00:00 GMT"),
            Some(Duration::ZERO)
        );
        for strange in ["soon", "-3", "1e400", "NaN", ""] {
            assert_eq!(wait("retry-after", strange), None, "{strange}");
        }
    }

    proptest! {
        #[test]
        fn waits_grow_within_bounds_and_repeat_by_seed(attempt in 1u32..200, seed: u64) {
            let patience = Patience::default();
            let wait = Backoff::new(patience, seed).wait(attempt);
            let whole = patience.first.as_secs_f64() * 2f64.powi(attempt.min(20) as i32 - 1);
            let whole = whole.min(patience.longest.as_secs_f64());
            prop_assert!(wait.as_secs_f64() >= whole * 0.499 && wait.as_secs_f64() <= whole * 1.001);
            prop_assert_eq!(wait, Backoff::new(patience, seed).wait(attempt));
        }
    }
}

//! How many requests each key may make: a bucket a key that fills steadily and holds a minute's worth.

use super::state::held;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The buckets. There is one for each key that has asked, so never more than there are keys.
#[derive(Debug)]
pub struct Rate {
    /// Requests that a key may make in a minute.
    pub per_minute: u32,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    requests: f64,
    at: Instant,
}

impl Rate {
    /// Full buckets.
    pub fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            buckets: Mutex::default(),
        }
    }

    /// Takes one request out of the owner's bucket.
    ///
    /// # Errors
    /// It is empty: how long until there is one again.
    pub fn take(&self, owner: &str, now: Instant) -> Result<(), Duration> {
        let most = f64::from(self.per_minute);
        let mut buckets = held(&self.buckets);
        let bucket = buckets.entry(owner.to_owned()).or_insert(Bucket {
            requests: most,
            at: now,
        });
        let a_second = most / 60.0;
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.requests = (bucket.requests + passed * a_second).min(most);
        bucket.at = now;
        if bucket.requests < 1.0 {
            let wait = (1.0 - bucket.requests) / a_second;
            return Err(Duration::from_secs_f64(wait));
        }
        bucket.requests -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_minutes_worth_and_gets_it_back_with_time() {
        let rate = Rate::new(30);
        let start = Instant::now();
        for _ in 0..30 {
            rate.take("one", start).unwrap();
        }
        let wait = rate.take("one", start).unwrap_err();
        assert!((wait.as_secs_f64() - 2.0).abs() < 1e-9, "{wait:?}");
        rate.take("other", start).unwrap();
        let later = start + wait + Duration::from_millis(1);
        rate.take("one", later).unwrap();
        rate.take("one", later).unwrap_err();
        // Time that went backwards gives nothing.
        rate.take("one", start).unwrap_err();
        let much_later = later + Duration::from_secs(3600);
        for _ in 0..30 {
            rate.take("one", much_later).unwrap();
        }
        rate.take("one", much_later).unwrap_err();
    }
}

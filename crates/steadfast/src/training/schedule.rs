//! Learning rate: linear warm-up, then cosine decay to zero.

/// The learning rate of step `step` (counted from 0) of `steps`, `warmup` of which warm up.
pub fn learning_rate(peak: f64, step: usize, steps: usize, warmup: usize) -> f64 {
    if step < warmup {
        return peak * (step + 1) as f64 / warmup as f64;
    }
    let left = steps.saturating_sub(warmup).max(1) as f64;
    let progress = (step - warmup) as f64 / left;
    peak * 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_to_the_peak_and_falls_towards_zero() {
        let rates: Vec<f64> = (0..100)
            .map(|step| learning_rate(1.0, step, 100, 10))
            .collect();
        assert_eq!(rates[0], 0.1);
        assert_eq!(rates[9], 1.0);
        assert_eq!(rates[10], 1.0);
        assert!(rates[10..].windows(2).all(|pair| pair[1] < pair[0]));
        assert!(rates[99] > 0.0 && rates[99] < 0.01);
    }

    #[test]
    fn without_warm_up_it_starts_at_the_peak() {
        assert_eq!(learning_rate(2.0, 0, 1, 0), 2.0);
    }
}

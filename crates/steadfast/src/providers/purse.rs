//! A purse that is never overdrawn.

use crate::{Error, Result};

/// What may still be spent. Money is set aside before a question is sent and settled when its answer
/// is there, so that no number of questions under way can overdraw it.
#[derive(Clone, Debug)]
pub struct Purse {
    who: String,
    most: Option<f64>,
    spent: f64,
    set_aside: f64,
}

impl Purse {
    /// With at most so many dollars for `who` (`the judge`); `None` is no limit.
    pub fn new(who: &str, most: Option<f64>) -> Self {
        Self {
            who: who.to_owned(),
            most,
            spent: 0.0,
            set_aside: 0.0,
        }
    }

    /// Sets `cost` aside.
    ///
    /// # Errors
    /// A budget error when that could overdraw the purse; nothing is set aside then.
    pub fn set_aside(&mut self, cost: f64) -> Result<()> {
        if let Some(most) = self.most
            && self.spent + self.set_aside + cost > most
        {
            return Err(Error::budget(format!(
                "{} stopped before its cost could exceed ${most}: ${:.4} is spent",
                self.who, self.spent
            ))
            .hint("what was answered so far is kept: the same command goes on from here; or raise --max-cost"));
        }
        self.set_aside += cost;
        Ok(())
    }

    /// Replaces what was set aside with what it came to.
    pub fn settle(&mut self, set_aside: f64, cost: f64) {
        self.set_aside = (self.set_aside - set_aside).max(0.0);
        self.spent += cost;
    }

    /// Is any question under way that may give something back?
    pub fn is_any_set_aside(&self) -> bool {
        // Sums of floats come back to nearly zero.
        self.set_aside > 1e-12
    }

    /// Dollars spent.
    pub fn spent(&self) -> f64 {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_purse_is_never_overdrawn(
            most in 0.0..2.0f64, steps in prop::collection::vec((0.0..0.5f64, 0.0..=1.0f64, any::<bool>()), 0..60)
        ) {
            let mut purse = Purse::new("the judge", Some(most));
            let mut open = Vec::new();
            for (cost, share, settle) in steps {
                match purse.set_aside(cost) {
                    Ok(()) => open.push((cost, share)),
                    Err(error) => prop_assert_eq!(error.class, Class::Budget),
                }
                if settle && let Some((cost, share)) = open.pop() {
                    purse.settle(cost, cost * share);
                }
            }
            for (cost, share) in open {
                purse.settle(cost, cost * share);
            }
            prop_assert!(purse.spent() <= most + 1e-9);
        }
    }
}

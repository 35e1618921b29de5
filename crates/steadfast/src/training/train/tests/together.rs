//! The loop in several processes, which here are threads.

use super::*;
use crate::group::threads;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Another number of processes adds in another order, and so rounds otherwise; the same number does not.
#[test]
fn processes_that_share_each_batch_train_the_same_model() {
    for kind in KINDS {
        let root = tempfile::tempdir().unwrap();
        let (_, expected) = run(kind, &root.path().join("alone"), None);
        let train_together = |size: usize, name: &str, killed_after: Option<usize>| {
            threads::together(size, |group| {
                // As if each had a disk of its own.
                let folder = root.path().join(format!("{name}-{}", group.rank()));
                let world = World::new(kind, &folder);
                let once = |resume: bool, limit: Option<usize>| {
                    let mut method = method_of(kind, &world.decoder);
                    let task = Task {
                        group,
                        ..world.task(resume)
                    };
                    let listener = Stopping {
                        after: limit,
                        done: AtomicUsize::new(0),
                    };
                    let summary = train(&task, method.as_mut(), &listener);
                    (bits(method.parameters()), summary)
                };
                if killed_after.is_some() {
                    assert!(once(false, killed_after).1.is_err(), "stopped");
                }
                let (moved, summary) = once(killed_after.is_some(), None);
                assert_eq!(folder.exists(), group.leads(), "only the leader writes");
                (moved, summary.unwrap())
            })
        };
        for size in [2, 3] {
            let straight = train_together(size, &format!("straight-{size}"), None);
            let resumed = train_together(size, &format!("resumed-{size}"), Some(5));
            for ((moved, summary), (again, _)) in straight.iter().zip(&resumed) {
                assert_eq!(
                    moved, &straight[0].0,
                    "{kind:?}: all processes hold the same bits"
                );
                assert_eq!(moved, again, "{kind:?}: resuming ends in the same bits");
                assert_eq!(summary.tokens, expected.tokens);
                let pairs = summary.losses.iter().zip(&expected.losses);
                for (together, alone) in pairs {
                    let off = (together - alone).abs() / alone.abs();
                    assert!(off < 1e-5, "{kind:?}: {together} and {alone}");
                }
            }
            assert_ne!(
                straight[0].0,
                bits(method_of(kind, &decoder()).parameters())
            );
        }
    }
}

/// Ends the work after so many steps.
struct Stopping {
    after: Option<usize>,
    done: AtomicUsize,
}

impl Listener for Stopping {
    fn on(&self, event: Event) {
        if let Event::TrainingStep { step, .. } = event {
            self.done.store(step, Ordering::Relaxed);
        }
    }

    fn stopped(&self) -> bool {
        self.after == Some(self.done.load(Ordering::Relaxed))
    }
}

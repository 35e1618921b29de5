//! The finalists before they are known: at most what the rule can choose.

use super::FinalistsPlan;
use super::costs::Costs;
use crate::models::Multiple;
use crate::settings::{ArmSettings, FinalistSettings, Role, StudySettings};
use crate::study::arm;
use crate::study::keeping::Keeping;
use crate::study::workbench::Part;
use crate::{Error, Result};

/// Settings of one role that the rule chooses at most, and the role.
const MOST: [(Role, usize); 2] = [(Role::Yardstick, 3), (Role::Candidate, 1)];

/// The plan, and what it adds to that of the whole.
pub(super) struct Planned {
    /// What is said of it.
    pub plan: FinalistsPlan,
    /// Of what training asks at its peak.
    pub memory_bytes: u64,
    /// Of adapters, checkpoints and samples.
    pub disk_bytes: u64,
    /// Whether an arm that may be trained needs the base's own replies.
    pub retains: bool,
}

/// What of one arm is left, over the seeds.
struct Left<'a> {
    arm: &'a ArmSettings,
    /// Training runs, whichever of its settings are chosen.
    trainings: usize,
    seconds: f64,
}

/// Counts what is left at most. `trained` are the arms, by name and seed, that stage 1 trains: their
/// adapters are there.
pub(super) fn plan(
    settings: &StudySettings,
    asked: &FinalistSettings,
    part: &Part,
    costs: &Costs<'_>,
    keeping: &Keeping<'_>,
    trained: &[(&str, u64)],
) -> Result<Planned> {
    let (pass, drift) = (costs.pass(&part.suites), costs.drift()?);
    let missing = |arm: &ArmSettings, seed: u64, scale: Multiple| {
        Ok::<_, Error>(keeping.find(part, Some((arm, seed, scale)))?.is_none())
    };
    let (mut counts, mut chosen, mut measured) = ([0; 2], 0, 0);
    let mut training: Vec<Left<'_>> = Vec::new();
    for (index, (role, most)) in MOST.into_iter().enumerate() {
        // What is left of each setting, and of each arm.
        let (mut of_settings, mut of_arms) = (Vec::new(), Vec::new());
        for arm in settings.arms.iter().filter(|arm| arm.role == Some(role)) {
            let mut unmeasured = vec![0; arm.scales.len()];
            let mut trainings = 0;
            for &seed in &asked.seeds {
                let mut any = false;
                for (scale, count) in arm.scales.iter().zip(&mut unmeasured) {
                    if missing(arm, seed, *scale)? {
                        *count += 1;
                        any = true;
                    }
                }
                trainings += usize::from(any && !trained.contains(&(arm.name.as_str(), seed)));
            }
            of_settings.extend(unmeasured);
            of_arms.push(Left {
                arm,
                trainings,
                seconds: costs.arm(arm).seconds * trainings as f64,
            });
        }
        counts[index] = of_settings.len();
        chosen += of_settings.len().min(most);
        // Those that have most left: no choice can cost more.
        of_settings.sort_unstable_by(|one, other| other.cmp(one));
        measured += of_settings.iter().take(most).sum::<usize>();
        of_arms.sort_by(|one, other| other.seconds.total_cmp(&one.seconds));
        training.extend(of_arms.into_iter().take(most));
    }
    training.retain(|one| one.trainings > 0);
    let base = usize::from(keeping.find(part, None)?.is_none());
    let times = 1 + chosen * asked.seeds.len();
    let sum = |value: fn(&Costs<'_>, &ArmSettings) -> u64| -> u64 {
        let each = training.iter();
        each.map(|one| one.trainings as u64 * value(costs, one.arm))
            .sum()
    };
    let arms = training.iter().map(|one| costs.arm(one.arm).memory_bytes);
    Ok(Planned {
        memory_bytes: arms.max().unwrap_or(0),
        disk_bytes: sum(|costs, arm| costs.adapter_bytes(arm)) + pass.disk_bytes(measured + base),
        retains: training.iter().any(|one| arm::retains(one.arm)),
        plan: FinalistsPlan {
            yardsticks: counts[0],
            candidates: counts[1],
            chosen,
            seeds: asked.seeds.len(),
            trainings: training.iter().map(|one| one.trainings).sum(),
            tokens: sum(|costs, arm| costs.arm(arm).tokens),
            training_seconds: training.iter().map(|one| one.seconds).sum(),
            measuring: pass.times(times, measured + base),
            drift_seconds: drift.seconds * measured as f64,
        },
    })
}

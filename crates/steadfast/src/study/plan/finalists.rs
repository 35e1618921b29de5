//! The finalists before they are known: at most what the rule can choose, and what stands beside them.

use super::FinalistsPlan;
use super::costs::Costs;
use crate::Result;
use crate::models::Multiple;
use crate::settings::{ArmSettings, FinalistSettings, Role, StudySettings};
use crate::study::arm;
use crate::study::keeping::Keeping;
use crate::study::workbench::Part;

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

/// What of some settings of one arm is left, over the seeds.
struct Left<'a> {
    arm: &'a ArmSettings,
    /// Measurements, a setting.
    measurements: Vec<usize>,
    /// Training runs, whichever of the settings are measured.
    trainings: usize,
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
    let is_comparator = |arm: &ArmSettings, scale: Multiple| {
        let mut comparators = asked.comparators.iter();
        comparators.any(|(name, other)| *name == arm.name && *other == scale)
    };
    let beside = |arm| {
        left(arm, asked, part, keeping, trained, |scale| {
            is_comparator(arm, scale)
        })
    };
    // Comparators are measured in any case; what is chosen besides comes on top.
    let mut training = settings
        .arms
        .iter()
        .map(beside)
        .collect::<Result<Vec<_>>>()?;
    let in_any_case = training.iter().flat_map(|one| &one.measurements);
    let mut measured: usize = in_any_case.sum();
    let mut settings_measured = asked.comparators.len();
    let (mut counts, mut chosen) = ([0; 2], 0);
    for (index, (role, most)) in MOST.into_iter().enumerate() {
        let (mut of_settings, mut of_arms) = (Vec::new(), Vec::new());
        for arm in settings.arms.iter().filter(|arm| arm.role == Some(role)) {
            counts[index] += arm.scales.len();
            let whole = left(arm, asked, part, keeping, trained, |_| true)?;
            let others = arm.scales.iter().zip(&whole.measurements);
            let others = others.filter(|(scale, _)| !is_comparator(arm, **scale));
            of_settings.extend(others.map(|(_, count)| *count));
            let trainings = whole.trainings - beside(arm)?.trainings;
            of_arms.push(Left { trainings, ..whole });
        }
        chosen += counts[index].min(most);
        settings_measured += of_settings.len().min(most);
        // Those that have most left: no choice can cost more.
        of_settings.sort_unstable_by(|one, other| other.cmp(one));
        measured += of_settings.iter().take(most).sum::<usize>();
        let seconds = |one: &Left<'_>| costs.arm(one.arm).seconds * one.trainings as f64;
        of_arms.sort_by(|one, other| seconds(other).total_cmp(&seconds(one)));
        training.extend(of_arms.into_iter().take(most));
    }
    training.retain(|one| one.trainings > 0);
    let base = usize::from(keeping.find(part, None)?.is_none());
    let times = 1 + settings_measured * asked.seeds.len();
    let sum = |value: fn(&Costs<'_>, &ArmSettings) -> u64| -> u64 {
        let each = training.iter();
        each.map(|one| one.trainings as u64 * value(costs, one.arm))
            .sum()
    };
    let seconds = training
        .iter()
        .map(|one| costs.arm(one.arm).seconds * one.trainings as f64);
    let arms = training.iter().map(|one| costs.arm(one.arm).memory_bytes);
    Ok(Planned {
        memory_bytes: arms.max().unwrap_or(0),
        disk_bytes: sum(|costs, arm| costs.adapter_bytes(arm)) + pass.disk_bytes(measured + base),
        retains: training.iter().any(|one| arm::retains(one.arm)),
        plan: FinalistsPlan {
            yardsticks: counts[0],
            candidates: counts[1],
            chosen,
            comparators: asked.comparators.len(),
            seeds: asked.seeds.len(),
            trainings: training.iter().map(|one| one.trainings).sum(),
            tokens: sum(|costs, arm| costs.arm(arm).tokens),
            training_seconds: seconds.sum(),
            measuring: pass.times(times, measured + base),
            drift_seconds: drift.seconds * measured as f64,
        },
    })
}

/// What is left of those settings of `arm` whose scale is `wanted`.
fn left<'a>(
    arm: &'a ArmSettings,
    asked: &FinalistSettings,
    part: &Part,
    keeping: &Keeping<'_>,
    trained: &[(&str, u64)],
    wanted: impl Fn(Multiple) -> bool,
) -> Result<Left<'a>> {
    let scales = arm.scales.iter().copied().filter(|scale| wanted(*scale));
    let scales: Vec<Multiple> = scales.collect();
    let mut measurements = vec![0; scales.len()];
    let mut trainings = 0;
    for &seed in &asked.seeds {
        let mut any = false;
        for (scale, count) in scales.iter().zip(&mut measurements) {
            if keeping.find(part, Some((arm, seed, *scale)))?.is_none() {
                *count += 1;
                any = true;
            }
        }
        trainings += usize::from(any && !trained.contains(&(arm.name.as_str(), seed)));
    }
    Ok(Left {
        arm,
        measurements,
        trainings,
    })
}

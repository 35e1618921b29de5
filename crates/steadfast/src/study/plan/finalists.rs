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

/// What of one arm is left.
struct Left<'a> {
    arm: &'a ArmSettings,
    /// Which of its settings are comparators.
    beside: Vec<bool>,
    /// For each seed whether stage 1 leaves its adapter, and which of its settings are not kept.
    seeds: Vec<(bool, Vec<bool>)>,
}

impl<'a> Left<'a> {
    fn of(
        arm: &'a ArmSettings,
        asked: &FinalistSettings,
        part: &Part,
        keeping: &Keeping<'_>,
        trained: &[(&str, u64)],
    ) -> Result<Self> {
        let is_comparator = |scale: &Multiple| {
            let mut comparators = asked.comparators.iter();
            comparators.any(|(name, other)| *name == arm.name && other == scale)
        };
        let missing = |seed: u64| {
            let find =
                |scale: &Multiple| Ok(keeping.find(part, Some((arm, seed, *scale)))?.is_none());
            let missing = arm.scales.iter().map(find).collect::<Result<_>>()?;
            Ok((trained.contains(&(arm.name.as_str(), seed)), missing))
        };
        Ok(Self {
            arm,
            beside: arm.scales.iter().map(is_comparator).collect(),
            seeds: asked
                .seeds
                .iter()
                .copied()
                .map(missing)
                .collect::<Result<_>>()?,
        })
    }

    /// Measurements of each of its settings that is a comparator, or is none.
    fn measurements(&self, beside: bool) -> impl Iterator<Item = usize> + '_ {
        let settings = (0..self.beside.len()).filter(move |&index| self.beside[index] == beside);
        settings.map(|index| {
            self.seeds
                .iter()
                .filter(|(_, missing)| missing[index])
                .count()
        })
    }

    /// Training runs that its comparators need.
    fn trainings_beside(&self) -> usize {
        self.trainings(|index| self.beside[index])
    }

    /// Training runs that come on top of them, whichever of its settings are chosen.
    fn trainings_on_top(&self) -> usize {
        self.trainings(|_| true) - self.trainings_beside()
    }

    fn trainings(&self, wanted: impl Fn(usize) -> bool) -> usize {
        let needed = self.seeds.iter().filter(|(trained, missing)| {
            let mut left = missing.iter().enumerate();
            !trained && left.any(|(index, missing)| *missing && wanted(index))
        });
        needed.count()
    }
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
    let concerned = |arm: &&ArmSettings| {
        arm.role.is_some() || asked.comparators.iter().any(|(name, _)| *name == arm.name)
    };
    let arms = settings.arms.iter().filter(concerned);
    let arms = arms
        .map(|arm| Left::of(arm, asked, part, keeping, trained))
        .collect::<Result<Vec<_>>>()?;
    // Comparators are measured in any case; what is chosen besides comes on top.
    let beside = arms.iter().map(|one| (one.arm, one.trainings_beside()));
    let mut training: Vec<(&ArmSettings, usize)> = beside.collect();
    let mut measured: usize = arms.iter().flat_map(|one| one.measurements(true)).sum();
    let mut settings_measured = asked.comparators.len();
    let (mut counts, mut chosen) = ([0; 2], 0);
    let seconds =
        |(arm, trainings): &(&ArmSettings, usize)| costs.arm(arm).seconds * *trainings as f64;
    for (index, (role, most)) in MOST.into_iter().enumerate() {
        let (mut of_settings, mut of_arms) = (Vec::new(), Vec::new());
        for one in arms.iter().filter(|one| one.arm.role == Some(role)) {
            counts[index] += one.arm.scales.len();
            of_settings.extend(one.measurements(false));
            of_arms.push((one.arm, one.trainings_on_top()));
        }
        chosen += counts[index].min(most);
        settings_measured += of_settings.len().min(most);
        // Those that have most left: no choice can cost more.
        of_settings.sort_unstable_by(|one, other| other.cmp(one));
        measured += of_settings.iter().take(most).sum::<usize>();
        of_arms.sort_by(|one, other| seconds(other).total_cmp(&seconds(one)));
        training.extend(of_arms.into_iter().take(most));
    }
    training.retain(|(_, trainings)| *trainings > 0);
    let base = usize::from(keeping.find(part, None)?.is_none());
    let times = 1 + settings_measured * asked.seeds.len();
    let sum = |value: fn(&Costs<'_>, &ArmSettings) -> u64| -> u64 {
        let each = training.iter();
        each.map(|(arm, trainings)| *trainings as u64 * value(costs, arm))
            .sum()
    };
    let memory = training.iter().map(|(arm, _)| costs.arm(arm).memory_bytes);
    Ok(Planned {
        memory_bytes: memory.max().unwrap_or(0),
        disk_bytes: sum(|costs, arm| costs.adapter_bytes(arm)) + pass.disk_bytes(measured + base),
        retains: training.iter().any(|(arm, _)| arm::retains(arm)),
        plan: FinalistsPlan {
            yardsticks: counts[0],
            candidates: counts[1],
            chosen,
            comparators: asked.comparators.len(),
            seeds: asked.seeds.len(),
            trainings: training.iter().map(|(_, trainings)| trainings).sum(),
            tokens: sum(|costs, arm| costs.arm(arm).tokens),
            training_seconds: training.iter().map(seconds).sum(),
            measuring: pass.times(times, measured + base),
            drift_seconds: drift.seconds * measured as f64,
        },
    })
}

//! The output head: logits for the rows that need them, a chunk at a time, and what is made of them.
//!
//! Full logits of a batch are the largest tensor of a step (vocabulary × tokens); here they exist
//! for a chunk of rows only, and the loss turns each chunk into its gradient in place.

use super::activation::capped;
use super::buffers::{Buffer, Pool};
use super::lanes::{
    add_scaled, exponential, exponentials, maximum, sum_of_exponentials, vectorized,
};
use super::product::whole_mut;
use super::tiles::{Back, Panels, Rows, Through, back, through};
use crate::conversations::packing::Target;
use crate::{Error, Result};
use rayon::prelude::*;

/// Logits that exist at once: 67 MB of them.
const LOGITS: usize = 1 << 24;

/// Most rows whose logits exist at once, for a vocabulary.
pub fn most_rows(vocabulary: usize) -> usize {
    (LOGITS / vocabulary.max(1)).clamp(16, 256)
}

/// The frozen head: logits = hidden·weightᵀ, held within ±cap where there is one.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// [vocabulary, width]
    pub weight: &'a [f32],
    /// Width of a hidden state.
    pub width: usize,
    /// Logits are cap·tanh(logit/cap).
    pub cap: Option<f32>,
    /// Where scratch memory comes from.
    pub pool: &'a Pool,
}

impl Head<'_> {
    /// Rows of the weight.
    pub fn vocabulary(&self) -> usize {
        self.weight.len() / self.width
    }

    /// Writes logits [rows, vocabulary] of `hidden` [rows, width].
    pub fn logits(&self, hidden: &[f32], logits: &mut [f32]) {
        let (rows, vocabulary) = (hidden.len() / self.width, self.vocabulary());
        let term = Through {
            panels: &Panels::pack(self.pool, hidden, self.width),
            weights: Rows::of(self.weight, self.width),
        };
        through(whole_mut(logits, rows, vocabulary), false, &[term]);
        if let Some(cap) = self.cap {
            logits.par_chunks_mut(vocabulary).for_each(|logits| {
                vectorized(
                    #[inline(always)]
                    || {
                        for logit in logits {
                            *logit = capped(*logit, cap).0;
                        }
                    },
                );
            });
        }
    }

    /// What [`Self::slope`] needs of logits that are about to become their gradients.
    fn held(&self, logits: &[f32]) -> Option<(f32, Buffer)> {
        self.cap.map(|cap| {
            let mut held = self.pool.take(logits.len());
            held.copy_from_slice(logits);
            (cap, held)
        })
    }

    /// Multiplies the gradients of held logits by the slope of the cap, 1 − (logit/cap)².
    fn slope(&self, held: Option<(f32, Buffer)>, gradients: &mut [f32]) {
        let Some((cap, held)) = held else { return };
        let vocabulary = self.vocabulary();
        gradients
            .par_chunks_mut(vocabulary)
            .zip(held.par_chunks(vocabulary))
            .for_each(|(gradients, held)| {
                vectorized(
                    #[inline(always)]
                    || {
                        for (gradient, logit) in gradients.iter_mut().zip(held) {
                            let share = logit / cap;
                            *gradient *= 1.0 - share * share;
                        }
                    },
                );
            });
    }

    /// Logits [count, vocabulary] of the given rows of `hidden`.
    fn logits_of(&self, hidden: &[f32], rows: impl ExactSizeIterator<Item = u32>) -> Buffer {
        let count = rows.len();
        let mut gathered = self.pool.take(count * self.width);
        for (to, row) in gathered.chunks_exact_mut(self.width).zip(rows) {
            to.copy_from_slice(&hidden[row as usize * self.width..][..self.width]);
        }
        let mut logits = self.pool.take(count * self.vocabulary());
        self.logits(&gathered, &mut logits);
        logits
    }

    /// Adds logit gradients [count, vocabulary]·weight to the given rows of `gradient`.
    fn pull_back(
        &self,
        logit_gradients: &[f32],
        rows: impl ExactSizeIterator<Item = u32>,
        gradient: &mut [f32],
    ) {
        let count = rows.len();
        let mut gathered = self.pool.take(count * self.width);
        let term = Back {
            left: Rows::of(logit_gradients, self.vocabulary()),
            right: Rows::of(self.weight, self.width),
        };
        back(whole_mut(&mut gathered, count, self.width), &[term]);
        for (from, row) in gathered.chunks_exact(self.width).zip(rows) {
            let to = &mut gradient[row as usize * self.width..][..self.width];
            add_scaled(to, 1.0, from);
        }
    }

    fn check(&self, hidden: &[f32], targets: &[Target]) -> Result<()> {
        let rows = hidden.len() / self.width;
        match targets.iter().find(|target| {
            target.row as usize >= rows || target.token as usize >= self.vocabulary()
        }) {
            None => Ok(()),
            Some(target) => Err(Error::bug(format!(
                "target token {} at row {} lies outside {} tokens and {rows} rows",
                target.token,
                target.row,
                self.vocabulary()
            ))),
        }
    }

    /// Σ weight·(−ln p(target)) in nats, and its gradient added to `gradient` [rows, width].
    pub fn cross_entropy(
        &self,
        hidden: &[f32],
        targets: &[Target],
        gradient: &mut [f32],
    ) -> Result<f64> {
        self.check(hidden, targets)?;
        let mut total = 0.0;
        for targets in targets.chunks(most_rows(self.vocabulary())) {
            let rows = || targets.iter().map(|target| target.row);
            let mut logits = self.logits_of(hidden, rows());
            let held = self.held(&logits);
            let losses: Vec<f64> = logits
                .par_chunks_exact_mut(self.vocabulary())
                .zip(targets)
                .map(|(logits, target)| {
                    vectorized(
                        #[inline(always)]
                        || {
                            let most = maximum(logits);
                            let own = f64::from(logits[target.token as usize] - most);
                            let sum = exponentials(logits, 1.0, most);
                            let factor = (f64::from(target.weight) / sum) as f32;
                            for logit in logits.iter_mut() {
                                *logit *= factor;
                            }
                            logits[target.token as usize] -= target.weight;
                            f64::from(target.weight) * (sum.ln() - own)
                        },
                    )
                })
                .collect();
            total += losses.iter().sum::<f64>();
            self.slope(held, &mut logits);
            self.pull_back(&logits, rows(), gradient);
        }
        Ok(total)
    }

    /// weight·Σ KL(teacher ‖ student) in nats over the given rows, and its gradient added to
    /// `gradient` [rows, width]. `teacher` holds the teacher's hidden states [rows.len(), width].
    pub fn divergence(
        &self,
        hidden: &[f32],
        rows: &[u32],
        teacher: &[f32],
        weight: f64,
        mut gradient: Option<&mut [f32]>,
    ) -> Result<Vec<f64>> {
        let held = hidden.len() / self.width;
        if teacher.len() != rows.len() * self.width || rows.iter().any(|&row| row as usize >= held)
        {
            return Err(Error::bug(format!(
                "{} teacher states for {} of {held} rows",
                teacher.len() / self.width,
                rows.len()
            )));
        }
        let mut divergences = Vec::with_capacity(rows.len());
        let most = most_rows(self.vocabulary());
        for (rows, teacher) in rows.chunks(most).zip(teacher.chunks(most * self.width)) {
            let mut student = self.logits_of(hidden, rows.iter().copied());
            let held = self.held(&student);
            let teacher = self.logits_of(teacher, 0..rows.len() as u32);
            let here: Vec<f64> = student
                .par_chunks_exact_mut(self.vocabulary())
                .zip(teacher.par_chunks_exact(self.vocabulary()))
                .map(|(student, teacher)| {
                    vectorized(
                        #[inline(always)]
                        || divergence_of_row(student, teacher, weight as f32),
                    )
                })
                .collect();
            divergences.extend(here.iter().map(|divergence| divergence * weight));
            if let Some(gradient) = gradient.as_deref_mut() {
                self.slope(held, &mut student);
                self.pull_back(&student, rows.iter().copied(), gradient);
            }
        }
        Ok(divergences)
    }

    /// ln p (nats) of each target, and whether no token is likelier.
    pub fn log_probabilities(
        &self,
        hidden: &[f32],
        targets: &[Target],
    ) -> Result<Vec<(f64, bool)>> {
        self.check(hidden, targets)?;
        let mut found = Vec::with_capacity(targets.len());
        for targets in targets.chunks(most_rows(self.vocabulary())) {
            let logits = self.logits_of(hidden, targets.iter().map(|target| target.row));
            found.par_extend(logits.par_chunks_exact(self.vocabulary()).zip(targets).map(
                |(logits, target)| {
                    vectorized(
                        #[inline(always)]
                        || {
                            let most = maximum(logits);
                            let own = logits[target.token as usize];
                            let sum = sum_of_exponentials(logits, most);
                            (f64::from(own - most) - sum.ln(), own >= most)
                        },
                    )
                },
            ));
        }
        Ok(found)
    }
}

/// KL(teacher ‖ student) of one row of logits; the student's become weight·(p_student − p_teacher).
#[inline(always)]
fn divergence_of_row(student: &mut [f32], teacher: &[f32], weight: f32) -> f64 {
    const RUN: usize = 512;
    let student_most = maximum(student);
    let teacher_most = maximum(teacher);
    let student_sum = sum_of_exponentials(student, student_most);
    let teacher_sum = sum_of_exponentials(teacher, teacher_most);
    let student_log_sum = student_most + student_sum.ln() as f32;
    let teacher_log_sum = teacher_most + teacher_sum.ln() as f32;
    let mut total = 0.0f64;
    for (student, teacher) in student.chunks_mut(RUN).zip(teacher.chunks(RUN)) {
        let mut partial = [0.0f32; 16];
        let (student_chunks, student_rest) = student.as_chunks_mut::<16>();
        let (teacher_chunks, teacher_rest) = teacher.as_chunks::<16>();
        for (student, teacher) in student_chunks.iter_mut().zip(teacher_chunks) {
            for lane in 0..16 {
                let student_log = student[lane] - student_log_sum;
                let teacher_log = teacher[lane] - teacher_log_sum;
                let teacher_probability = exponential(teacher_log);
                partial[lane] += teacher_probability * (teacher_log - student_log);
                student[lane] = weight * (exponential(student_log) - teacher_probability);
            }
        }
        for (student, teacher) in student_rest.iter_mut().zip(teacher_rest) {
            let student_log = *student - student_log_sum;
            let teacher_log = teacher - teacher_log_sum;
            let teacher_probability = exponential(teacher_log);
            partial[0] += teacher_probability * (teacher_log - student_log);
            *student = weight * (exponential(student_log) - teacher_probability);
        }
        total += partial.iter().map(|part| f64::from(*part)).sum::<f64>();
    }
    total
}

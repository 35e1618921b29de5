//! An adapter on a device: one upload before a batch, one download of its gradients after.
//!
//! The layers of a group share their input, so their changes are one: y += (x·Aᵀ)·Bᵀ, with the A of
//! the parts below one another and their B on the diagonal of an otherwise empty matrix, times the
//! part's scale. That is three products more of zeros at the adapter's rank, and three launches
//! instead of ten.

use crate::models::adapter::{Adapter, AdapterGradients, LowRank};
use crate::models::blocks::buffers::Floats;
use crate::models::blocks::linear::Part;
use crate::{Error, Result};
use candle_core::{Device, Tensor};

/// The change of the layers of a group.
#[derive(Debug)]
pub struct Change {
    /// [ranks, inputs]
    pub a: Tensor,
    /// [outputs, ranks], scaled.
    pub b: Tensor,
    members: Vec<Member>,
}

/// The change of one layer, as a part of the group's.
#[derive(Debug)]
struct Member {
    path: String,
    /// First of its rows in the group's A.
    first_rank: usize,
    rank: usize,
    /// First of its rows in the group's B.
    start: usize,
    outputs: usize,
    scale: f64,
    train_a: bool,
    train_b: bool,
}

impl Change {
    /// Whether any A moves.
    pub fn trains_a(&self) -> bool {
        self.members.iter().any(|member| member.train_a)
    }

    /// Whether any B moves.
    pub fn trains_b(&self) -> bool {
        self.members.iter().any(|member| member.train_b)
    }
}

/// Where a group's matrices begin in the upload.
struct Planned {
    members: Vec<Member>,
    ranks: usize,
    inputs: usize,
    outputs: usize,
    start: usize,
}

/// Brings the adapter to the device: the change of each group (its parts and its inputs), in order.
/// The adapter must fit the groups.
pub fn upload<'a>(
    adapter: &Adapter,
    groups: impl Iterator<Item = (&'a [Part], usize)>,
    device: &Device,
) -> Result<Vec<Option<Change>>> {
    let mut values: Vec<f32> = Vec::new();
    let mut planned = Vec::new();
    for (parts, inputs) in groups {
        let adapted: Vec<(&Part, &LowRank)> = parts
            .iter()
            .filter_map(|part| Some((part, adapter.modules.get(&part.path)?)))
            .collect();
        if adapted.is_empty() {
            planned.push(None);
            continue;
        }
        let start = values.len();
        let mut members = Vec::with_capacity(adapted.len());
        let mut ranks = 0;
        for (part, module) in &adapted {
            values.extend_from_slice(&Floats::of(&module.a)?);
            let rank = module.a.dim(0)?;
            members.push(Member {
                path: part.path.clone(),
                first_rank: ranks,
                rank,
                start: part.start,
                outputs: part.outputs,
                scale: module.scale,
                train_a: module.train_a,
                train_b: module.train_b,
            });
            ranks += rank;
        }
        let outputs = parts.iter().map(|part| part.outputs).sum();
        let of_b = values.len();
        values.resize(of_b + outputs * ranks, 0.0);
        for (member, (_, module)) in members.iter().zip(&adapted) {
            let b = Floats::of(&module.b)?;
            let scale = member.scale as f32;
            for (row, from) in b.chunks_exact(member.rank.max(1)).enumerate() {
                let place = of_b + (member.start + row) * ranks + member.first_rank;
                for (to, from) in values[place..place + member.rank].iter_mut().zip(from) {
                    *to = scale * from;
                }
            }
        }
        planned.push(Some(Planned {
            members,
            ranks,
            inputs,
            outputs,
            start,
        }));
    }
    if values.is_empty() {
        // A card allocates no buffer of length 0.
        return Ok(planned.iter().map(|_| None).collect());
    }
    let count = values.len();
    let all = Tensor::from_vec(values, count, device)?;
    planned
        .into_iter()
        .map(|group| {
            let Some(group) = group else { return Ok(None) };
            let (of_a, of_b) = (group.ranks * group.inputs, group.outputs * group.ranks);
            let matrix = |start: usize, rows: usize, columns: usize| {
                all.narrow(0, start, rows * columns)?
                    .reshape((rows, columns))
            };
            debug_assert!(group.start + of_a + of_b <= count);
            Ok(Some(Change {
                a: matrix(group.start, group.ranks, group.inputs)?,
                b: matrix(group.start + of_a, group.outputs, group.ranks)?,
                members: group.members,
            }))
        })
        .collect()
}

/// Gradients of an adapter's moving tensors, on the device.
#[derive(Debug, Default)]
pub struct Gradients {
    found: Vec<Found>,
}

#[derive(Debug)]
struct Found {
    name: String,
    shape: (usize, usize),
    /// Flat.
    values: Tensor,
    scale: f64,
}

impl Gradients {
    /// Takes the gradient [ranks, inputs] of a group's A.
    pub fn of_a(&mut self, change: &Change, gradient: &Tensor) -> Result<()> {
        let inputs = gradient.dim(1)?;
        for member in change.members.iter().filter(|member| member.train_a) {
            let own = gradient.narrow(0, member.first_rank, member.rank)?;
            self.found.push(Found {
                name: format!("{}.lora_A", member.path),
                shape: (member.rank, inputs),
                values: own.flatten_all()?,
                // B was uploaded times the scale, which A's gradient has gone through.
                scale: 1.0,
            });
        }
        Ok(())
    }

    /// Takes the gradient [outputs, ranks] of a group's B; only its diagonal means anything.
    pub fn of_b(&mut self, change: &Change, gradient: &Tensor) -> Result<()> {
        for member in change.members.iter().filter(|member| member.train_b) {
            let own = gradient.narrow(0, member.start, member.outputs)?.narrow(
                1,
                member.first_rank,
                member.rank,
            )?;
            self.found.push(Found {
                name: format!("{}.lora_B", member.path),
                shape: (member.outputs, member.rank),
                values: own.flatten_all()?,
                scale: member.scale,
            });
        }
        Ok(())
    }

    /// Brings them back.
    pub fn download(self) -> Result<AdapterGradients> {
        let mut gradients = AdapterGradients::new();
        if self.found.is_empty() {
            return Ok(gradients);
        }
        let all: Vec<&Tensor> = self.found.iter().map(|found| &found.values).collect();
        let values = Tensor::cat(&all, 0)?.to_vec1::<f32>()?;
        let mut rest = values.as_slice();
        for found in self.found {
            let count = found.shape.0 * found.shape.1;
            let (own, after) = rest
                .split_at_checked(count)
                .ok_or_else(|| Error::bug(format!("{} came back short", found.name)))?;
            rest = after;
            let scale = found.scale as f32;
            let own: Vec<f32> = own.iter().map(|value| scale * value).collect();
            let tensor = Tensor::from_vec(own, found.shape, &Device::Cpu)?;
            gradients.insert(found.name, tensor);
        }
        Ok(gradients)
    }
}

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
use rayon::prelude::*;

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

/// The layers of a group that an adapter changes.
struct Group<'a> {
    adapted: Vec<(&'a Part, &'a LowRank)>,
    members: Vec<Member>,
    ranks: usize,
    inputs: usize,
    outputs: usize,
}

impl<'a> Group<'a> {
    fn new(adapter: &'a Adapter, parts: &'a [Part], inputs: usize) -> Result<Option<Self>> {
        let adapted: Vec<(&Part, &LowRank)> = parts
            .iter()
            .filter_map(|part| Some((part, adapter.modules.get(&part.path)?)))
            .collect();
        let mut members = Vec::with_capacity(adapted.len());
        let mut ranks = 0;
        for (part, module) in &adapted {
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
        Ok((!adapted.is_empty()).then(|| Self {
            adapted,
            members,
            ranks,
            inputs,
            outputs: parts.iter().map(|part| part.outputs).sum(),
        }))
    }

    fn of_a(&self) -> usize {
        self.ranks * self.inputs
    }

    fn len(&self) -> usize {
        self.of_a() + self.outputs * self.ranks
    }

    /// Writes A and B, one after the other, over zeros.
    fn write(&self, to: &mut [f32]) -> Result<()> {
        let (to_a, to_b) = to.split_at_mut(self.of_a());
        for (member, (_, module)) in self.members.iter().zip(&self.adapted) {
            let a = Floats::of(&module.a)?;
            let start = member.first_rank * self.inputs;
            to_a[start..start + a.len()].copy_from_slice(&a);
            let b = Floats::of(&module.b)?;
            let scale = member.scale as f32;
            for (row, from) in b.chunks_exact(member.rank.max(1)).enumerate() {
                let place = (member.start + row) * self.ranks + member.first_rank;
                for (to, from) in to_b[place..place + member.rank].iter_mut().zip(from) {
                    *to = scale * from;
                }
            }
        }
        Ok(())
    }
}

/// Brings the adapter to the device: the change of each group (its parts and its inputs), in order.
/// The adapter must fit the groups.
pub fn upload<'a>(
    adapter: &Adapter,
    groups: impl Iterator<Item = (&'a [Part], usize)>,
    device: &Device,
) -> Result<Vec<Option<Change>>> {
    let groups: Vec<Option<Group<'_>>> = groups
        .map(|(parts, inputs)| Group::new(adapter, parts, inputs))
        .collect::<Result<_>>()?;
    let count = groups.iter().flatten().map(Group::len).sum();
    if count == 0 {
        // A card allocates no buffer of length 0.
        return Ok(groups.iter().map(|_| None).collect());
    }
    let mut values = vec![0.0; count];
    let mut rest = values.as_mut_slice();
    let mut pieces = Vec::with_capacity(groups.len());
    for group in groups.iter().flatten() {
        let (own, after) = rest.split_at_mut(group.len());
        pieces.push((group, own));
        rest = after;
    }
    pieces
        .into_par_iter()
        .try_for_each(|(group, own)| group.write(own))?;
    let all = Tensor::from_vec(values, count, device)?;
    let mut start = 0;
    let mut matrix = |rows: usize, columns: usize| -> Result<Tensor> {
        let own = all.narrow(0, start, rows * columns)?;
        start += rows * columns;
        Ok(own.reshape((rows, columns))?)
    };
    groups
        .into_iter()
        .map(|group| {
            let Some(group) = group else { return Ok(None) };
            Ok(Some(Change {
                a: matrix(group.ranks, group.inputs)?,
                b: matrix(group.outputs, group.ranks)?,
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
        if self.found.is_empty() {
            return Ok(AdapterGradients::new());
        }
        let all: Vec<&Tensor> = self.found.iter().map(|found| &found.values).collect();
        let values = Tensor::cat(&all, 0)?.to_vec1::<f32>()?;
        let mut rest = values.as_slice();
        let mut pieces = Vec::with_capacity(self.found.len());
        for found in &self.found {
            let (own, after) = rest
                .split_at_checked(found.shape.0 * found.shape.1)
                .ok_or_else(|| Error::bug(format!("{} came back short", found.name)))?;
            rest = after;
            pieces.push((found, own));
        }
        pieces
            .into_par_iter()
            .map(|(found, own)| {
                let scale = found.scale as f32;
                let own: Vec<f32> = own.iter().map(|value| scale * value).collect();
                let tensor = Tensor::from_vec(own, found.shape, &Device::Cpu)?;
                Ok((found.name.clone(), tensor))
            })
            .collect()
    }
}

//! Rotary position embedding, with the tables of [`crate::models::blocks::rotary`].

use crate::Result;
use crate::models::blocks::rotary::{self, Turn};
use candle_core::{Device, Tensor};

/// Cosines and sines of every position, [positions, head size / 2] each.
#[derive(Debug)]
pub struct Tables {
    cosines: Tensor,
    sines: Tensor,
}

/// The angles of the rows of one batch, [rows, 1, head size / 2].
#[derive(Debug)]
pub struct Angles {
    cosines: Tensor,
    sines: Tensor,
}

impl Tables {
    /// Takes the CPU's tables to a device.
    pub fn new(tables: &rotary::Tables, device: &Device) -> Result<Self> {
        let half = tables.half;
        let table =
            |values: &[f32]| Tensor::from_slice(values, (values.len() / half, half), device);
        Ok(Self {
            cosines: table(&tables.cosines)?,
            sines: table(&tables.sines)?,
        })
    }

    /// The angles of rows at these positions, [`u32`] tensor \[rows\].
    pub fn at(&self, positions: &Tensor) -> Result<Angles> {
        let of = |table: &Tensor| table.index_select(positions, 0)?.unsqueeze(1);
        Ok(Angles {
            cosines: of(&self.cosines)?,
            sines: of(&self.sines)?,
        })
    }
}

impl Angles {
    /// `x` [rows, heads, head size] with its first `turned` heads turned by the rows' angles.
    pub fn apply(&self, x: &Tensor, turned: usize, turn: Turn) -> Result<Tensor> {
        let half = self.sines.dim(2)?;
        let heads = x.narrow(1, 0, turned)?;
        let rest = x.narrow(1, turned, x.dim(1)? - turned)?.contiguous()?;
        let (first, second) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
        let along = |part: &Tensor| part.broadcast_mul(&self.cosines);
        let across = |part: &Tensor| part.broadcast_mul(&self.sines);
        let (first, second) = match turn {
            Turn::Forth => (
                (along(&first)? - across(&second)?)?,
                (along(&second)? + across(&first)?)?,
            ),
            Turn::Back => (
                (along(&first)? + across(&second)?)?,
                (along(&second)? - across(&first)?)?,
            ),
        };
        let heads = Tensor::cat(&[first, second], 2)?;
        Ok(Tensor::cat(&[heads, rest], 1)?)
    }
}

//! Rotary position embedding, with the tables of [`crate::models::blocks::rotary`].

use super::fused::Fused;
use crate::Result;
use crate::models::blocks::rotary::{self, Turn};
use candle_core::{Device, Tensor};

/// Cosines and sines of every position, [positions, head size / 2] each.
#[derive(Debug)]
pub struct Tables {
    cosines: Tensor,
    sines: Tensor,
}

/// The angles of the rows of one batch, [rows, head size / 2].
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
        let of = |table: &Tensor| table.index_select(positions, 0);
        Ok(Angles {
            cosines: of(&self.cosines)?,
            sines: of(&self.sines)?,
        })
    }
}

impl Angles {
    /// `x` [rows, heads, head size] with its first `turned` heads turned by the rows' angles.
    pub fn apply(&self, x: &Tensor, turned: usize, turn: Turn) -> Result<Tensor> {
        let (rows, heads, size) = x.dims3()?;
        let half = size / 2;
        let sign = match turn {
            Turn::Forth => 1.0,
            Turn::Back => -1.0,
        };
        let plain = |y: &mut [f32], sources: &[&[f32]]| {
            let (x, cosines, sines) = (sources[0], sources[1], sources[2]);
            y.copy_from_slice(x);
            for (row, y) in y.chunks_exact_mut(heads * size).enumerate() {
                for head in y.chunks_exact_mut(size).take(turned) {
                    for pair in 0..half {
                        let along = cosines[row * half + pair];
                        let across = sign * sines[row * half + pair];
                        let (first, second) = (head[pair], head[pair + half]);
                        head[pair] = first * along - second * across;
                        head[pair + half] = second * along + first * across;
                    }
                }
            }
        };
        Fused {
            name: "turn",
            shape: (rows, heads, size).into(),
            rows,
            sizes: vec![heads, half, turned],
            numbers: vec![sign],
            plain,
        }
        .make(&[
            (x, &[rows, heads, 2 * half]),
            (&self.cosines, &[rows, half]),
            (&self.sines, &[rows, half]),
        ])
    }
}

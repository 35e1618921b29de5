//! The frozen weight of linear layers: f32 in memory, or as its file stores it and made f32 for the
//! length of one product, as QLoRA does (Dettmers et al. 2023, arXiv:2305.14314).

use super::buffers::{Buffer, Floats, Pool};
use crate::Result;
use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Deref;

/// Rows of a piece of [`Stored`]: enough pieces for every thread, each worth its call.
const PIECE_ROWS: usize = 64;

/// A matrix [outputs, inputs] that never moves.
#[derive(Debug)]
pub enum Frozen {
    /// f32.
    Floats(Tensor),
    /// Stacked, as stored.
    Stored(Vec<Stored>),
}

/// A matrix [rows, columns] as its file stores it.
#[derive(Debug)]
pub struct Stored {
    /// Rows below one another, [`PIECE_ROWS`] each.
    pieces: Vec<QTensor>,
    rows: usize,
    columns: usize,
}

/// The numbers of a [`Frozen`], for the length of a product.
pub enum Lent<'a> {
    /// In memory.
    Floats(Floats<'a>),
    /// Made for this.
    Made(Buffer),
}

impl Deref for Lent<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Floats(floats) => floats,
            Self::Made(buffer) => buffer,
        }
    }
}

impl Stored {
    /// Takes the matrix apart, its rows in the order that `order` gives (row → row of `tensor`).
    pub fn new(tensor: &QTensor, order: impl Fn(usize) -> usize) -> Result<Self> {
        let (rows, columns) = tensor.shape().dims2()?;
        let data = tensor.data()?;
        let bytes = data.len() / rows.max(1);
        let pieces = (0..rows)
            .step_by(PIECE_ROWS)
            .map(|start| {
                let count = PIECE_ROWS.min(rows - start);
                let mut piece = Vec::with_capacity(count * bytes);
                for row in start..start + count {
                    piece.extend_from_slice(&data[order(row) * bytes..][..bytes]);
                }
                let storage = QStorage::from_data(Cow::Owned(piece), &Device::Cpu, tensor.dtype())?;
                Ok(QTensor::new(storage, (count, columns))?)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            pieces,
            rows,
            columns,
        })
    }

    /// [rows, columns]
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        self.pieces.iter().map(QTensor::storage_size_in_bytes).sum()
    }

    /// All of it as an f32 tensor [rows, columns].
    pub fn floats(&self) -> Result<Tensor> {
        let mut floats = vec![0.0; self.rows * self.columns];
        self.write(&mut floats)?;
        Ok(Tensor::from_vec(floats, &self.shape(), &Device::Cpu)?)
    }

    /// Writes the numbers, row after row.
    fn write(&self, to: &mut [f32]) -> Result<()> {
        to.par_chunks_mut(PIECE_ROWS * self.columns)
            .zip(&self.pieces)
            .try_for_each(|(to, piece)| {
                let floats = piece.dequantize(&Device::Cpu)?;
                to.copy_from_slice(&Floats::of(&floats)?);
                Ok(())
            })
    }
}

impl Frozen {
    /// The numbers, row-major.
    pub fn lend(&self, pool: &Pool) -> Result<Lent<'_>> {
        let stored = match self {
            Self::Floats(tensor) => return Ok(Lent::Floats(Floats::of(tensor)?)),
            Self::Stored(stored) => stored,
        };
        let length = |one: &Stored| one.rows * one.columns;
        let mut made = pool.take(stored.iter().map(length).sum());
        let mut rest = &mut made[..];
        for one in stored {
            let (here, after) = rest.split_at_mut(length(one));
            one.write(here)?;
            rest = after;
        }
        Ok(Lent::Made(made))
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Floats(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
            Self::Stored(stored) => stored.iter().map(Stored::bytes).sum(),
        }
    }
}

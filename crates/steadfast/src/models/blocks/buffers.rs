//! Memory that is used again: activations of a step live in buffers taken from a pool.
//!
//! A fresh allocation of a few megabytes is mapped page by page by the kernel, which on a training
//! step of this size costs as much as a good part of the arithmetic.

use crate::{Error, Result};
use candle_core::{CpuStorage, DType, Storage, StorageRef, Tensor};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most floats a pool holds on to (2 GiB); beyond it memory goes back to the system.
const MOST_FLOATS_KEPT: usize = 1 << 29;

/// Free buffers, shared by the clones of the pool.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    free: Arc<Mutex<Vec<Vec<f32>>>>,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<f32>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `length` floats with unspecified contents: the taker writes every one of them.
    pub fn take(&self, length: usize) -> Buffer {
        let mut free = self.lock();
        let fitting = free
            .iter()
            .enumerate()
            .filter(|(_, data)| data.len() >= length && data.len() / 2 <= length)
            .min_by_key(|(_, data)| data.len())
            .map(|(index, _)| index);
        let data = match fitting {
            Some(index) => free.swap_remove(index),
            None => vec![0.0; length],
        };
        drop(free);
        Buffer {
            data,
            length,
            pool: self.clone(),
        }
    }
}

/// A slice of floats that goes back to its pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    data: Vec<f32>,
    length: usize,
    pool: Pool,
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        let mut free = self.pool.lock();
        let held: usize = free.iter().map(Vec::len).sum();
        if held + data.len() <= MOST_FLOATS_KEPT {
            free.push(data);
        }
    }
}

/// The floats of a tensor: borrowed where it lies contiguous in CPU memory, copied otherwise.
pub enum Floats<'a> {
    /// The tensor's own storage, from the given offset.
    Borrowed(StorageRef<'a>, usize, usize),
    /// A contiguous copy.
    Owned(Vec<f32>),
}

impl<'a> Floats<'a> {
    /// The floats of `tensor` in row-major order.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        if tensor.dtype() == DType::F32 {
            let (storage, layout) = tensor.storage_and_layout();
            if let (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) =
                (&*storage, layout.contiguous_offsets())
            {
                return Ok(Self::Borrowed(storage, start, end));
            }
        }
        let copied = tensor
            .to_dtype(DType::F32)
            .and_then(|tensor| tensor.flatten_all())
            .and_then(|tensor| tensor.to_vec1())?;
        Ok(Self::Owned(copied))
    }
}

impl Deref for Floats<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Owned(data) => data,
            Self::Borrowed(storage, start, end) => match &**storage {
                Storage::Cpu(CpuStorage::F32(data)) => &data[*start..*end],
                // `of` borrows no other kind.
                _ => &[],
            },
        }
    }
}

/// The floats of a matrix that must be [rows, columns].
pub fn matrix<'a>(tensor: &'a Tensor, shape: (usize, usize), name: &str) -> Result<Floats<'a>> {
    if tensor.dims() != [shape.0, shape.1] {
        return Err(Error::user(format!(
            "tensor `{name}` has shape {:?}, expected [{}, {}]",
            tensor.dims(),
            shape.0,
            shape.1
        ))
        .hint("check that the weights or the adapter belong to this model"));
    }
    Floats::of(tensor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_dropped_buffer_is_handed_out_again() {
        let pool = Pool::default();
        let mut first = pool.take(1000);
        first[999] = 7.0;
        drop(first);
        let second = pool.take(900);
        assert_eq!(second.len(), 900);
        assert_eq!(second.data.len(), 1000, "the pages are the first buffer's");
        assert_eq!(
            pool.take(100).data.len(),
            100,
            "too large a buffer is not wasted on it"
        );
    }

    #[test]
    fn a_transposed_tensor_is_read_in_row_major_order() -> Result<()> {
        let tensor = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?;
        let transposed = tensor.t()?;
        assert_eq!(&*Floats::of(&transposed)?, &[1.0, 3.0, 2.0, 4.0]);
        let row = tensor.narrow(0, 1, 1)?;
        assert!(matches!(Floats::of(&row)?, Floats::Borrowed(_, 2, 4)));
        assert_eq!(&*Floats::of(&row)?, &[3.0, 4.0]);
        Ok(())
    }
}

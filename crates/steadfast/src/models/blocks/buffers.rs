//! Memory that is used again: activations of a step live in buffers taken from a pool.
//!
//! A fresh allocation of a few megabytes is mapped page by page by the kernel, which on a training
//! step of this size costs as much as a good part of the arithmetic.

use crate::{Error, Result};
use candle_core::{CpuStorage, DType, Storage, StorageRef, Tensor};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Free buffers, shared by the clones of the pool.
///
/// Free and used memory together never exceed the most that was ever in use at once (but for
/// rounding): batches of mixed lengths would otherwise leave behind a set of buffers each.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    store: Arc<Mutex<Store>>,
}

#[derive(Debug, Default)]
struct Store {
    /// In the order in which they came back.
    free: Vec<Vec<f32>>,
    free_floats: usize,
    used_floats: usize,
    most_used: usize,
}

/// The next of four lengths an octave: batches of nearly the same length share their buffers.
fn rounded(length: usize) -> usize {
    let grain = (length.max(64).next_power_of_two() / 8).max(1);
    length.next_multiple_of(grain)
}

impl Store {
    fn take(&mut self, length: usize) -> Vec<f32> {
        let wanted = rounded(length);
        // Half as much again may be wasted, so that buffers of neighbouring lengths serve each other.
        let fitting = self
            .free
            .iter()
            .enumerate()
            .filter(|(_, data)| data.len() >= wanted && data.len() <= wanted + wanted / 2)
            .min_by_key(|(_, data)| data.len())
            .map(|(index, _)| index);
        let data = match fitting {
            Some(index) => {
                let data = self.free.remove(index);
                self.free_floats -= data.len();
                data
            }
            None => {
                let room = self.most_used.max(self.used_floats + wanted);
                while self.used_floats + self.free_floats + wanted > room
                    && let Some(oldest) = (!self.free.is_empty()).then(|| self.free.remove(0))
                {
                    self.free_floats -= oldest.len();
                }
                vec![0.0; wanted]
            }
        };
        self.used_floats += data.len();
        self.most_used = self.most_used.max(self.used_floats);
        data
    }

    fn give_back(&mut self, data: Vec<f32>) {
        self.used_floats -= data.len();
        self.free_floats += data.len();
        self.free.push(data);
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `length` floats with unspecified contents: the taker writes every one of them.
    pub fn take(&self, length: usize) -> Buffer {
        Buffer {
            data: self.lock().take(length),
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
        self.pool.lock().give_back(data);
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
    use proptest::prelude::*;

    #[test]
    fn a_dropped_buffer_is_handed_out_again() {
        let pool = Pool::default();
        let mut first = pool.take(1000);
        first[999] = 7.0;
        let pages = first.data.as_ptr();
        drop(first);
        let second = pool.take(900);
        assert_eq!(second.len(), 900);
        assert_eq!(second.data.as_ptr(), pages);
        assert!(
            pool.take(100).data.len() < 150,
            "too large a buffer is not wasted on it"
        );
    }

    proptest! {
        #[test]
        fn free_and_used_memory_never_exceed_the_most_that_was_in_use(
            lengths in prop::collection::vec(0usize..5000, 1..80),
        ) {
            let pool = Pool::default();
            let mut held = Vec::new();
            for length in lengths {
                if length % 3 == 0 {
                    held.clear();
                }
                held.push(pool.take(length));
                let store = pool.lock();
                prop_assert!(store.used_floats + store.free_floats <= store.most_used);
                let free: usize = store.free.iter().map(Vec::len).sum();
                prop_assert_eq!(free, store.free_floats);
            }
        }
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

//! Operations that go through memory once, where candle's own would go through it many times.
//!
//! Each is a function over rows of f32, written twice: here in plain Rust, and in `kernels.cu` for a
//! card, where one block of threads does a row. The tests hold the first to the CPU's tiles, and
//! those on a card the second (`tests/device/run`).

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
mod tests;

use crate::{Error, Result};
#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Device, InplaceOp1, InplaceOp2, InplaceOp3,
    Layout, Shape, Tensor,
};

/// Makes the kernels ready, where the device needs any.
#[cfg_attr(
    not(feature = "cuda"),
    expect(unused_variables, reason = "no card is built in")
)]
pub(super) fn load(device: &Device) -> Result<()> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(card) = device {
        cuda::load(card)?;
    }
    Ok(())
}

/// One operation on given tensors.
pub(super) struct Fused<F> {
    /// Of the function in `kernels.cu`.
    pub name: &'static str,
    /// Of what it makes or changes: at least one row.
    pub shape: Shape,
    /// How many rows that has.
    pub rows: usize,
    /// What the kernel is told after its tensors, sizes first.
    pub sizes: Vec<usize>,
    pub numbers: Vec<f32>,
    /// Writes the first slice, reading the others: what the kernel does, but for rounding.
    pub plain: F,
}

/// A tensor that an operation reads, and the shape that it must have.
pub(super) type Source<'a> = (&'a Tensor, &'a [usize]);

/// The same, as candle hands it over.
type Stored<'a, S> = (&'a S, &'a Layout);

impl<F: Fn(&mut [f32], &[&[f32]])> Fused<F> {
    /// A tensor of the operation's shape, made from one to three others.
    pub fn make(self, sources: &[Source<'_>]) -> Result<Tensor> {
        self.check(sources)?;
        Ok(match sources {
            [(one, _)] => one.apply_op1_no_bwd(&self)?,
            [(one, _), (two, _)] => one.apply_op2_no_bwd(two, &self)?,
            [(one, _), (two, _), (three, _)] => one.apply_op3_no_bwd(two, three, &self)?,
            _ => return Err(Error::bug("an operation reads one to three tensors")),
        })
    }

    /// Changes a tensor in its place, reading up to two others. Nothing else may hold it.
    pub fn change(self, target: &Tensor, sources: &[Source<'_>]) -> Result<()> {
        self.check(sources)?;
        self.check(&[(target, self.shape.dims())])?;
        match sources {
            [] => target.inplace_op1(&self)?,
            [(one, _)] => target.inplace_op2(one, &self)?,
            [(one, _), (two, _)] => target.inplace_op3(one, two, &self)?,
            _ => return Err(Error::bug("a change in place reads at most two tensors")),
        }
        Ok(())
    }

    /// A kernel asks for no shapes: it reads and writes what it is told.
    fn check(&self, sources: &[Source<'_>]) -> Result<()> {
        let too_large = |size: &usize| u32::try_from(*size).is_err();
        if self.shape.elem_count() == 0
            || self.sizes.iter().chain([&self.rows]).any(too_large)
            || self.numbers.iter().any(|number| !number.is_finite())
        {
            return Err(Error::bug(format!("{} on {:?}", self.name, self.shape)));
        }
        for (tensor, shape) in sources {
            if tensor.dims() != *shape || !tensor.is_contiguous() {
                return Err(Error::bug(format!(
                    "{} was given {:?} for {shape:?}",
                    self.name,
                    tensor.layout()
                )));
            }
        }
        Ok(())
    }

    fn make_here(
        &self,
        sources: &[Stored<'_, CpuStorage>],
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let mut made = vec![0.0; self.shape.elem_count()];
        (self.plain)(&mut made, &read(sources)?);
        Ok((CpuStorage::F32(made), self.shape.clone()))
    }

    fn change_here(
        &self,
        target: &mut CpuStorage,
        layout: &Layout,
        sources: &[Stored<'_, CpuStorage>],
    ) -> candle_core::Result<()> {
        let (start, end) = whole(layout)?;
        let CpuStorage::F32(all) = target else {
            return Err(candle_core::Error::Msg("not f32".to_owned()));
        };
        (self.plain)(&mut all[start..end], &read(sources)?);
        Ok(())
    }
}

fn read<'a>(sources: &[Stored<'a, CpuStorage>]) -> candle_core::Result<Vec<&'a [f32]>> {
    let values = sources.iter().map(|(storage, layout)| {
        let (start, end) = whole(layout)?;
        Ok(&storage.as_slice::<f32>()?[start..end])
    });
    values.collect()
}

/// First and one past the last element of a tensor that lies in one piece.
fn whole(layout: &Layout) -> candle_core::Result<(usize, usize)> {
    layout
        .contiguous_offsets()
        .ok_or_else(|| candle_core::Error::Msg(format!("{layout:?} does not lie in one piece")))
}

/// candle's traits differ in the number of tensors alone.
macro_rules! operation {
    ($making:ident, $changing:ident, $($storage:ident $layout:ident)*; $($more:ident $more_layout:ident)*) => {
        impl<F: Fn(&mut [f32], &[&[f32]])> $making for Fused<F> {
            fn name(&self) -> &'static str {
                self.name
            }

            fn cpu_fwd(
                &self,
                $($storage: &CpuStorage, $layout: &Layout),*
            ) -> candle_core::Result<(CpuStorage, Shape)> {
                self.make_here(&[$(($storage, $layout)),*])
            }

            #[cfg(feature = "cuda")]
            fn cuda_fwd(
                &self,
                $($storage: &CudaStorage, $layout: &Layout),*
            ) -> candle_core::Result<(CudaStorage, Shape)> {
                self.make_on_card(&[$(($storage, $layout)),*])
            }
        }

        impl<F: Fn(&mut [f32], &[&[f32]])> $changing for Fused<F> {
            fn name(&self) -> &'static str {
                self.name
            }

            fn cpu_fwd(
                &self,
                target: &mut CpuStorage,
                layout: &Layout,
                $($more: &CpuStorage, $more_layout: &Layout),*
            ) -> candle_core::Result<()> {
                self.change_here(target, layout, &[$(($more, $more_layout)),*])
            }

            #[cfg(feature = "cuda")]
            fn cuda_fwd(
                &self,
                target: &mut CudaStorage,
                layout: &Layout,
                $($more: &CudaStorage, $more_layout: &Layout),*
            ) -> candle_core::Result<()> {
                self.change_on_card(target, layout, &[$(($more, $more_layout)),*])
            }
        }
    };
}

operation!(CustomOp1, InplaceOp1, first first_layout;);
operation!(CustomOp2, InplaceOp2, first first_layout second second_layout; first first_layout);
operation!(CustomOp3, InplaceOp3, first first_layout second second_layout third third_layout; first first_layout second second_layout);

/// Σ of f32 values, added in f64.
pub(super) fn sum(values: impl Iterator<Item = f32>) -> f32 {
    values.map(f64::from).sum::<f64>() as f32
}

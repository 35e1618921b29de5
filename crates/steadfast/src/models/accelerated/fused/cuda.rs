//! The kernels on a CUDA card.

use super::{Fused, Stored, whole};
use crate::Error;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{
    CudaView, CudaViewMut, LaunchConfig, PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc;
use candle_core::{CudaDevice, CudaStorage, Layout, Result, Shape};
use std::sync::OnceLock;

/// Threads that share a row.
const THREADS: u32 = 256;

/// Of the compiled kernels, to candle.
const MODULE: &str = "steadfast";

/// The kernels, compiled for any card that NVRTC knows; the driver makes them its own.
fn kernels() -> Result<&'static str> {
    static KERNELS: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let compiled = KERNELS.get_or_init(|| {
        nvrtc::compile_ptx(include_str!("kernels.cu"))
            .map(|compiled| compiled.to_src())
            .map_err(|cause| cause.to_string())
    });
    compiled
        .as_deref()
        .map_err(|cause| candle_core::Error::Msg(format!("the kernels do not compile: {cause}")))
}

/// Compiles and loads the kernels, so that what is wrong with them is said before any work.
pub(super) fn load(card: &CudaDevice) -> crate::Result<()> {
    let loaded = kernels().and_then(|kernels| {
        card.get_or_load_custom_func("attend", MODULE, kernels)?;
        Ok(())
    });
    loaded.map_err(|cause| {
        Error::outside("the kernels cannot be used on this card")
            .because(cause)
            .hint("NVRTC compiles them: its libraries and the card's driver must be of one CUDA release")
    })
}

fn view<'a>((storage, layout): Stored<'a, CudaStorage>) -> Result<CudaView<'a, f32>> {
    let (start, end) = whole(layout)?;
    Ok(storage.as_cuda_slice::<f32>()?.slice(start..end))
}

impl<F> Fused<F> {
    pub(super) fn make_on_card(
        &self,
        sources: &[Stored<'_, CudaStorage>],
    ) -> Result<(CudaStorage, Shape)> {
        let device = sources[0].0.device.clone();
        #[expect(unsafe_code, reason = "the kernel writes every element")]
        // SAFETY: an f32 of any bits is one, and `launch` writes them all before they are read.
        let mut made = unsafe { device.alloc::<f32>(self.shape.elem_count())? };
        self.launch(&device, made.slice_mut(..), sources)?;
        let made = CudaStorage::wrap_cuda_slice(made, device);
        Ok((made, self.shape.clone()))
    }

    pub(super) fn change_on_card(
        &self,
        target: &mut CudaStorage,
        layout: &Layout,
        sources: &[Stored<'_, CudaStorage>],
    ) -> Result<()> {
        let device = target.device.clone();
        let (start, end) = whole(layout)?;
        let target = target.as_cuda_slice_mut::<f32>()?.slice_mut(start..end);
        self.launch(&device, target, sources)
    }

    #[expect(unsafe_code, reason = "a kernel is as safe as its arguments are right")]
    fn launch(
        &self,
        device: &CudaDevice,
        mut target: CudaViewMut<'_, f32>,
        sources: &[Stored<'_, CudaStorage>],
    ) -> Result<()> {
        // `check` found that all sizes fit.
        let sizes: Vec<u32> = self.sizes.iter().map(|size| *size as u32).collect();
        let sources: Vec<CudaView<'_, f32>> =
            sources.iter().copied().map(view).collect::<Result<_>>()?;
        let function = device.get_or_load_custom_func(self.name, MODULE, kernels()?)?;
        let mut launch = function.builder();
        launch.arg(&mut target);
        for source in &sources {
            launch.arg(source);
        }
        for size in &sizes {
            launch.arg(size);
        }
        for number in &self.numbers {
            launch.arg(number);
        }
        let grid = LaunchConfig {
            grid_dim: (self.rows as u32, 1, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the function that made `self` gives the kernel its parameters, and tensors of the
        // sizes that it tells.
        unsafe { launch.launch(grid) }.w()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernels_compile() {
        let compiled = super::kernels().expect("NVRTC takes them");
        for name in [
            "rms_norm",
            "rms_norm_backward",
            "gate",
            "gate_backward",
            "turn",
            "attend",
            "attend_backward",
            "log_sums",
            "weigh",
            "divergences",
            "pull_towards",
        ] {
            assert!(compiled.contains(&format!(".entry {name}(")), "{name}");
        }
    }
}

//! Where training runs.

use crate::{Error, Result};
use candle_core::Device;
use serde::{Serialize, Serializer};
use std::fmt;

/// How a device is written, for hints.
const FORMS: &str = "write cpu, cuda or cuda:N, N being the card's number";
/// What to do in a build that knows no GPU.
const BUILD: &str = "build it in: cargo build --release --features cuda (needs CUDA's nvcc)";

/// Where training runs. All else (generation, measuring, moments) runs on the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrainingDevice {
    /// The CPU.
    #[default]
    Cpu,
    /// The CUDA card of this number.
    Cuda(usize),
}

/// What is wrong with a device, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl TrainingDevice {
    /// Reads `cpu`, `cuda` or `cuda:N`; a device that this build cannot use is refused.
    pub fn parse(text: &str) -> std::result::Result<Self, Refusal> {
        let device = match text.split_once(':') {
            None if text == "cpu" => Some(Self::Cpu),
            None if text == "cuda" => Some(Self::Cuda(0)),
            Some(("cuda", number)) => number.parse().ok().map(Self::Cuda),
            _ => None,
        };
        match device {
            None => Err(Refusal {
                message: format!("`{text}` is no device"),
                hint: FORMS,
            }),
            Some(Self::Cuda(_)) if !cfg!(feature = "cuda") => Err(Refusal {
                message: "this build of steadfast knows no CUDA".to_owned(),
                hint: BUILD,
            }),
            Some(device) => Ok(device),
        }
    }

    /// Whether this is the CPU.
    pub fn is_cpu(&self) -> bool {
        *self == Self::Cpu
    }

    /// The device itself.
    ///
    /// # Errors
    /// There is no such card, or the driver does not answer.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => Device::new_cuda(number).map_err(|cause| {
                Error::outside(format!("CUDA card {number} cannot be used"))
                    .because(cause)
                    .hint("nvidia-smi lists the cards and the driver; the CPU works everywhere")
            }),
        }
    }
}

impl fmt::Display for TrainingDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(formatter, "cpu"),
            Self::Cuda(number) => write!(formatter, "cuda:{number}"),
        }
    }
}

impl Serialize for TrainingDevice {
    /// Which card it is decides no number.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda(_) => "cuda",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_people_write_them() {
        assert_eq!(TrainingDevice::parse("cpu"), Ok(TrainingDevice::Cpu));
        for wrong in ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "CUDA"] {
            let refusal = TrainingDevice::parse(wrong).expect_err("no such device");
            assert_eq!(refusal.hint, FORMS, "{wrong}");
        }
        for (text, number) in [("cuda", 0), ("cuda:0", 0), ("cuda:3", 3)] {
            match TrainingDevice::parse(text) {
                Ok(device) => assert_eq!(device, TrainingDevice::Cuda(number)),
                Err(refusal) => {
                    let built = if cfg!(feature = "cuda") {
                        "with"
                    } else {
                        "without"
                    };
                    assert_eq!(built, "without", "{refusal:?}");
                    assert!(refusal.hint.contains("--features cuda"), "{refusal:?}");
                }
            }
        }
    }
}

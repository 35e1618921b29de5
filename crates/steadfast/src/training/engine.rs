//! What the loop asks: how should this adapter move, given this batch? It does not know where that
//! is computed.

use crate::Result;
use crate::conversations::packing::{Packed, Target};
use crate::models::adapter::{Adapter, AdapterGradients};
use crate::models::network::Network;
use candle_core::Tensor;

/// One packed batch.
#[derive(Debug)]
pub struct Lesson {
    /// What is read, and the weighted predictions that are learnt.
    pub packed: Packed,
    /// What else is in the loss.
    pub retained: Retained,
}

/// Retained rows of a batch.
#[derive(Debug)]
pub enum Retained {
    /// None.
    Nothing,
    /// weight·KL(teacher ‖ tuned) on these rows, the teacher given by its hidden states.
    Held {
        /// Rows of the batch.
        rows: Vec<u32>,
        /// [rows.len(), hidden]
        teacher: Tensor,
        /// Of each row.
        weight: f64,
    },
    /// Predictions that are learnt again.
    Replayed(Vec<Target>),
}

/// What a batch says.
#[derive(Debug)]
pub struct Learnt {
    /// Weighted cross-entropy of the learnt predictions, nats.
    pub loss: f64,
    /// The retained rows' part, nats.
    pub divergence: f64,
    /// Of the adapter's moving tensors.
    pub gradients: AdapterGradients,
}

/// Forward and backward of whole batches.
pub trait Engine {
    /// Losses and gradients of one batch.
    fn learn(&self, lesson: &Lesson, adapter: &Adapter) -> Result<Learnt>;

    /// Weighted cross-entropy (nats) of a batch's predictions.
    fn loss(&self, packed: &Packed, adapter: &Adapter) -> Result<f64>;
}

impl<N: Network> Engine for N {
    fn learn(&self, lesson: &Lesson, adapter: &Adapter) -> Result<Learnt> {
        let (hidden, kept) = self.forward(&lesson.packed, adapter)?;
        let (loss, gradient) = self.cross_entropy(&hidden, &lesson.packed.targets)?;
        let (divergence, pull) = match &lesson.retained {
            Retained::Nothing => (0.0, None),
            Retained::Held {
                rows,
                teacher,
                weight,
            } => {
                let (value, pull) = self.divergence(&hidden, rows, teacher, *weight)?;
                (value, Some(pull))
            }
            Retained::Replayed(targets) => {
                let (value, pull) = self.cross_entropy(&hidden, targets)?;
                (value, Some(pull))
            }
        };
        let gradient = match pull {
            Some(pull) => (gradient + pull)?,
            None => gradient,
        };
        Ok(Learnt {
            loss,
            divergence,
            gradients: self.backward(kept, &gradient, adapter)?,
        })
    }

    fn loss(&self, packed: &Packed, adapter: &Adapter) -> Result<f64> {
        Network::loss(self, packed, adapter)
    }
}

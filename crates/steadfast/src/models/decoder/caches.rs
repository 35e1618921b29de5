//! What the sequences of a pass go on from.

use super::super::blocks::cache::LayerCache;
use super::super::blocks::layer::Context;
use super::rows::offsets;
use crate::conversations::packing::Beginning;

/// Keys and values of one sequence under way, at every layer.
#[derive(Debug, Clone)]
pub struct Cache {
    pub(super) layers: Vec<LayerCache>,
}

impl Cache {
    /// Tokens read so far.
    pub fn length(&self) -> usize {
        self.layers.first().map_or(0, LayerCache::length)
    }

    /// A copy with room for `capacity` tokens in all.
    pub fn with_capacity(&self, capacity: usize) -> Self {
        Self {
            layers: self
                .layers
                .iter()
                .map(|layer| layer.with_capacity(capacity))
                .collect(),
        }
    }
}

/// What the sequences of a pass go on from.
pub(super) enum Caches<'a> {
    /// Nothing, but for what some share of their beginning.
    Fresh {
        beginning: Beginning,
    },
    Read(&'a [&'a Cache]),
    Extend(&'a mut [Cache]),
}

impl Caches<'_> {
    pub(super) fn lengths(&self, sequences: usize) -> Vec<usize> {
        match self {
            Self::Fresh { beginning } => offsets(sequences, *beginning),
            Self::Read(caches) => caches.iter().map(|cache| cache.length()).collect(),
            Self::Extend(caches) => caches.iter().map(Cache::length).collect(),
        }
    }

    pub(super) fn at(&mut self, layer: usize) -> Context<'_> {
        match self {
            Self::Fresh { .. } => Context::Fresh,
            Self::Read(caches) => {
                Context::Read(caches.iter().map(|cache| &cache.layers[layer]).collect())
            }
            Self::Extend(caches) => Context::Extend(
                caches
                    .iter_mut()
                    .map(|cache| &mut cache.layers[layer])
                    .collect(),
            ),
        }
    }
}

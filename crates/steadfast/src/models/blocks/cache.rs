//! Keys and values that a sequence under way keeps at one layer.

use super::attention::Heads;

/// Keys and values of one sequence at one layer, [kv heads, capacity, size] each.
#[derive(Clone, Debug)]
pub struct LayerCache {
    heads: Heads,
    keys: Vec<f32>,
    values: Vec<f32>,
    capacity: usize,
    length: usize,
}

impl LayerCache {
    /// Room for `capacity` tokens; it grows beyond when needed.
    pub fn new(heads: Heads, capacity: usize) -> Self {
        let floats = heads.key_value * capacity * heads.size;
        Self {
            heads,
            keys: vec![0.0; floats],
            values: vec![0.0; floats],
            capacity,
            length: 0,
        }
    }

    /// Tokens held.
    pub fn length(&self) -> usize {
        self.length
    }

    /// A copy with room for `capacity` tokens.
    pub fn with_capacity(&self, capacity: usize) -> Self {
        let capacity = capacity.max(self.length);
        let mut copy = Self::new(self.heads, capacity);
        let size = self.heads.size;
        let (old, new) = (self.capacity * size, capacity * size);
        let held = self.length * size;
        for head in 0..self.heads.key_value {
            copy.keys[head * new..][..held].copy_from_slice(&self.keys[head * old..][..held]);
            copy.values[head * new..][..held].copy_from_slice(&self.values[head * old..][..held]);
        }
        copy.length = self.length;
        copy
    }

    /// Appends the keys and values of `rows` (whole rows of the shared buffer).
    pub fn append(&mut self, heads: Heads, rows: &[f32]) {
        let count = rows.len() / heads.width();
        if self.length + count > self.capacity {
            *self = self.with_capacity((self.length + count).max(2 * self.capacity));
        }
        for (row, at) in rows.chunks_exact(heads.width()).zip(self.length..) {
            for head in 0..heads.key_value {
                let place = (head * self.capacity + at) * heads.size;
                self.keys[place..place + heads.size]
                    .copy_from_slice(&row[heads.key_column(head)..][..heads.size]);
                self.values[place..place + heads.size]
                    .copy_from_slice(&row[heads.value_column(head)..][..heads.size]);
            }
        }
        self.length += count;
    }

    /// Keys of one head, [length, size].
    pub fn keys_of(&self, heads: Heads, head: usize) -> &[f32] {
        &self.keys[head * self.capacity * heads.size..][..self.length * heads.size]
    }

    /// Values of one head, [length, size].
    pub fn values_of(&self, heads: Heads, head: usize) -> &[f32] {
        &self.values[head * self.capacity * heads.size..][..self.length * heads.size]
    }
}

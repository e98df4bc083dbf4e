//! The heads of a layer: their counts, their widths, and their defines in a dispatch.

use std::ops::Range;

use crate::compute::{
    kernel::{Group, Kernel},
    pass::Builder,
};

/// The heads of an attention layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AttentionHeads {
    /// Query heads.
    pub query: u32,
    /// Key and value heads.
    pub kv: u32,
    /// Width of a head.
    pub width: u32,
}

impl AttentionHeads {
    /// Asserts the width and counts that the attention shaders can split over their lanes.
    pub(crate) fn check(self, kernel: &Kernel) {
        let width = self.width.is_power_of_two() && (16..=512).contains(&self.width);
        assert!(width && self.query.is_multiple_of(self.kv), "{}: {self:?}", kernel.name);
    }

    /// Width of the projections: a query and a gate per query head, then keys, then values.
    pub fn projected(self) -> u32 {
        2 * (self.query + self.kv) * self.width
    }
}

/// Convolution taps, and rows of conv state.
pub const TAPS: u32 = 4;

/// The heads of a DeltaNet layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeltaHeads {
    /// Query and key heads.
    pub key: u32,
    /// Value heads.
    pub value: u32,
    /// Width of a query or key head.
    pub key_width: u32,
    /// Width of a value head.
    pub value_width: u32,
    /// Neighboring value heads that share a query and key head. Grouped layout: all heads of a key head, `value / key`.
    /// Tiled layout: 1, and value head h uses key head h mod `key`.
    pub sharing: u32,
}

impl DeltaHeads {
    /// The heads from a kernel's defines, for kernels that process each head alone.
    pub(crate) fn of(g: &Group<'_>) -> Self {
        Self::grouped(["KEY_HEADS", "VALUE_HEADS", "KEY_WIDTH", "VALUE_WIDTH"].map(|name| g.define(name) as u32))
    }

    /// The heads from a kernel's defines, for kernels that combine value heads with their key heads.
    pub(crate) fn shared_of(g: &Group<'_>) -> Self {
        Self { sharing: g.define("SHARING") as u32, ..Self::of(g) }
    }

    /// Value heads in the grouped layout. The argument holds the counts of key and value heads, then their widths.
    pub fn grouped([key, value, key_width, value_width]: [u32; 4]) -> Self {
        Self { key, value, key_width, value_width, sharing: value / key }
    }

    /// The same heads with value heads in the tiled layout.
    pub fn tiled(self) -> Self {
        Self { sharing: 1, ..self }
    }

    /// The query and key head of a value head.
    pub(crate) fn key_of(self, head: usize) -> usize {
        head / self.sharing as usize % self.key as usize
    }

    /// Whether a value head is the first one of its query and key head.
    pub(crate) fn is_first(self, head: usize) -> bool {
        head.is_multiple_of(self.sharing as usize) && head < (self.sharing * self.key) as usize
    }

    /// Number of convolution channels: queries, keys, values.
    pub fn channels(self) -> u32 {
        2 * self.key * self.key_width + self.values()
    }

    /// The channels of a head. Head numbers run over queries, then keys, then values.
    pub(crate) fn channels_of(self, head: usize) -> Range<usize> {
        let [keys, key_width, value_width] = [2 * self.key, self.key_width, self.value_width].map(|size| size as usize);
        match head.checked_sub(keys) {
            None => head * key_width..(head + 1) * key_width,
            Some(value) => keys * key_width + value * value_width..keys * key_width + (value + 1) * value_width,
        }
    }

    /// Total width of all value heads.
    pub fn values(self) -> u32 {
        self.value * self.value_width
    }

    /// Width of the projections: channels, gate z, b, a.
    pub fn projected(self) -> u32 {
        self.channels() + self.values() + 2 * self.value
    }

    /// Words of one sequence's recurrent state.
    pub fn state(self) -> u32 {
        self.values() * self.key_width
    }
}

/// The defines of heads.
impl Builder<'_> {
    /// Defines of attention heads.
    pub(crate) fn attention_heads(self, heads: AttentionHeads) -> Self {
        self.define("Q_HEADS", heads.query).define("KV_HEADS", heads.kv).define("HEAD", heads.width)
    }

    /// Defines of DeltaNet heads.
    pub(crate) fn delta_heads(self, heads: DeltaHeads) -> Self {
        self.define("KEY_HEADS", heads.key)
            .define("VALUE_HEADS", heads.value)
            .define("KEY_WIDTH", heads.key_width)
            .define("VALUE_WIDTH", heads.value_width)
    }
}

#[cfg(test)]
mod tests {
    use super::DeltaHeads;

    #[test]
    fn value_heads_of_a_key_head() {
        let grouped = DeltaHeads::grouped([2, 6, 4, 4]);
        let of = |heads: DeltaHeads| [0, 1, 2, 3, 4, 5].map(|head| (heads.key_of(head), heads.is_first(head)));
        let (first, later) = (|key| (key, true), |key| (key, false));
        assert_eq!(of(grouped), [first(0), later(0), later(0), first(1), later(1), later(1)]);
        assert_eq!(of(grouped.tiled()), [first(0), first(1), later(0), later(1), later(0), later(1)]);
    }
}

//! How a shader reads what is quantised: where its planes are, and where in them a quad or a block is.

use std::fmt::Write;

use crate::{
    dtype::DType,
    quant::{BLOCK, Planes, UNIT},
};

/// The functions that all of them use.
pub(super) const LIBRARY: &str = include_str!("../../../wgsl/lib/quants.wgsl");

/// A quantised binding.
#[derive(Clone, Copy)]
pub(super) struct Quantised<'a> {
    pub(super) name: &'a str,
    pub(super) dtype: DType,
    /// Rows and width.
    pub(super) shape: [u32; 2],
}

impl Quantised<'_> {
    /// As an array of words: `quad_NAME(at)` is quad `at`, counted through all rows.
    pub(super) fn quads(self, text: &mut String) {
        let Self { name, dtype, .. } = self;
        let per_block = BLOCK as u32 / 4;
        _ = writeln!(text, "alias Quad_{name} = u32;");
        _ = writeln!(text, "fn word_{name}(at: u32) -> u32 {{ return {name}[at]; }}");
        _ = writeln!(text, "fn quad_{name}(at: u32) -> vec4<f32> {{");
        match dtype {
            DType::Q8 => {
                let scale = self.half(1, &format!("at / {per_block}u"));
                _ = writeln!(text, "    return quad_of_bytes({name}[at], {scale});");
            }
            DType::Q8Heads => {
                let scaled = self.scaled();
                _ = writeln!(text, "    let scaled = {scaled};");
                _ = writeln!(text, "    return quad_of_bytes(scaled.x, bitcast<f32>(scaled.y));");
            }
            _ => {
                let unit = self.half(2, &self.unit(per_block));
                let byte = format!("word_{name}({}u + at / 16u) >> (at / 4u % 4u * 8u)", self.word(1));
                _ = writeln!(text, "    let terms = terms_of({byte}, {unit});");
                _ = writeln!(text, "    let word = {name}[at / 2u];");
                _ = writeln!(
                    text,
                    "    return quad_of_nibbles(select(word >> 12u, word << 4u, at % 2u == 0u), terms);"
                );
            }
        }
        text.push_str("}\n");
    }

    /// The word of quad `at` of heads, and the bits of its scale.
    pub(super) fn scaled(self) -> String {
        let (Self { name, shape, .. }, first) = (self, self.word(1));
        format!("vec2({name}[at], {name}[{first}u + at / {}u])", shape[1] / 4)
    }

    /// Keeps a head's scale with its first quad.
    pub(super) fn keep_scale(self) -> String {
        let (Self { name, shape, .. }, first) = (self, self.word(1));
        let quads = shape[1] / 4;
        format!("\n    if at % {quads}u == 0u {{\n        {name}[{first}u + at / {quads}u] = scale;\n    }}")
    }

    /// As an array of `wide` words: `load_NAME(at)` is piece `at` of heads, counted through all rows.
    fn head_pieces(self, text: &mut String, wide: u32) {
        let (Self { name, shape, .. }, first) = (self, self.word(1));
        let head = shape[1] / (4 * wide);
        _ = writeln!(text, "alias Wide_{name} = vec{wide}<u32>;\nfn load_{name}(at: u32) -> Piece {{");
        _ = writeln!(text, "    let words = {name}[at];\n    let place = {first}u + at / {head}u;");
        _ = writeln!(text, "    let scale = bitcast<f32>({name}[place / {wide}u][place % {wide}u]);");
        let quads: Vec<_> = (0..wide).map(|i| format!("quad_of_bytes(words[{i}], scale)")).collect();
        _ = writeln!(text, "    return Piece({});\n}}", quads.join(", "));
    }

    /// As an array of 16 bytes: `load_NAME(at)` is block `at`, counted through all rows, as a piece of eight quads; heads
    /// come in pieces of `wide` quads.
    pub(super) fn pieces(self, text: &mut String, wide: u32) {
        let Self { name, dtype, .. } = self;
        if dtype == DType::Q8Heads {
            return self.head_pieces(text, wide);
        }
        _ = writeln!(text, "alias Wide_{name} = vec4<u32>;");
        _ = writeln!(text, "fn word_{name}(at: u32) -> u32 {{ return {name}[at / 4u][at % 4u]; }}");
        _ = writeln!(text, "fn load_{name}(at: u32) -> Piece {{");
        let words = ["x", "y", "z", "w"];
        let quads: Vec<String> = match dtype {
            DType::Q8 => {
                _ = writeln!(text, "    let low = {name}[2u * at];\n    let high = {name}[2u * at + 1u];");
                _ = writeln!(text, "    let scale = {};", self.half(1, "at"));
                let side = |side| words.map(|word| format!("quad_of_bytes({side}.{word}, scale)"));
                ["low", "high"].into_iter().flat_map(side).collect()
            }
            _ => {
                _ = writeln!(text, "    let words = {name}[at];");
                _ = writeln!(text, "    let unit = {};", self.half(2, &self.unit(1)));
                _ = writeln!(text, "    let bytes = word_{name}({}u + at / 2u) >> (at % 2u * 16u);", self.word(1));
                text.push_str(
                    "    let first = terms_of(bytes, unit);\n    let second = terms_of(bytes >> 8u, unit);\n",
                );
                let quads = |word: &str| {
                    let terms = if matches!(word, "x" | "y") { "first" } else { "second" };
                    ["<< 4u", ">> 12u"].map(|way| format!("quad_of_nibbles(words.{word} {way}, {terms})"))
                };
                words.into_iter().flat_map(quads).collect()
            }
        };
        _ = writeln!(text, "    return Piece({});\n}}", quads.join(", "));
    }

    /// The half of this number of a plane.
    fn half(self, plane: usize, at: &str) -> String {
        let Self { name, .. } = self;
        format!("unpack2x16float(word_{name}({}u + ({at}) / 2u) >> (({at}) % 2u * 16u)).x", self.word(plane))
    }

    /// The first word of a plane.
    fn word(self, plane: usize) -> usize {
        Planes::of(self.dtype, self.shape).start[plane] / 4
    }

    /// The number of the unit of what has number `at`, of which a block has `per_block`.
    fn unit(self, per_block: u32) -> String {
        let (width, block, unit) = (self.shape[1], BLOCK as u32, UNIT as u32);
        let (row, run) = (width / block * per_block, unit / block * per_block);
        match width.is_multiple_of(unit) {
            true => format!("at / {run}u"),
            false => format!("at / {row}u * {}u + at % {row}u / {run}u", width.div_ceil(unit)),
        }
    }
}

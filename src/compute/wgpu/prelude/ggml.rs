//! How a shader reads a matrix in one of GGML's formats that has codes of four bits and maybe some more above them.

use std::fmt::Write;

use super::quantised::{Quantised, half_in};
use crate::compute::dtype::{BLOCK, DType};

/// The functions that all of them use.
pub(super) const LIBRARY: &str = include_str!("../../../../wgsl/lib/ggml.wgsl");

/// Quads of a block.
const QUADS: u32 = BLOCK as u32 / 4;

/// Where a quad is in its block, and how its bits come to where they are looked for.
enum Place {
    /// A number in the text.
    Known(u32),
    /// An expression.
    Told(&'static str),
}

impl Quantised<'_> {
    /// The body of `quad_NAME(at)` for an array of words.
    pub(super) fn ggml_quad(self, text: &mut String) {
        let name = self.name;
        let word = |i: usize| format!("word_{name}({}u + block / 8u * 4u + {i}u)", self.word(1));
        let header = format!("vec4({})", [0, 1, 2, 3].map(word).join(", "));
        self.terms(text, &format!("at / {QUADS}u"), (&header, self.scale_words("block")));
        _ = writeln!(text, "    let codes = {name}[at / 2u];");
        _ = writeln!(text, "    let low = select(codes >> 12u, codes << 4u, at % 2u == 0u);");
        let high = match self.dtype {
            DType::Q5K => format!("word_{name}({}u + at / {QUADS}u)", self.word(2)),
            _ => format!("word_{name}({}u + at / 4u)", self.word(2)),
        };
        if self.has_high() {
            _ = writeln!(text, "    let high = {high};");
        }
        _ = writeln!(text, "    return {};", self.value("low", "high", &Place::Told("at")));
    }

    /// The body of `load_NAME(at)` for an array of 16 bytes, up to what is returned, and the eight quads of that.
    pub(super) fn ggml_piece(self, text: &mut String) -> Vec<String> {
        let name = self.name;
        let header = format!("{name}[{}u + block / 8u]", self.word(1) / 4);
        self.terms(text, "at", (&header, self.scale_words("block")));
        _ = writeln!(text, "    let codes = {name}[at];");
        match self.dtype {
            DType::Q5K => _ = writeln!(text, "    let high = word_{name}({}u + at);", self.word(2)),
            DType::Q6K => {
                let from = format!("word_{name}({}u + 2u * at", self.word(2));
                _ = writeln!(text, "    let highs = vec2({from}), {from} + 1u));");
            }
            _ => {}
        }
        let quad = |quad: u32| {
            let word = ["x", "y", "z", "w"][quad as usize / 2];
            let low = format!("codes.{word} {}", ["<< 4u", ">> 12u"][quad as usize % 2]);
            let high = if self.dtype == DType::Q6K { ["highs.x", "highs.y"][quad as usize / 4] } else { "high" };
            self.value(&low, high, &Place::Known(quad))
        };
        (0..QUADS).map(quad).collect()
    }

    /// `fetch_NAME(at)` and `halves_NAME(fetch)`: what scales these takes too many words to wait in registers, so that they
    /// become halves at once.
    pub(super) fn ggml_fetches(self, text: &mut String) {
        let name = self.name;
        self.quads(text);
        _ = writeln!(text, "alias Fetch_{name} = array<vec4<f16>, 2>;");
        _ = writeln!(text, "fn fetch_{name}(at: u32) -> Fetch_{name} {{");
        let quad = |which| format!("vec4<f16>(quad_{name}(2u * at + {which}u))");
        _ = writeln!(text, "    return Fetch_{name}({}, {});\n}}", quad(0), quad(1));
        _ = writeln!(text, "fn halves_{name}(fetch: Fetch_{name}) -> Fetch_{name} {{ return fetch; }}");
    }

    /// The parts of `raw_NAME(at)` for an array of 16 bytes.
    pub(super) fn ggml_raw(self) -> String {
        let name = self.name;
        let high = format!("word_{name}({}u + ", self.word(2));
        let high = match self.dtype {
            DType::Q5K => format!("vec4({high}at), 0u, 0u, 0u)"),
            DType::Q6K => format!("vec4({high}2u * at), {high}2u * at + 1u), 0u, 0u)"),
            _ => "vec4(0u)".into(),
        };
        let [first, last] = self.scale_words("at");
        let scales = match self.dtype {
            DType::Q4K | DType::Q5K => format!("{name}[{}u + at / 8u]", self.word(1) / 4),
            _ => format!("vec4({first}, {last}, 0u, 0u)"),
        };
        format!("{name}[at], {high}, {scales}")
    }

    /// The body of `codes_NAME(raw, at)`.
    pub(super) fn ggml_codes(self, text: &mut String) {
        self.terms(text, "at", ("raw.scales", ["raw.scales.x", "raw.scales.y"].map(String::from)));
        text.push_str(match self.dtype {
            DType::Q4_0 => "    return codes_of_nibbles(raw.codes, vec4(terms, terms, 8.0 * terms, 8.0 * terms));\n",
            DType::Q4K => "    return codes_of_nibbles(raw.codes, vec4(terms.xx, -terms.yy));\n",
            DType::Q5K => "    return codes_with_bits(raw.codes, raw.high.x, vec4(terms.xx, -terms.yy));\n",
            _ => "    return codes_with_pairs(raw.codes, raw.high.x, raw.high.y, vec4(terms, 32.0 * terms));\n",
        });
    }

    /// The words that have what scales the block of this number, where no header of eight blocks does.
    fn scale_words(self, block: &str) -> [String; 2] {
        match self.dtype {
            DType::Q6K => [pair_of(block), unit_of(block)].map(|half| self.word_of_half(1, &half)),
            _ => [self.word_of_half(1, block), "0u".into()],
        }
    }

    /// `terms`, what scales the block of this number: from the 16 bytes that do it for eight blocks, or from words.
    fn terms(self, text: &mut String, block: &str, (header, [first, last]): (&str, [String; 2])) {
        _ = writeln!(text, "    let block = {block};");
        match self.dtype {
            DType::Q4_0 => _ = writeln!(text, "    let terms = {};", half_in(&first, "block")),
            DType::Q4K | DType::Q5K => {
                _ = writeln!(text, "    let terms = terms_of_block({header}, block % 8u);");
            }
            _ => {
                _ = writeln!(text, "    let pair = {first} >> (({}) % 2u * 16u);", pair_of("block"));
                _ = writeln!(text, "    let unit = {};", half_in(&last, &unit_of("block")));
                _ = writeln!(text, "    let terms = unit * numbers_of_bytes(pair);");
            }
        }
    }

    fn has_high(self) -> bool {
        matches!(self.dtype, DType::Q5K | DType::Q6K)
    }

    /// A quad from the word with its low bits in bits 4 to 19, and the one with its high bits.
    fn value(self, low: &str, high: &str, place: &Place) -> String {
        let low = format!("numbers_of_nibbles({low}, 0.0)");
        let bits = if self.dtype == DType::Q5K { 4 } else { 8 };
        let quads = 32 / bits;
        let high = match place {
            Place::Known(quad) => match quad % quads * bits {
                0 => format!("{high} << 4u"),
                from => format!("{high} >> {}u", from - 4),
            },
            Place::Told(quad) => format!("({high} >> ({quad} % {quads}u * {bits}u)) << 4u"),
        };
        match self.dtype {
            DType::Q4_0 => format!("({low} - 8.0) * terms"),
            DType::Q4K => format!("fma({low}, vec4(terms.x), vec4(terms.y))"),
            DType::Q5K => format!("fma({low} + numbers_of_bits({high}), vec4(terms.x), vec4(terms.y))"),
            _ => {
                let scale = match place {
                    Place::Known(quad) => ["terms.x", "terms.y"][*quad as usize / 4].to_owned(),
                    Place::Told(quad) => format!("select(terms.y, terms.x, {quad} % 8u < 4u)"),
                };
                format!("({low} + numbers_of_pairs({high}) - 32.0) * {scale}")
            }
        }
    }
}

/// Of `q6_K`'s nine halves for eight blocks, the one with a block's pair of bytes, and the one with the unit.
fn pair_of(block: &str) -> String {
    format!("{block} / 8u * 9u + {block} % 8u")
}

fn unit_of(block: &str) -> String {
    format!("{block} / 8u * 9u + 8u")
}

//! How a shader reads what is quantised: where its planes are, and where in them a quad or a block is.

use std::fmt::Write;

use crate::compute::dtype::{BLOCK, DType, Packs, Planes, UNIT};

/// The functions that all of them use.
pub(super) const LIBRARY: &str = include_str!("../../../../wgsl/lib/quants.wgsl");

/// What turns rows into codes, and what such rows are.
pub(super) const PACKING: &str = include_str!("../../../../wgsl/lib/packing.wgsl");

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
            DType::Q4 => {
                let unit = self.half(2, &self.unit(per_block));
                let byte = format!("word_{name}({}u + at / 16u) >> (at / 4u % 4u * 8u)", self.word(1));
                _ = writeln!(text, "    let terms = terms_of({byte}, {unit});");
                _ = writeln!(text, "    let word = {name}[at / 2u];");
                _ = writeln!(
                    text,
                    "    return quad_of_nibbles(select(word >> 12u, word << 4u, at % 2u == 0u), terms);"
                );
            }
            _ => self.ggml_quad(text),
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

    /// As an array of words: `fetch_NAME(at)` is what makes quad `at` of heads, and `halves_NAME(fetch)` that quad.
    fn head_fetches(self, text: &mut String) {
        let (name, scaled) = (self.name, self.scaled());
        _ = writeln!(text, "alias Quad_{name} = u32;\nalias Fetch_{name} = vec2<u32>;");
        _ = writeln!(text, "fn fetch_{name}(at: u32) -> vec2<u32> {{ return {scaled}; }}");
        _ = writeln!(text, "fn halves_{name}(fetch: vec2<u32>) -> array<vec4<f16>, 1> {{");
        text.push_str("    return array(vec4<f16>(quad_of_bytes(fetch.x, bitcast<f32>(fetch.y))));\n}\n");
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
            DType::Q4 => {
                _ = writeln!(text, "    let words = {name}[at];");
                let bytes = format!("word_{name}({}u + at / 2u)", self.word(1));
                self.both_terms(text, [&bytes, &self.word_of_half(2, &self.unit(1))]);
                let quads = |word: &str| {
                    let terms = if matches!(word, "x" | "y") { "first" } else { "last" };
                    ["<< 4u", ">> 12u"].map(|way| format!("quad_of_nibbles(words.{word} {way}, {terms})"))
                };
                words.into_iter().flat_map(quads).collect()
            }
            _ => self.ggml_piece(text),
        };
        _ = writeln!(text, "    return Piece({});\n}}", quads.join(", "));
    }

    /// As an array of words: `fetch_NAME(at)` is what makes pair `at` of quads, and `halves_NAME(fetch)` those quads, in half
    /// precision. A kernel does other things between the two while what it fetches is on its way.
    pub(super) fn fetches(self, text: &mut String) {
        match self.dtype {
            DType::Q8 => self.q8_fetches(text),
            DType::Q4 => self.q4_fetches(text),
            DType::Q8Heads => self.head_fetches(text),
            _ => self.ggml_fetches(text),
        }
    }

    fn q8_fetches(self, text: &mut String) {
        let (name, scales) = (self.name, self.word(1));
        let body = format!(
            "    let scales = {name}[{scales}u + at / 8u];
    return vec4({name}[2u * at], {name}[2u * at + 1u], scales, at / 4u % 2u * 16u);\n"
        );
        let quads = ["x", "y"].map(|word| format!("quad_of_bytes(fetch.{word}, scale)"));
        self.pair_fetches(text, &body, ("    let scale = unpack2x16float(fetch.z >> fetch.w).x;\n", quads));
    }

    fn q4_fetches(self, text: &mut String) {
        let (name, words, units, unit) = (self.name, self.word(1), self.word(2), self.unit(BLOCK as u32 / 8));
        let body = format!(
            "    let unit = {unit};
    let shifts = at / 2u % 4u * 8u | unit % 2u * 16u << 8u;
    return vec4({name}[at], {name}[{words}u + at / 8u], {name}[{units}u + unit / 2u], shifts);\n"
        );
        let terms = "    let unit = unpack2x16float(fetch.z >> (fetch.w >> 8u)).x;
    let terms = terms_of(fetch.y >> (fetch.w & 31u), unit);\n";
        let quads = ["<< 4u", ">> 12u"].map(|way| format!("quad_of_nibbles(fetch.x {way}, terms)"));
        self.pair_fetches(text, &body, (terms, quads));
    }

    /// Both functions: what the first one does to fetch four words, what the second one does with them, and its quads.
    fn pair_fetches(self, text: &mut String, body: &str, (terms, [first, last]): (&str, [String; 2])) {
        let name = self.name;
        _ = writeln!(text, "alias Quad_{name} = u32;\nalias Fetch_{name} = vec4<u32>;");
        _ = writeln!(text, "fn fetch_{name}(at: u32) -> vec4<u32> {{\n{body}}}");
        _ = writeln!(text, "fn halves_{name}(fetch: vec4<u32>) -> array<vec4<f16>, 2> {{\n{terms}");
        _ = writeln!(text, "    return array(vec4<f16>({first}), vec4<f16>({last}));\n}}");
    }

    /// As an array of 16 bytes: `raw_NAME(at)` is what is loaded of block `at`, counted through all rows, and
    /// `codes_NAME(raw, at)` makes packed bytes of that. A kernel does other things between the two.
    pub(super) fn codes(self, text: &mut String) {
        let Self { name, dtype, .. } = self;
        if matches!(dtype, DType::Packed(_)) {
            return self.rows(text);
        }
        _ = writeln!(text, "alias Wide_{name} = vec4<u32>;");
        _ = writeln!(text, "fn word_{name}(at: u32) -> u32 {{ return {name}[at / 4u][at % 4u]; }}");
        let raw = match dtype {
            DType::Q8 => {
                let scale = self.word_of_half(1, "at");
                format!("{name}[2u * at], {name}[2u * at + 1u], vec4({scale}, 0u, 0u, 0u)")
            }
            DType::Q4 => {
                let unit = self.word_of_half(2, &self.unit(1));
                format!("{name}[at], vec4(0u), vec4(word_{name}({}u + at / 2u), {unit}, 0u, 0u)", self.word(1))
            }
            _ => self.ggml_raw(),
        };
        _ = writeln!(text, "fn raw_{name}(at: u32) -> Raw {{\n    return Raw({raw});\n}}");
        _ = writeln!(text, "fn codes_{name}(raw: Raw, at: u32) -> Codes {{");
        match dtype {
            DType::Q8 => {
                _ = writeln!(text, "    let scale = {};", half_in("raw.scales.x", "at"));
                text.push_str("    return Codes(raw.codes, raw.high, vec4(scale, scale, 0.0, 0.0));\n");
            }
            DType::Q4 => {
                self.both_terms(text, ["raw.scales.x", "raw.scales.y"]);
                text.push_str("    let scales = vec2(first.x, last.x);\n");
                text.push_str("    let terms = vec4(scales, scales * vec2(first.y, last.y));\n");
                text.push_str("    return codes_of_nibbles(raw.codes, terms);\n");
            }
            _ => self.ggml_codes(text),
        }
        text.push_str("}\n");
    }

    /// Packed rows as an array of 16 bytes: `block_NAME(row, at)` is block `at` of a row.
    fn rows(self, text: &mut String) {
        let (name, blocks) = (self.name, self.shape[1] / BLOCK as u32);
        _ = writeln!(text, "alias Wide_{name} = vec4<u32>;");
        _ = writeln!(text, "fn block_{name}(row: u32, at: u32) -> Row_block {{");
        _ = writeln!(text, "    let first = row * {}u + at;", 4 * blocks);
        let codes = [0, 1, 2, 3].map(|run| format!("{name}[first + {}u]", run * blocks)).join(", ");
        _ = writeln!(text, "    let terms = bitcast<vec4<f32>>({name}[{}u + row * {blocks}u + at]);", self.word(1) / 4);
        _ = writeln!(text, "    return Row_block({codes}, terms);\n}}");
    }

    /// Packed rows as an array of 8 bytes: `store_NAME(at, quad, stores)` stores quad `at`, counted through all rows. Lanes of
    /// a subgroup must all call it, eight that have a block side by side.
    pub(super) fn stores(self, text: &mut String) {
        let (name, blocks) = (self.name, self.shape[1] / BLOCK as u32);
        _ = writeln!(text, "alias Quad_{name} = vec2<u32>;");
        _ = writeln!(text, "fn store_{name}(at: u32, quad: vec4<f32>, stores: bool) {{");
        text.push_str("    let other = subgroupShuffleXor(quad, 1u);\n    let odd = at % 2u == 1u;\n");
        text.push_str("    let first = select(quad, other, odd);\n    let last = select(other, quad, odd);\n");
        text.push_str(match self.dtype {
            DType::Packed(Packs::Nibbles) => {
                "    let coded = coded(vec4(first.xz, last.xz), vec4(first.yw, last.yw), 2u);\n"
            }
            _ => "    let coded = coded(first, last, 2u);\n",
        });
        _ = writeln!(text, "    if !stores {{\n        return;\n    }}");
        _ = writeln!(text, "    let row = at / {}u;\n    let block = at / 8u % {blocks}u;", 8 * blocks);
        text.push_str("    let pair = at % 8u / 2u;\n    let run = row * 4u + pair / 2u + select(0u, 2u, odd);\n");
        _ = writeln!(
            text,
            "    {name}[2u * (run * {blocks}u + block) + pair % 2u] = select(coded.high, coded.low, odd);"
        );
        let terms = "bitcast<vec2<u32>>(select(coded.terms.xy, vec2(coded.terms.z, 0.0), odd))";
        _ = writeln!(
            text,
            "    if pair == 0u {{\n        let place = {}u + row * {blocks}u + block;",
            self.word(1) / 4
        );
        _ = writeln!(text, "        {name}[2u * place + at % 2u] = {terms};\n    }}\n}}");
    }

    /// `first` and `last`, what the first and the last 16 weights of q4's block `at` share, from the words with their bytes
    /// and with their unit.
    fn both_terms(self, text: &mut String, [bytes, unit]: [&str; 2]) {
        _ = writeln!(text, "    let unit = {};", half_in(unit, &self.unit(1)));
        _ = writeln!(text, "    let bytes = {bytes} >> (at % 2u * 16u);");
        text.push_str("    let first = terms_of(bytes, unit);\n    let last = terms_of(bytes >> 8u, unit);\n");
    }

    /// The half of this number of a plane.
    pub(super) fn half(self, plane: usize, at: &str) -> String {
        half_in(&self.word_of_half(plane, at), at)
    }

    /// The word that has it.
    pub(super) fn word_of_half(self, plane: usize, at: &str) -> String {
        format!("word_{}({}u + ({at}) / 2u)", self.name, self.word(plane))
    }

    /// The first word of a plane.
    pub(super) fn word(self, plane: usize) -> usize {
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

/// The half of this number of a plane, from the word that has it.
pub(super) fn half_in(word: &str, at: &str) -> String {
    format!("unpack2x16float({word} >> (({at}) % 2u * 16u)).x")
}

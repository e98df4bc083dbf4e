use bimetal::{
    dtype::DType,
    kernels::qk_norm_rope::{Heads, QkNorm, qk_norm_rope},
    pass::Pass,
    step::Kind,
};

use super::{
    harness::{Lab, backends, check, outputs},
    traffic::*,
};

#[test]
pub fn cases() {
    for (traffic, [query, kv, width, rotary], dtype, range) in [
        (PROMPTS[0], [1, 1, 16, 4], DType::F32, -3.0..3.0),
        (PROMPTS[1], [4, 2, 64, 16], DType::F16, -3.0..3.0),
        (PROMPTS[2], [8, 2, 256, 64], DType::F16, -3.0..3.0),
        (PROMPTS[3], [2, 1, 512, 512], DType::F32, -3.0..3.0),
        // Halves saturate.
        (DECODES[1], [6, 1, 32, 32], DType::F16, -1e5..1e5),
        (DECODES[2], [3, 3, 128, 32], DType::F32, -3.0..3.0),
    ] {
        let heads = Heads { query, kv, width };
        check(
            &format!("qk_norm_rope {query} + {kv} × {width} of {range:?}, {rotary} turned, to {dtype}"),
            |lab, p| {
                turn(lab, p, traffic, (heads, rotary, dtype), range.clone());
            },
        );
    }
}

fn turn(lab: &Lab, p: &Pass, traffic: Traffic, case: (Heads, u32, DType), range: std::ops::Range<f32>) {
    let (step, (heads, rotary, dtype)) = (traffic.step(lab, 10), case);
    let x = traffic.by_position(lab, "x", heads.projected(), range);
    let norm = QkNorm { weights: lab.spread("norms", [2, heads.width], DType::F32, -0.2..0.3), eps: 1e-6 };
    let rope = lab.tensor([traffic.context(), rotary], DType::F32, &angles(traffic.context(), rotary));
    let mut cache = traffic.blocks(lab, heads.kv * heads.width, dtype, -1.0..1.0);
    p.mark("q", &qk_norm_rope(p, &step, &x, (&norm, &rope, heads), &mut cache));
    p.mark("keys", &cache.keys);
    p.mark("values", &cache.values);
}

fn angles(context: u32, rotary: u32) -> Vec<f32> {
    let frequency = |j: u32| 1e7f32.powf(-2.0 * j as f32 / rotary as f32);
    let pair = |position: u32, j: u32| {
        let angle = position as f32 * frequency(j);
        [angle.cos(), angle.sin()]
    };
    (0..context).flat_map(|position| (0..rotary / 2).flat_map(move |j| pair(position, j))).collect()
}

/// A row's queries are the same bits wherever it lies and whoever else is in the step.
#[test]
pub fn company() {
    const WHOLE: Traffic = Traffic { kind: Kind::Prompt, spans: &[(40, 10, 1)], spare: 0 };
    const CUT: Traffic = Traffic { kind: Kind::Prompt, spans: &[(9, 0, 0), (13, 37, 1)], spare: 3 };
    let heads = Heads { query: 2, kv: 1, width: 64 };
    for (name, backend) in backends() {
        let run = |traffic| {
            let op = |lab: &Lab, p: &Pass| turn(lab, p, traffic, (heads, 16, DType::F32), -3.0..3.0);
            outputs("company", &backend, backend.caps(), op).remove(0)
        };
        let (whole, cut) = (run(WHOLE), run(CUT));
        for row in 0..13 {
            assert!(whole.row(27 + row) == cut.row(9 + row), "{name}: row {row}");
        }
    }
}

//! Sections 2.1, 2.2 and 2.19: scalars, vectors, constructors, swizzles, conversions.

use half::{bf16, f16};

use super::snippet::{bytes, snippet, table};

#[test]
fn vectors_are_made_of_scalars_and_vectors() {
    table(
        "float2 a = float2(v, 2.0f); float4 b = float4(a, a.yx); float3 c(7.0f); b.w += 0.5; uint4 many = uint4(id, 1, 2, 3);",
        &[
            ("b.x + 10 * b.y + 100 * b.z", |i| f64::from(i) + 1.0 + 20.0 + 200.0),
            ("b.w - v", |_| 0.5),
            ("float4(c, v).w", |i| f64::from(i) + 1.0),
            ("float3(a.x, a)[1]", |i| f64::from(i) + 1.0),
            ("float4(many).x + many.w", |i| f64::from(i) + 3.0),
            ("int4(b * -1.0f).x", |i| -f64::from(i) - 1.0),
            ("b.zw.y", |i| f64::from(i) + 1.5),
            ("b.rgba.g", |_| 2.0),
            ("float4(1.0).z", |_| 1.0),
            ("uint(half4(b).y)", |_| 2.0),
            ("uchar2(uint2(260, 3)).x", |_| 4.0),
            ("sizeof(float3) + 100 * sizeof(packed_float3) + 10000 * sizeof(half4)", |_| 16.0 + 1200.0 + 80000.0),
            ("vec<float, 2>(v, 3.0f).y", |_| 3.0),
        ],
        0.0,
    );
}

#[test]
fn swizzles_may_be_assigned_to() {
    table(
        "float4 a = 0.0f; a.zx = float2(v, 2.0f); a.w = a.z;",
        &[("a.x", |_| 2.0), ("a.w", |i| f64::from(i) + 1.0)],
        0.0,
    );
}

#[test]
fn bits_become_other_types() {
    table(
        "",
        &[
            ("as_type<uint>(1.0f) >> 16", |_| f64::from(0x3f80)),
            ("as_type<float>(0x40490fdbu)", |_| f64::from(f32::from_bits(0x40490fdb))),
            ("as_type<float4>(uint4(ushort4(0x3f80)) << 16u).z", |_| 1.0),
            ("as_type<half2>(0x3c004000u).y", |_| 1.0),
            ("as_type<ushort>(half(-2.0f))", |_| f64::from(0xc000)),
        ],
        0.0,
    );
}

#[test]
fn halves_round_at_every_step() {
    let third = |i: f32| f16::from_f32(i + 1.0) / f16::from_f32(3.0);
    assert_eq!(third(0.0).to_f32(), 0.33325195);
    table(
        "half h = half(v); half third = h / 3.0h;",
        &[
            ("third", |i| f64::from((f16::from_f32(i + 1.0) / f16::from_f32(3.0)).to_f32())),
            ("third * third + third", |i| {
                let third = f16::from_f32((i + 1.0) / 3.0).to_f32();
                let square = f16::from_f32(third * third).to_f32();
                f64::from(f16::from_f32(square + third).to_f32())
            }),
            ("half(70000.0f)", |_| f64::INFINITY),
            ("2048.0h + 1.0h", |_| 2048.0),
            ("float(h) * 1.0f", |i| f64::from(i) + 1.0),
        ],
        0.0,
    );
}

#[test]
fn packed_vectors_lie_anywhere() {
    let data: Vec<f32> = (0..36).map(|i| i as f32).collect();
    let text = "packed_float3 three = x[lane]; float3 f = float3(three); device const packed_float4* q =
        (device const packed_float4*)((device const float*)x + 1); out[lane] = f.z + 100.0f * q[0].w;";
    let got = snippet("device const packed_float3* x [[buffer(1)]],", text).lanes(12).run(12, &[bytes(&data)]);
    assert_eq!(got, (0..12).map(|i| (3 * i + 2 + 400) as f32).collect::<Vec<_>>());
}

#[test]
fn buffers_hold_halves_and_words() {
    let (f16_words, words) = ([1.5, -2.0, 0.1].map(f16::from_f32), [7u32, 8, 9]);
    let parameters = "device const half* h [[buffer(1)]], constant uint* w [[buffer(2)]],";
    let f16_words = [f16_words[0], f16_words[1], f16_words[2], f16_words[0]];
    let got =
        snippet(parameters, "out[lane] = h[lane] * w[lane];").lanes(3).run(3, &[bytes(&f16_words), bytes(&words)]);
    assert_eq!(got, [10.5, -16.0, (f16_words[2] * f16::from_f32(9.0)).to_f32()], "a half and a word make a half");
    assert_eq!(bf16::from_f32(1.0).to_bits(), 0x3f80);
}

#[test]
fn literals_without_a_suffix_are_single() {
    table("auto x = 0.1; auto y = x * 3;", &[("sizeof(x)", |_| 4.0), ("y", |_| f64::from(0.1f32 * 3.0))], 0.0);
}

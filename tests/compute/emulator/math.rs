//! Sections 6.2 to 6.5 and 6.8: common, integer, relational, math and geometric functions.

use super::snippet::table;

/// The value of `w` in a lane.
fn w(lane: f32) -> f64 {
    f64::from(lane * 0.25 - 3.9)
}

/// The value of `v` in a lane.
fn v(lane: f32) -> f64 {
    f64::from(lane) + 1.0
}

#[test]
fn math_is_that_of_the_host() {
    table(
        "",
        &[
            ("exp(w)", |i| w(i).exp()),
            ("exp2(w)", |i| w(i).exp2()),
            ("exp10(w)", |i| 10f64.powf(w(i))),
            ("log(v)", |i| v(i).ln()),
            ("log2(v)", |i| v(i).log2()),
            ("log10(v)", |i| v(i).log10()),
            ("sqrt(v)", |i| v(i).sqrt()),
            ("rsqrt(v)", |i| 1.0 / v(i).sqrt()),
            ("sin(w)", |i| w(i).sin()),
            ("cos(w)", |i| w(i).cos()),
            ("tan(w)", |i| w(i).tan()),
            ("sinh(w)", |i| w(i).sinh()),
            ("cosh(w)", |i| w(i).cosh()),
            ("tanh(w)", |i| w(i).tanh()),
            ("asin(w / 4)", |i| (w(i) / 4.0).asin()),
            ("acos(w / 4)", |i| (w(i) / 4.0).acos()),
            ("atan(w)", |i| w(i).atan()),
            ("atan2(w, v)", |i| w(i).atan2(v(i))),
            ("pow(v, w)", |i| v(i).powf(w(i))),
            ("powr(v, 0.5f)", |i| v(i).sqrt()),
            ("exp(float4(w)).z", |i| w(i).exp()),
            ("precise::exp(w)", |i| w(i).exp()),
            ("fast::exp(w)", |i| w(i).exp()),
            ("metal::precise::tanh(w)", |i| w(i).tanh()),
            ("fmod(v, 3.0f)", |i| v(i) % 3.0),
            ("fma(w, v, 1.0f)", |i| w(i).mul_add(v(i), 1.0)),
            ("fract(w)", |i| w(i) - w(i).floor()),
            ("mix(v, 3 * v, 0.25f)", |i| 1.5 * v(i)),
            ("smoothstep(1.0f, 33.0f, v)", |i| ((v(i) - 1.0) / 32.0).powi(2) * (3.0 - 2.0 * ((v(i) - 1.0) / 32.0))),
        ],
        2e-6,
    );
}

#[test]
fn what_is_exact_is_exact() {
    table(
        "",
        &[
            ("floor(w)", |i| w(i).floor()),
            ("ceil(w)", |i| w(i).ceil()),
            ("round(w)", |i| w(i).round()),
            ("rint(w)", |i| w(i).round_ties_even()),
            ("trunc(w)", |i| w(i).trunc()),
            ("abs(w)", |i| w(i).abs()),
            ("fabs(w)", |i| w(i).abs()),
            ("sign(w)", |i| w(i).signum()),
            ("sign(0.0f)", |_| 0.0),
            ("copysign(v, w)", |i| v(i).copysign(w(i))),
            ("saturate(w)", |i| w(i).clamp(0.0, 1.0)),
            ("clamp(w, -1.0f, 2.0f)", |i| w(i).clamp(-1.0, 2.0)),
            ("step(0.0f, w)", |i| if w(i) < 0.0 { 0.0 } else { 1.0 }),
            ("min(w, 0.5f)", |i| w(i).min(0.5)),
            ("max(w, 0.5f)", |i| w(i).max(0.5)),
            ("fmax(NAN, w)", w),
            ("max(float4(w), 0.0f).y", |i| w(i).max(0.0)),
            ("fdim(w, 1.0f)", |i| (w(i) - 1.0).max(0.0) as f32 as f64),
            ("ldexp(v, 3)", |i| v(i) * 8.0),
            ("half2(min(half2(w), half2(1.0h))).x > 1.0h", |_| 0.0),
        ],
        0.0,
    );
}

#[test]
fn integers_are_as_wide_as_they_say() {
    table(
        "uint big = 0x80000001u;",
        &[
            ("min(id, 4u)", |i| f64::from(i.min(4.0))),
            ("max(int(id) - 8, 0)", |i| f64::from((i - 8.0).max(0.0))),
            ("clamp(id, 3u, 9u)", |i| f64::from(i.clamp(3.0, 9.0))),
            ("abs(int(id) - 8)", |i| f64::from((i - 8.0).abs())),
            ("absdiff(id, 8u)", |i| f64::from((i - 8.0).abs())),
            ("popcount(id)", |i| f64::from((i as u32).count_ones())),
            ("clz(id)", |i| f64::from((i as u32).leading_zeros())),
            ("ctz(id)", |i| f64::from((i as u32).trailing_zeros())),
            ("clz(ushort(id))", |i| f64::from((i as u16).leading_zeros())),
            ("reverse_bits(id) >> 27", |i| f64::from((i as u32).reverse_bits() >> 27)),
            ("extract_bits(id, 1, 3)", |i| f64::from(i as u32 >> 1 & 7)),
            ("extract_bits(int(id), 0, 4)", |i| f64::from((i as i32) << 28 >> 28)),
            ("insert_bits(id, 3u, 1, 2)", |i| f64::from(i as u32 & !6 | 6)),
            ("mulhi(big, 4u)", |_| 2.0),
            ("rotate(big, 1u)", |_| 3.0),
            ("min(uint2(id, 3), uint2(4)).y", |_| 3.0),
            ("UINT_MAX == 0xffffffffu && INT_MAX == 2147483647", |_| 1.0),
            ("numeric_limits<half>::max()", |_| 65504.0),
        ],
        0.0,
    );
}

#[test]
fn relations_and_choices() {
    table(
        "float4 four = float4(w, 1.0f, 2.0f, NAN); bool4 low = four < 1.5f;",
        &[
            ("isnan(four.w)", |_| 1.0),
            ("isnan(w)", |_| 0.0),
            ("isinf(-INFINITY)", |_| 1.0),
            ("isfinite(INFINITY)", |_| 0.0),
            ("any(isnan(four))", |_| 1.0),
            ("all(isfinite(four.xyz))", |_| 1.0),
            ("select(1.0f, 2.0f, w > 0.0f)", |i| if w(i) > 0.0 { 2.0 } else { 1.0 }),
            ("select(float4(1.0f), four, low).y", |_| 1.0),
            ("select(float4(5.0f), four, low).z", |_| 5.0),
            ("select(float4(5.0f), four, low).w", |_| 5.0),
            ("select(half4(5.0h), half4(1.0h), half4(four) > 1.5h).z", |_| 1.0),
            ("any(low) && !all(low)", |_| 1.0),
            ("select(2u, 3u, id == 1)", |i| if i == 1.0 { 3.0 } else { 2.0 }),
        ],
        0.0,
    );
}

#[test]
fn geometry() {
    table(
        "float3 a = float3(1, 2, 2), b = float3(v, 0, 1);",
        &[
            ("dot(a, b)", |i| v(i) + 2.0),
            ("length(a)", |_| 3.0),
            ("length_squared(a)", |_| 9.0),
            ("distance(a, a + float3(0, 3, 4))", |_| 5.0),
            ("normalize(a).x", |_| 1.0 / 3.0),
            ("cross(a, b).y", |i| 2.0 * v(i) - 1.0),
            ("dot(half4(2.0h), half4(v))", |i| 8.0 * v(i)),
        ],
        1e-6,
    );
}

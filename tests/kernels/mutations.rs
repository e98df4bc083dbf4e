//! Faults planted in the Metal shaders. The kernel's own cases or the emulator must catch each one: an uncaught fault
//! is a gap in the tests.

mod plant;

use crate::{cases, selection::kernels};
use plant::{Fault, fault, no_barrier, plant};

#[test]
fn every_text_has_faults() {
    let planted = |kernel: &str| include_str!("mutations.rs").matches(&format!("(\"{kernel}\", ")).count();
    for kernel in kernels() {
        let name = kernel.name;
        assert!(planted(name) >= 2, "{name}: {} faults", planted(name));
        assert!(
            include_str!("mutations.rs").contains(&format!("mutations!(\n    {name},")),
            "{name} has no list of its own"
        );
    }
}

macro_rules! mutations {
    ($name:ident, [$($case:path),*], [$($fault:expr),* $(,)?]) => {
        #[test]
        fn $name() {
            plant(&[$($fault),*], &[$($case),*]);
        }
    };
}

mutations!(
    feed_tokens,
    [cases::feed_tokens::cases],
    [
        fault("feed_tokens", "step[STEP_POSITION_OF + row] += 1", "step[STEP_POSITION_OF + row] += 2"),
        fault("feed_tokens", "row < row_count(step)", "row <= row_count(step)"),
        fault("feed_tokens", "4 * step[STEP_SEQUENCE_OF + row] + 2", "4 * step[STEP_SEQUENCE_OF + row] + 1"),
    ]
);
mutations!(
    argmax,
    [cases::argmax::cases, cases::argmax::odd_values],
    [
        no_barrier("argmax", 0),
        fault("argmax", "if (key > best.x)", "if (key >= best.x)"),
        fault("argmax", "end - 1)];", "end)];"),
        fault("argmax", "simd_min(pair.x == key", "simd_max(pair.x == key"),
    ]
);
mutations!(
    argmax_merge,
    [cases::argmax_merge::cases, cases::argmax_merge::odd_leaders],
    [
        fault("argmax_merge", "row * PARTS + part", "row * PARTS + part + 1"),
        no_barrier("argmax_merge", 0),
        fault("argmax_merge", "other.x > best.x", "other.x >= best.x"),
        fault("argmax_merge", "found.x == NONE ?", "found.y == NONE ?"),
        fault("argmax_merge", "row >= row_count(step)", "row > row_count(step)"),
    ]
);
mutations!(
    attend_decode,
    [cases::attend_decode::cases],
    [
        fault("attend_decode", "rows[WORDS + at / HEAD_QUADS].word", "rows[WORDS + at / HEAD_QUADS / 2].word"),
        fault("attend_decode", "words[w], scale", "words[0], scale"),
        fault("attend_decode", "uint FIRST = SCALED == 1 ? WIDE : 1", "uint FIRST = 1"),
        fault("attend_decode", "uint DISTANCE = SCALED == 1 ? 1 : TEAM", "uint DISTANCE = TEAM"),
        fault("attend_decode", "word ^ 0x80808080u", "word"),
        no_barrier("attend_decode", 0),
        no_barrier("attend_decode", 1),
        no_barrier("attend_decode", 2),
        no_barrier("attend_decode", 3),
        fault("attend_decode", "parts[team * QUADS]", "parts[(TEAMS - 1 - team) * QUADS]"),
        fault("attend_decode", "at < (h % HEADS_AT_ONCE + 1) * QUADS", "at < QUADS"),
        fault("attend_decode", "const uint context = own.position + 1;", "const uint context = own.position;"),
        fault("attend_decode", "exp(head.largest - largest)", "exp(largest - head.largest)"),
        fault("attend_decode", "min(base + k * TEAMS + team, end - 1)", "min(base + k * TEAMS, end - 1)"),
    ]
);
mutations!(
    attend_merge,
    [cases::attend_merge::cases, cases::attend_merge::splits],
    [
        no_barrier("attend_merge", 0),
        fault("attend_merge", "exp(stat[i].x - top)", "exp(top - stat[i].x)"),
        fault("attend_merge", "at(i) * share < context;", "at(i) * share <= context;"),
        fault("attend_merge", "(r * SHARE * splits.stride", "((r + 1) * SHARE * splits.stride"),
        fault("attend_merge", "context <= SHARE * share ?", "context <= SHARE * share + 1 ?"),
        fault("attend_merge", "return i * stride + part;", "return (i + part) * stride;"),
        fault("attend_merge", "fade * merged.sum", "merged.sum"),
        fault("attend_merge", "gate = sigmoid(", "gate = silu("),
    ]
);
mutations!(
    attend_mma,
    [cases::attend_mma::cases, cases::attend_mma::rising, cases::attend_mma::heads_of_8_bits],
    [
        fault("attend_mma", "tensor[WORDS + at / HEAD_QUADS].word", "tensor[WORDS + at / HEAD_QUADS / 2].word"),
        fault("attend_mma", "tensor[WORDS + at / HEAD_QUADS].word", "tensor[at / HEAD_QUADS].word"),
        fault("attend_mma", "quad_of_bytes(quad.word, quad.scale)", "quad_of_bytes(quad.word, 1.0f)"),
        no_barrier("attend_mma", 0),
        no_barrier("attend_mma", 1),
        no_barrier("attend_mma", 2),
        no_barrier("attend_mma", 3),
        fault("attend_mma", "simdgroup_barrier(mem_flags::mem_threadgroup);", ""),
        fault("attend_mma", "ulong2(0, 0), true);", "ulong2(0, 0), false);"),
        fault(
            "attend_mma",
            "simdgroup_multiply(sums[i], diagonal, sums[i])",
            "simdgroup_multiply(sums[i], sums[i], diagonal)"
        ),
        fault("attend_mma", "uint4(0, 1, 2, 3) <= uint4(row.position)", "uint4(0, 1, 2, 3) < uint4(row.position)"),
        fault("attend_mma", "staged + subgroup * FRAGMENT * PITCH", "staged + member / 16 * FRAGMENT * PITCH"),
    ]
);
mutations!(
    attend_prefill,
    [cases::attend_prefill::cases],
    [
        fault("attend_prefill", "tensor[WORDS + at / HEAD_QUADS].word", "tensor[WORDS].word"),
        fault("attend_prefill", "unpack(held(heads, at))", "unpack(held(heads, at ^ 1))"),
        no_barrier("attend_prefill", 0),
        no_barrier("attend_prefill", 1),
        no_barrier("attend_prefill", 2),
        no_barrier("attend_prefill", 3),
        no_barrier("attend_prefill", 4),
        fault("attend_prefill", "<= positions;", "< positions;"),
        fault("attend_prefill", "exp(largest - row_max)", "exp(row_max - largest)"),
        fault("attend_prefill", "simd_shuffle_xor(row_max, distance)", "simd_shuffle_down(row_max, distance)"),
    ]
);
mutations!(
    copy_slot,
    [cases::copy_slot::cases],
    [
        fault("copy_slot", "pair[0] * WIDTH", "pair[1] * WIDTH"),
        fault("copy_slot", "first + i * LANES < WIDTH", "first + i * LANES < WIDTH - 1"),
        fault("copy_slot", "first + i * LANES < WIDTH", "first + i * LANES <= WIDTH"),
    ]
);
mutations!(
    dequantize,
    [cases::dequantize::cases, cases::dequantize::like_the_product],
    [
        fault("dequantize", "+ params.first * PAIRS", ""),
        fault("dequantize", "begin + i * LANES < end", "begin + i * LANES <= end"),
        fault("dequantize", "min(begin + i * LANES, end - 1)", "(begin + i * LANES)"),
        fault("dequantize", "half4(quad_of(w, 2 * at + 1))", "half4(quad_of(w, 2 * at))"),
        fault("dequantize", "block < 4 ? own", "block < 5 ? own"),
    ]
);
mutations!(
    embed,
    [cases::embed::cases, cases::embed::ids_past_the_table],
    [
        fault("embed", "block < 4 ? own", "block < 5 ? own"),
        fault("embed", "(own >> 2u) & 48u", "(own >> 2u) & 16u"),
        fault("embed", ">> (at % 8 * 4) << 4u", ">> (at % 4 * 4) << 4u"),
        fault("embed", "first + 8)", "first + 7)"),
        fault("embed", "HIGHS + at / 4]", "HIGHS + at / 8]"),
        fault("embed", "id >= params.count", "id > params.count"),
        fault("embed", "row >= row_count(step)", "row > row_count(step)"),
        fault("embed", "- params.first", ""),
    ]
);
mutations!(
    gated_rms_norm,
    [cases::gated_rms_norm::cases, cases::gated_rms_norm::zeros],
    [
        fault("gated_rms_norm", "silu(unpack(x[gate + i]))", "sigmoid(unpack(x[gate + i]))"),
        fault("gated_rms_norm", "+ params.eps", ""),
        fault("gated_rms_norm", "head * QUADS;", "head;"),
        fault("gated_rms_norm", "unpack(weight[i])", "(1.0f + unpack(weight[i]))"),
    ]
);
mutations!(
    gdn_conv,
    [cases::gdn_conv::cases],
    [
        fault("gdn_conv", "-exp(a_dt[head])", "exp(a_dt[head])"),
        fault("gdn_conv", "+ a_dt[VALUE_HEADS + head]", "+ a_dt[head]"),
        fault("gdn_conv", "sigmoid(x[b])", "sigmoid(x[b + VALUE_HEADS])"),
        fault("gdn_conv", "(tile.end - tile.first) * VALUE_HEADS", "tile.end * VALUE_HEADS"),
        fault("gdn_conv", "threadgroup_barrier(mem_flags::mem_device);", ""),
        fault("gdn_conv", "taps[i].y, window[i].y", "taps[i].y, window[i].z"),
        fault("gdn_conv", "begin + r < tile.end", "begin + r <= tile.end"),
        fault("gdn_conv", "uint2(at, 3)", "uint2(at, 2)"),
    ]
);
mutations!(
    gdn_chunk_solve,
    [cases::gdn_chunk_solve::cases, cases::gdn_chunk_solve::like_the_rule],
    [
        no_barrier("gdn_chunk_solve", 0),
        no_barrier("gdn_chunk_solve", 1),
        no_barrier("gdn_chunk_solve", 2),
        no_barrier("gdn_chunk_solve", 3),
        no_barrier("gdn_chunk_solve", 4),
        no_barrier("gdn_chunk_solve", 5),
        fault("gdn_chunk_solve", "head / SHARING % KEY_HEADS", "head % KEY_HEADS"),
        fault("gdn_chunk_solve", "betas[row] * decay_of", "decay_of"),
        fault("gdn_chunk_solve", "float4(-known)", "float4(known)"),
        fault("gdn_chunk_solve", "ulong2(0, 0), true", "ulong2(0, 0), false"),
    ]
);
mutations!(
    gdn_chunk_state,
    [cases::gdn_chunk_state::like_the_scan, cases::gdn_chunk_state::beginnings],
    [
        no_barrier("gdn_chunk_state", 0),
        no_barrier("gdn_chunk_state", 1),
        fault("gdn_chunk_state", "simdgroup_barrier(mem_flags::mem_threadgroup);", ""),
        fault(
            "gdn_chunk_state",
            "simdgroup_multiply(fragments[i][j], factor, fragments[i][j])",
            "simdgroup_multiply(fragments[i][j], fragments[i][j], fragments[i][j])"
        ),
        fault("gdn_chunk_state", "row < chunk.rows", "row <= chunk.rows"),
    ]
);
mutations!(
    gdn_decode,
    [cases::gdn_decode::cases, cases::gdn_decode::beginnings],
    [
        no_barrier("gdn_decode", 0),
        no_barrier("gdn_decode", 1),
        no_barrier("gdn_decode", 2),
        fault("gdn_decode", "head / SHARING % KEY_HEADS", "head % KEY_HEADS"),
        fault("gdn_decode", "head < SHARING * KEY_HEADS", "head < KEY_HEADS"),
        fault("gdn_decode", "- decay * key_scale", "+ decay * key_scale"),
        fault("gdn_decode", "rows.position > 0 ?", "rows.position > 1 ?"),
        fault("gdn_decode", "simd_shuffle_down(y, 2)", "simd_shuffle_down(y, 1)"),
    ]
);
mutations!(
    gdn_scan,
    [cases::gdn_scan::cases],
    [
        no_barrier("gdn_scan", 0),
        no_barrier("gdn_scan", 1),
        fault("gdn_scan", "simd_shuffle_xor(value, distance)", "simd_shuffle_up(value, distance)"),
        fault("gdn_scan", "head / SHARING % KEY_HEADS", "head / SHARING"),
        fault("gdn_scan", "- decay * sums.x", "- sums.x"),
        fault("gdn_scan", "n < VALUE_WIDTH && member == 0", "member == 0"),
    ]
);
mutations!(
    matmul,
    [cases::matmul::cases, cases::matmul::tiles],
    [
        no_barrier("matmul", 0),
        no_barrier("matmul", 1),
        fault("matmul", "n < params.count", "n <= params.count"),
        fault("matmul", "float4(rows[r]), columns", "float4(columns[r]), rows"),
        fault("matmul", "row < active_rows &&", ""),
    ]
);
mutations!(
    matmul_mma,
    [cases::matmul_mma::cases, cases::matmul_mma::batch_invariance],
    [
        no_barrier("matmul_mma", 0),
        fault("matmul_mma", "simdgroup_barrier(mem_flags::mem_threadgroup);", ""),
        fault("matmul_mma", "ulong2(0, 0), true", "ulong2(0, 0), false"),
        fault(
            "matmul_mma",
            "simdgroup_multiply_accumulate(sums[i * COLUMNS + j], left[i], right[j]",
            "simdgroup_multiply_accumulate(sums[i * COLUMNS + j], right[j], left[i]"
        ),
        fault("matmul_mma", "slice % 2 * TILE_ROWS * PITCH", "0"),
        fault(
            "matmul_mma",
            "simdgroup_multiply_accumulate(sums[i * COLUMNS + j], left[i], right[j], sums[i * COLUMNS + j]);",
            "simdgroup_half8x8 narrow, one = make_diagonal_simdgroup_matrix<half, 8, 8>(1.0h);
            simdgroup_multiply_accumulate(narrow, left[i], right[j], sums[i * COLUMNS + j]);
            simdgroup_multiply(sums[i * COLUMNS + j], narrow, one);"
        ),
        fault("matmul_mma", "own_row = lane / SLICE_QUADS", "own_row = lane / SLICE_QUADS / 2 * 2"),
    ]
);
mutations!(
    matvec,
    [cases::matvec::cases, cases::matvec::filled],
    [
        fault("matvec", "simd_shuffle_xor(value, ushort(reach))", "simd_shuffle_down(value, ushort(reach))"),
        fault("matvec", "column + j < params.count", "column + j <= params.count"),
        fault("matvec", "fma(a.x, b.x, before)", "fma(a.x, b.y, before)"),
        fault("matvec", "word << 4u : word >> 12u", "word >> 12u : word << 4u"),
        fault("matvec", "at / 4 % 4 * 8", "at / 8 % 2 * 8"),
        fault("matvec", "at / ROW_QUADS * ROW_UNITS + at % ROW_QUADS / 64", "at / 64"),
        fault("matvec", "half_of(matrix + WORDS, at / 8)", "half_of(matrix + WORDS, at / 16)"),
    ]
);
mutations!(
    norm_matvec,
    [cases::norm_matvec::cases, cases::norm_matvec::filled, cases::norm_matvec::zeros],
    [
        fault("norm_matvec", "in_tail ? group.x - groups : group.x", "group.x"),
        fault("norm_matvec", "in_tail ? params.tail_count : params.count", "params.count"),
        fault("norm_matvec", "in_tail ? params.first + params.count : params.first", "params.first"),
        no_barrier("norm_matvec", 2),
        fault("norm_matvec", "/ float(K) + eps", "/ float(K)"),
        fault("norm_matvec", "weights[i][j] *= gain;", ""),
        fault("norm_matvec", "squares[r * SHARERS + lane / TEAM]", "squares[r]"),
        fault("norm_matvec", "row + r < active_rows", "row + r <= active_rows"),
    ]
);
mutations!(
    norm_swiglu,
    [cases::norm_swiglu::filled],
    [
        Fault {
            kernel: "norm_swiglu",
            text: "\n    threadgroup_barrier(mem_flags::mem_threadgroup);\n    // Neigh",
            replacement: "\n    // Neigh",
            nth: 0
        },
        fault("norm_swiglu", "params.up_row, group.x", "params.gate_row, group.x"),
        fault("norm_swiglu", "silu(scale", "sigmoid(scale"),
    ]
);
mutations!(
    qk_norm_rope,
    [
        cases::qk_norm_rope::cases,
        cases::qk_norm_rope::heads_of_8_bits,
        cases::qk_norm_rope::codes_are_exact,
        cases::qk_norm_rope::odd_values
    ],
    [
        no_barrier("qk_norm_rope", 0),
        no_barrier("qk_norm_rope", 1),
        fault("qk_norm_rope", "simd_max(largest)", "largest"),
        fault("qk_norm_rope", "lane % SIMD < HEADS_PARTS ?", "lane % SIMD == 0 ?"),
        fault("qk_norm_rope", "bits < 0x0d800000u || bits", "bits"),
        fault(
            "qk_norm_rope",
            "bits >= 0x7f800000u) {\n        return bits",
            "bits > 0x7f800000u) {\n        return bits"
        ),
        fault("qk_norm_rope", "+ 0x80u) & 0xffffff00u", "& 0xffffff00u)"),
        fault("qk_norm_rope", "+ 0x80u) & 0xffffff00u", ")"),
        fault("qk_norm_rope", "rint(quad", "round(quad"),
        fault("qk_norm_rope", "rint(quad", "trunc(quad"),
        fault("qk_norm_rope", "at % HEAD_QUADS == 0", "at == 0"),
        fault("qk_norm_rope", "<< (8 * i)", "<< (8 * (3 - i))"),
        fault("qk_norm_rope", "(is_key ? QUADS : 0)", "(is_key ? 0 : QUADS)"),
        fault("qk_norm_rope", "rope + position * HALF", "rope + row * HALF"),
        fault("qk_norm_rope", "position % PAGE;", "position / PAGE;"),
    ]
);
mutations!(
    rms_norm,
    [cases::rms_norm::cases, cases::rms_norm::zeros],
    [
        no_barrier("rms_norm", 0),
        fault("rms_norm", "+ params.eps", ""),
        fault("rms_norm", "(1.0f + unpack(weight[i]))", "unpack(weight[i])"),
        fault("rms_norm", "i < QUADS ?", "i <= QUADS ?"),
        fault("rms_norm", "parts[lane / SIMD] = sum", "parts[lane / SIMD] = half(sum)"),
    ]
);
mutations!(
    gather_rows,
    [cases::gather_rows::cases],
    [
        fault("gather_rows", "x[row * QUADS + i]", "x[output * QUADS + i]"),
        fault("gather_rows", "output >= row_count(step)", "output > row_count(step)"),
    ]
);
mutations!(
    silu_mul,
    [cases::silu_mul::cases],
    [
        fault("silu_mul", "2 * row * QUADS + i", "(2 * row + 1) * QUADS + i"),
        fault("silu_mul", "|| i >= QUADS", ""),
        fault("silu_mul", "row >= row_count(step)", "row > row_count(step)"),
    ]
);
mutations!(
    top_k,
    [cases::top_k::cases, cases::top_k::odd_values],
    [
        no_barrier("top_k", 0),
        no_barrier("top_k", 1),
        no_barrier("top_k", 2),
        no_barrier("top_k", 3),
        no_barrier("top_k", 4),
        fault("top_k", "sum >= wanted &&", "sum > wanted &&"),
        fault("top_k", "orders[i] >= threshold", "orders[i] > threshold"),
        fault("top_k", "simd_prefix_inclusive_sum(count)", "simd_prefix_exclusive_sum(count)"),
    ]
);

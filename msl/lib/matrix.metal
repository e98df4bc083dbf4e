// Fragments of 8 by 8 for matrix units, each held by a whole SIMD group. Sum += A · B, where A and
// B may be either: factors are stored as f16, unless they are sums themselves.

constant constexpr uint FRAGMENT = 8;
typedef simdgroup_half8x8 Operand;
typedef simdgroup_float8x8 Sum;

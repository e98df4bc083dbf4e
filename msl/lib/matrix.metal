// What matrix units multiply: squares of 8 by 8, each held by a whole SIMD group. Sum += Operand · Operand.

constant constexpr uint EDGE = 8;
typedef simdgroup_half8x8 Operand;
typedef simdgroup_float8x8 Sum;

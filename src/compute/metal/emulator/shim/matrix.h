// Matrices of four columns (MSL 3.1, section 2.3), and their transpose (section 6.10).
#pragma once
#include "vectors.h"

namespace metal {
struct float4x4 {
    float4 columns[4];

    float4x4() = default;
    float4x4(float4 a, float4 b, float4 c, float4 d) : columns{a, b, c, d} {}
    thread float4& operator[](int at) thread { return columns[at]; }
    const thread float4& operator[](int at) const thread { return columns[at]; }
};

inline float4x4 transpose(float4x4 m) {
    float4x4 turned;
    for (int row = 0; row < 4; row++)
        turned[row] = float4{m[0][row], m[1][row], m[2][row], m[3][row]};
    return turned;
}
}

// Quads of float bindings as in memory, and their conversion to and from float4.

// Four bf16 by their bits, since not every GPU knows the type.
struct Bf16x4 {
    ushort4 bits;
};

// A word of heads of signed bytes, whose scales begin at word WORDS; a head has HEAD_QUADS quads.
template <uint WORDS, uint HEAD_QUADS> struct HeadBytes {
    uint word;
};

// A word of a head with the head's scale.
struct ScaledBytes {
    uint word;
    float scale;
};

// A lane's loaded quad, not yet unpacked.
template <typename Q> struct Held {
    typedef Q type;
};

template <uint WORDS, uint HEAD_QUADS> struct Held<HeadBytes<WORDS, HEAD_QUADS>> {
    typedef ScaledBytes type;
};

template <typename Q> inline Q held(device const Q* tensor, uint at) {
    return tensor[at];
}

template <uint WORDS, uint HEAD_QUADS>
inline ScaledBytes held(device const HeadBytes<WORDS, HEAD_QUADS>* tensor, uint at) {
    return ScaledBytes{tensor[at].word, as_type<float>(tensor[WORDS + at / HEAD_QUADS].word)};
}

inline float4 unpack(float4 quad) {
    return quad;
}

inline float4 unpack(half4 quad) {
    return float4(quad);
}

inline float4 unpack(Bf16x4 quad) {
    return as_type<float4>(uint4(quad.bits) << 16u);
}

// Quad `at` of a tensor, counted through all rows.
template <typename Q> inline float4 quad_of(device const Q* tensor, uint at) {
    return unpack(tensor[at]);
}

template <typename Q> inline Q pack(float4 value);

template <> inline float4 pack<float4>(float4 value) {
    return value;
}

// f16 values saturate instead of becoming infinite. NaN bypasses the clamp. Bits detect NaN, because compilers may
// assume that there is none.
template <> inline half4 pack<half4>(float4 value) {
    bool4 nan = (as_type<uint4>(value) & 0x7fffffffu) > uint4(0x7f800000u);
    return half4(select(clamp(value, float4(-65504.0f), float4(65504.0f)), value, nan));
}

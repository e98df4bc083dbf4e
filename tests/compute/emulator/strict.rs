//! Texts that Apple's compiler rejects, so the emulator must also reject them.

use super::snippet::{snippet, whole};

fn refused(text: &str, why: &str) {
    let error = snippet("device const float* x [[buffer(1)]], constant float& c [[buffer(2)]],", text).refused(1, &[])
        [0]
    .clone();
    assert!(error.contains(why), "{text}: {error}");
}

#[test]
fn pointers_keep_to_their_space() {
    let text = |argument: &str| {
        whole(format!(
            "inline float first(threadgroup const float* x) {{ return x[0]; }}
            inline void clear(thread float& x) {{ x = 0.0f; }}
            kernel void snippet(device float* out [[buffer(0)]], uint lane [[thread_index_in_threadgroup]]) {{
                threadgroup float tile[4]; float own = 1; tile[lane % 4] = 2;
                threadgroup_barrier(mem_flags::mem_threadgroup);
                clear(own); out[lane] = {argument};
            }}"
        ))
    };
    assert_eq!(text("first(tile) + own").run(32, &[]), [2.0; 32]);
    for wrong in ["first(out)", "first(&own)", "(clear(tile[0]), 1.0f)", "(clear(out[0]), 1.0f)"] {
        let [error, _] = text(wrong).refused(32, &[]);
        assert!(error.contains("no matching function"), "{wrong}: {error}");
    }
}

#[test]
fn what_is_only_read_is_not_written() {
    refused("((device float*)out)[0] = 1; x[0] = 1;", "read-only");
    refused("c = 1;", "read-only");
}

#[test]
fn overloads_are_not_chosen_by_chance() {
    refused("out[0] = min(lane, 4);", "ambiguous");
    refused("float4 a = 1.0f; half4 b = a;", "");
    refused("half4 b = 1.0h; float4 a = b + float4(1.0f);", "");
}

#[test]
fn c_plus_plus_is_not_all_there() {
    refused("double d = 1;", "`double` is no word");
    refused("float4 v = (float4)x[0];", "T(x)");
    refused("float* p = 0;", "address space");
    refused("auto f = [&](uint i) { return i; }; out[f(0)] = 1;", "lambda");
}

#[test]
fn group_memory_belongs_to_the_kernel() {
    let text = "inline float f(uint lane) { threadgroup float t[4]; t[lane] = 1; return t[0]; }
        kernel void snippet(device float* out [[buffer(0)]], uint lane [[thread_index_in_threadgroup]]) { out[lane] = f(lane); }";
    assert!(whole(text).refused(1, &[])[0].contains("in the kernel function"));
    refused("threadgroup float t[1] = {1.0f}; out[0] = t[0];", "a value to begin with");
}

#[test]
fn what_is_not_known_is_refused() {
    let text =
        "kernel void snippet(device float* out [[buffer(0)]], uint lane [[thread_of_the_moon]]) { out[lane] = 1; }";
    assert!(whole(text).refused(1, &[])[0].contains("thread_of_the_moon"));
    assert!(whole("kernel void other() {}").refused(1, &[])[0].contains("no `kernel void snippet"));
    let text = "constant uint N [[function_constant(0)]];
        kernel void snippet(device float* out [[buffer(0)]]) { out[0] = N; }";
    assert!(whole(text).refused(1, &[])[0].contains("function_constant"));
}

// Quads for matrix units, of formats whose scales take many words. Quads become f16 at once: the words would not fit
// into registers.

alias Fetch_$NAME = array<vec4<f16>, 2>;

// Loads pair `at` of quads.
fn fetch_$NAME(at: u32) -> Fetch_$NAME {
    return Fetch_$NAME(vec4<f16>(quad_$NAME(2u * at)), vec4<f16>(quad_$NAME(2u * at + 1u)));
}

fn halves_$NAME(fetch: Fetch_$NAME) -> Fetch_$NAME {
    return fetch;
}

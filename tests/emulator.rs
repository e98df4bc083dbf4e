//! The emulator of Metal: each group of the shim's functions against numbers computed here, and what it must not let pass.
#![cfg(all(unix, feature = "emulator"))]
#![allow(missing_docs, clippy::unwrap_used)]

mod emulator {
    mod stand;

    mod atomics;
    mod faults;
    mod math;
    mod matrices;
    mod meetings;
    mod simd;
    mod strict;
    mod vectors;
}

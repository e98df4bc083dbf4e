//! The emulator of Metal: each group of the shim's functions against numbers computed here, and what it must not let pass.

mod atomics;
mod faults;
mod math;
mod matrices;
mod simd;
mod simd_sequences;
mod snippet;
mod strict;
mod vectors;

//! The Metal emulator: each group of functions against numbers computed here, and the faults that it must report.

mod atomics;
mod faults;
mod math;
mod matrices;
mod simd;
mod simd_sequences;
mod snippet;
mod strict;
mod vectors;

//! Random weights without a model, for measurements.

/// Number of random values before they repeat: large enough that rows differ.
const PERIOD: usize = 65_537;

/// Values scaled to keep activations near one. The same tensor name gives the same values.
pub(super) fn random(name: &str, rows: u32, width: u32) -> Vec<u8> {
    let spread = if rows == 1 { 0.25 } else { 1.7 / (width as f32).sqrt() };
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, |state: u64, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3) // FNV-1a
    });
    let period = (0..PERIOD).flat_map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407); // Knuth's MMIX
        let unit = (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        half::bf16::from_f32(unit * spread).to_le_bytes()
    });
    let period: Vec<u8> = period.collect();
    let bytes = 2 * rows as usize * width as usize;
    let mut data = period.repeat(bytes.div_ceil(period.len()));
    data.truncate(bytes);
    data
}

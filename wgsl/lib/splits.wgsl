// How attention splits a context into parts. Needs SPLITS, the maximum number of parts, and MIN_POSITIONS of a part.

// Positions of one part. The parts after the last position are empty.
fn split_share(context: u32) -> u32 {
    return max((context + SPLITS - 1u) / SPLITS, MIN_POSITIONS);
}

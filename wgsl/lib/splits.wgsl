// How the parts into which attention splits a context share it out. Needs SPLITS, and MIN_POSITIONS: positions that are worth one.

// Positions of one part: of as many parts as the context deserves, those that follow are empty.
fn split_share(context: u32) -> u32 {
    return max((context + SPLITS - 1u) / SPLITS, MIN_POSITIONS);
}

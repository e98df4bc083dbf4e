// How the parts into which attention splits a context share it out. Needs SPLITS, and MIN_POSITIONS: positions that are worth one.

// Positions of one part: of as many parts as the context deserves, those that follow are empty.
inline uint split_share(uint context) {
    return max((context + SPLITS - 1) / SPLITS, MIN_POSITIONS);
}

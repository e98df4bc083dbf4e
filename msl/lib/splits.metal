// How attention splits a context into parts. Needs SPLITS, the maximum number of parts, and MIN_POSITIONS of a part.

// Positions of one part. The parts after the last position are empty.
inline uint split_share(uint context) {
    return max((context + SPLITS - 1) / SPLITS, MIN_POSITIONS);
}

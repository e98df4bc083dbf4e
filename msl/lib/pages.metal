// Where a paged cache holds a token: `tables` has a row of block numbers for each slot. Needs BLOCK, MAX_BLOCKS.

// The row of the cache that holds a slot's position.
inline uint place(device const uint* tables, uint slot, uint position) {
    return tables[slot * MAX_BLOCKS + position / BLOCK] * BLOCK + position % BLOCK;
}

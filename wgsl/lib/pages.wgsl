// Where a paged cache holds a token. Needs the binding `tables` (a row of block numbers for each slot), BLOCK, MAX_BLOCKS.

// The row of the cache that holds a slot's position.
fn place(slot: u32, position: u32) -> u32 {
    return tables[slot * MAX_BLOCKS + position / BLOCK] * BLOCK + position % BLOCK;
}

// The place of a token in a paged cache: `tables` has a row of page numbers for each slot. Needs PAGE, MAX_PAGES.

// The row of the cache that holds a slot's position.
inline uint place(device const uint* tables, uint slot, uint position) {
    return tables[slot * MAX_PAGES + position / PAGE] * PAGE + position % PAGE;
}

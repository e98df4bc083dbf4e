// The place of a token in a paged cache. Needs the binding `tables` (a row of page numbers for each slot), PAGE,
// MAX_PAGES.

// The row of the cache that holds a slot's position.
fn place(slot: u32, position: u32) -> u32 {
    return tables[slot * MAX_PAGES + position / PAGE] * PAGE + position % PAGE;
}

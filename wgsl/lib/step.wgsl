// The words that change between steps, at the places that src/kernels/operands/step.rs states.
// Needs the binding `step`, MAX_ROWS, MAX_SEQUENCES, and ROW_COUNT: the word that counts the rows of
// the dispatch's tensors, STEP_ROW_COUNT or STEP_OUTPUT_COUNT.

// The rows of one sequence in a step: consecutive, as their positions are.
struct Span {
    row: u32,
    rows: u32,
    position: u32,
    slot: u32,
}

// Up to TILE rows of one sequence, counted from the start of its span. No rows past the last tile.
struct Tile {
    span: Span,
    first: u32,
    end: u32,
}

const TILE: u32 = 32u;
const STEP_ROW_COUNT: u32 = 0u;
const STEP_OUTPUT_COUNT: u32 = 1u;
const STEP_TILE_COUNT: u32 = 2u;
const STEP_SEQUENCE_COUNT: u32 = 3u;
const STEP_IDS: u32 = 4u;
const STEP_SEQUENCE_OF: u32 = STEP_IDS + MAX_ROWS;
const STEP_POSITION_OF: u32 = STEP_SEQUENCE_OF + MAX_ROWS;
const STEP_SPANS: u32 = STEP_POSITION_OF + MAX_ROWS;
const STEP_TILES: u32 = STEP_SPANS + 4u * MAX_SEQUENCES;
const STEP_OUTPUTS: u32 = STEP_TILES + 2u * (MAX_ROWS / TILE + MAX_SEQUENCES);

// The number of active rows; the dispatch may have workgroups for more.
fn row_count() -> u32 {
    return step[ROW_COUNT];
}

// The number of sequences of the step.
fn sequences() -> u32 {
    return step[STEP_SEQUENCE_COUNT];
}

// The token id of a row.
fn token_id(row: u32) -> u32 {
    return step[STEP_IDS + row];
}

// The position of a row's token in its sequence.
fn position_of(row: u32) -> u32 {
    return step[STEP_POSITION_OF + row];
}

// The rows of a sequence.
fn span(sequence: u32) -> Span {
    let at = STEP_SPANS + 4u * sequence;
    return Span(step[at], step[at + 1u], step[at + 2u], step[at + 3u]);
}

// The rows of the sequence that a row belongs to.
fn span_of(row: u32) -> Span {
    return span(step[STEP_SEQUENCE_OF + row]);
}

// A tile of one sequence.
fn tile_at(index: u32) -> Tile {
    if index >= step[STEP_TILE_COUNT] {
        return Tile(Span(0u, 0u, 0u, 0u), 0u, 0u);
    }
    let rows = span(step[STEP_TILES + 2u * index]);
    let first = step[STEP_TILES + 2u * index + 1u];
    return Tile(rows, first, min(first + TILE, rows.rows));
}

// The row of an output.
fn output_row(output: u32) -> u32 {
    return step[STEP_OUTPUTS + output];
}

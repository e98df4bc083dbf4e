// The words that change between steps, at the places that src/kernels/operands/step.rs states.
// Needs MAX_ROWS, MAX_SEQUENCES, and ROW_COUNT: the word that counts the rows of
// the dispatch's tensors, STEP_ROW_COUNT or STEP_OUTPUT_COUNT.

// The rows of one sequence in a step: consecutive, as their positions are.
struct Span {
    uint row;
    uint rows;
    uint position;
    uint slot;
};

// Up to TILE rows of one sequence, counted from the start of its span. No rows past the last tile.
struct Tile {
    Span span;
    uint first;
    uint end;
};

constant constexpr uint TILE = 32;
constant constexpr uint STEP_ROW_COUNT = 0;
constant constexpr uint STEP_OUTPUT_COUNT = 1;
constant constexpr uint STEP_TILE_COUNT = 2;
constant constexpr uint STEP_SEQUENCE_COUNT = 3;
constant constexpr uint STEP_IDS = 4;
constant constexpr uint STEP_SEQUENCE_OF = STEP_IDS + MAX_ROWS;
constant constexpr uint STEP_POSITION_OF = STEP_SEQUENCE_OF + MAX_ROWS;
constant constexpr uint STEP_SPANS = STEP_POSITION_OF + MAX_ROWS;
constant constexpr uint STEP_TILES = STEP_SPANS + 4 * MAX_SEQUENCES;
constant constexpr uint STEP_OUTPUTS = STEP_TILES + 2 * (MAX_ROWS / TILE + MAX_SEQUENCES);

// The number of active rows; the dispatch may have workgroups for more.
inline uint row_count(device const uint* step) {
    return step[ROW_COUNT];
}

// The number of sequences of the step.
inline uint sequences(device const uint* step) {
    return step[STEP_SEQUENCE_COUNT];
}

// The token id of a row.
inline uint token_id(device const uint* step, uint row) {
    return step[STEP_IDS + row];
}

// The position of a row's token in its sequence.
inline uint position_of(device const uint* step, uint row) {
    return step[STEP_POSITION_OF + row];
}

// The rows of a sequence.
inline Span span(device const uint* step, uint sequence) {
    device const uint* own = step + STEP_SPANS + 4 * sequence;
    return Span{own[0], own[1], own[2], own[3]};
}

// The rows of the sequence that a row belongs to.
inline Span span_of(device const uint* step, uint row) {
    return span(step, step[STEP_SEQUENCE_OF + row]);
}

// A tile of one sequence.
inline Tile tile_at(device const uint* step, uint index) {
    if (index >= step[STEP_TILE_COUNT]) {
        return Tile{Span{0, 0, 0, 0}, 0, 0};
    }
    const Span rows = span(step, step[STEP_TILES + 2 * index]);
    const uint first = step[STEP_TILES + 2 * index + 1];
    return Tile{rows, first, min(first + TILE, rows.rows)};
}

// The row of an output.
inline uint output_row(device const uint* step, uint output) {
    return step[STEP_OUTPUTS + output];
}

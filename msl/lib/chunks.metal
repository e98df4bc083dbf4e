// A chunk has the rows of a sequence between two multiples of CHUNK. So it is the same wherever a prompt is cut. Chunks
// are numbered across all sequences of a step. Needs the part `step`.

struct Chunk {
    uint row;
    uint rows;
};

constant constexpr uint CHUNK = 64;
constant constexpr uint CHUNK_QUADS = CHUNK / 4;

inline uint chunks_of(Span rows) {
    return (rows.position % CHUNK + rows.rows + CHUNK - 1) / CHUNK;
}

// The chunk that is `index` chunks after a sequence's first one.
inline Chunk chunk_of(Span rows, uint index) {
    const uint before = rows.position % CHUNK;
    const uint start = index * CHUNK - min(before, index * CHUNK);
    const uint end = min((index + 1) * CHUNK - before, rows.rows);
    return Chunk{rows.row + start, end - start};
}

// The number of chunks of all sequences before this one.
inline uint chunks_before(device const uint* step, uint sequence) {
    uint chunks = 0;
    for (uint i = 0; i < sequence; i++) {
        chunks += chunks_of(span(step, i));
    }
    return chunks;
}

// A chunk by its number. Past the last chunk it has no rows.
inline Chunk chunk_at(device const uint* step, uint index) {
    for (uint i = 0; i < sequences(step); i++) {
        const Span rows = span(step, i);
        const uint count = chunks_of(rows);
        if (index < count) {
            return chunk_of(rows, index);
        }
        index -= count;
    }
    return Chunk{0, 0};
}

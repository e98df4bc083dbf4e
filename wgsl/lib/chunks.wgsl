// Chunks: the rows of a sequence whose positions lie between two multiples of CHUNK, so that a chunk is the same wherever a
// prompt is cut. They are numbered through all sequences of a step. Needs the part `step`.

struct Chunk {
    row: u32,
    rows: u32,
}

const CHUNK: u32 = 64u;
const CHUNK_QUADS: u32 = CHUNK / 4u;

fn chunks_of(rows: Span) -> u32 {
    return (rows.position % CHUNK + rows.rows + CHUNK - 1u) / CHUNK;
}

// The chunk that is `index` chunks after a sequence's first one.
fn chunk_of(rows: Span, index: u32) -> Chunk {
    let start = index * CHUNK - min(rows.position % CHUNK, index * CHUNK);
    let end = min((index + 1u) * CHUNK - rows.position % CHUNK, rows.rows);
    return Chunk(rows.row + start, end - start);
}

// How many chunks the sequences before one have.
fn chunks_before(sequence: u32) -> u32 {
    var chunks = 0u;
    for (var i = 0u; i < sequence; i++) {
        chunks += chunks_of(span(i));
    }
    return chunks;
}

// A chunk by its number; past the last one it has no rows.
fn chunk_at(index: u32) -> Chunk {
    var left = index;
    for (var i = 0u; i < sequences(); i++) {
        let rows = span(i);
        let count = chunks_of(rows);
        if left < count {
            return chunk_of(rows, left);
        }
        left -= count;
    }
    return Chunk(0u, 0u);
}

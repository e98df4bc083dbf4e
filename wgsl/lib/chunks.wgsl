// A chunk has the rows of a sequence between two multiples of CHUNK. So it is the same wherever a prompt is cut. Chunks
// are numbered across all sequences of a step. Needs the part `step`.

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

// The number of chunks of all sequences before this one.
fn chunks_before(sequence: u32) -> u32 {
    var chunks = 0u;
    for (var i = 0u; i < sequence; i++) {
        chunks += chunks_of(span(i));
    }
    return chunks;
}

// A chunk by its number. Past the last chunk it has no rows.
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

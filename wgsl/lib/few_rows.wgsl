// How kernels for few rows read their rows, for `dots` and `packed`.
// Needs the bindings `x` and, where HAS_NORM is 1, `norm`, and the number `rows` of params.

// The first row of the group and the first column of the lane's team.
var<private> first_row: u32;
var<private> first_column: u32;

// Row r of the workgroup. Past the last row it repeats the last one, whose result is not stored.
fn row_of(r: u32) -> u32 {
    return min(first_row + r, params.rows - 1u);
}

#if ROWS_ARE == PACKED_BEFORE
fn block_of_row(r: u32, at: u32) -> Row_block {
    return block_x(row_of(r), at);
}
#else
fn input(r: u32, at: u32) -> Piece {
    return load_x(row_of(r) * PIECES + at);
}
#end
#if HAS_NORM

// Piece `at` of 1 + norm.
fn gain(at: u32) -> Piece {
    var piece = load_norm(at);
    #repeat q WIDE
    piece[$q] += vec4(1.0);
    #end
    return piece;
}
#end

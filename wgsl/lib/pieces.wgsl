// Operations on pieces: WIDE neighboring quads.

// before + Σ a · b, in order of the elements.
fn dot_piece(a: Piece, b: Piece, before: f32) -> f32 {
    var sum = before;
    #repeat q WIDE
    sum = fma(a[$q].x, b[$q].x, sum);
    sum = fma(a[$q].y, b[$q].y, sum);
    sum = fma(a[$q].z, b[$q].z, sum);
    sum = fma(a[$q].w, b[$q].w, sum);
    #end
    return sum;
}

// a · b, element by element.
fn scaled(a: Piece, b: Piece) -> Piece {
    var product = a;
    #repeat q WIDE
    product[$q] *= b[$q];
    #end
    return product;
}

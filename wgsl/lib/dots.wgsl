// Products of ROWS rows with the SHARE columns of a team: TEAM lanes stride over K, a piece of WIDE quads at a time.
// Needs VALUES, NORM (whether rows are normed: then Σ x² of each row follows the products), and what the kernel knows of
// its bindings: `input(r, at)` and `weight(j, at)`, piece `at` of row r and of column j; `gain(at)`, piece `at` of 1 + norm.

const PIECES: u32 = K / (4u * WIDE);
const ROUNDS: u32 = (PIECES + TEAM - 1u) / TEAM;
// Pieces of each column that a lane asks for before it uses the first of them.
const AHEAD: u32 = min(ROUNDS, max(8u / SHARE, 1u));
// Whether lanes run past the last piece.
const RAGGED: bool = PIECES % (AHEAD * TEAM) != 0u;

// This lane's part of each sum: [row · SHARE + column], and [ROWS · SHARE + row] for the squares. The order of a row's
// sums does not depend on ROWS and SHARE.
fn dots(sums: ptr<function, array<f32, VALUES>>, member: u32) {
    for (var round = 0u; round < ROUNDS; round += AHEAD) {
        var weights: array<Piece, AHEAD * SHARE>;
        for (var i = 0u; i < AHEAD; i++) {
            for (var j = 0u; j < SHARE; j++) {
                weights[i * SHARE + j] = weight(j, min((round + i) * TEAM + member, PIECES - 1u));
            }
        }
        for (var i = 0u; i < AHEAD; i++) {
            let at = (round + i) * TEAM + member;
            let source = min(at, PIECES - 1u);
            var gains: Piece;
            if NORM {
                gains = gain(source);
            }
            for (var r = 0u; r < ROWS; r++) {
                var x = input(r, source);
                if RAGGED && at >= PIECES {
                    x = Piece();
                }
                if NORM {
                    (*sums)[ROWS * SHARE + r] = dot_piece(x, x, (*sums)[ROWS * SHARE + r]);
                    for (var q = 0u; q < WIDE; q++) {
                        x[q] *= gains[q];
                    }
                }
                for (var j = 0u; j < SHARE; j++) {
                    (*sums)[r * SHARE + j] = dot_piece(x, weights[i * SHARE + j], (*sums)[r * SHARE + j]);
                }
            }
        }
    }
}

fn dot_piece(a: Piece, b: Piece, before: f32) -> f32 {
    var left = a;
    var right = b;
    var sum = before;
    for (var q = 0u; q < WIDE; q++) {
        sum = fma(left[q].x, right[q].x, sum);
        sum = fma(left[q].y, right[q].y, sum);
        sum = fma(left[q].z, right[q].z, sum);
        sum = fma(left[q].w, right[q].w, sum);
    }
    return sum;
}

// Products of ROWS rows with the SHARE columns of a team: TEAM lanes stride over K, a piece of WIDE quads at a time,
// and load AHEAD pieces of each column before they use the first.
// Needs VALUES, and the kernel's `input(r, at)` and `weight(matrix, j, at)`: piece `at` of row r, and of column j of a
// matrix. Where HAS_NORM is 1, weights are scaled by `gain(at)`, piece `at` of 1 + norm, and Σ x² of the rows follows
// the products. SHARERS teams share this sum: each team sums every SHARERS-th row.

const PIECES: u32 = K / (4u * WIDE);
// Lanes that stride together: SPREAD teams. Several teams' sums are added later.
const STRIDERS: u32 = TEAM * SPREAD;
const ROUNDS: u32 = (PIECES + STRIDERS - 1u) / STRIDERS;
// Whether lanes run past the last piece.
const RAGGED: bool = PIECES % (AHEAD * STRIDERS) != 0u;

#if FLOAT_PRODUCTS
// This lane's part of each sum: [row · SHARE + column], and [ROWS · SHARE + row / SHARERS] for the squares. The order of a
// row's sums does not depend on ROWS, SHARE, AHEAD and SHARERS.
fn dots(sums: ptr<function, array<f32, VALUES>>, lane: u32, matrix: u32) {
    let member = lane % STRIDERS;
    let sharer = lane / TEAM % SHARERS;
    for (var round = 0u; round < ROUNDS; round += AHEAD) {
        #repeat i AHEAD
        let at_$i = (round + $iu) * STRIDERS + member;
        let source_$i = min(at_$i, PIECES - 1u);
        #repeat j SHARE
        var w_$i_$j = weight(matrix, $ju, source_$i);
        #end
        #end
        #repeat i AHEAD
        #if HAS_NORM
        let gain_$i = gain(source_$i);
        #repeat j SHARE
        w_$i_$j = scaled(w_$i_$j, gain_$i);
        #end
        #end
        #repeat r ROWS
        var x_$i_$r = input($ru, source_$i);
        if RAGGED && at_$i >= PIECES {
            x_$i_$r = Piece();
        }
        #if HAS_NORM
        if $ru % SHARERS == sharer {
            (*sums)[ROWS * SHARE + $ru / SHARERS] = dot_piece(x_$i_$r, x_$i_$r, (*sums)[ROWS * SHARE + $ru / SHARERS]);
        }
        #end
        #repeat j SHARE
        (*sums)[$ru * SHARE + $ju] = dot_piece(x_$i_$r, w_$i_$j, (*sums)[$ru * SHARE + $ju]);
        #end
        #end
        #end
    }
}
#end

#if ROWS_ARE == FLOATS
// The products of the first matrix. `packed` replaces this function on devices that multiply bytes. All lanes of the
// workgroup must call it.
fn products(sums: ptr<function, array<f32, VALUES>>, lane: u32) {
    dots(sums, lane, 0u);
}
#end

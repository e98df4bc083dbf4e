// Scales of normalized rows: 1 / sqrt(mean(x²) + eps), from the sums of `dots` and `team_sums`. Needs both.

var<workgroup> row_squares: array<f32, ROWS>;

// The scale of each row. All lanes of the workgroup must call it.
fn scales(values: ptr<function, array<f32, VALUES>>, lane: u32, eps: f32) -> array<f32, ROWS> {
    var scale: array<f32, ROWS>;
    if SHARERS > 1u {
        if lane % TEAM == 0u && lane / TEAM < SHARERS {
            for (var r = 0u; r < ROWS / SHARERS; r++) {
                row_squares[r * SHARERS + lane / TEAM] = (*values)[ROWS * SHARE + r];
            }
        }
        workgroupBarrier();
        for (var r = 0u; r < ROWS; r++) {
            scale[r] = inverseSqrt(row_squares[r] / f32(K) + eps);
        }
    } else {
        for (var r = 0u; r < ROWS; r++) {
            scale[r] = inverseSqrt((*values)[ROWS * SHARE + r] / f32(K) + eps);
        }
    }
    return scale;
}

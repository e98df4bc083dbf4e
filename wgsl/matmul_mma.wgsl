// y[r, first + n] (+)= Σ_k x[r, k] · w[n, k], for many rows, on matrix units; a sum runs through k in order, FRAGMENT at a time
// x [T, K], f16, w [count, K], f16 or what becomes it, y [T, stride]
// one group for TILE_ROWS × TILE_COLUMNS of y, ROWS × COLUMNS fragments of it to each of its ROW_SUBGROUPS × COLUMN_SUBGROUPS subgroups
@group(0) @binding(0) var<storage, read> step: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<Quad_x>;
@group(0) @binding(2) var<storage, read> w: array<Quad_w>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

struct Params {
    first: u32,
    count: u32,
    stride: u32,
}
@group(0) @binding(4) var<uniform> params: Params;

const SUBGROUPS: u32 = ROW_SUBGROUPS * COLUMN_SUBGROUPS;
const WIDTH: u32 = LANES / SUBGROUPS;
const QUADS: u32 = K / 4u;
const SLICE_QUADS: u32 = STEPS * FRAGMENT / 4u;
const SLICES: u32 = (QUADS + SLICE_QUADS - 1u) / SLICE_QUADS;
// Two quads more than a slice, which puts neighboring rows into different banks.
const PITCH: u32 = SLICE_QUADS + 2u;
// Row distance between two quads that a lane fetches. Of w it fetches W_WIDE neighboring quads at once.
const STRIDE: u32 = LANES / SLICE_QUADS;
const W_STRIDE: u32 = LANES * W_WIDE / SLICE_QUADS;

const_assert ROW_SUBGROUPS * ROWS * FRAGMENT == TILE_ROWS && COLUMN_SUBGROUPS * COLUMNS * FRAGMENT == TILE_COLUMNS;
const_assert X_FETCHES * STRIDE == TILE_ROWS && W_FETCHES * W_STRIDE == TILE_COLUMNS;

var<workgroup> x_slice: array<vec4<f16>, TILE_ROWS * PITCH>;
var<workgroup> w_slice: array<vec4<f16>, TILE_COLUMNS * PITCH>;
// One fragment of each subgroup whose rows or columns may not all exist.
var<workgroup> fragments: array<f32, SUBGROUPS * FRAGMENT * FRAGMENT>;

// A quad of x, and the words of a quad of w. Past K there are zeros.
fn quad_of_x(row: u32, quad: u32) -> vec4<f16> {
    if QUADS % SLICE_QUADS == 0u || quad < QUADS {
        return x[row * QUADS + quad];
    }
    return vec4<f16>();
}

fn fetch_of_w(row: u32, quad: u32) -> Fetch_w {
    if QUADS % SLICE_QUADS == 0u || quad < QUADS {
        return fetch_w((row * QUADS + quad) / W_WIDE);
    }
    return Fetch_w();
}

@compute @workgroup_size(LANES)
fn matmul_mma(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) member: u32,
) {
    let first_row = group.y * TILE_ROWS;
    let first_column = group.x * TILE_COLUMNS;
    let active_rows = row_count();
    if first_row >= active_rows {
        return;
    }
    let subgroup_row = subgroup / COLUMN_SUBGROUPS * ROWS * FRAGMENT;
    let subgroup_column = subgroup % COLUMN_SUBGROUPS * COLUMNS * FRAGMENT;
    let own_row = lane / SLICE_QUADS;
    let own_quad = lane % SLICE_QUADS;
    let w_own_row = lane / (SLICE_QUADS / W_WIDE);
    let w_own_quad = lane % (SLICE_QUADS / W_WIDE) * W_WIDE;
    // The quads of this lane. Past the last row or column the last one repeats.
    #repeat i X_FETCHES
    let x_row_$i = min(first_row + own_row + $iu * STRIDE, active_rows - 1u);
    var x_next_$i = quad_of_x(x_row_$i, own_quad);
    #end
    #repeat i W_FETCHES
    let w_row_$i = min(first_column + w_own_row + $iu * W_STRIDE, params.count - 1u);
    var w_next_$i = fetch_of_w(w_row_$i, w_own_quad);
    #end
    #repeat i ROWS
    #repeat j COLUMNS
    var sum_$i_$j = Sum();
    #end
    #end
    for (var slice = 0u; slice < SLICES; slice++) {
        workgroupBarrier();
        #repeat i X_FETCHES
        x_slice[(own_row + $iu * STRIDE) * PITCH + own_quad] = x_next_$i;
        #end
        #repeat i W_FETCHES
        let w_quads_$i = halves_w(w_next_$i);
        #repeat q W_WIDE
        w_slice[(w_own_row + $iu * W_STRIDE) * PITCH + w_own_quad + $qu] = w_quads_$i[$q];
        #end
        #end
        workgroupBarrier();
        // The next slice loads while this one is multiplied.
        let next = min(slice + 1u, SLICES - 1u) * SLICE_QUADS;
        #repeat i X_FETCHES
        x_next_$i = quad_of_x(x_row_$i, next + own_quad);
        #end
        #repeat i W_FETCHES
        w_next_$i = fetch_of_w(w_row_$i, next + w_own_quad);
        #end
        #repeat k STEPS
        #repeat i ROWS
        let x_at_$k_$i = (subgroup_row + $iu * FRAGMENT) * PITCH + $ku * FRAGMENT / 4u;
        let left_$k_$i = coopLoadT<Left>(&x_slice[x_at_$k_$i], PITCH);
        #end
        #repeat j COLUMNS
        let w_at_$k_$j = (subgroup_column + $ju * FRAGMENT) * PITCH + $ku * FRAGMENT / 4u;
        let right_$k_$j = coopLoad<Right>(&w_slice[w_at_$k_$j], PITCH);
        #repeat i ROWS
        sum_$i_$j = coopMultiplyAdd(left_$k_$i, right_$k_$j, sum_$i_$j);
        #end
        #end
        #end
    }
    // Whether every row and column of the workgroup's tile exists. This is uniform.
    let whole = first_row + TILE_ROWS <= active_rows && first_column + TILE_COLUMNS <= params.count;
    let stride = params.stride;
    let own_fragment = subgroup * FRAGMENT * FRAGMENT;
    let pitch = FRAGMENT;
    #repeat i ROWS
    #repeat j COLUMNS
    {
        let sum = sum_$i_$j;
        let row = first_row + subgroup_row + $iu * FRAGMENT;
        let column = first_column + subgroup_column + $ju * FRAGMENT;
        if whole && ADD == 0u {
            let to = row * stride + params.first + column;
            coopStoreT(sum, &y[to], stride);
        } else {
            coopStoreT(sum, &fragments[own_fragment], pitch);
            workgroupBarrier();
            for (var e = member; e < FRAGMENT * FRAGMENT; e += WIDTH) {
                if row + e / FRAGMENT < active_rows && column + e % FRAGMENT < params.count {
                    let to = (row + e / FRAGMENT) * stride + params.first + column + e % FRAGMENT;
                    y[to] = select(0.0, y[to], ADD == 1u) + fragments[own_fragment + e];
                }
            }
            workgroupBarrier();
        }
    }
    #end
    #end
}

// The inverse of a lower triangular matrix of CHUNK rows with ones on its diagonal, in workgroup memory and in place.
// Substitution inverts diagonal blocks, then products join pairs: [A 0; B C]⁻¹ = [A⁻¹ 0; −C⁻¹ B A⁻¹ C⁻¹]. Needs
// `chunks`.

const BLOCK_ROWS: u32 = 16u;
const TRIANGLE_PITCH: u32 = CHUNK_QUADS + 1u;

var<workgroup> triangle: array<vec4<f32>, CHUNK * TRIANGLE_PITCH>;

// Row `row` of the inverse of its block on the diagonal. Substitution goes from right to left: known elements are
// subtracted.
fn substitute(row: u32) -> array<vec4<f32>, 4> {
    let first = row / BLOCK_ROWS * BLOCK_ROWS;
    var x: array<vec4<f32>, 4>;
    #repeat q 4
    x[$q] = select(vec4(0.0), vec4(1.0), vec4(row % BLOCK_ROWS) == vec4(4u * $qu) + vec4(0u, 1u, 2u, 3u));
    #end
    #repeat q 4
    #repeat c 4
    {
        let at = (first + 15u - 4u * $qu - $cu) * TRIANGLE_PITCH + first / 4u;
        let known = x[3 - $q][3 - $c];
        #repeat p 4
        x[$p] = fma(triangle[at + $pu], vec4(-known), x[$p]);
        #end
    }
    #end
    #end
    return x;
}

// Σ of rows of `triangle` from row `first` on, in one column of quads, by the quads `start`..`end` of a row.
fn combine(row: u32, first: u32, column: u32, start: u32, end: u32) -> vec4<f32> {
    var sum = vec4(0.0);
    for (var k = start; k < end; k++) {
        let left = triangle[row + k];
        let at = (first + 4u * k) * TRIANGLE_PITCH + column;
        sum = fma(vec4(left.x), triangle[at], sum);
        sum = fma(vec4(left.y), triangle[at + TRIANGLE_PITCH], sum);
        sum = fma(vec4(left.z), triangle[at + 2u * TRIANGLE_PITCH], sum);
        sum = fma(vec4(left.w), triangle[at + 3u * TRIANGLE_PITCH], sum);
    }
    return sum;
}

// Inverts `triangle`, whose elements are strictly below the diagonal; the rest is zero before. Elements above the
// diagonal are undefined after. All lanes of the workgroup must call it.
fn invert(lane: u32) {
    var x: array<vec4<f32>, 4>;
    if lane < CHUNK {
        x = substitute(lane);
    }
    workgroupBarrier();
    if lane < CHUNK {
        #repeat q 4
        triangle[lane * TRIANGLE_PITCH + lane / BLOCK_ROWS * (BLOCK_ROWS / 4u) + $qu] = x[$q];
        #end
    }
    workgroupBarrier();
    for (var size = BLOCK_ROWS; size < CHUNK; size *= 2u) {
        let quads = size / 4u;
        // B·A⁻¹ takes the place where the inverse is zero: above the diagonal, to the right of A⁻¹.
        for (var i = lane; i < CHUNK / 2u * quads; i += LANES) {
            let first = i / (size * quads) * 2u * size;
            let row = i / quads % size;
            let column = i % quads;
            triangle[(first + row) * TRIANGLE_PITCH + first / 4u + quads + column] =
                combine((first + size + row) * TRIANGLE_PITCH + first / 4u, first, first / 4u + column, column, quads);
        }
        workgroupBarrier();
        for (var i = lane; i < CHUNK / 2u * quads; i += LANES) {
            let first = i / (size * quads) * 2u * size;
            let row = i / quads % size;
            let column = i % quads;
            triangle[(first + size + row) * TRIANGLE_PITCH + first / 4u + column] =
                -combine((first + size + row) * TRIANGLE_PITCH + first / 4u + quads, first, first / 4u + quads + column, 0u, row / 4u + 1u);
        }
        workgroupBarrier();
    }
}

// Blocks of SIDE × SIDE elements, which are 2 × 2 fragments, and their operations in `attend_mma`.
// Needs `matrix`; the workgroup arrays `staged` and `weights` of operands, with PITCH and WEIGHT_PITCH quads to a row;
// `sums`, with SUM_PITCH quads to a row, which passes blocks to lanes; and a row's `factors`.

struct Lefts { upper: Left, lower: Left }
struct Rights { first: Right, second: Right }
// SIDE by SIDE elements: the fragments of the upper rows, and of the lower.
struct Block { upper_left: Sum, upper_right: Sum, lower_left: Sum, lower_right: Sum }

fn queries_at(at: u32) -> Lefts {
    let below = at + FRAGMENT * PITCH;
    return Lefts(coopLoadT<Left>(&staged[at], PITCH), coopLoadT<Left>(&staged[below], PITCH));
}

fn weights_at(at: u32) -> Lefts {
    let below = at + FRAGMENT * WEIGHT_PITCH;
    return Lefts(coopLoadT<Left>(&weights[at], WEIGHT_PITCH), coopLoadT<Left>(&weights[below], WEIGHT_PITCH));
}

fn keys_at(at: u32) -> Rights {
    let below = at + FRAGMENT * PITCH;
    return Rights(coopLoad<Right>(&staged[at], PITCH), coopLoad<Right>(&staged[below], PITCH));
}

fn values_at(at: u32) -> Rights {
    let beside = at + FRAGMENT / 4u;
    return Rights(coopLoadT<Right>(&staged[at], PITCH), coopLoadT<Right>(&staged[beside], PITCH));
}

fn multiply(rows: Lefts, columns: Rights, block: Block) -> Block {
    let upper_left = coopMultiplyAdd(rows.upper, columns.first, block.upper_left);
    let upper_right = coopMultiplyAdd(rows.upper, columns.second, block.upper_right);
    let lower_left = coopMultiplyAdd(rows.lower, columns.first, block.lower_left);
    let lower_right = coopMultiplyAdd(rows.lower, columns.second, block.lower_right);
    return Block(upper_left, upper_right, lower_left, lower_right);
}

fn save(block: Block, at: u32) {
    let pitch = SUM_PITCH;
    let beside = at + FRAGMENT / 4u;
    let below = at + FRAGMENT * SUM_PITCH;
    let opposite = below + FRAGMENT / 4u;
    let upper_left = block.upper_left;
    let upper_right = block.upper_right;
    let lower_left = block.lower_left;
    let lower_right = block.lower_right;
    coopStoreT(upper_left, &sums[at], pitch);
    coopStoreT(upper_right, &sums[beside], pitch);
    coopStoreT(lower_left, &sums[below], pitch);
    coopStoreT(lower_right, &sums[opposite], pitch);
}

// A block times each row's factor.
fn rescaled(block: Block, at: u32, member: u32) -> Block {
    save(block, at);
    workgroupBarrier();
    for (var i = member; i < SIDE * SIDE_QUADS; i += WIDTH) {
        sums[at + i / SIDE_QUADS * SUM_PITCH + i % SIDE_QUADS] *= factors[i / SIDE_QUADS];
    }
    workgroupBarrier();
    let beside = at + FRAGMENT / 4u;
    let below = at + FRAGMENT * SUM_PITCH;
    let opposite = below + FRAGMENT / 4u;
    let upper_left = coopLoadT<Sum>(&sums[at], SUM_PITCH);
    let upper_right = coopLoadT<Sum>(&sums[beside], SUM_PITCH);
    let lower_left = coopLoadT<Sum>(&sums[below], SUM_PITCH);
    let lower_right = coopLoadT<Sum>(&sums[opposite], SUM_PITCH);
    return Block(upper_left, upper_right, lower_left, lower_right);
}

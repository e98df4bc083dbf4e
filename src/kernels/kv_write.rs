//! keys\[place(r)\] = k\[r\], values\[place(r)\] = v\[r\], with place(r) = table\[position / BLOCK\] · BLOCK + position mod BLOCK

use crate::{
    cache::Blocks,
    cost::{Bytes, Cost, Load},
    cpu::Group,
    kernels::qk_norm_rope::Heads,
    pass::{Binding, Dispatch, Element, Kernel, Pass},
    step::{self, Step, View},
    tensor::Tensor,
};

/// One group a row.
pub static KERNEL: Kernel = Kernel {
    name: "kv_write",
    bindings: &[
        step::BINDING,
        Binding::read("tables", Element::U32),
        Binding::read("k", Element::Float),
        Binding::read("x", Element::Float),
        Binding::update("keys", Element::Float),
        Binding::update("values", Element::Float),
    ],
    params: &[],
    library: &["step", "pages"],
    lanes: 64,
    source: source!("kv_write"),
    cpu,
    cost,
};

/// Puts a step's keys and values into the cache. k \[T, Hkv·D\] f32, x \[T, projected\] f32 (values come last).
pub fn kv_write(p: &Pass, step: &Step, (k, x): (&Tensor, &Tensor), heads: Heads, cache: &mut Blocks) {
    assert_eq!([k.width(), x.width()], [heads.kv * heads.width, heads.projected()], "kv_write: k, x");
    p.dispatch(&KERNEL)
        .define("KV_WIDTH", k.width())
        .define("STRIDE", x.width())
        .define("BLOCK", cache.block)
        .define("MAX_BLOCKS", step.tables().width())
        .step(step)
        .read(step.tables())
        .read(k)
        .read(x)
        .write(&mut cache.keys)
        .write(&mut cache.values)
        .grid([k.rows(), 1, 1]);
}

/// A row of keys and one of values are read and kept, for each token.
fn cost(d: &Dispatch, load: &Load) -> Cost {
    let elements = load.rows(d) * d.size("KV_WIDTH");
    Cost {
        activations: Bytes { read: d.bytes("k", elements) + d.bytes("x", elements), written: 0 },
        cache: Bytes { read: 0, written: d.bytes("keys", elements) + d.bytes("values", elements) },
        ..Cost::default()
    }
}

fn cpu(g: &Group<'_>) {
    let (step, row, width, stride) = (View::of(g), g.at(0), g.define("KV_WIDTH"), g.define("STRIDE"));
    if row >= step.live() {
        return;
    }
    let place = Pages::of(g, step.span_of(row).slot).place(step.position(row));
    let values = (row + 1) * stride - width;
    g.store(4, place * width, &g.floats(2, row * width..(row + 1) * width).to_vec());
    g.store(5, place * width, &g.floats(3, values..values + width).to_vec());
}

/// Where a slot's tokens are in the cache; for kernels whose binding 1 is the block tables.
pub(super) struct Pages<'a> {
    blocks: &'a [u32],
    block: usize,
}

impl<'a> Pages<'a> {
    pub(super) fn of(g: &Group<'a>, slot: u32) -> Self {
        let (slot, most) = (slot as usize, g.define("MAX_BLOCKS"));
        Self { blocks: g.words(1, slot * most..(slot + 1) * most), block: g.define("BLOCK") }
    }

    /// The row of the cache that holds a position.
    pub(super) fn place(&self, position: usize) -> usize {
        self.blocks[position / self.block] as usize * self.block + position % self.block
    }
}

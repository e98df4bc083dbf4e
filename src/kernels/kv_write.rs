//! keys\[place(r)\] = k\[r\], values\[place(r)\] = v\[r\], with place(r) = table\[position / BLOCK\] · BLOCK + position mod BLOCK

use crate::{
    cache::Blocks,
    cpu::Group,
    kernels::qk_norm_rope::Heads,
    pass::{Binding, Element, Kernel, Pass},
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

fn cpu(g: &Group<'_>) {
    let (step, row, width, stride) = (View::of(g), g.at(0), g.define("KV_WIDTH"), g.define("STRIDE"));
    if row >= step.live() {
        return;
    }
    let place = place(g, step.span_of(row).slot as usize, step.position(row));
    let values = (row + 1) * stride - width;
    g.store(4, place * width, &g.floats(2, row * width..(row + 1) * width).to_vec());
    g.store(5, place * width, &g.floats(3, values..values + width).to_vec());
}

/// The row of the cache that holds a slot's position; the block tables are binding 1.
pub(super) fn place(g: &Group<'_>, slot: usize, position: usize) -> usize {
    let (block, most) = (g.define("BLOCK"), g.define("MAX_BLOCKS"));
    let at = slot * most + position / block;
    g.words(1, at..at + 1)[0] as usize * block + position % block
}

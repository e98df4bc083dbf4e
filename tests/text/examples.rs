//! What the documentation points to has to run: the examples, as they are.
#![allow(dead_code)]

#[path = "../../examples/batch.rs"]
mod batch;
#[path = "../../examples/custom_kernel.rs"]
mod custom_kernel;
#[path = "../../examples/hello.rs"]
mod hello;

#[test]
fn hello_tells_a_story() -> bimetal::Result<()> {
    hello::main()
}

#[test]
fn eight_prompts_share_a_batch() -> bimetal::Result<()> {
    batch::main()
}

#[test]
fn a_custom_kernel_does_on_every_backend_what_its_plain_loop_does() -> bimetal::Result<()> {
    custom_kernel::main()
}

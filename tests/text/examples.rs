//! The examples of the documentation must run unchanged.
#![allow(dead_code)]

#[path = "../../examples/batch.rs"]
mod batch;
#[path = "../../examples/chat.rs"]
mod chat;
#[path = "../../examples/custom_kernel.rs"]
mod custom_kernel;
#[path = "../../examples/hello.rs"]
mod hello;
#[path = "../../examples/score.rs"]
mod score;

use bimetal::Generator;

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

#[test]
fn each_line_of_a_chat_is_answered() -> bimetal::Result<()> {
    let mut output = Vec::new();
    chat::chat(&mut Generator::built_in()?, "Tell me a story.\nAnd then?\n".as_bytes(), &mut output)?;
    let lines = String::from_utf8_lossy(&output).lines().filter(|line| !line.is_empty()).count();
    assert!(lines >= 2, "{lines} lines");
    Ok(())
}

#[test]
fn sentences_are_scored() -> bimetal::Result<()> {
    score::score(&Generator::built_in()?)
}

//! bimetal runs the Qwen3.5 language models on the user's own GPU, from a Rust program. One forward pass is recorded once and
//! runs on every backend: wgpu (Vulkan, Direct3D 12), native Metal, and the host's cores. Many texts share each step, and what
//! a text becomes never depends on the texts beside it.
//!
//! # Hello
//! ```
//! # fn main() -> bimetal::Result<()> {
//! use bimetal::Generator;
//!
//! let mut llm = Generator::built_in()?; // or Generator::open("Qwen/Qwen3.5-0.8B")?
//! for piece in llm.generate("Once upon a time")? {
//!     print!("{}", piece?);
//! }
//! # Ok(())
//! # }
//! ```
//! [`Generator::open`] takes a model on the hub, a directory, or a GGUF file. The defaults ask the device for the types and sizes
//! that suit it. A [`Conversation`] remembers what was said and reuses what is computed of it.
//!
//! # Many texts
//! ```
//! # fn main() -> bimetal::Result<()> {
//! use bimetal::{GenerationOptions, Generator};
//!
//! let mut llm = Generator::built_in()?;
//! let options = GenerationOptions { max_tokens: 8, ..llm.generation_options() };
//! for prompt in ["A fox", "A bear"] {
//!     llm.add(prompt, &options)?;
//! }
//! while !llm.is_idle() {
//!     for event in llm.step()? {
//!         println!("{}: {:?} {:?}", event.id, event.text, event.finish);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Token ids in, token ids out
//! An [`Engine`] knows nothing of text and needs none of the features below.
//! ```
//! # fn main() -> bimetal::Result<()> {
//! use std::sync::Arc;
//!
//! use bimetal::{BackendChoice, Checkpoint, Engine, EngineOptions, Model, Precision, Request, Sampling};
//!
//! # let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/models/tiny-stories").as_ref();
//! let backend = bimetal::open(BackendChoice::Auto, None)?.backend;
//! let checkpoint = Checkpoint::open(directory)?;
//! let model = Model::of(&backend, &checkpoint, Precision::default())?;
//! let mut engine = Engine::new(Arc::new(model), EngineOptions::default())?;
//! let id = engine.add(Request::new(vec![11, 12, 13], Sampling::greedy(), 8))?;
//! let mut tokens = Vec::new();
//! while engine.is_running(id) {
//!     tokens.extend(engine.step()?.iter().map(|event| event.token));
//! }
//! assert!(!tokens.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # Where things are
//! The names at the root are what most programs need. [`low_level`] has the layers below them, each using only layers above it in
//! this table; [`measure`] has perplexity, costs, and differences between backends. The folder `examples/` has whole programs.
//!
//! | layer | what it has |
//! | --- | --- |
//! | `compute` | devices, memory, element types, recordings, the backends |
//! | `kernels` | every kernel once: shape checks, launch, meaning, cost |
//! | `ops` | which kernels make an operation on this device |
//! | `model` | configurations, checkpoints, weights, the forward pass |
//! | `engine` | scheduler, caches, sampling: many sequences of ids |
//! | `text`, `hub` | tokenizers, chat templates, stop strings; downloads |
//! | `measure` | what a model makes of a text, what a step costs |
//! | `generate` | generators, streams, conversations |
//!
//! # Features
//! All but the last are on by default. Without any, ids go in and ids come out on the host's cores and on Metal: 47 crates, 80
//! with `wgpu`, 181 with the defaults.
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `wgpu` | GPUs through Vulkan, Direct3D 12 and Metal |
//! | `text` | [`Generator`], [`Conversation`], tokenizers and chat templates |
//! | `hub` | downloads, for [`Generator::open`] |
//! | `built-in` | a small model's bytes; a clone has them, the registry's package has no room for them |
//! | `cli` | the program `bimetal`; brings `hub`, `text` and `built-in` along |
//! | `emulator` | Metal's shaders on Linux, for tests |

mod compute;
mod engine;
mod error;
#[cfg(feature = "text")]
mod generate;
#[cfg(all(feature = "hub", not(target_arch = "wasm32")))]
mod hub;
mod kernels;
pub mod low_level;
pub mod measure;
mod model;
mod ops;
#[cfg(feature = "text")]
mod text;

#[cfg(not(target_arch = "wasm32"))]
pub use compute::devices::open;
pub use compute::{backend::Backend, devices::BackendChoice};
pub use engine::{Engine, EngineOptions, Event, Finish, Request, sampler::Sampling, scheduler::SequenceId};
pub use error::{Error, Result};
#[cfg(feature = "text")]
pub use generate::{Conversation, GenerationOptions, Generator, GeneratorOptions, Stream, TextEvent};
pub use model::{Model, Precision, checkpoint::Checkpoint};
#[cfg(feature = "text")]
pub use text::chat_template::Message;

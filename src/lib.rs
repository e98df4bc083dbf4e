//! bimetal runs the Qwen3.5 language models on the user's own GPU, from a Rust program. One recorded forward pass runs
//! on every backend: wgpu (Vulkan, Direct3D 12), native Metal, and the host's cores. Each step computes many texts, and
//! a text never depends on the other texts.
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
//! [`Generator::open`] takes a model on the hub, a directory, or a GGUF file. The default data types and sizes depend
//! on the device. A [`Conversation`] stores the messages and reuses their computed tokens.
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
//! An [`Engine`] works on token ids alone and needs none of the features below.
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
//! # Layers
//! Most programs need only the names at the root. [`low_level`] has the layers below them; a layer uses only layers
//! above it in this table. [`measure`] has perplexity, costs, and differences between backends. The folder `examples/`
//! has complete programs.
//!
//! | layer | contents |
//! | --- | --- |
//! | `compute` | devices, memory, element types, recordings, backends |
//! | `kernels` | one file per kernel: shape checks, dispatch, cpu version, cost |
//! | `ops` | operations: the choice of kernels for a device |
//! | `model` | configurations, checkpoints, weights, the forward pass |
//! | `engine` | scheduler, caches, sampling: many sequences of token ids |
//! | `text`, `hub` | tokenizers, chat templates, stop strings; downloads |
//! | `measure` | perplexity of a text, cost of a step |
//! | `generate` | generators, streams, conversations |
//!
//! # Features
//! All features but the last are on by default. Without any feature, the crate computes token ids from token ids, on
//! the host's cores and on Metal. It then needs 47 crates; 80 with `wgpu`, 177 with the defaults.
//!
//! | feature | contents |
//! | --- | --- |
//! | `wgpu` | GPUs through Vulkan, Direct3D 12 and Metal |
//! | `text` | [`Generator`], [`Conversation`], tokenizers and chat templates |
//! | `hub` | downloads, for [`Generator::open`] |
//! | `built-in` | a small model; its weights are in a clone, but not in the registry's package, for size |
//! | `cli` | the program `bimetal`; turns on `hub`, `text` and `built-in` |
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

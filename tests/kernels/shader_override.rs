//! The emulator with replaced shader texts.

use std::{
    ptr::NonNull,
    sync::{Arc, Mutex},
};

use bimetal::low_level::compute::{
    caps::Caps,
    metal::{
        driver::{Driver, Outcome, Shader},
        emulator::{Committed, Emulator},
    },
};

/// The buffer index for the buffer lengths of naga's shaders; the contents are not needed.
pub const SIZES: usize = 30;

/// Returns the entry point and text that replace those of a shader.
type Rewrite = dyn Fn(&Shader<'_>) -> (String, String) + Send + Sync;

pub struct ShaderOverride {
    emulator: Emulator,
    rewrite: Box<Rewrite>,
    /// The error of a text that does not compile.
    refused: Arc<Mutex<Option<String>>>,
}

impl ShaderOverride {
    pub fn new(emulator: Emulator, rewrite: impl Fn(&Shader<'_>) -> (String, String) + Send + Sync + 'static) -> Self {
        Self { emulator, rewrite: Box::new(rewrite), refused: Arc::default() }
    }

    /// The error of the last text that does not compile; filled later.
    pub fn refused(&self) -> Arc<Mutex<Option<String>>> {
        self.refused.clone()
    }
}

impl Driver for ShaderOverride {
    type Buffer = <Emulator as Driver>::Buffer;
    type Pipeline = <Emulator as Driver>::Pipeline;
    type Commands = <Emulator as Driver>::Commands;
    type Committed = Committed;

    fn caps(&self) -> &Caps {
        self.emulator.caps()
    }

    fn new_buffer(&self, bytes: u64, label: &str) -> Option<Self::Buffer> {
        self.emulator.new_buffer(bytes, label)
    }

    fn contents(&self, buffer: &Self::Buffer) -> NonNull<u8> {
        self.emulator.contents(buffer)
    }

    fn new_pipeline(&self, shader: &Shader<'_>) -> std::result::Result<Self::Pipeline, String> {
        let (name, text) = (self.rewrite)(shader);
        let pipeline = self.emulator.new_pipeline(&Shader { name: &name, text: &text, ..*shader });
        pipeline.inspect_err(|error| *self.refused.lock().unwrap() = Some(error.clone()))
    }

    fn begin(&self, label: &str) -> std::result::Result<Self::Commands, String> {
        let mut commands = self.emulator.begin(label)?;
        self.emulator.set_bytes(&mut commands, SIZES, &[0; 64]);
        Ok(commands)
    }

    fn set_pipeline(&self, commands: &mut Self::Commands, pipeline: &Self::Pipeline) {
        self.emulator.set_pipeline(commands, pipeline);
    }

    fn set_buffer(&self, commands: &mut Self::Commands, at: usize, buffer: &Self::Buffer) {
        self.emulator.set_buffer(commands, at, buffer);
    }

    fn set_bytes(&self, commands: &mut Self::Commands, at: usize, bytes: &[u8]) {
        self.emulator.set_bytes(commands, at, bytes);
    }

    fn barrier(&self, commands: &mut Self::Commands) {
        self.emulator.barrier(commands);
    }

    fn dispatch(&self, commands: &mut Self::Commands, groups: [u32; 3], lanes: u32) {
        self.emulator.dispatch(commands, groups, lanes);
    }

    fn commit(&self, commands: Self::Commands) -> Self::Committed {
        self.emulator.commit(commands)
    }

    fn wait(&self, committed: &Self::Committed) -> Outcome {
        self.emulator.wait(committed)
    }
}

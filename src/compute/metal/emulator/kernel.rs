//! A compiled shader.
#![allow(unsafe_code)]

use libloading::os::unix::Library;

use super::{
    compile::Compiler,
    runtime::Entry,
    translate::{Complaint, Purpose, translate},
};
use crate::compute::metal::driver::Shader;

/// A shader that can run.
pub(super) struct Kernel {
    pub(super) label: String,
    pub(super) lanes: u32,
    pub(super) entry: Entry,
    /// Numbers and names of its buffers.
    pub(super) buffers: Vec<(usize, String)>,
    /// Names of its threadgroup variables.
    pub(super) shared: Vec<String>,
    text: String,
    /// The library that holds `entry`.
    _library: Library,
}

impl Kernel {
    /// Compiles a text; `strict` first checks the rules of MSL.
    pub(super) fn new(compiler: &Compiler, shader: &Shader<'_>, strict: bool) -> Result<Self, String> {
        let Shader { name, label, text, lanes } = *shader;
        if !(1..=1024).contains(&lanes) {
            return Err(format!("workgroups of {lanes} lanes: 1 to 1024 are allowed"));
        }
        let complain = |Complaint { line, what }| format!("{}: {what}", told(text, line as u32));
        if strict {
            compiler.check(&translate(text, name, Purpose::Strict).map_err(complain)?.text)?;
        }
        let translation = translate(text, name, Purpose::Run).map_err(complain)?;
        let path = compiler.shader(&translation.text, !translation.open_arrays)?;
        // SAFETY: the library was just compiled from our translation, which ends with a function of this name and type.
        let (library, entry) = unsafe {
            let library = Library::new(&path).map_err(|error| error.to_string())?;
            let entry = *library.get::<Entry>(b"emulator_entry\0").map_err(|error| error.to_string())?;
            (library, entry)
        };
        let (buffers, shared) = (translation.buffers, translation.shared);
        let (label, text) = (label.to_owned(), text.to_owned());
        Ok(Self { label, lanes, entry, buffers, shared, text, _library: library })
    }

    /// A line of the text, for messages.
    pub(super) fn line(&self, line: u32) -> String {
        told(&self.text, line)
    }
}

fn told(text: &str, line: u32) -> String {
    let found = text.lines().nth((line as usize).saturating_sub(1)).unwrap_or("?");
    format!("line {line} (`{}`)", found.trim())
}

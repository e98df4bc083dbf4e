//! WGSL kernels, translated to the Metal Shading Language by naga and run by the emulator. This shows that the emulator
//! is right, and does not only agree with shaders written for it.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, OnceLock},
};

use bimetal::{
    Backend, Result,
    low_level::compute::{
        caps::Caps,
        kernel::{Dispatch, Kernel, Source},
        memory::{BufferId, Memory, Pending},
        metal::{
            Metal,
            emulator::{Emulator, Order},
        },
        pass::{Pass, Program},
        wgpu::prelude::shader,
    },
};
use naga::{
    back::msl::{BindTarget, EntryPointResources, Options, PipelineOptions, write_string},
    front::wgsl,
    valid::{Capabilities, ValidationFlags, Validator},
};

use crate::{
    shader_override::{SIZES, ShaderOverride},
    support::{backends as present, backends::Present},
};

/// The marker before naga's text.
const MARK: &str = "// What naga wrote:\n";

/// Runs dispatches of `wgpu` on the emulator.
pub struct WgslOnEmulator {
    caps: Caps,
    inner: Metal<ShaderOverride>,
    kernels: Mutex<HashMap<String, &'static Kernel>>,
}

impl WgslOnEmulator {
    /// With the capabilities of a wgpu backend, which decide the WGSL text.
    pub fn new(caps: &Caps) -> std::result::Result<Self, String> {
        let inner = Metal::new(ShaderOverride::new(Emulator::new(Order::default())?.lenient(), |shader| {
            let text = shader.text.split_once(MARK).unwrap().1;
            // naga renames an entry point that could be ambiguous.
            let name = text.split_once("kernel void ").unwrap().1.split_once('(').unwrap().0;
            (name.to_owned(), text.to_owned())
        }));
        Ok(Self { caps: caps.clone(), inner, kernels: Mutex::default() })
    }

    /// The same dispatch, with a kernel whose MSL comes from naga.
    fn dispatch(&self, dispatch: &Dispatch) -> Dispatch {
        let text = shader(dispatch, &self.caps).unwrap();
        let mut known = self.kernels.lock().unwrap();
        let kernel = *known.entry(text.clone()).or_insert_with(|| {
            let msl = format!("{MARK}{}", translate(dispatch.kernel, &text));
            let source = Source { msl: Some(msl.leak()), ..dispatch.kernel.source };
            Box::leak(Box::new(Kernel { source, library: &[], ..*dispatch.kernel }))
        });
        Dispatch { kernel, ..dispatch.clone() }
    }
}

fn translate(kernel: &Kernel, text: &str) -> String {
    let module = wgsl::parse_str(text).unwrap_or_else(|e| panic!("{}", e.emit_to_string(text)));
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).unwrap();
    let slots = kernel.bindings.len() + usize::from(!kernel.params.is_empty());
    let resource = |at: usize| {
        let target = BindTarget { buffer: Some(at as u8), mutable: true, ..BindTarget::default() };
        (naga::ResourceBinding { group: 0, binding: at as u32 }, target)
    };
    let resources = (0..slots).map(resource).collect();
    let resources =
        EntryPointResources { resources, sizes_buffer: Some(SIZES as u8), ..EntryPointResources::default() };
    let options = Options {
        lang_version: (3, 0),
        per_entry_point_map: [(kernel.name.to_owned(), resources)].into(),
        fake_missing_bindings: false,
        force_loop_bounding: false,
        ..Options::default()
    };
    let text = write_string(&module, &info, &options, &PipelineOptions::default()).unwrap().0;
    plainer(&text)
}

/// The same text in the spelling of the crate's own shaders: without the usual header, which is not needed, and with
/// vector conversions by name.
fn plainer(text: &str) -> String {
    let mut text = text.replace("#include <simd/simd.h>\n", "using namespace metal;\n");
    for element in ["float", "half", "int", "uint"] {
        for size in 2..=4 {
            text = text.replace(&format!("static_cast<metal::{element}{size}>"), &format!("metal::{element}{size}"));
        }
    }
    text
}

impl Memory for WgslOnEmulator {
    fn alloc(&self, bytes: u64, label: &str) -> Result<BufferId> {
        self.inner.alloc(bytes, label)
    }

    fn free(&self, id: BufferId) {
        self.inner.free(id);
    }

    fn write(&self, id: BufferId, at: u64, data: &[u8]) -> Result<()> {
        self.inner.write(id, at, data)
    }

    fn read(&self, id: BufferId, range: Range<u64>) -> Pending {
        self.inner.read(id, range)
    }
}

impl Backend for WgslOnEmulator {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, pass: Pass) -> Result<Program> {
        let dispatches: Vec<_> = pass.finish().dispatches.iter().map(|dispatch| self.dispatch(dispatch)).collect();
        self.inner.load(Pass::replay(self.inner.caps(), &dispatches))
    }

    fn run(&self, program: &Program) -> Result<()> {
        self.inner.run(program)
    }

    fn wait(&self) -> Result<()> {
        self.inner.wait()
    }
}

/// One for each wgpu backend of this machine.
pub fn backends() -> Vec<Present> {
    static FOUND: OnceLock<Vec<Present>> = OnceLock::new();
    let find = || {
        let named = present::backends().into_iter().filter_map(|(name, backend)| match name {
            "wgpu" => Some(("wgpu by naga", backend)),
            "wgpu-plain" => Some(("wgpu-plain by naga", backend)),
            _ => None,
        });
        let translated = |(name, backend): Present| {
            let through = WgslOnEmulator::new(backend.caps()).ok()?;
            Some((name, Arc::new(through) as Arc<dyn Backend>))
        };
        named.filter_map(translated).collect()
    };
    FOUND.get_or_init(find).clone()
}

//! The operating system's Metal: the only part of the backend that needs a Mac.
//!
//! Buffers are shared with the host, and tracked: Metal itself orders command buffers by their writes, and keeps
//! buffers alive while a command buffer uses them. Inside a command buffer dispatches are concurrent; the backend's
//! barriers order them.

mod archive;

use std::{
    path::Path,
    ptr::NonNull,
    sync::{Arc, Mutex, OnceLock},
    thread::JoinHandle,
};

use objc2::{
    available,
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_foundation::{NSError, NSString};
use objc2_metal::{
    MTLBarrierScope, MTLBuffer, MTLCommandBuffer, MTLCommandBufferStatus, MTLCommandEncoder, MTLCommandQueue,
    MTLCompileOptions, MTLComputeCommandEncoder, MTLComputePipelineDescriptor, MTLComputePipelineState,
    MTLCreateSystemDefaultDevice, MTLDevice, MTLDispatchType, MTLGPUFamily, MTLLanguageVersion, MTLLibrary,
    MTLMathFloatingPointFunctions, MTLMathMode, MTLPipelineOption, MTLResource, MTLResourceOptions, MTLSize,
};

use super::{
    driver::{Driver, Outcome, Shader},
    opening::MIN_MACOS,
    prelude::SIMD,
};
use crate::compute::caps::{Caps, DeviceKind, Tiles};
use crate::compute::lock::lock;
use archive::Archive;

// This framework finds the default device.
#[allow(unsafe_code)]
// SAFETY: the block declares nothing; the framework is part of macOS.
#[link(name = "CoreGraphics", kind = "framework")]
unsafe extern "C" {}

/// The GPU of a Mac with Apple Silicon, and its queue.
pub struct Device {
    caps: Caps,
    device: Retained<ProtocolObject<dyn MTLDevice>>,
    queue: Retained<ProtocolObject<dyn MTLCommandQueue>>,
    archive: OnceLock<Option<Arc<Archive>>>,
    /// Threads that add pipelines to the archive.
    keeping: Mutex<Vec<JoinHandle<()>>>,
}

/// A buffer that several threads may hold.
#[derive(Clone)]
pub struct Shared(Retained<ProtocolObject<dyn MTLBuffer>>);

/// A committed command buffer.
pub struct Committed(Retained<ProtocolObject<dyn MTLCommandBuffer>>);

/// A command buffer with its single encoder.
pub struct Commands {
    buffer: Retained<ProtocolObject<dyn MTLCommandBuffer>>,
    encoder: Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>,
    ended: bool,
}

// SAFETY: Metal's buffers may be used from any thread; the backend orders accesses to their contents.
#[allow(unsafe_code)]
unsafe impl Send for Shared {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Shared {}
// SAFETY: this crate only waits for the end of a committed command buffer and reads its status, which any thread may
// do.
#[allow(unsafe_code)]
unsafe impl Send for Committed {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Committed {}

impl Device {
    /// Opens the GPU of this Mac.
    ///
    /// # Errors
    /// The reason the device is rejected.
    pub fn open() -> Result<Self, String> {
        if !available!(macos = 13.0) {
            return Err(format!("{MIN_MACOS} or later is needed: its Metal compiles language version 3.0"));
        }
        autoreleasepool(|_| {
            let device = MTLCreateSystemDefaultDevice().ok_or("this Mac has no GPU that Metal knows")?;
            let caps = caps(&device)?;
            let queue = device.newCommandQueue().ok_or("the device gives out no queue")?;
            Ok(Self { caps, device, queue, archive: OnceLock::new(), keeping: Mutex::default() })
        })
    }

    fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.get()?.as_ref()
    }

    fn compile(&self, shader: &Shader<'_>) -> Result<Retained<MTLComputePipelineDescriptor>, String> {
        let options = compile_options();
        let text = NSString::from_str(shader.text);
        let library = self.device.newLibraryWithSource_options_error(&text, Some(&options)).map_err(said)?;
        let function = library.newFunctionWithName(&NSString::from_str(shader.name));
        let function = function.ok_or_else(|| format!("the text has no kernel {}", shader.name))?;
        let descriptor = MTLComputePipelineDescriptor::new();
        descriptor.setLabel(Some(&NSString::from_str(shader.label)));
        descriptor.setComputeFunction(Some(&function));
        descriptor.setMaxTotalThreadsPerThreadgroup(shader.lanes as usize);
        Ok(descriptor)
    }
}

/// Compile options: safe math and precise functions. From macOS 15 on these are two options, and the second is fast
/// unless set. Earlier, one option means both.
fn compile_options() -> Retained<MTLCompileOptions> {
    let options = MTLCompileOptions::new();
    options.setLanguageVersion(MTLLanguageVersion::Version3_0);
    if available!(macos = 15.0) {
        options.setMathMode(MTLMathMode::Safe);
        options.setMathFloatingPointFunctions(MTLMathFloatingPointFunctions::Precise);
    } else {
        #[allow(deprecated)]
        options.setFastMathEnabled(false);
    }
    options
}

/// The capabilities of a device; an error if kernels would not run there as written.
fn caps(device: &ProtocolObject<dyn MTLDevice>) -> Result<Caps, String> {
    let name = device.name().to_string();
    let virtual_machine = name.contains("Paravirtual");
    let apple = device.supportsFamily(MTLGPUFamily::Apple1) || virtual_machine;
    if !apple || !device.hasUnifiedMemory() {
        return Err(format!("{name} is not Apple's own GPU; --backend wgpu takes it"));
    }
    let kind = if virtual_machine { DeviceKind::Virtual } else { DeviceKind::Integrated };
    // The driver of virtual machines, such as CI runners, reports less than the GPU below it can do.
    let matrix = device.supportsFamily(MTLGPUFamily::Apple7) && !virtual_machine;
    let max_bytes = device.maxBufferLength() as u64;
    Ok(Caps {
        backend: "metal",
        device: name,
        driver: "Metal".into(),
        kind,
        memory: Some(device.recommendedMaxWorkingSetSize()).filter(|bytes| *bytes > 0),
        max_binding: max_bytes,
        max_buffer: max_bytes,
        group_memory: device.maxThreadgroupMemoryLength() as u32,
        subgroup: Some([SIMD, SIMD]),
        half: true,
        matrix_units: matrix.then_some(8),
        packed_dots: false,
        lanes: (device.maxThreadsPerThreadgroup().width as u32).min(1024),
        tiles: Tiles::apple(),
    })
}

impl Driver for Device {
    type Buffer = Shared;
    type Pipeline = Retained<ProtocolObject<dyn MTLComputePipelineState>>;
    type Commands = Commands;
    type Committed = Committed;

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn new_buffer(&self, bytes: u64, label: &str) -> Option<Shared> {
        autoreleasepool(|_| {
            let options = MTLResourceOptions::StorageModeShared | MTLResourceOptions::HazardTrackingModeTracked;
            let buffer = self.device.newBufferWithLength_options(usize::try_from(bytes).ok()?, options)?;
            buffer.setLabel(Some(&NSString::from_str(label)));
            Some(Shared(buffer))
        })
    }

    fn contents(&self, buffer: &Shared) -> NonNull<u8> {
        buffer.0.contents().cast()
    }

    fn new_pipeline(&self, shader: &Shader<'_>) -> Result<Self::Pipeline, String> {
        autoreleasepool(|_| {
            let descriptor = self.compile(shader)?;
            let kept = self.archive().and_then(|archive| archive.pipeline(&self.device, &descriptor));
            let pipeline = match kept {
                Some(pipeline) => pipeline,
                None => {
                    let options = MTLPipelineOption::empty();
                    let new = self.device.newComputePipelineStateWithDescriptor_options_reflection_error(
                        &descriptor,
                        options,
                        None,
                    );
                    let pipeline = new.map_err(said)?;
                    self.archive().into_iter().for_each(|archive| archive.remember(descriptor.clone()));
                    pipeline
                }
            };
            let (width, lanes) = (pipeline.threadExecutionWidth(), pipeline.maxTotalThreadsPerThreadgroup());
            match shader.lanes as usize {
                _ if width != SIMD as usize => {
                    Err(format!("SIMD groups have {width} lanes; the kernel requires {SIMD}"))
                }
                wanted if wanted > lanes => {
                    Err(format!("workgroups of {wanted} lanes; the device allows {lanes} for this kernel"))
                }
                _ => Ok(pipeline),
            }
        })
    }

    fn begin(&self, label: &str) -> Result<Commands, String> {
        autoreleasepool(|_| {
            let buffer = self.queue.commandBuffer().ok_or("the queue gives out no command buffer")?;
            buffer.setLabel(Some(&NSString::from_str(label)));
            let encoder = buffer.computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent);
            let encoder = encoder.ok_or("the command buffer gives out no encoder")?;
            Ok(Commands { buffer, encoder, ended: false })
        })
    }

    fn set_pipeline(&self, commands: &mut Commands, pipeline: &Self::Pipeline) {
        commands.encoder.setComputePipelineState(pipeline);
    }

    #[allow(unsafe_code)]
    fn set_buffer(&self, commands: &mut Commands, at: usize, buffer: &Shared) {
        // SAFETY: the executor has checked that the index is one of the 31 that exist; the offset is zero.
        unsafe { commands.encoder.setBuffer_offset_atIndex(Some(&buffer.0), 0, at) };
    }

    #[allow(unsafe_code)]
    fn set_bytes(&self, commands: &mut Commands, at: usize, bytes: &[u8]) {
        // SAFETY: as above; the bytes are copied before this returns.
        unsafe { commands.encoder.setBytes_length_atIndex(NonNull::from(bytes).cast(), bytes.len(), at) };
    }

    fn barrier(&self, commands: &mut Commands) {
        commands.encoder.memoryBarrierWithScope(MTLBarrierScope::Buffers);
    }

    fn dispatch(&self, commands: &mut Commands, groups: [u32; 3], lanes: u32) {
        let [width, height, depth] = groups.map(|groups| groups as usize);
        let lanes = MTLSize { width: lanes as usize, height: 1, depth: 1 };
        commands.encoder.dispatchThreadgroups_threadsPerThreadgroup(MTLSize { width, height, depth }, lanes);
    }

    fn commit(&self, mut commands: Commands) -> Committed {
        autoreleasepool(|_| {
            commands.end();
            commands.buffer.commit();
            Committed(commands.buffer.clone())
        })
    }

    fn wait(&self, Committed(buffer): &Committed) -> Outcome {
        autoreleasepool(|_| {
            buffer.waitUntilCompleted();
            let error = match (buffer.status(), buffer.error()) {
                (MTLCommandBufferStatus::Completed, None) => None,
                (_, Some(error)) => Some(said(error)),
                (status, None) => Some(format!("the command buffer ended with status {} and no reason", status.0)),
            };
            Outcome { seconds: buffer.GPUEndTime() - buffer.GPUStartTime(), error }
        })
    }

    fn keep_pipelines(&self, directory: &Path, texts: u64) {
        let archive = self.archive.get_or_init(|| Archive::open(&self.device, directory, texts).map(Arc::new));
        lock(&self.keeping).extend(archive.iter().filter_map(Archive::keep));
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        lock(&self.keeping).drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Commands {
    /// Metal requires that every encoder ends, even one that never runs.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.encoder.endEncoding();
        }
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.end();
    }
}

/// The message of an error, with its code.
#[allow(clippy::needless_pass_by_value)]
fn said(error: Retained<NSError>) -> String {
    format!("{} ({} {})", error.localizedDescription(), error.domain(), error.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maths_are_safe_and_functions_precise() {
        let options = compile_options();
        if available!(macos = 15.0) {
            assert_eq!(options.mathMode(), MTLMathMode::Safe);
            assert_eq!(options.mathFloatingPointFunctions(), MTLMathFloatingPointFunctions::Precise);
        } else {
            #[allow(deprecated)]
            let fast = options.fastMathEnabled();
            assert!(!fast);
        }
    }
}

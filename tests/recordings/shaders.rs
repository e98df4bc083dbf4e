//! The shader text of every dispatch, in both shading languages.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

use bimetal::low_level::compute::{caps::Caps, kernel::Dispatch, metal, wgpu};

use crate::{
    digest::Digest,
    dump::Dump,
    spelling::{device_features, dispatch_line, element_types, shader_line},
};

/// Shaders by kernel, element types, device features, and a digest of all other inputs of the text.
#[derive(Default)]
pub struct Shaders {
    known: BTreeMap<String, Digests>,
    /// Devices and dispatches with finished texts.
    seen: HashSet<(String, String)>,
}

#[derive(PartialEq, Debug)]
struct Digests {
    wgsl: Digest,
    msl: Digest,
}

impl Shaders {
    /// Generates the texts of a dispatch on a device, unless they exist.
    pub fn add(&mut self, dispatch: &Dispatch, caps: &Caps, dump: &Dump) {
        if !self.seen.insert((format!("{caps:?}"), dispatch_line(dispatch))) {
            return;
        }
        let (features, line) = (device_features(caps, dispatch.kernel), shader_line(dispatch));
        let kernel = dispatch.kernel.name;
        let key = format!("{kernel} {} {features} {}", element_types(dispatch), Digest::of(&line));
        let texts = [wgpu::prelude::shader(dispatch, caps), metal::prelude::shader(dispatch)].map(Result::unwrap);
        let [wgsl, msl] = texts.each_ref().map(|text| Digest::of(text));
        let file = |ending: &str| PathBuf::from(format!("shaders/{}.{ending}", key.replace(' ', "-")));
        let digests = Digests { wgsl, msl };
        if let Some(known) = self.known.get(&key) {
            assert_eq!(
                known, &digests,
                "{key}: texts depend on more than defines, quantized shapes, lanes, and {features}"
            );
            return;
        }
        for (text, ending) in texts.iter().zip(["wgsl", "metal"]) {
            dump.write(&file(ending), &format!("// {line}\n{text}"));
        }
        self.known.insert(key, digests);
    }

    /// One line per shader.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.known.iter().map(|(key, Digests { wgsl, msl })| format!("shader {key} wgsl={wgsl} msl={msl}"))
    }
}

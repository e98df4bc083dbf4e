//! Compiles shaders and the runtime with clang, and caches the results.
//!
//! Each file is written under a temporary name and then renamed, so threads and processes may compile the same thing at
//! once. A file's name depends on all its inputs.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::NamedTempFile;

const SHIM: &[(&str, &str)] = &[
    ("metal_stdlib", include_str!("shim/metal_stdlib")),
    ("metal_simdgroup_matrix", include_str!("shim/metal_simdgroup_matrix")),
    ("atomic.h", include_str!("shim/atomic.h")),
    ("math.h", include_str!("shim/math.h")),
    ("matrix.h", include_str!("shim/matrix.h")),
    ("numbers.h", include_str!("shim/numbers.h")),
    ("runtime.h", include_str!("shim/runtime.h")),
    ("simd.h", include_str!("shim/simd.h")),
    ("spaces.h", include_str!("shim/spaces.h")),
    ("switch.h", include_str!("shim/switch.h")),
    ("vectors.h", include_str!("shim/vectors.h")),
];
const RUNTIME: &str = include_str!("runtime.cpp");
const COMPILERS: [&str; 5] = ["clang++-19", "clang++-18", "clang++-17", "clang++-16", "clang++"];

/// As Apple's compiler with fast math off: no contraction, every f16 operation rounded, `1.0` is a float. Private
/// memory starts with a pattern of garbage, and indices of arrays with known length are checked.
const SHADER: &[&str] = &[
    "-std=c++17",
    "-O1",
    "-fPIC",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Xclang",
    "-ffloat16-excess-precision=none",
    "-Xclang",
    "-cl-single-precision-constant",
    "-ftrivial-auto-var-init=pattern",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-strict-aliasing",
    "-w",
];
const WATCHED: &[&str] = &["-fsanitize=array-bounds", "-fsanitize-trap=array-bounds"];
const STRICT: &[&str] =
    &["-x", "clcpp", "-cl-std=clc++2021", "-cl-no-stdinc", "-target", "spir64", "-DSTRICT", "-fsyntax-only", "-w"];

/// A compiler, and its cache directory.
pub(super) struct Compiler {
    program: &'static str,
    directory: PathBuf,
    processor: &'static [&'static str],
}

impl Compiler {
    /// Finds the newest installed clang.
    ///
    /// # Errors
    /// If there is none of version 16 or later, or no writable directory for its outputs.
    pub(super) fn find() -> Result<Self, String> {
        let known = COMPILERS.into_iter().find_map(|program| Some((program, version(program)?)));
        let missing = "no clang++ of version 16 or later, which the emulator compiles shaders with";
        let (program, version) = known.ok_or(missing)?;
        #[cfg(target_arch = "x86_64")]
        let modern = ["avx2", "bmi2", "f16c", "fma", "lzcnt"].len() == 5
            && std::is_x86_feature_detected!("avx2")
            && std::is_x86_feature_detected!("fma")
            && std::is_x86_feature_detected!("f16c")
            && std::is_x86_feature_detected!("bmi2")
            && std::is_x86_feature_detected!("lzcnt");
        #[cfg(not(target_arch = "x86_64"))]
        let modern = false;
        let processor: &[&str] = if modern { &["-march=x86-64-v3"] } else { &[] };
        let key = digest(&(version, processor, SHIM, RUNTIME, SHADER, WATCHED, STRICT));
        let places = [PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target")), std::env::temp_dir()];
        let open = |place: PathBuf| {
            let directory = place.join("emulator").join(&key);
            let shim = directory.join("shim");
            fs::create_dir_all(&shim).ok()?;
            SHIM.iter().try_for_each(|(name, text)| once(&shim.join(name), |file| write(file, text)).ok())?;
            Some(Self { program, directory, processor })
        };
        places.into_iter().find_map(open).ok_or_else(|| "no directory that the emulator may write to".into())
    }

    /// Compiles the runtime; returns its path.
    pub(super) fn runtime(&self) -> Result<PathBuf, String> {
        let source = self.kept("runtime.cpp", |file| write(file, RUNTIME))?;
        self.kept("runtime.so", |file| {
            let mut command = Command::new(self.program);
            command.args(["-std=c++17", "-O2", "-fPIC", "-shared", "-o"]).arg(file).arg(&source);
            finish(command.args(self.processor).arg("-I").arg(&self.directory))
        })
    }

    /// Compiles a shader; `watched` adds checks of array indices.
    pub(super) fn shader(&self, text: &str, watched: bool) -> Result<PathBuf, String> {
        let name = digest(&(text, watched));
        self.kept(&format!("{name}.so"), |file| {
            let headers = self.headers(watched)?;
            let mut command = Command::new(self.program);
            command.args(SHADER).args(self.processor).args(if watched { WATCHED } else { &[] });
            command.arg("-include-pch").arg(headers).args(["-shared", "-lm", "-x", "c++", "-o"]).arg(file);
            self.feed(&mut command, text)
        })
    }

    /// Checks a text with real address spaces.
    pub(super) fn check(&self, text: &str) -> Result<(), String> {
        let passed = self.kept(&format!("{}.passed", digest(text)), |_| {
            let mut command = Command::new(self.program);
            self.feed(command.args(STRICT), text)
        });
        passed.map(drop)
    }

    /// Precompiles the shim.
    fn headers(&self, watched: bool) -> Result<PathBuf, String> {
        self.kept(if watched { "watched.pch" } else { "plain.pch" }, |file| {
            let mut command = Command::new(self.program);
            command.args(SHADER).args(self.processor).args(if watched { WATCHED } else { &[] });
            command.args(["-Xclang", "-fno-pch-timestamp", "-x", "c++-header", "-o"]).arg(file);
            command.arg("-I").arg(self.shim());
            finish(command.arg(self.shim().join("metal_simdgroup_matrix")))
        })
    }

    fn shim(&self) -> PathBuf {
        self.directory.join("shim")
    }

    fn feed(&self, command: &mut Command, text: &str) -> Result<(), String> {
        let mut source = NamedTempFile::with_suffix_in(".source", &self.directory).map_err(said)?;
        std::io::Write::write_all(&mut source, text.as_bytes()).map_err(said)?;
        finish(command.arg("-I").arg(self.shim()).arg(source.path()))
    }

    /// The path of a file in this directory; makes the file if it is missing.
    fn kept(&self, name: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
        let path = self.directory.join(name);
        once(&path, make)?;
        Ok(path)
    }
}

/// Makes a file if it is missing, atomically.
fn once(path: &Path, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let file = NamedTempFile::new_in(directory).map_err(said)?.into_temp_path();
    make(&file)?;
    // If another process was faster, its file is equally good.
    match file.persist_noclobber(path) {
        Err(error) if !path.exists() => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    }
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(said)
}

fn finish(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(said)?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The version text of a compiler; `None` if it is too old.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split("version ").nth(1)?.split('.').next()?.parse::<u32>().ok()?;
    (number >= 16).then_some(text)
}

fn digest(of: &(impl Hash + ?Sized)) -> String {
    // Fixed keys: the same text gets the same name in every process.
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    let first = hasher.finish();
    of.hash(&mut hasher);
    format!("{first:016x}{:016x}", hasher.finish())
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

//! Checks shaders without cargo: `check.sh msl/X.metal K=1024 LANES=128 x=f16`.
#[path = "entry.rs"]
mod entry;
#[path = "tokens.rs"]
mod tokens;
#[path = "translate.rs"]
mod translate;

use std::{env, fs, path::Path, process::Command};

fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let (shim, file) = (&arguments[1], Path::new(&arguments[2]).canonicalize().unwrap());
    let set: Vec<(&str, &str)> = arguments[3..].iter().filter_map(|a| a.split_once('=')).collect();
    let name = file.file_stem().unwrap().to_str().unwrap();
    let root = file.parent().unwrap().parent().unwrap();
    let table = fs::read_to_string(root.join(format!("src/kernels/{name}.rs"))).unwrap_or_default();
    let mut text = "#include <metal_stdlib>\n#include <metal_simdgroup_matrix>\nusing namespace metal;\n".to_owned();
    let mut defines = vec![("LANES", "128"), ("SIMD", "32")];
    defines.retain(|(name, _)| !set.iter().any(|(given, _)| given == name));
    defines.extend(set.iter().filter(|(name, _)| name.starts_with(|c: char| c.is_uppercase())));
    for (name, value) in &defines {
        text.push_str(&format!("constant constexpr uint {name} = {value};\n"));
    }
    let part = |name: &str| fs::read_to_string(root.join(format!("msl/lib/{name}.metal"))).unwrap_or_default();
    text.push_str(&part("quads"));
    for line in table.lines().filter(|line| line.contains("Binding::")) {
        let (binding, float) = (quoted(line)[0], ["Float", "F16", "Wide"].iter().any(|e| line.contains(&format!("Element::{e}"))));
        let kind = set.iter().find(|(name, _)| *name == binding).map_or("f16", |(_, kind)| kind);
        let quad = match kind { "f32" => "float4", "bf16" => "Brains4", _ => "half4" };
        if float {
            text.push_str(&format!("typedef {quad} Quad_{binding};\n"));
        }
    }
    let library = table.split_once("library:").map_or("", |(_, rest)| rest.split(']').next().unwrap_or(""));
    quoted(library).iter().for_each(|name| text.push_str(&part(name)));
    let before = text.lines().count();
    text.push_str(&fs::read_to_string(&file).unwrap());
    let mut failed = false;
    for (purpose, flags) in [
        (translate::Purpose::Strict, "-x clcpp -cl-std=clc++2021 -cl-no-stdinc -target spir64 -DSTRICT"),
        (translate::Purpose::Run, "-x c++ -std=c++17 -Xclang -cl-single-precision-constant"),
    ] {
        let translated = match translate::translate(&text, name, purpose) {
            Ok(translated) => translated,
            Err(complaint) => {
                println!("{name}: {complaint} (line {} of the file)", complaint.line as i64 - before as i64);
                std::process::exit(1);
            }
        };
        let out = env::temp_dir().join(format!("bimetal-check-{}-{purpose:?}.cpp", std::process::id()));
        fs::write(&out, &translated.text).unwrap();
        if env::var_os("PRINT").is_some() {
            print!("{}", translated.text);
        }
        let mut command = Command::new("clang++-19");
        command.args(flags.split(' ')).arg("-fsyntax-only").arg("-I").arg(shim).arg(&out);
        let output = command.output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).replace("shader:", &format!("{purpose:?} (file line + {before}) shader:"));
        print!("{log}");
        failed |= !output.status.success();
        _ = fs::remove_file(out);
    }
    println!("{name}: {}", if failed { "refused" } else { "accepted, strictly and for the emulator" });
    std::process::exit(i32::from(failed));
}

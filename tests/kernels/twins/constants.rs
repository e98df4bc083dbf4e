//! Constants in Rust, WGSL and MSL: each has the same value everywhere.

use std::fs;

use bimetal::low_level::kernels::{
    gdn_chunk_solve::{CHUNK, MIN_LOG_DECAY},
    operands::step::TILE,
};

#[test]
fn constants_agree() {
    let constants = [
        ("lib/step", "TILE", TILE.to_string()),
        ("lib/chunks", "CHUNK", CHUNK.to_string()),
        ("gdn_chunk_solve", "MIN_LOG_DECAY", format!("{MIN_LOG_DECAY:?}")),
    ];
    for (file, name, value) in constants {
        for (folder, ending) in [("wgsl", "wgsl"), ("msl", "metal")] {
            let path = format!("{folder}/{file}.{ending}");
            let text = fs::read_to_string(&path).unwrap();
            let found = text.lines().find_map(|line| declared(line, name));
            assert_eq!(found.as_ref(), Some(&value), "{path}: {name}");
        }
    }
}

/// The value in the declaration of this constant, without the type suffix.
fn declared(line: &str, name: &str) -> Option<String> {
    let (left, right) = line.split_once(" = ")?;
    let declares = left.starts_with("const") && left.split([' ', ':']).any(|word| word == name);
    declares.then(|| right.trim_end_matches([';', 'u', 'f']).to_owned())
}

//! The layers of `src/`, and the allowed imports. Imports point down: to read a layer, read only the layers below it.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each layer, and the other layers that it may use. A file whose layer is missing here fails the test.
const LAYERS: &[(&str, &str)] = &[
    ("error", ""),
    ("compute", "error"),
    ("kernels", "compute error"),
    ("ops", "kernels compute error"),
    ("model", "ops kernels compute error"),
    ("engine", "model ops kernels compute error"),
    ("text", "error"),
    ("hub", "error"),
    ("measure", "text engine model ops kernels compute error"),
    ("generate", "measure hub text engine model compute error"),
];

/// The top of the layers: the crate's root, the names of the layers, and the program, which uses the crate from outside.
const ABOVE: &[&str] = &["lib", "low_level", "main", "cli"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All Rust files in a directory and below, in order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = texts(directory);
    found.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    found.sort();
    found
}

/// The layer of a file: its first folder below `src/`, or its own name if it is directly in `src/`.
fn layer(file: &Path) -> String {
    let below = file.strip_prefix(source()).unwrap();
    below.with_extension("").components().next().unwrap().as_os_str().to_str().unwrap().to_owned()
}

/// The modules that a text imports from `crate::`, in every branch of a `use` tree. Ignores comments, and the tests at
/// its end.
fn named(text: &str) -> Vec<String> {
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or("").to_owned() + "\n").collect();
    let code = code.split("#[cfg(test)]\nmod ").next().unwrap_or("");
    let mut found = Vec::new();
    for (at, start) in code.match_indices("crate::") {
        match code[at + start.len()..].strip_prefix('{') {
            None => found.push(word(&code[at + start.len()..])),
            Some(tree) => found.extend(branches(tree)),
        }
    }
    found
}

/// The first word of each branch of a `use` tree; the text starts after its opening brace.
fn branches(tree: &str) -> Vec<String> {
    let (mut found, mut depth, mut fresh) = (Vec::new(), 0, true);
    for (at, character) in tree.char_indices() {
        if depth == 0 && fresh && !character.is_whitespace() {
            found.push(word(&tree[at..]));
            fresh = false;
        }
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

/// Each import that points up, as `file: layer`, without duplicates.
fn upward() -> Vec<String> {
    let mut found = Vec::new();
    for file in files(&source()) {
        let from = layer(&file);
        if ABOVE.contains(&&*from) {
            continue;
        }
        let rule = LAYERS.iter().find(|(name, _)| *name == from);
        let (_, below) = rule.unwrap_or_else(|| panic!("{}: no layer {from} in this table", file.display()));
        for to in named(&fs::read_to_string(&file).unwrap()) {
            let is_layer = LAYERS.iter().any(|(name, _)| *name == to);
            if is_layer && to != from && !below.split(' ').any(|name| name == to) {
                found.push(format!("{}: {to}", file.strip_prefix(source()).unwrap().display()));
            }
        }
    }
    found.dedup();
    found
}

#[test]
fn imports_point_down() {
    let found = upward();
    assert!(found.is_empty(), "these imports point up: {found:#?}");
}

/// The table itself must point down: no two layers may use each other.
#[test]
fn layers_have_no_circle() {
    for (at, (name, below)) in LAYERS.iter().enumerate() {
        for other in below.split(' ').filter(|other| !other.is_empty()) {
            let place = LAYERS.iter().position(|(known, _)| known == &other);
            assert!(
                place.is_some_and(|place| place < at),
                "{name} may use {other}, which is not above it in the table"
            );
        }
    }
}

#[test]
fn every_branch_of_an_import_is_seen() {
    let text = "use crate::{\n    a::{b, c::{self}},\n    d,\n};\n// crate::e\nuse crate::f::g;\nfn h() { crate::i::j() }\n\
                #[cfg(test)]\nmod tests {\n    use crate::k;\n}\n";
    assert_eq!(named(text), ["a", "d", "f", "i"]);
}

/// Words that this project no longer uses, and what it says in their place: one word for each thing.
const RETIRED: &[(&str, &str)] = &[
    ("Brains4", "Bf16x4"),
    ("Chosen", "Readback"),
    ("EXPANDED", "DEQUANTIZED"),
    ("Expand", "DequantizeFirst"),
    ("FLIGHT", "QUADS_AHEAD"),
    ("Feed", "TokenSource"),
    ("Figures", "Timing"),
    ("Form", "Precision"),
    ("Halves", "MatrixOperand"),
    ("LEAST", "MIN_ and a noun"),
    ("Launch", "Dispatch"),
    ("Ledger", "CostTable"),
    ("Live", "RowCount"),
    ("MAX_BLOCKS", "MAX_PAGES"),
    ("MOST", "MAX_ and a noun"),
    ("Notes", "DryRunLog"),
    ("Pace", "SubmissionPlan"),
    ("Paper", "DryRun"),
    ("Parked", "Kept"),
    ("Rehearsal", "DryEngine"),
    ("Rig", "Harness"),
    ("Settings", "GenerationOptions"),
    ("Setup", "GeneratorOptions"),
    ("Single", "Work"),
    ("Squares", "AttentionTiling or ChunkTiling"),
    ("Strips", "the text's own constant"),
    ("World", "Simulator"),
    ("bundle", "subgroup"),
    ("free_blocks", "free_pages"),
    ("gdn_prompt", "gdn_prefill"),
    ("has_halves", "suits_matrix_units"),
    ("live", "active_rows"),
    ("ring", "conv_state"),
    ("singles", "f32s"),
    ("state_squares", "state_fragments"),
];

/// Spellings of other countries, as parts of words, and the one of this project.
const SPELLINGS: &[(&str, &str)] =
    &[("quantis", "quantiz"), ("normalis", "normaliz"), ("neighbour", "neighbor"), ("specialis", "specializ")];

#[test]
fn retired_words_stay_away() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["src", "wgsl", "msl"].into_iter().flat_map(|folder| texts(&root.join(folder))) {
        let text = fs::read_to_string(&file).unwrap();
        let lower = text.to_lowercase();
        for (part, instead) in SPELLINGS {
            assert!(!lower.contains(part), "{}: {part}… is spelled {instead}… here", file.display());
        }
        let words = text.split(|character: char| !character.is_alphanumeric() && character != '_');
        for word in words {
            let retired = RETIRED.iter().find(|(retired, _)| *retired == word);
            assert!(
                retired.is_none(),
                "{}: {retired:?} is retired; the second word is used in its place",
                file.display()
            );
        }
    }
}

/// All source texts of a folder and below.
fn texts(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let known = |path: &PathBuf| {
        path.extension().is_some_and(|ending| ["rs", "wgsl", "metal"].iter().any(|known| ending == *known))
    };
    files.into_iter().filter(known).chain(folders.iter().flat_map(|folder| texts(folder))).collect()
}

/// Positional tuples hide the names of arguments: operations and kernels take each argument by its own name.
#[test]
fn functions_of_operations_take_no_tuples() {
    for file in ["ops", "kernels"].into_iter().flat_map(|folder| texts(&source().join(folder))) {
        let text = fs::read_to_string(&file).unwrap();
        for (at, line) in text.lines().enumerate() {
            assert!(!line.contains("): ("), "{}:{}: a tuple as an argument: {line}", file.display(), at + 1);
        }
    }
}

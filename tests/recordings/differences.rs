//! The differences between two sets of lines; each line is a name and `field=value` words.

use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of differences of one kind in a message.
const SHOWN: usize = 20;

/// One line for each name that is new, missing or has other fields.
pub fn differences(expected: &str, found: &str) -> Vec<String> {
    let (expected, found) = (by_name(expected), by_name(found));
    let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let difference = |name: &&String| match (expected.get(*name), found.get(*name)) {
        (Some(old), Some(new)) if old == new => None,
        (Some(old), Some(new)) => Some(format!("changed: {name}: {}", changed(old, new))),
        (Some(_), None) => Some(format!("gone: {name}")),
        (None, _) => Some(format!("new: {name}")),
    };
    names.iter().filter_map(difference).collect()
}

/// The first differences of each kind, and the number of the others.
pub fn shown(differences: &[String]) -> String {
    let sort = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let mut sorts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in differences {
        sorts.entry(sort(line)).or_default().push(line);
    }
    let mut text = String::new();
    for (sort, lines) in sorts {
        lines.iter().take(SHOWN).for_each(|line| text.push_str(&format!("  {line}\n")));
        if lines.len() > SHOWN {
            text.push_str(&format!("  {sort}: {} more\n", lines.len() - SHOWN));
        }
    }
    text
}

fn by_name(text: &str) -> BTreeMap<String, Vec<&str>> {
    let mut lines = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (fields, name): (Vec<_>, Vec<_>) = line.split(' ').partition(|word| word.contains('='));
        let before = lines.insert(name.join(" "), fields);
        assert!(before.is_none(), "{} is there twice", name.join(" "));
    }
    lines
}

/// The different fields: a count with both values, a digest by its name.
fn changed(old: &[&str], new: &[&str]) -> String {
    let field = |(old, new): (&&str, &&str)| {
        let (name, value) = old.split_once('=').unwrap();
        let new = new.split_once('=').unwrap().1;
        if name == "count" { format!("count {value} is now {new}") } else { name.to_owned() }
    };
    let pairs = old.iter().zip(new).filter(|(old, new)| old != new);
    pairs.map(field).collect::<Vec<_>>().join(", ")
}

#[test]
fn each_sort_of_difference_is_named() {
    let expected = "# top\nkernel a count=1 dispatches=0\nshader b f32 wgsl=1 msl=1\nshader c f32 wgsl=1 msl=1\n";
    let found = "kernel a count=2 dispatches=1\nshader b f32 wgsl=1 msl=2\nshader d f32 wgsl=1 msl=1\n";
    let lines = differences(expected, found);
    let named = [
        "changed: kernel a: count 1 is now 2, dispatches",
        "changed: shader b f32: msl",
        "gone: shader c f32",
        "new: shader d f32",
    ];
    assert_eq!(lines, named);
    assert_eq!(differences(found, found), [""; 0]);
    let many: Vec<_> = (0..50).map(|i| format!("new: shader {i}")).collect();
    assert!(shown(&many).ends_with("new: shader: 30 more\n"), "{}", shown(&many));
}

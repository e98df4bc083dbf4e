//! Loops that are written out before a shader is compiled. Drivers keep a variable in registers but not an array of
//! matrices, and WGSL has no other way to say that a loop is to be written out.
//!
//! ```text
//! #repeat i ROWS
//! var sum_$i = Sum();
//! #end
//! ```
//! stands for its lines once for each `i` below ROWS, a number or a define of the launch. Repetitions nest.

use std::{iter::Peekable, str::Lines};

/// The text with every repetition written out; an error says what is wrong with one.
pub(super) fn unroll(text: &str, define: &dyn Fn(&str) -> Option<u32>) -> Result<String, String> {
    let mut lines = text.lines().peekable();
    let unrolled = block(&mut lines, define)?;
    match lines.next() {
        None => Ok(unrolled),
        Some(_) => Err("#end without #repeat".into()),
    }
}

/// The lines up to an `#end` that is not theirs.
fn block(lines: &mut Peekable<Lines<'_>>, define: &dyn Fn(&str) -> Option<u32>) -> Result<String, String> {
    let mut text = String::new();
    while let Some(line) = lines.next_if(|line| line.trim() != "#end") {
        let Some(repeat) = line.trim().strip_prefix("#repeat ") else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        let inner = block(lines, define)?;
        lines.next().ok_or_else(|| format!("#repeat {repeat} without #end"))?;
        let (variable, bound) =
            repeat.split_once(' ').ok_or_else(|| format!("#repeat {repeat}: a name and a number"))?;
        let count = bound.parse().ok().or_else(|| define(bound));
        let count: u32 = count.ok_or_else(|| format!("#repeat {repeat}: {bound} is no define of the launch"))?;
        let place = format!("${variable}");
        (0..count).for_each(|i| text.push_str(&inner.replace(&place, &i.to_string())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::unroll;

    fn three(name: &str) -> Option<u32> {
        (name == "THREE").then_some(3)
    }

    #[test]
    fn repetitions_nest() {
        let text = "a\n#repeat i THREE\nb$i\n  #repeat j 2\n  c$i_$j\n  #end\n#end\nd\n";
        let wanted = "a\nb0\n  c0_0\n  c0_1\nb1\n  c1_0\n  c1_1\nb2\n  c2_0\n  c2_1\nd\n";
        assert_eq!(unroll(text, &three).as_deref(), Ok(wanted));
    }

    #[test]
    fn mistakes_are_told() {
        for (text, wanted) in [
            ("#repeat i THREE\n", "#repeat i THREE without #end"),
            ("#end\n", "#end without #repeat"),
            ("#repeat i\n#end\n", "#repeat i: a name and a number"),
            ("#repeat i FOUR\n#end\n", "#repeat i FOUR: FOUR is no define of the launch"),
        ] {
            assert_eq!(unroll(text, &three), Err(wanted.into()));
        }
    }
}

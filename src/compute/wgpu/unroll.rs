//! Directives that are resolved before a shader is compiled. Drivers keep variables in registers, but not arrays of
//! matrices. WGSL has no way to request an unrolled loop, and no conditional compilation.
//!
//! ```text
//! #repeat i ROWS
//! var sum_$i = Sum();
//! #end
//! #if WIDE == 1
//! let word = w[$WORDSu + at];
//! #else
//! let words = w[at];
//! #end
//! ```
//! `#repeat` repeats its lines once per `i` below ROWS. `#if` keeps its lines if a value is not zero, or if it is
//! (`==`) or is not (`!=`) another value. `#else` keeps its lines in all other cases. A value is a number or a known
//! name: a define of the dispatch or a named constant. `$WORDS`, in capitals, becomes its value. Directives nest.

use std::{
    iter::{Enumerate, Peekable},
    str::Lines,
};

/// Returns the value of a name; `None` if the name is unknown.
pub type Values<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// The text without directives.
///
/// # Errors
/// The fault of a directive or a name, after `file` and the line number.
pub fn unroll(file: &str, text: &str, values: Values<'_>) -> Result<String, String> {
    let mut reader = Reader { file, lines: text.lines().enumerate().peekable(), values };
    let unrolled = reader.block(true)?;
    match reader.lines.next() {
        None => Ok(unrolled),
        Some((at, line)) => Err(reader.error(at, format!("{} without #repeat or #if", line.trim()))),
    }
}

/// A reader of one file, at its current line.
struct Reader<'a> {
    file: &'a str,
    lines: Peekable<Enumerate<Lines<'a>>>,
    values: Values<'a>,
}

impl Reader<'_> {
    /// The lines up to the `#end` or `#else` of the enclosing directive. Looks up names only if the lines are used.
    fn block(&mut self, used: bool) -> Result<String, String> {
        let mut text = String::new();
        while let Some((at, line)) = self.lines.next_if(|(_, line)| !matches!(line.trim(), "#end" | "#else")) {
            match line.trim().split_once(' ') {
                Some(("#repeat", rest)) => text.push_str(&self.repeat(at, rest, used)?),
                Some(("#if", rest)) => text.push_str(&self.choose(at, rest, used)?),
                _ if line.trim().starts_with('#') => {
                    let found = line.trim();
                    return Err(self.error(at, format!("{found}: expected #repeat NAME COUNT, #if, #else or #end")));
                }
                _ if used => {
                    self.substitute(at, line, &mut text)?;
                    text.push('\n');
                }
                _ => {}
            }
        }
        Ok(text)
    }

    fn repeat(&mut self, at: usize, rest: &str, used: bool) -> Result<String, String> {
        let inner = self.block(used)?;
        self.end(at, "#repeat", rest)?;
        let (variable, bound) = rest
            .split_once(' ')
            .ok_or_else(|| self.error(at, format!("#repeat {rest}: expected a name and a count")))?;
        let count = if used { self.value(at, bound)? } else { 0 };
        let place = format!("${variable}");
        Ok((0..count).map(|i| inner.replace(&place, &i.to_string())).collect())
    }

    fn choose(&mut self, at: usize, condition: &str, used: bool) -> Result<String, String> {
        let holds = used && self.holds(at, condition)?;
        let mut chosen = self.block(holds)?;
        if self.lines.next_if(|(_, line)| line.trim() == "#else").is_some() {
            chosen.push_str(&self.block(used && !holds)?);
        }
        self.end(at, "#if", condition)?;
        Ok(chosen)
    }

    fn holds(&self, at: usize, condition: &str) -> Result<bool, String> {
        let equal = |(left, right)| Ok(self.value(at, left)? == self.value(at, right)?);
        if let Some(both) = condition.split_once(" == ") {
            return equal(both);
        }
        if let Some(both) = condition.split_once(" != ") {
            return equal(both).map(|equal| !equal);
        }
        Ok(self.value(at, condition)? != 0)
    }

    fn end(&mut self, at: usize, directive: &str, rest: &str) -> Result<(), String> {
        let end = self.lines.next_if(|(_, line)| line.trim() == "#end");
        end.map(drop).ok_or_else(|| self.error(at, format!("{directive} {rest} without #end")))
    }

    fn value(&self, at: usize, name: &str) -> Result<u32, String> {
        let value = name.parse().ok().or_else(|| (self.values)(name));
        value.ok_or_else(|| self.error(at, format!("{name} is no define of the dispatch")))
    }

    /// Appends the line to `text`, with values in place of names in capitals.
    fn substitute(&self, at: usize, line: &str, text: &mut String) -> Result<(), String> {
        let mut parts = line.split('$');
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let capital = |c: char| c.is_ascii_uppercase() || c == '_';
            let (name, rest) = part.split_at(part.find(|c| !capital(c)).unwrap_or(part.len()));
            if name.is_empty() {
                text.push('$');
            } else {
                text.push_str(&self.value(at, name)?.to_string());
            }
            text.push_str(rest);
        }
        Ok(())
    }

    fn error(&self, at: usize, what: String) -> String {
        format!("{}:{}: {what}", self.file, at + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::unroll;

    fn three(name: &str) -> Option<u32> {
        match name {
            "THREE" => Some(3),
            "NONE" => Some(0),
            _ => None,
        }
    }

    fn unrolled(text: &str) -> Result<String, String> {
        unroll("wgsl/a.wgsl", text, &three)
    }

    #[test]
    fn repetitions_nest() {
        let text = "a\n#repeat i THREE\nb$i\n  #repeat j 2\n  c$i_$j\n  #end\n#end\nd\n";
        let wanted = "a\nb0\n  c0_0\n  c0_1\nb1\n  c1_0\n  c1_1\nb2\n  c2_0\n  c2_1\nd\n";
        assert_eq!(unrolled(text).as_deref(), Ok(wanted));
    }

    #[test]
    fn one_of_two_cases_is_kept() {
        for (condition, wanted) in [
            ("THREE", "a\nb\nd\n"),
            ("NONE", "a\nc\nd\n"),
            ("1", "a\nb\nd\n"),
            ("0", "a\nc\nd\n"),
            ("THREE == 3", "a\nb\nd\n"),
            ("THREE == NONE", "a\nc\nd\n"),
            ("NONE == NONE", "a\nb\nd\n"),
            ("THREE != 3", "a\nc\nd\n"),
            ("THREE != NONE", "a\nb\nd\n"),
        ] {
            let text = format!("a\n#if {condition}\nb\n#else\nc\n#end\nd\n");
            assert_eq!(unrolled(&text).as_deref(), Ok(wanted), "{condition}");
        }
        assert_eq!(unrolled("#if NONE\na\n#end\n").as_deref(), Ok(""));
    }

    #[test]
    fn cases_nest_and_what_is_dropped_need_not_be_known() {
        let text = "#if THREE\n#repeat i 2\n#if NONE\n#if FOUR\n$FIVE\n#end\n#else\na$i\n#end\n#end\n#else\n#repeat i SIX\n#end\n#end\n";
        assert_eq!(unrolled(text).as_deref(), Ok("a0\na1\n"));
    }

    #[test]
    fn names_in_capitals_become_their_values() {
        let text = "#repeat i 2\nw[$THREEu + $iu]\n#end\n";
        assert_eq!(unrolled(text).as_deref(), Ok("w[3u + 0u]\nw[3u + 1u]\n"));
    }

    #[test]
    fn errors_name_the_file_and_the_line() {
        for (text, wanted) in [
            ("a\n#repeat i THREE\n", "2: #repeat i THREE without #end"),
            ("#repeat i 1\n#else\n#end\n", "1: #repeat i 1 without #end"),
            ("a\n\n#end\n", "3: #end without #repeat or #if"),
            ("#if 1\n#else\n#else\n#end\n", "1: #if 1 without #end"),
            ("#else\n", "1: #else without #repeat or #if"),
            ("#repeat i\n#end\n", "1: #repeat i: expected a name and a count"),
            ("#repeat i FOUR\n#end\n", "1: FOUR is no define of the dispatch"),
            ("#repeat i 1\n#if THREE == FOUR\n#end\n#end\n", "2: FOUR is no define of the dispatch"),
            ("a\nb $FOURu\n", "2: FOUR is no define of the dispatch"),
            ("#define A\n", "1: #define A: expected #repeat NAME COUNT, #if, #else or #end"),
        ] {
            assert_eq!(unrolled(text), Err(format!("wgsl/a.wgsl:{wanted}")), "{text}");
        }
    }
}

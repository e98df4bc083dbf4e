//! Messages of several lines: between two `"""`, or with a backslash at the end of all lines but the last.

const QUOTES: &str = "\"\"\"";

/// Whether more lines belong to the message.
pub fn is_open(text: &str) -> bool {
    match text.trim_start().strip_prefix(QUOTES) {
        Some(rest) => !rest.trim_end().ends_with(QUOTES),
        None => text.ends_with('\\'),
    }
}

/// The message itself.
pub fn message(text: &str) -> String {
    let trimmed = text.trim();
    match trimmed.strip_prefix(QUOTES) {
        Some(rest) => rest.strip_suffix(QUOTES).unwrap_or(rest).trim_matches(['\r', '\n']).into(),
        None => {
            let lines: Vec<_> = trimmed.lines().collect();
            let last = lines.len().saturating_sub(1);
            let joined = |(at, line): (usize, &&str)| match at == last {
                true => line.to_string(),
                false => line.strip_suffix('\\').unwrap_or(line).to_owned() + "\n",
            };
            lines.iter().enumerate().map(joined).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_lines_together() {
        for open in ["\"\"\"", "\"\"\"a", " \"\"\"a\nb\"\"", "a\\", "a\\\nb\\"] {
            assert!(is_open(open), "{open:?}");
        }
        for closed in ["", "a", "\"\"\"a\"\"\"", "\"\"\"\na\n\"\"\" ", "a\\\nb", "say \"\"\""] {
            assert!(!is_open(closed), "{closed:?}");
        }
    }

    #[test]
    fn what_holds_lines_together_is_no_part_of_the_message() {
        let cases = [
            ("  hello ", "hello"),
            ("\"\"\"\n a\n\nb\n\"\"\"", " a\n\nb"),
            ("\"\"\"a\"\"\"", "a"),
            ("a\\\nb\\\nc", "a\nb\nc"),
            ("pasted\nlines", "pasted\nlines"),
            ("\"\"\"never closed\n", "never closed"),
        ];
        for (text, want) in cases {
            assert_eq!(message(text), want, "{text:?}");
        }
    }
}

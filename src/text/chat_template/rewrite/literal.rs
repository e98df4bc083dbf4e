//! Literal texts: what a backslash means in Python.

use std::{iter::Peekable, str::Chars};

/// The literal as the template engine reads it. `None` if both read it alike.
pub(super) fn rewritten(literal: &str) -> Result<Option<String>, String> {
    if !literal.contains('\\') {
        return Ok(None);
    }
    let quote = &literal[..1];
    let mut output = quote.to_owned();
    let mut continued = 0;
    let mut characters = literal[1..literal.len() - 1].chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' {
            output.push(character);
            continue;
        }
        let Some(escape) = characters.next() else { continue };
        if escape == '\n' {
            continued += 1;
        } else {
            push(&mut output, escape, &mut characters)?;
        }
    }
    output.push_str(quote);
    // The lines after it keep their numbers.
    output.extend(std::iter::repeat_n('\n', continued));
    Ok(Some(output))
}

fn push(output: &mut String, escape: char, rest: &mut Peekable<Chars>) -> Result<(), String> {
    let code = match escape {
        'a' => 7,
        'b' => 8,
        't' => 9,
        'n' => 10,
        'v' => 11,
        'f' => 12,
        'r' => 13,
        '0'..='7' => octal(escape, rest),
        'x' => hexadecimal(escape, rest, 2)?,
        'u' => surrogates(hexadecimal(escape, rest, 4)?, rest)?,
        'U' => hexadecimal(escape, rest, 8)?,
        'N' => return Err("\\N{…} in a literal is not supported: write the character itself".into()),
        '\\' | '\'' | '"' => {
            output.extend(['\\', escape]);
            return Ok(());
        }
        other => {
            output.extend(['\\', '\\', other]);
            return Ok(());
        }
    };
    let character = char::from_u32(code).ok_or_else(|| format!("a literal has \\{escape} of no character"))?;
    match character {
        '\\' | '\'' | '"' => output.extend(['\\', character]),
        _ if character.is_ascii_control() => *output += &format!("\\u{code:04x}"),
        _ => output.push(character),
    }
    Ok(())
}

fn octal(first: char, rest: &mut Peekable<Chars>) -> u32 {
    let mut code = first.to_digit(8).unwrap_or_default();
    for _ in 0..2 {
        let Some(digit) = rest.peek().and_then(|next| next.to_digit(8)) else { break };
        rest.next();
        code = code * 8 + digit;
    }
    code
}

fn hexadecimal(escape: char, rest: &mut Peekable<Chars>, digits: usize) -> Result<u32, String> {
    let mut code = 0;
    for _ in 0..digits {
        let digit = rest.next_if(char::is_ascii_hexdigit).and_then(|next| next.to_digit(16));
        let short = || format!("a literal has \\{escape} with fewer than {digits} hexadecimal digits");
        code = code << 4 | digit.ok_or_else(short)?;
    }
    Ok(code)
}

/// The character of a pair of surrogates, if this is the first one and the second follows.
fn surrogates(code: u32, rest: &mut Peekable<Chars>) -> Result<u32, String> {
    let mut ahead = rest.clone();
    if !(0xd800..0xdc00).contains(&code) || ahead.next() != Some('\\') || ahead.next() != Some('u') {
        return Ok(code);
    }
    let low = hexadecimal('u', &mut ahead, 4)?;
    if !(0xdc00..0xe000).contains(&low) {
        return Ok(code);
    }
    *rest = ahead;
    Ok(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00))
}

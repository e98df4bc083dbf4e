//! Methods of a text that ask what its characters are.

use minijinja::{Error, Value};

use super::{super::repr::prints, Call, is_space};

pub(super) const NAMES: &[&str] = &[
    "isalpha",
    "isalnum",
    "isdigit",
    "isdecimal",
    "isnumeric",
    "islower",
    "isupper",
    "isspace",
    "isascii",
    "isprintable",
    "isidentifier",
];

pub(super) fn call(call: &Call) -> Option<Result<Value, Error>> {
    let text = call.text;
    let all = |holds: fn(char) -> bool| !text.is_empty() && text.chars().all(holds);
    let any = |holds: fn(char) -> bool| text.chars().any(holds);
    let holds = match call.method {
        "isalpha" => all(is_alphabetic),
        "isalnum" => all(|character| is_alphabetic(character) || is_numeric(character)),
        "isdigit" => all(|character| is_decimal(character) || is_other_digit(character)),
        "isdecimal" => all(is_decimal),
        "isnumeric" => all(is_numeric),
        "islower" => any(char::is_lowercase) && !any(char::is_uppercase),
        "isupper" => any(char::is_uppercase) && !any(char::is_lowercase),
        "isspace" => all(is_space),
        "isascii" => text.is_ascii(),
        "isprintable" => text.chars().all(prints),
        "isidentifier" => {
            let word = |character: char| character == '_' || is_alphabetic(character);
            text.starts_with(word) && text.chars().all(|character| word(character) || is_decimal(character))
        }
        _ => return None,
    };
    Some(call.bare().map(|()| holds.into()))
}

/// Letters. Rust counts marks and letter-like numbers too, such as the Roman ones.
fn is_alphabetic(character: char) -> bool {
    character.is_alphabetic() && !matches!(character, '\u{2160}'..='\u{2188}' | '\u{24b6}'..='\u{24e9}' | '\u{345}')
}

/// The first digit of each run of ten decimal digits. Above ASCII, these are the scripts in common use.
const ZEROS: [u32; 32] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xff10,
];

fn is_decimal(character: char) -> bool {
    let code = u32::from(character);
    ZEROS.iter().any(|zero| (*zero..zero + 10).contains(&code)) || matches!(code, 0x1d7ce..=0x1d7ff)
}

/// Digits that are no decimals: raised, lowered and in circles.
fn is_other_digit(character: char) -> bool {
    matches!(
        character,
        '²' | '³' | '¹' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}' | '\u{2460}'..='\u{2468}'
            | '\u{2474}'..='\u{247c}' | '\u{2488}'..='\u{2490}' | '\u{2776}'..='\u{277e}'
    )
}

/// Characters with a number as their value: digits, fractions, Roman and Chinese numbers.
fn is_numeric(character: char) -> bool {
    const CHINESE: &str = "〇零一二三四五六七八九十百千万萬億兆壹貳參肆伍陸柒捌玖拾佰仟两兩廿卅";
    character.is_numeric() || is_decimal(character) || is_other_digit(character) || CHINESE.contains(character)
}

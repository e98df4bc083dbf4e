//! Methods of a text about upper and lower case.

use minijinja::{Error, Value};

use super::Call;

pub(super) const NAMES: &[&str] = &["upper", "lower", "casefold", "swapcase", "capitalize", "title", "istitle"];

pub(super) fn call(call: &Call) -> Option<Result<Value, Error>> {
    let change: fn(&str) -> Value = match call.method {
        "upper" => |text| text.to_uppercase().into(),
        "lower" => |text| text.to_lowercase().into(),
        "casefold" => |text| casefold(text).into(),
        "swapcase" => |text| swapcase(text).into(),
        "capitalize" => |text| capitalize(text).into(),
        "title" => |text| title(text).into(),
        "istitle" => |text| is_title(text).into(),
        _ => return None,
    };
    Some(call.bare().map(|()| change(call.text)))
}

/// Letters of which one is two: upper, title and lower case.
const DIGRAPHS: [[char; 3]; 4] = [['Ǆ', 'ǅ', 'ǆ'], ['Ǉ', 'ǈ', 'ǉ'], ['Ǌ', 'ǋ', 'ǌ'], ['Ǳ', 'ǲ', 'ǳ']];

fn is_title_case(character: char) -> bool {
    DIGRAPHS.iter().any(|[_, title, _]| *title == character)
}

fn is_cased(character: char) -> bool {
    character.is_lowercase() || character.is_uppercase() || is_title_case(character)
}

/// The form of a letter at the beginning of a word.
fn push_title_case(character: char, output: &mut String) {
    if let Some([_, title, _]) = DIGRAPHS.iter().find(|forms| forms.contains(&character)) {
        output.push(*title);
        return;
    }
    let mut upper = character.to_uppercase();
    output.extend(upper.next());
    output.extend(upper.flat_map(char::to_lowercase));
}

/// The first character in title case, the others in lower case.
pub(in super::super) fn capitalize(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut characters = text.chars();
    if let Some(first) = characters.next() {
        push_title_case(first, &mut output);
        // As a whole, since a sigma at the end has a form of its own.
        let lower = text.to_lowercase();
        output.push_str(&lower[first.to_lowercase().map(char::len_utf8).sum()..]);
    }
    output
}

/// Each run of letters with its first one in title case. An apostrophe ends a run.
fn title(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(is_cased) {
        let (before, word) = rest.split_at(begin);
        let end = word.find(|character| !is_cased(character)).unwrap_or(word.len());
        output.push_str(before);
        output.push_str(&capitalize(&word[..end]));
        rest = &word[end..];
    }
    output + rest
}

fn is_title(text: &str) -> bool {
    let (mut inside, mut any) = (false, false);
    for character in text.chars() {
        if (character.is_uppercase() || is_title_case(character)) && inside {
            return false;
        }
        if character.is_lowercase() && !inside {
            return false;
        }
        inside = is_cased(character);
        any |= inside;
    }
    any
}

fn swapcase(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let lower = |text: &str, at: usize, character: char| {
        // A sigma at the end of a word has a form of its own.
        let before = text[..at].chars().next_back().is_some_and(is_cased);
        let after = text[at + character.len_utf8()..].chars().next().is_some_and(is_cased);
        if character == 'Σ' && before && !after { "ς".into() } else { character.to_lowercase().collect::<String>() }
    };
    for (at, character) in text.char_indices() {
        match character {
            _ if character.is_uppercase() => output += &lower(text, at, character),
            _ if character.is_lowercase() => output.extend(character.to_uppercase()),
            _ => output.push(character),
        }
    }
    output
}

/// Lower case for comparisons: it has one form of sigma, and no sharp s.
fn casefold(text: &str) -> String {
    let fold = |character: char| -> String {
        match character {
            'ς' => "σ".into(),
            // Ligatures and the sharp s become their letters.
            'ß' | 'ẞ' | 'ŉ' | 'ǰ' | 'ﬀ'..='ﬆ' => {
                character.to_uppercase().flat_map(char::to_lowercase).collect::<String>().replace("ẞ", "ss")
            }
            'ſ' => "s".into(),
            _ => character.to_lowercase().collect(),
        }
    };
    text.chars().map(|character| if character == 'ẞ' { "ss".into() } else { fold(character) }).collect()
}

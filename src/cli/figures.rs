//! Numbers as people read them: digits in groups of three, and not more of them than one takes in.

pub use bimetal::low_level::hub::size_text as size;
use indicatif::HumanCount;

/// What stands for a figure that does not exist.
const NONE: &str = "-";

/// A whole number as in `12,345`.
pub fn count(number: impl Into<u64>) -> String {
    HumanCount(number.into()).to_string()
}

/// A count and its noun, as in `1 token` or `12,000 tokens`.
pub fn counted(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", HumanCount(number as u64), if number == 1 { "" } else { "s" })
}

/// A number with so many decimal places, as in `12,345.6`; `-` for one that is not finite.
pub fn fixed(value: f64, places: usize) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    let text = grouped(&format!("{value:.places$}"));
    // A zero has no sign.
    if text.contains(|digit| ('1'..='9').contains(&digit)) { text } else { text.trim_start_matches('-').into() }
}

/// A published number with the places that it has.
pub fn exact(value: f64) -> String {
    grouped(&value.to_string())
}

/// The digits of a decimal number before its point in groups of three.
fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let (integer, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let integer = integer.parse::<u64>().map_or_else(|_| integer.into(), count);
    format!("{sign}{integer}{fraction}")
}

/// A positive number with three digits or more, as in `12,345`, `12.3` and `0.012`; never a zero for what is not zero.
pub fn short(value: f64) -> String {
    const MIN_SHOWN: f64 = 0.0005;
    match value {
        0.0 => "0".into(),
        value if value.abs() < MIN_SHOWN => "<0.001".into(),
        value if value.abs() < 9.995 => fixed(value, if value.abs() < 0.9995 { 3 } else { 2 }),
        value if value.abs() < 99.95 => fixed(value, 1),
        value => fixed(value, 0),
    }
}

/// The same of a figure that may not exist.
pub fn short_or_none(value: Option<f64>) -> String {
    value.map_or(NONE.into(), short)
}

/// A speed in tokens a second: with a decimal place up to 1,000.
pub fn rate(value: f64) -> String {
    fixed(value, if value < 999.95 { 1 } else { 0 })
}

/// A number of parameters in words.
pub fn scaled(number: u64) -> String {
    match number {
        0..10_000 => count(number),
        10_000..1_000_000 => format!("{:.1} K", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", number as f64 / 1e6),
        _ => format!("{} B", fixed(number as f64 / 1e9, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agree_with_their_nouns() {
        assert_eq!((counted(0, "token"), counted(1, "token")), ("0 tokens".into(), "1 token".into()));
        assert_eq!(counted(12_345, "token"), "12,345 tokens");
    }

    #[test]
    fn digits_are_in_groups() {
        let cases = [(0.0, 1, "0.0"), (999.96, 1, "1,000.0"), (1_234_567.0, 0, "1,234,567"), (-1234.5, 2, "-1,234.50")];
        for (value, places, text) in cases {
            assert_eq!(fixed(value, places), text);
        }
        assert_eq!(
            (fixed(-0.001, 1), fixed(f64::NAN, 1), fixed(f64::INFINITY, 0)),
            ("0.0".into(), "-".into(), "-".into())
        );
        assert_eq!([68.25, 4800.0, 989.4].map(exact), ["68.25", "4,800", "989.4"]);
        assert_eq!((rate(999.94), rate(999.96), rate(12_345.6)), ("999.9".into(), "1,000".into(), "12,346".into()));
    }

    #[test]
    fn short_numbers_have_three_digits_and_are_no_zeros() {
        let cases = [
            (0.0, "0"),
            (0.0001, "<0.001"),
            (0.0123, "0.012"),
            (0.9996, "1.00"),
            (9.996, "10.0"),
            (99.96, "100"),
            (12_345.6, "12,346"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
        assert_eq!(short_or_none(None), "-");
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let sizes = [0, 1023, 1 << 10, 1 << 20, 1023 << 20, 3 << 41].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1023.0 MiB", "6144.0 GiB"]);
        assert_eq!([9_999, 7_906_608, 26_900_000_000].map(scaled), ["9,999", "7.9 M", "26.9 B"]);
    }
}

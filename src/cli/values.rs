//! Values of flags. An error names the range and the way out; clap adds the flag and what was given.

use std::{
    fmt::Display,
    num::{IntErrorKind, ParseIntError},
    ops::RangeInclusive,
};

use super::figures::count;

/// A parser for whole numbers in a range. The hint says what to do instead, or is empty.
pub fn whole<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
    hint: &'static str,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let parsed = text.parse();
        let is_large = is_overflow(&parsed) || parsed.as_ref().is_ok_and(|number| number > range.end());
        let number = parsed.ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let names_last = is_large || *range.end() < u64::from(u32::MAX);
            hinted(whole_range(*range.start(), names_last.then_some(*range.end())), hint)
        })
    }
}

/// A range of whole numbers in words. An upper limit that nobody reaches is only named to those who pass it.
fn whole_range(first: u64, last: Option<u64>) -> String {
    let first = count(first);
    match last {
        Some(last) => format!("a whole number from {first} to {}", count(last)),
        None => format!("a whole number from {first} up"),
    }
}

/// Whether a text is a whole number that is too large for its type.
fn is_overflow<T>(parsed: &Result<T, ParseIntError>) -> bool {
    parsed.as_ref().is_err_and(|error| *error.kind() == IntErrorKind::PosOverflow)
}

/// The limit of tokens: at least one, or -1 for none.
pub fn limit(text: &str) -> Result<usize, String> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(usize::MAX),
        Ok(limit) if limit > 0 => Ok(limit as usize),
        parsed => {
            let last = is_overflow(&parsed).then_some(i64::MAX as u64);
            Err(hinted(whole_range(1, last), "-1 is no limit but the context"))
        }
    }
}

/// The seed of a random choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seed {
    /// Another one each time.
    Random,
    /// This one.
    Fixed(u64),
}

impl Seed {
    /// Parses a seed; -1 is a random one.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seed) => Ok(Self::Fixed(seed)),
            Err(_) if text == "-1" => Ok(Self::Random),
            parsed => {
                let last = is_overflow(&parsed).then_some(u64::MAX);
                Err(hinted(whole_range(0, last), "-1 takes a random seed"))
            }
        }
    }
}

/// The range of a number with a fraction.
pub struct Number {
    /// What the number is called.
    pub name: &'static str,
    /// The smallest value, or the bound that is not a value any more.
    pub low: f32,
    /// The largest value.
    pub high: f32,
    /// Whether `low` itself is out of range.
    pub above: bool,
    /// What a special value means.
    pub hint: &'static str,
}

impl Number {
    /// Parses a number in the range.
    pub fn parse(&self, text: &str) -> Result<f32, String> {
        let is_tiny = |number: &f32| number.abs() < f32::MIN_POSITIVE && has_digit(text);
        let fits = |number: &f32| (self.low..=self.high).contains(number) && !(self.above && *number == self.low);
        let parsed = text.parse::<f32>().ok();
        let is_lost = parsed.as_ref().is_some_and(is_tiny);
        // The sum with zero has no sign if it is zero.
        parsed.filter(|number| !is_lost && fits(number)).map(|number| number + 0.0).ok_or_else(|| {
            let (low, high) = (self.low, self.high);
            let range = if self.above {
                format!("a number above {low}, at most {high}")
            } else {
                format!("a number from {low} to {high}")
            };
            if is_lost {
                // It would become zero without a word, which means something else.
                return hinted(range, &format!("the nearest to 0 is {}", written(f32::MIN_POSITIVE)));
            }
            hinted(range, self.hint)
        })
    }
}

/// Whether a number as typed has a digit other than zero before its exponent.
fn has_digit(text: &str) -> bool {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    mantissa.contains(|digit| ('1'..='9').contains(&digit))
}

/// A number with a fraction as a user would type it: with an exponent if it is tiny or huge.
pub fn written(value: f32) -> String {
    let text = format!("{:?}", value + 0.0);
    text.strip_suffix(".0").map_or(text.clone(), String::from)
}

fn hinted(range: impl Display, hint: &str) -> String {
    if hint.is_empty() { format!("expected {range}") } else { format!("expected {range}; {hint}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_typed() {
        let cases = [(0.0, "0"), (-0.0, "0"), (1.0, "1"), (0.7, "0.7"), (-2.0, "-2"), (100.0, "100"), (1e-30, "1e-30")];
        for (value, text) in cases {
            assert_eq!(written(value), text);
        }
    }

    #[test]
    fn minus_one_is_no_limit_and_a_random_seed() {
        assert_eq!((limit("-1"), limit("7")), (Ok(usize::MAX), Ok(7)));
        assert!(limit("0").is_err() && limit("-2").is_err() && limit("x").is_err());
        assert_eq!(
            (Seed::parse("-1"), Seed::parse("18446744073709551615")),
            (Ok(Seed::Random), Ok(Seed::Fixed(u64::MAX)))
        );
        assert!(Seed::parse("-2").is_err());
    }
}

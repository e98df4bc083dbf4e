//! Values of flags. An error names the range and the way out; clap adds the flag and what was given.

use std::{fmt::Display, ops::RangeInclusive};

use super::figures::count;

/// A parser for whole numbers in a range. The hint says what to do instead, or is empty.
pub fn whole<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
    hint: &'static str,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let (first, last) = (count(*range.start()), count(*range.end()));
            let open = *range.end() >= u64::from(u32::MAX);
            hinted(
                if open {
                    format!("a whole number from {first} up")
                } else {
                    format!("a whole number from {first} to {last}")
                },
                hint,
            )
        })
    }
}

/// The limit of tokens: at least one, or -1 for none.
pub fn limit(text: &str) -> Result<usize, String> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(usize::MAX),
        Ok(limit) if limit > 0 => Ok(limit as usize),
        _ => Err(hinted("a whole number from 1 up", "-1 is no limit but the context")),
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
            Err(_) => Err(hinted("a whole number from 0 up", "-1 takes a random seed")),
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
        let fits = |number: &f32| (self.low..=self.high).contains(number) && !(self.above && *number == self.low);
        text.parse().ok().filter(fits).ok_or_else(|| {
            let (low, high) = (self.low, self.high);
            let range = if self.above {
                format!("a number above {low}, at most {high}")
            } else {
                format!("a number from {low} to {high}")
            };
            hinted(range, self.hint)
        })
    }
}

fn hinted(range: impl Display, hint: &str) -> String {
    if hint.is_empty() { format!("expected {range}") } else { format!("expected {range}; {hint}") }
}

#[cfg(test)]
mod tests {
    use super::*;

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

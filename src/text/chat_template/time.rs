//! The date, for templates that write it into the system message.

use web_time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Python's `strftime`, but in UTC (Python uses the local time zone), with the directives that templates use. Any other
/// directive is an error that names it.
pub(super) fn strftime(seconds: u64, format: &str) -> Result<String, String> {
    let days = seconds / 86_400;
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (month_name, day_name) = (MONTHS[month as usize - 1], DAYS[(days % 7) as usize]);
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        text += &match characters.next() {
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year % 100),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('B') => month_name.to_owned(),
            Some('b') => month_name[..3].to_owned(),
            Some('A') => day_name.to_owned(),
            Some('a') => day_name[..3].to_owned(),
            Some('H') => format!("{hour:02}"),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('%') => "%".to_owned(),
            other => return Err(format!("%{} is not supported", other.map_or(String::new(), String::from))),
        };
    }
    Ok(text)
}

/// Year, month and day of a day number since 1970. Internally the year begins in March, so that the leap day is last
/// (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::strftime;

    #[test]
    fn writes_what_python_writes() {
        let all = "%Y-%m-%d %H:%M:%S %y %B %b %A %a %%";
        let expected = [
            (0, "1970-01-01 00:00:00 70 January Jan Thursday Thu %"),
            (951_782_399, "2000-02-28 23:59:59 00 February Feb Monday Mon %"),
            (951_782_400, "2000-02-29 00:00:00 00 February Feb Tuesday Tue %"),
            (1_767_225_599, "2025-12-31 23:59:59 25 December Dec Wednesday Wed %"),
        ];
        for (seconds, text) in expected {
            assert_eq!(strftime(seconds, all).as_deref(), Ok(text));
        }
        assert_eq!(strftime(0, "%Q"), Err("%Q is not supported".to_owned()));
    }
}

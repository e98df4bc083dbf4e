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
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// The parts of a time.
struct Time {
    year: u64,
    month: u64,
    day: u64,
    /// 0 is Sunday.
    weekday: u64,
    /// 1 is the first of January.
    day_of_year: u64,
    hour: u64,
    minute: u64,
    second: u64,
    seconds: u64,
}

impl Time {
    fn of(seconds: u64) -> Time {
        let days = seconds / 86_400;
        let (year, month, day) = civil(days);
        let before = (1..).take_while(|earlier| civil(days - earlier.min(&days)).0 == year && *earlier <= days).count();
        Time {
            year,
            month,
            day,
            weekday: (days + 4) % 7,
            day_of_year: before as u64 + 1,
            hour: seconds / 3600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            seconds,
        }
    }

    /// Hours of a clock with twelve.
    fn half_day_hour(&self) -> u64 {
        (self.hour + 11) % 12 + 1
    }

    /// Year and number of the week that the standard ISO 8601 counts: the first one has four days of its year.
    fn iso_week(&self) -> (u64, u64) {
        let weekday = (self.weekday + 6) % 7;
        let thursday = self.seconds / 86_400 + 3 - weekday.min(self.seconds / 86_400 + 3);
        let (year, _, _) = civil(thursday);
        (year, (Time::of(thursday * 86_400).day_of_year - 1) / 7 + 1)
    }

    /// The number of a directive, its width, and what fills it.
    fn number(&self, directive: char) -> Option<(u64, usize, char)> {
        Some(match directive {
            'Y' => (self.year, 1, '0'),
            'C' => (self.year / 100, 2, '0'),
            'y' => (self.year % 100, 2, '0'),
            'm' => (self.month, 2, '0'),
            'd' => (self.day, 2, '0'),
            'e' => (self.day, 2, ' '),
            'H' => (self.hour, 2, '0'),
            'k' => (self.hour, 2, ' '),
            'I' => (self.half_day_hour(), 2, '0'),
            'l' => (self.half_day_hour(), 2, ' '),
            'M' => (self.minute, 2, '0'),
            'S' => (self.second, 2, '0'),
            'j' => (self.day_of_year, 3, '0'),
            'w' => (self.weekday, 1, '0'),
            'u' => ((self.weekday + 6) % 7 + 1, 1, '0'),
            'U' => ((self.day_of_year + 6 - self.weekday) / 7, 2, '0'),
            'W' => ((self.day_of_year + 6 - (self.weekday + 6) % 7) / 7, 2, '0'),
            'G' => (self.iso_week().0, 1, '0'),
            'g' => (self.iso_week().0 % 100, 2, '0'),
            'V' => (self.iso_week().1, 2, '0'),
            'f' => (0, 6, '0'),
            's' => (self.seconds, 1, '0'),
            _ => return None,
        })
    }

    /// The text of a directive that is no number.
    fn text(&self, directive: char) -> Option<String> {
        let month = MONTHS[self.month as usize - 1];
        let day = DAYS[self.weekday as usize];
        let all = |format| strftime(self.seconds, format).ok();
        Some(match directive {
            'B' => month.to_owned(),
            'b' | 'h' => month[..3].to_owned(),
            'A' => day.to_owned(),
            'a' => day[..3].to_owned(),
            'p' => if self.hour < 12 { "AM" } else { "PM" }.to_owned(),
            'P' => if self.hour < 12 { "am" } else { "pm" }.to_owned(),
            'c' => return all("%a %b %e %H:%M:%S %Y"),
            'D' | 'x' => return all("%m/%d/%y"),
            'F' => return all("%Y-%m-%d"),
            'T' | 'X' => return all("%H:%M:%S"),
            'R' => return all("%H:%M"),
            'r' => return all("%I:%M:%S %p"),
            // Python's clock here has no time zone.
            'z' | 'Z' => String::new(),
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            '%' => "%".to_owned(),
            _ => return None,
        })
    }
}

/// Python's `strftime` in English, but in UTC (Python uses the local time zone). A flag before a directive changes its
/// fill or its case. An unknown directive is an error that names it.
pub(super) fn strftime(seconds: u64, format: &str) -> Result<String, String> {
    let time = Time::of(seconds);
    let mut output = String::new();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            output.push(character);
            continue;
        }
        let flag = characters.next_if(|flag| "-_0^#".contains(*flag));
        let directive = characters.next();
        let unknown = || {
            let shown: String = flag.into_iter().chain(directive).collect();
            format!("%{shown} is not supported")
        };
        let directive = directive.ok_or_else(unknown)?;
        if let Some((number, width, fill)) = time.number(directive) {
            let number = number.to_string();
            let missing = if flag == Some('-') { 0 } else { width.saturating_sub(number.len()) };
            let fill = match flag {
                Some('_') => ' ',
                Some('0') => '0',
                _ => fill,
            };
            output.extend(std::iter::repeat_n(fill, missing));
            output.push_str(&number);
        } else {
            let text = time.text(directive).ok_or_else(unknown)?;
            output.push_str(&match flag {
                Some('^') => text.to_uppercase(),
                Some('#') if directive == 'p' => text.to_lowercase(),
                Some('#') => text.to_uppercase(),
                _ => text,
            });
        }
    }
    Ok(output)
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
        let numbers = "%I|%p|%j|%-d|%_d|%e|%k|%l|%-I|%w|%u|%U|%W|%G|%g|%V|%C|%f";
        let expected = [
            (0, "12|AM|001|1| 1| 1| 0|12|12|4|4|00|00|1970|70|01|19|000000"),
            (951_782_399, "11|PM|059|28|28|28|23|11|11|1|1|09|09|2000|00|09|20|000000"),
            (1_767_225_599, "11|PM|365|31|31|31|23|11|11|3|3|52|52|2026|26|01|20|000000"),
            (1_704_067_200, "12|AM|001|1| 1| 1| 0|12|12|1|1|00|01|2024|24|01|20|000000"),
            (1_609_459_200, "12|AM|001|1| 1| 1| 0|12|12|5|5|00|00|2020|20|53|20|000000"),
            (1_720_000_000, "09|AM|185|3| 3| 3| 9| 9|9|3|3|26|27|2024|24|27|20|000000"),
            (1_230_768_000, "12|AM|001|1| 1| 1| 0|12|12|4|4|00|00|2009|09|01|20|000000"),
        ];
        for (seconds, text) in expected {
            assert_eq!(strftime(seconds, numbers).as_deref(), Ok(text));
        }
        let words = "%h|%c|%x|%X|%R|%^a|%#p|%z%Z";
        let expected = [
            (0, "Jan|Thu Jan  1 00:00:00 1970|01/01/70|00:00:00|00:00|THU|am|"),
            (951_782_399, "Feb|Mon Feb 28 23:59:59 2000|02/28/00|23:59:59|23:59|MON|pm|"),
            (1_767_225_599, "Dec|Wed Dec 31 23:59:59 2025|12/31/25|23:59:59|23:59|WED|pm|"),
            (1_704_067_200, "Jan|Mon Jan  1 00:00:00 2024|01/01/24|00:00:00|00:00|MON|am|"),
            (1_609_459_200, "Jan|Fri Jan  1 00:00:00 2021|01/01/21|00:00:00|00:00|FRI|am|"),
            (1_720_000_000, "Jul|Wed Jul  3 09:46:40 2024|07/03/24|09:46:40|09:46|WED|am|"),
            (1_230_768_000, "Jan|Thu Jan  1 00:00:00 2009|01/01/09|00:00:00|00:00|THU|am|"),
        ];
        for (seconds, text) in expected {
            assert_eq!(strftime(seconds, words).as_deref(), Ok(text));
        }
        let short = "%D|%F|%T|%r";
        let expected = [
            (0, "01/01/70|1970-01-01|00:00:00|12:00:00 AM"),
            (951_782_399, "02/28/00|2000-02-28|23:59:59|11:59:59 PM"),
            (1_767_225_599, "12/31/25|2025-12-31|23:59:59|11:59:59 PM"),
            (1_704_067_200, "01/01/24|2024-01-01|00:00:00|12:00:00 AM"),
            (1_609_459_200, "01/01/21|2021-01-01|00:00:00|12:00:00 AM"),
            (1_720_000_000, "07/03/24|2024-07-03|09:46:40|09:46:40 AM"),
            (1_230_768_000, "01/01/09|2009-01-01|00:00:00|12:00:00 AM"),
        ];
        for (seconds, text) in expected {
            assert_eq!(strftime(seconds, short).as_deref(), Ok(text));
        }
        assert_eq!(strftime(0, "%n%t").as_deref(), Ok("\n\t"));
        assert_eq!(strftime(0, "%Q"), Err("%Q is not supported".to_owned()));
        assert_eq!(strftime(0, "%-"), Err("%- is not supported".to_owned()));
    }
}

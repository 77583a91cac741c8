//! Numbers of a sheet as a reader sees them: dates and times by their number format in ISO 8601, other numbers as stored.
//!
//! Decimal places, currency and percent signs of the format are not applied: the stored number is the more exact one.

/// What a number format makes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Plain,
    /// Date, time or both.
    Moment,
    /// Hours that go past 24: `[h]:mm`.
    Duration,
}

/// Formats that every reader knows by number.
pub fn builtin(id: u32) -> Format {
    match id {
        14..=22 | 27..=36 | 45 | 47 | 50..=58 => Format::Moment,
        46 => Format::Duration,
        _ => Format::Plain,
    }
}

/// Reads a format code: letters of a date outside quotes, brackets and escapes make a moment.
pub fn of_code(code: &str) -> Format {
    let mut chars = code.chars();
    let mut letters = String::new();
    while let Some(char) = chars.next() {
        match char {
            '"' => {
                let _ = chars.by_ref().find(|char| *char == '"');
            }
            '\\' | '_' | '*' => {
                let _ = chars.next();
            }
            '[' => {
                let inner: String = chars.by_ref().take_while(|char| *char != ']').collect();
                let inner = inner.to_ascii_lowercase();
                if !inner.is_empty() && inner.chars().all(|char| matches!(char, 'h' | 'm' | 's')) {
                    return Format::Duration;
                }
            }
            // Positive numbers decide.
            ';' => break,
            char => letters.extend(char.to_lowercase()),
        }
    }
    if letters.trim() == "general" || letters.contains("am/pm") && !letters.contains('h') {
        return Format::Plain;
    }
    let moment = letters.contains(['d', 'm', 'y', 'h', 's']);
    if moment {
        Format::Moment
    } else {
        Format::Plain
    }
}

/// A stored number as text.
pub fn show(stored: &str, format: Format, from_1904: bool) -> String {
    let stored = stored.trim();
    let Ok(value) = stored.parse::<f64>() else {
        return stored.to_owned();
    };
    let shown = match format {
        Format::Plain => None,
        Format::Moment => moment(value, from_1904),
        Format::Duration => duration(value),
    };
    shown.unwrap_or_else(|| plain(stored, value))
}

/// The shortest form that reads back as the same number: files say 0.1 as 0.10000000000000001.
fn plain(stored: &str, value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if (1e-5..1e15).contains(&size) {
        value.to_string()
    } else {
        stored.to_owned()
    }
}

const DAY_S: i64 = 86_400;

fn moment(value: f64, from_1904: bool) -> Option<String> {
    // The last day that the format knows is 9999-12-31.
    if !(0.0..2_958_466.0).contains(&value) {
        return None;
    }
    let seconds = rounded(value * 86_400.0)?;
    let (mut day, second) = (seconds / DAY_S, seconds % DAY_S);
    if day == 0 && !from_1904 {
        return Some(clock(second));
    }
    // The format counts a 29 February 1900 that never was.
    day += match (from_1904, day) {
        (true, _) => 1462,
        (false, 1..=59) => 1,
        (false, _) => 0,
    };
    // Day 25,569 is 1970-01-01.
    let (year, month, date) = civil(day - 25_569);
    let date = format!("{year:04}-{month:02}-{date:02}");
    if second == 0 {
        Some(date)
    } else {
        Some(format!("{date}T{}", clock(second)))
    }
}

fn duration(value: f64) -> Option<String> {
    let seconds = rounded(value.abs() * 86_400.0)?;
    let sign = if value < 0.0 { "-" } else { "" };
    Some(format!("{sign}{}", clock(seconds)))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "bounded on the line before"
)]
fn rounded(value: f64) -> Option<i64> {
    (value.abs() < 1e15).then(|| value.round() as i64)
}

fn clock(seconds: i64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 {
        month_shifted + 3
    } else {
        month_shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, date)
}

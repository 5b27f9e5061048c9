//! Times and durations as people write and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// `20s`, `5m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time; write 20s, 5m or 1h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => number,
        "m" => number.saturating_mul(60),
        "h" => number.saturating_mul(3_600),
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(seconds))
}

/// A date and time, as programs read it.
pub(super) fn date(milliseconds: i64) -> String {
    at(milliseconds).and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// The time of a day, where the day is plain.
pub(super) fn clock(milliseconds: i64) -> String {
    let format = format_description!("[hour]:[minute]:[second] UTC");
    at(milliseconds).and_then(|time| time.format(&format).ok()).unwrap_or_default()
}

/// How long ago, or how much time: one unit is enough.
pub(super) fn span(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..120_000 => format!("{} s", milliseconds / 1_000),
        120_000..7_200_000 => format!("{} min", milliseconds / 60_000),
        7_200_000..172_800_000 => format!("{} h", milliseconds / 3_600_000),
        _ => format!("{} d", milliseconds / 86_400_000),
    }
}

/// How long it is until then; nothing if it is over.
pub(super) fn until(milliseconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    match u64::try_from(i128::from(milliseconds) - i128::try_from(now).unwrap_or(i128::MAX)) {
        Ok(left) => format!("in {}", span(left)),
        Err(_) => "over".into(),
    }
}

/// How long a certificate is good.
pub(super) fn left(days: i64) -> String {
    usize::try_from(days).map_or_else(|_| "expired".into(), |days| format!("{} left", counted(days, "day")))
}

/// `1 node`, `2 nodes`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn at(milliseconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(milliseconds / 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_spans() {
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "5", "s", "5ms", "-5s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        for (milliseconds, words) in [
            (999, "999 ms"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
        ] {
            assert_eq!(span(milliseconds), words);
        }
        assert_eq!(clock(43_390_000), "12:03:10 UTC");
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(until(0), "over");
        assert_eq!([-1, 0, 1, 2].map(left), ["expired", "0 days left", "1 day left", "2 days left"]);
    }
}

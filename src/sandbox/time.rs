//! Dates as Twilio writes and reads them.

use jiff::{Timestamp, civil, tz::TimeZone};

fn written(seconds: i64, format: &str) -> String {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).strftime(format).to_string()
}

/// `Mon, 13 Jun 2016 22:50:08 +0000`: the 2010 API and iam's keys.
pub fn rfc2822(seconds: i64) -> String {
    written(seconds, "%a, %d %b %Y %H:%M:%S +0000")
}

/// `2015-07-31T04:00:00Z`: product APIs, and keys in XML.
pub fn iso8601(seconds: i64) -> String {
    written(seconds, "%Y-%m-%dT%H:%M:%SZ")
}

/// A filter's value, in Unix seconds: from the first to the last second that it names, so that a day is a whole day.
/// `None` if it is neither a date nor a time.
pub fn span(text: &str) -> Option<(i64, i64)> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some((time.as_second(), time.as_second()));
    }
    let day: civil::Date = text.parse().ok()?;
    let start = day.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp().as_second();
    Some((start, start + 86_399))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings() {
        assert_eq!(rfc2822(1_465_858_208), "Mon, 13 Jun 2016 22:50:08 +0000");
        assert_eq!(iso8601(1_465_858_208), "2016-06-13T22:50:08Z");
    }

    #[test]
    fn a_day_is_a_span_and_a_time_a_point() {
        assert_eq!(span("2016-06-13"), Some((1_465_776_000, 1_465_862_399)));
        assert_eq!(span("2016-06-13T22:50:08Z"), Some((1_465_858_208, 1_465_858_208)));
        assert_eq!(span("yesterday"), None);
        assert_eq!(span(""), None);
    }
}

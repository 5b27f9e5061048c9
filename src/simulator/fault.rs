//! What can go wrong with the simulated service: names, values and how they are written. Pure.

use crate::rms::Operation;
use std::fmt;
use std::time::Duration;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An answer with this status and no SOAP in it; with 429 and 503 perhaps when to come again.
    Status(u16, Option<u32>),
    /// An answer that sends the caller elsewhere.
    Redirect(String),
    /// A page instead of a message, with status 200.
    Html,
    /// Status 200 and no bytes.
    Empty,
    /// A message that does not end.
    Endless,
    /// Half of the message; then the sending direction is closed.
    HalfClosed,
    /// Half of the message, which looks whole to HTTP.
    Cut,
    /// A page that says of itself that it is a message, and has an encoding.
    EncodedPage,
    /// A SOAP fault with status 200.
    Disguised,
    /// The connection is reset instead of an answer.
    Reset,
    /// The message comes in small pieces, over so long.
    Slow(Duration),
    /// There is never an answer.
    Silent,
    /// A SOAP fault with this exception.
    Soap(String),
    /// Every answer takes longer: from the first to the second of these.
    Latency(Duration, Duration),
    /// Nobody listens, for so long or until it is taken back.
    Refused(Option<Duration>),
    /// The certificate is a bad one. Only with TLS.
    Certificate(Certificate),
}

/// Which certificate a server with TLS shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Certificate {
    #[default]
    Good,
    Expired,
    WrongName,
    UnknownIssuer,
}

/// What is written about a fault: which one, and when it acts.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// As it was written.
    pub(super) text: String,
    pub(super) name: &'static str,
    pub(super) fault: Fault,
    /// The share of requests that it acts on.
    pub(super) rate: f64,
    /// On how many more requests it acts.
    pub(super) left: Option<u64>,
    /// Only on this operation.
    pub(super) operation: Option<&'static str>,
}

/// What was written is no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadFault(String);

struct Row {
    name: &'static str,
    value: &'static str,
    make: fn(Option<&str>) -> Option<Fault>,
}

/// Every fault, in the order in which they are listed.
const ROWS: &[Row] = &[
    Row { name: "401", value: "", make: |value| plain(value, Fault::Status(401, None)) },
    Row { name: "403", value: "", make: |value| plain(value, Fault::Status(403, None)) },
    Row { name: "404", value: "", make: |value| plain(value, Fault::Status(404, None)) },
    Row { name: "429", value: "[=SECONDS]", make: |value| status(429, value) },
    Row { name: "500", value: "", make: |value| plain(value, Fault::Status(500, None)) },
    Row { name: "502", value: "", make: |value| plain(value, Fault::Status(502, None)) },
    Row { name: "503", value: "[=SECONDS]", make: |value| status(503, value) },
    Row { name: "504", value: "", make: |value| plain(value, Fault::Status(504, None)) },
    Row {
        name: "redirect",
        value: "[=URL]",
        make: |value| Some(Fault::Redirect(value.unwrap_or(ELSEWHERE).to_owned())),
    },
    Row { name: "html", value: "", make: |value| plain(value, Fault::Html) },
    Row { name: "empty", value: "", make: |value| plain(value, Fault::Empty) },
    Row { name: "endless", value: "", make: |value| plain(value, Fault::Endless) },
    Row { name: "half-closed", value: "", make: |value| plain(value, Fault::HalfClosed) },
    Row { name: "cut", value: "", make: |value| plain(value, Fault::Cut) },
    Row { name: "encoded-page", value: "", make: |value| plain(value, Fault::EncodedPage) },
    Row { name: "fault-as-answer", value: "", make: |value| plain(value, Fault::Disguised) },
    Row { name: "reset", value: "", make: |value| plain(value, Fault::Reset) },
    Row { name: "slow", value: "=DURATION", make: |value| Some(Fault::Slow(duration(value?)?)) },
    Row { name: "silent", value: "", make: |value| plain(value, Fault::Silent) },
    Row { name: "fault", value: "=EXCEPTION", make: |value| Some(Fault::Soap(value?.to_owned())) },
    Row { name: "latency", value: "=DURATION[..DURATION]", make: latency },
    Row { name: "refused", value: "[=DURATION]", make: refused },
    Row { name: "certificate-expired", value: "", make: |value| bad(value, Certificate::Expired) },
    Row { name: "certificate-wrong-name", value: "", make: |value| bad(value, Certificate::WrongName) },
    Row {
        name: "certificate-unknown-issuer",
        value: "",
        make: |value| bad(value, Certificate::UnknownIssuer),
    },
];

impl Rule {
    /// Reads `NAME[=VALUE][,rate=SHARE][,next=N][,operation=WORD]`.
    ///
    /// # Errors
    /// What is wrong, with the names that there are.
    pub fn parse(text: &str) -> Result<Self, BadFault> {
        let mut parts = text.split(',').map(str::trim);
        let (name, value) = pair(parts.next().unwrap_or_default());
        let row = ROWS.iter().find(|row| row.name == name).ok_or_else(|| {
            BadFault(format!(
                "{name:?} is no fault; write one of: {}",
                names().collect::<Vec<_>>().join(", ")
            ))
        })?;
        let fault = (row.make)(value)
            .ok_or_else(|| BadFault(format!("{text:?} is not possible; write {}{}", row.name, row.value)))?;
        let mut rule =
            Rule { text: text.to_owned(), name: row.name, fault, rate: 1.0, left: None, operation: None };
        for part in parts {
            rule.restrict(part)?;
        }
        Ok(rule)
    }

    fn restrict(&mut self, part: &str) -> Result<(), BadFault> {
        let bad = |words: String| BadFault(format!("{part:?} is not possible; {words}"));
        match (&self.fault, pair(part)) {
            (Fault::Refused(_), _) => {
                return Err(bad("nobody listens to anything then: write refused[=DURATION]".into()));
            }
            (Fault::Certificate(_), ("operation", _)) => {
                return Err(bad("a handshake is of no operation; write rate=SHARE or next=N".into()));
            }
            _ => {}
        }
        match pair(part) {
            ("rate", Some(value)) => {
                self.rate = share(value).ok_or_else(|| bad("write rate=10% or rate=0.1".into()))?;
            }
            ("next", Some(value)) => {
                self.left = Some(value.parse().map_err(|_| bad("write next=N, a number".into()))?);
            }
            ("operation", Some(value)) => {
                let mut words = Operation::ALL.into_iter().map(Operation::word);
                self.operation = Some(words.find(|word| *word == value).ok_or_else(|| {
                    let words: Vec<_> = Operation::ALL.into_iter().map(Operation::word).collect();
                    bad(format!("write operation= and one of: {}", words.join(", ")))
                })?);
            }
            _ => return Err(bad("write rate=SHARE, next=N or operation=WORD".into())),
        }
        Ok(())
    }

    /// Whether it concerns connections and not requests.
    pub(super) fn is_of_connections(&self) -> bool {
        matches!(self.fault, Fault::Refused(_) | Fault::Certificate(_))
    }
}

/// Checks that none of these is for TLS alone.
///
/// # Errors
/// One is.
pub fn check_without_tls(rules: &[Rule]) -> Result<(), BadFault> {
    let shown = rules.iter().find(|rule| matches!(rule.fault, Fault::Certificate(_)));
    shown.map_or(Ok(()), |rule| {
        Err(BadFault(format!("{:?} is not possible without TLS; start it with --tls FOLDER", rule.text)))
    })
}

/// How each fault is written.
pub fn names() -> impl Iterator<Item = String> {
    ROWS.iter().map(|row| format!("{}{}", row.name, row.value))
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Certificate::Good => "certificate-good",
            Certificate::Expired => "certificate-expired",
            Certificate::WrongName => "certificate-wrong-name",
            Certificate::UnknownIssuer => "certificate-unknown-issuer",
        })
    }
}

fn pair(text: &str) -> (&str, Option<&str>) {
    text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)))
}

fn plain(value: Option<&str>, fault: Fault) -> Option<Fault> {
    value.is_none().then_some(fault)
}

fn bad(value: Option<&str>, certificate: Certificate) -> Option<Fault> {
    plain(value, Fault::Certificate(certificate))
}

fn status(status: u16, value: Option<&str>) -> Option<Fault> {
    let seconds = value.map(str::parse).transpose().ok()?;
    Some(Fault::Status(status, seconds))
}

fn latency(value: Option<&str>) -> Option<Fault> {
    let (least, most) = value.map(|value| value.split_once("..").unwrap_or((value, value)))?;
    let (least, most) = (duration(least)?, duration(most)?);
    (least <= most).then_some(Fault::Latency(least, most))
}

fn refused(value: Option<&str>) -> Option<Fault> {
    Some(Fault::Refused(value.map(|value| duration(value).ok_or(())).transpose().ok()?))
}

/// `250ms`, `5s`, `2m`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

fn share(text: &str) -> Option<f64> {
    let share: f64 = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

/// A name that nobody has (RFC 2606).
const ELSEWHERE: &str = "http://elsewhere.invalid/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_faults_and_when_they_act() {
        let rule = Rule::parse("503=30,rate=10%,next=3,operation=certify").unwrap();
        assert_eq!((rule.name, rule.fault), ("503", Fault::Status(503, Some(30))));
        assert_eq!((rule.rate, rule.left, rule.operation), (0.1, Some(3), Some("certify")));
        let latency = Rule::parse("latency=100ms..2s").unwrap();
        assert_eq!(latency.fault, Fault::Latency(Duration::from_millis(100), Duration::from_secs(2)));
        assert_eq!(Rule::parse("refused").unwrap().fault, Fault::Refused(None));
        let exception = Rule::parse("fault=System.UnauthorizedAccessException").unwrap();
        assert_eq!(exception.fault, Fault::Soap("System.UnauthorizedAccessException".into()));
    }

    #[test]
    fn says_what_there_is() {
        let error = Rule::parse("slo=5s").unwrap_err().to_string();
        for row in ROWS {
            assert!(error.contains(row.name), "{error}");
        }
        for (wrong, expected) in [
            ("slow", "write slow=DURATION"),
            ("slow=5", "write slow=DURATION"),
            ("html=1", "write html"),
            ("429=soon", "write 429[=SECONDS]"),
            ("latency=2s..1s", "write latency=DURATION[..DURATION]"),
            ("html,rate=2", "write rate=10%"),
            ("html,next=-1", "write next=N"),
            ("html,operation=Certify", "acquire_license"),
            ("refused,rate=10%", "write refused[=DURATION]"),
            ("refused=1s,next=1", "write refused[=DURATION]"),
            ("certificate-expired,operation=certify", "write rate=SHARE or next=N"),
            ("html,often", "write rate=SHARE, next=N or operation=WORD"),
        ] {
            let error = Rule::parse(wrong).unwrap_err().to_string();
            assert!(error.contains(expected), "{wrong}: {error}");
        }
        let handshakes = Rule::parse("certificate-expired,rate=10%,next=3").unwrap();
        assert_eq!(handshakes.left, Some(3));
        assert!(check_without_tls(&[handshakes]).unwrap_err().to_string().contains("--tls"));
    }
}

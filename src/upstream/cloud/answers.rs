//! What the sign-in service answers, and what of it may be taken and shown.

use super::form::Form;
use super::provider::{Asked, Granted, SignInError};
use crate::secret::Secret;
use http::StatusCode;
use serde::Deserialize;
use std::time::Duration;

#[derive(Deserialize)]
struct Token {
    access_token: String,
    expires_in: Option<Seconds>,
    refresh_token: Option<String>,
}

/// A number, or the text of one: version 1 of the endpoints writes it so.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

#[derive(Deserialize)]
struct Device {
    device_code: String,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    expires_in: Seconds,
    interval: Option<Seconds>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Seconds {
    /// No length of time lasts longer than a year.
    fn length(&self) -> Option<Duration> {
        let number = match self {
            Seconds::Number(number) => *number,
            Seconds::Text(text) => text.trim().parse().ok()?,
        };
        Duration::try_from_secs_f64(Some(number).filter(|number| number.is_finite())?.min(SECONDS_MAX)).ok()
    }
}

pub(super) fn granted(answer: &Secret<Vec<u8>>) -> Result<Granted, SignInError> {
    let token: Token = parsed(answer)?;
    let (access, refresh) = (Secret::new(token.access_token), token.refresh_token.map(Secret::new));
    // An empty one is none, and must not take the place of one that is good.
    let refresh = refresh.filter(|refresh| !refresh.expose().is_empty());
    // RFC 6749 5.1 lets the length be told elsewhere, and nobody tells.
    let life = token.expires_in.map_or(Some(LIFE_UNSAID), |seconds| seconds.length());
    let bytes = access.expose().len() + refresh.as_ref().map_or(0, |refresh| refresh.expose().len());
    if bytes > TOKEN_BYTES_MAX {
        return Err(SignInError::TooLarge { bytes, bytes_max: TOKEN_BYTES_MAX });
    }
    // A header must be able to carry it.
    let is_sendable =
        !access.expose().is_empty() && access.expose().bytes().all(|byte| byte.is_ascii_graphic());
    match life.filter(|life| is_sendable && *life >= LIFE_MIN) {
        Some(life) => Ok(Granted { access, life, refresh }),
        None => Err(SignInError::NoAnswer { status: StatusCode::OK }),
    }
}

pub(super) fn asked(answer: &Secret<Vec<u8>>) -> Result<Asked, SignInError> {
    let device: Device = parsed(answer)?;
    let (address, unknown) = (device.verification_uri, SignInError::NoAnswer { status: StatusCode::OK });
    // A person will go there.
    if !address.starts_with("https://") || !address.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(unknown);
    }
    let every = device.interval.as_ref().map_or(Some(POLL_EVERY), Seconds::length).unwrap_or(POLL_EVERY);
    Ok(Asked {
        address: shown(&address),
        user_code: shown(&device.user_code),
        every: every.clamp(Duration::from_secs(1), POLL_EVERY_MAX),
        life: device.expires_in.length().ok_or(unknown)?,
        device_code: Secret::new(device.device_code),
    })
}

/// What an answer says that grants nothing. It may say again what it was sent.
pub(super) fn refusal(status: StatusCode, answer: &Secret<Vec<u8>>, form: &Form) -> SignInError {
    match serde_json::from_slice::<Refusal>(answer.expose()) {
        Ok(refusal) => SignInError::Refused {
            error: shown(&form.without_secrets(&refusal.error)),
            description: shown(&form.without_secrets(&refusal.error_description)),
        },
        Err(_) => SignInError::NoAnswer { status },
    }
}

fn parsed<T: for<'a> Deserialize<'a>>(answer: &Secret<Vec<u8>>) -> Result<T, SignInError> {
    // The parser's own words could hold what it read.
    serde_json::from_slice(answer.expose()).map_err(|_| SignInError::NoAnswer { status: StatusCode::OK })
}

/// A text of the sign-in service as it goes into events and terminals: nothing in it may hide or turn what follows.
fn shown(text: &str) -> String {
    text.chars().filter(|char| !char.is_control() && !is_hidden(*char)).take(SHOWN_CHARS_MAX).collect()
}

/// Of no width, or changing the direction, or the end of a line.
fn is_hidden(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What is shorter would be renewed without end. No service gives such ones, but for tests.
const LIFE_MIN: Duration = Duration::from_secs(10);
const LIFE_UNSAID: Duration = Duration::from_secs(3_600);
/// A year.
const SECONDS_MAX: f64 = 31_536_000.0;
/// RFC 8628 3.5.
const POLL_EVERY: Duration = Duration::from_secs(5);
const POLL_EVERY_MAX: Duration = Duration::from_secs(60);
/// One change of the cluster has 24 KiB, and holds a person's login as well.
const TOKEN_BYTES_MAX: usize = 16 << 10;
const SHOWN_CHARS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answer(value: &Value) -> Secret<Vec<u8>> {
        Secret::new(value.to_string().into_bytes())
    }

    #[track_caller]
    fn check_life(expires_in: &Value, expected: Option<u64>) {
        let granted = granted(&answer(&json!({ "access_token": "t", "expires_in": expires_in })));
        assert_eq!(granted.ok().map(|granted| granted.life.as_secs()), expected, "{expires_in}");
    }

    #[test]
    fn a_life_that_is_none_is_no_grant() {
        check_life(&json!(3_600), Some(3_600));
        check_life(&json!("3599"), Some(3_599));
        check_life(&json!(3_599.5), Some(3_599));
        check_life(&json!("3599.0"), Some(3_599));
        check_life(&json!(1e300), Some(31_536_000));
        // Not said.
        check_life(&Value::Null, Some(3_600));
        for none in [json!(0), json!("0"), json!(""), json!(9), json!(-5), json!("soon"), json!("NaN")] {
            check_life(&none, None);
        }
    }

    #[test]
    fn a_token_that_no_change_can_hold_is_refused_before_it_is_kept() {
        let of = |bytes: usize| granted(&answer(&json!({ "access_token": "t".repeat(bytes) })));
        of(TOKEN_BYTES_MAX).unwrap();
        assert!(matches!(of(TOKEN_BYTES_MAX + 1), Err(SignInError::TooLarge { .. })));
    }

    #[test]
    fn an_empty_token_for_the_next_one_is_none() {
        let of =
            |refresh| granted(&answer(&json!({ "access_token": "t", "refresh_token": refresh }))).unwrap();
        assert!(of("").refresh.is_none());
        assert!(of("r").refresh.is_some());
    }

    #[test]
    fn a_refusal_shows_neither_what_was_sent_nor_what_turns_the_text() {
        let secret = Secret::new("canary/+secret".to_owned());
        let mut form = Form::new("app");
        form.secret("client_secret", &secret);
        let echo = "bad\u{202e} client_secret=canary%2F%2Bsecret, canary/+secret\u{200b}\u{2028}!";
        let refused = json!({ "error": "canary/+secret", "error_description": echo });
        let refusal = refusal(StatusCode::BAD_REQUEST, &answer(&refused), &form);
        let SignInError::Refused { error, description } = refusal else { panic!("{refusal}") };
        assert_eq!(error, "(secret)");
        assert_eq!(description, "bad client_secret=(secret), (secret)!");
    }

    #[test]
    fn nobody_is_sent_to_where_there_is_no_tls() {
        let of = |address| {
            let device = json!({
                "device_code": "d", "user_code": "U", "verification_uri": address, "expires_in": 60,
            });
            asked(&answer(&device)).map(|asked| asked.every)
        };
        assert_eq!(of("https://sign-in.example/device").unwrap(), POLL_EVERY);
        assert!(of("http://sign-in.example/device").is_err());
        assert!(of("https://sign-in.example/\u{202e}device").is_err());
    }
}

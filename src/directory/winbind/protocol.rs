//! The protocol `ntlm-server-1` of Samba's `ntlm_auth`: a question and its answer, as lines.
//!
//! Its answers end with a line `.`, but a refusal ends with two of them (source3/utils/ntlm_auth.c). Whoever counts
//! one takes each answer after a refusal for that to the next question: another account's. So behind each question
//! goes a fence, a request that does not exist, with a number that nobody can foresee; the helper repeats it, and
//! what it has said up to there is the answer.

use crate::identity::{NtlmProof, SessionBaseKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// A question, as it is written.
pub(super) struct Question(Vec<u8>);

/// What separates an answer from the next one.
pub(super) struct Fence(u128);

/// What the helper says.
#[derive(Debug)]
pub(super) enum Answer {
    /// The proof holds.
    Yes(SessionBaseKey),
    /// A controller says that it does not, or that the account may not log on.
    No(Fault),
    /// No controller has said anything.
    Cannot(String),
}

/// What a controller has against a logon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::directory) enum Fault {
    /// Another password, or there is no such account: which one is nobody's business.
    WrongPassword,
    /// The account is disabled.
    Disabled,
    /// Too many attempts.
    LockedOut,
    /// The account has expired.
    Expired,
    /// Its password has expired, or must be changed.
    PasswordExpired,
    /// It may not log on now, or not from here, or not over the network.
    Restricted,
}

impl Fault {
    pub(in crate::directory) fn words(self) -> &'static str {
        match self {
            Fault::WrongPassword => "wrong password, or no such account",
            Fault::Disabled => "the account is disabled",
            Fault::LockedOut => "the account is locked",
            Fault::Expired => "the account has expired",
            Fault::PasswordExpired => "the password has expired or must be changed",
            Fault::Restricted => "the account may not log on now, or not in this way",
        }
    }
}

impl Question {
    /// Names go as base64, so that no character in them means anything to the helper.
    pub(super) fn new(proof: &NtlmProof) -> Self {
        let (domain, user) = (STANDARD.encode(&proof.domain), STANDARD.encode(&proof.user));
        let (challenge, response) = (hex(&proof.server_challenge), hex(&proof.nt_response));
        let text = format!(
            "LANMAN-Challenge: {challenge}\nNT-Response: {response}\nNT-Domain:: {domain}\nUsername:: {user}\n\
             Request-User-Session-Key: Yes\n.\n"
        );
        Question(text.into_bytes())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Fence {
    /// The number must be one that nobody can foresee.
    pub(super) fn new(number: u128) -> Self {
        Fence(number)
    }

    pub(super) fn question(&self) -> String {
        format!("rmsc-{:032x}: end\n", self.0)
    }

    /// What the helper makes of it.
    pub(super) fn echo(&self) -> String {
        format!("Error: Unknown request rmsc-{:032x}\n.\n", self.0)
    }
}

/// Reads what was said before the fence; `None` if it is no answer.
pub(super) fn read(said: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.strip_suffix('\n')?.split('\n').collect();
    // A refusal has a second line of it. Later versions may not.
    let lines = lines.strip_suffix(&["."])?;
    let lines = lines.strip_suffix(&["."]).unwrap_or(lines);
    match lines {
        ["Authenticated: Yes", key] => {
            Some(Answer::Yes(session_key(key.strip_prefix("User-Session-Key: ")?)?))
        }
        ["Authenticated: No", error] => Some(refusal(error.strip_prefix("Authentication-Error: ")?)),
        _ => None,
    }
}

fn session_key(text: &str) -> Option<SessionBaseKey> {
    // A sign would be taken for a number's.
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let key = u128::from_str_radix(text, 16).ok()?.to_be_bytes();
    Some(SessionBaseKey::of_checked_proof(key))
}

/// Every other text, known or not, is taken for trouble on the way to a controller.
fn refusal(text: &str) -> Answer {
    let known = FAULTS.iter().find(|(name, words, _)| text.contains(name) || text.contains(words));
    match known {
        Some((_, _, fault)) => Answer::No(*fault),
        None => {
            let words: String =
                text.chars().filter(|char| !char.is_control()).take(WORDS_CHARS_MAX).collect();
            Answer::Cannot(format!("winbind says: {words}"))
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Into a string it cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// [MS-ERREF] 2.3.1: the statuses that are about the account, by name, and by what Samba says for each.
const FAULTS: &[(&str, &str, Fault)] = &[
    ("NT_STATUS_WRONG_PASSWORD", "provided as the current password is not correct", Fault::WrongPassword),
    ("NT_STATUS_LOGON_FAILURE", "The attempted logon is invalid", Fault::WrongPassword),
    ("NT_STATUS_NO_SUCH_USER", "The specified account does not exist", Fault::WrongPassword),
    ("NT_STATUS_ACCOUNT_DISABLED", "The referenced account is currently disabled", Fault::Disabled),
    ("NT_STATUS_ACCOUNT_LOCKED_OUT", "has been automatically locked", Fault::LockedOut),
    ("NT_STATUS_ACCOUNT_EXPIRED", "The user account has expired", Fault::Expired),
    ("NT_STATUS_PASSWORD_EXPIRED", "The user account password has expired", Fault::PasswordExpired),
    ("NT_STATUS_PASSWORD_MUST_CHANGE", "password must be changed before", Fault::PasswordExpired),
    ("NT_STATUS_ACCOUNT_RESTRICTION", "some user account restriction has prevented", Fault::Restricted),
    ("NT_STATUS_INVALID_LOGON_HOURS", "has time restrictions and may not be logged", Fault::Restricted),
    ("NT_STATUS_INVALID_WORKSTATION", "may not be used to log on from the source", Fault::Restricted),
    ("NT_STATUS_LOGON_TYPE_NOT_GRANTED", "not been granted the requested logon type", Fault::Restricted),
    ("NT_STATUS_NTLM_BLOCKED", "NTLM authentication was blocked", Fault::Restricted),
    (
        "NT_STATUS_AUTHENTICATION_FIREWALL_FAILED",
        "protected by an authentication firewall",
        Fault::Restricted,
    ),
];
const WORDS_CHARS_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    const YES: &str = "Authenticated: Yes\nUser-Session-Key: 382FB77865B41DB0F5D49120E383D268\n.\n";

    fn no(text: &str) -> String {
        format!("Authenticated: No\nAuthentication-Error: {text}\n.\n.\n")
    }

    #[test]
    fn reads_a_yes_with_its_key_and_nothing_else() {
        assert!(matches!(read(YES.as_bytes()), Some(Answer::Yes(_))));
        for wrong in [
            "",
            ".\n",
            "Authenticated: Yes\n.\n",
            "Authenticated: Yes\nUser-Session-Key: 382FB77865B41DB0F5D49120E383D26\n.\n",
            "Authenticated: Yes\nUser-Session-Key: +82FB77865B41DB0F5D49120E383D268\n.\n",
            "Authenticated: Yes\nUser-Session-Key: 382FB77865B41DB0F5D49120E383D268\n",
            "Authenticated: Yes\nUser-Session-Key: 382FB77865B41DB0F5D49120E383D268\n.",
            ".\nAuthenticated: Yes\nUser-Session-Key: 382FB77865B41DB0F5D49120E383D268\n.\n",
            "Authenticated: No\nAuthenticated: Yes\nUser-Session-Key: 382FB77865B41DB0F5D49120E383D268\n.\n",
            "Error: No password supplied!\n.\n",
            "BH NT_STATUS_OK\n",
        ] {
            assert!(read(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
        // Two answers are none: the first may be to a question of somebody else.
        assert!(read([YES, YES].concat().as_bytes()).is_none());
        assert!(read([&no("x"), YES].concat().as_bytes()).is_none());
    }

    #[test]
    fn tells_a_controllers_no_from_no_controller() {
        let fault = |text: &str| match read(no(text).as_bytes()) {
            Some(Answer::No(fault)) => Some(fault),
            Some(Answer::Cannot(_)) => None,
            other => panic!("{other:?}"),
        };
        // As Samba 4.17 says them.
        let wrong = "When trying to update a password, this return status indicates that the value provided as the \
                     current password is not correct.";
        let disabled = "The referenced account is currently disabled and cannot be logged on to.";
        assert_eq!(fault(wrong), Some(Fault::WrongPassword));
        assert_eq!(fault("The specified account does not exist."), Some(Fault::WrongPassword));
        assert_eq!(fault(disabled), Some(Fault::Disabled));
        assert_eq!(fault("NT_STATUS_ACCOUNT_LOCKED_OUT"), Some(Fault::LockedOut));
        for trouble in ["Reading winbind reply failed!", "NT_STATUS_NO_LOGON_SERVERS", "", "?"] {
            assert_eq!(fault(trouble), None, "{trouble}");
        }
    }

    #[test]
    fn a_name_cannot_add_a_line_to_a_question() {
        let proof = NtlmProof {
            user: "a\nUsername: EXCH01$".into(),
            domain: "CONTOSO\n.\n".into(),
            workstation: String::new(),
            server_challenge: [0xab; 8],
            nt_response: vec![1; 44],
        };
        let question = String::from_utf8(Question::new(&proof).0).unwrap();
        assert_eq!(question.lines().count(), 6, "{question}");
        assert!(question.starts_with("LANMAN-Challenge: abababababababab\nNT-Response: 0101"));
        assert!(!question.contains("EXCH01") && question.ends_with("\n.\n"));
    }
}

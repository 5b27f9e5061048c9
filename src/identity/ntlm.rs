//! NTLM, the server's side: a challenge for a NEGOTIATE, a check of the AUTHENTICATE ([MS-NLMP] 3.2.5).

pub(super) mod keys;
pub(super) mod messages;
pub(super) mod target_info;

use super::binding::{self, Insistence};
use super::{Bound, ChannelBinding, ChannelBindingPolicy, Leg, Refused, Settings};
use keys::NtlmProof;
use messages::{Authenticate, Flags};
use std::time::{Duration, SystemTime};
use target_info::{AvId, TargetInfo};

/// A challenge that waits for its one AUTHENTICATE.
pub(super) struct Sent {
    /// The client's NEGOTIATE as it came: the MIC covers it.
    negotiate: Vec<u8>,
    /// Our CHALLENGE as it went.
    challenge: Vec<u8>,
    server_challenge: [u8; 8],
    target_info: TargetInfo,
}

/// An AUTHENTICATE in good order, whose proof and MIC nobody has checked yet.
pub(super) struct Received {
    pub(super) proof: NtlmProof,
    pub(super) flags: Flags,
    pub(super) encrypted_key: Vec<u8>,
    pub(super) bound: Bound,
    pub(super) target: String,
    /// The three messages, when the client says that it signed them.
    pub(super) signed: Option<Signed>,
}

/// What a MIC is computed over ([MS-NLMP] 3.1.5.1.2), and the one that came.
pub(super) struct Signed {
    pub(super) negotiate: Vec<u8>,
    pub(super) challenge: Vec<u8>,
    pub(super) authenticate: Vec<u8>,
    pub(super) mic: [u8; 16],
}

/// The kind of an NTLM message, [MS-NLMP] 2.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Negotiate,
    Authenticate,
}

/// What kind a client's message is; `None` if it is not for a server.
pub(super) fn kind(message: &[u8]) -> Option<Kind> {
    match messages::kind(message)? {
        messages::NEGOTIATE => Some(Kind::Negotiate),
        messages::AUTHENTICATE => Some(Kind::Authenticate),
        _ => None,
    }
}

/// Answers a NEGOTIATE: the CHALLENGE is in [`Sent::challenge`].
pub(super) fn challenge(negotiate: &[u8], settings: &Settings, leg: &Leg) -> Result<Sent, Refused> {
    check_length(negotiate, NEGOTIATE_BYTES_MAX)?;
    let flags = challenge_flags(messages::read_negotiate(negotiate)?)?;
    let target_info = TargetInfo::of_server(settings, filetime(leg.now));
    let target_name = if flags.has(Flags::UNICODE) {
        messages::utf16(settings.domain())
    } else {
        // The client's code page is unknown; the domain is in the target information as well.
        Some(settings.domain()).filter(|domain| domain.is_ascii()).unwrap_or_default().into()
    };
    let challenge = messages::write_challenge(flags, &leg.challenge, &target_name, &target_info.encode());
    Ok(Sent { negotiate: negotiate.to_vec(), challenge, server_challenge: leg.challenge, target_info })
}

impl Sent {
    /// The CHALLENGE to send.
    pub(super) fn message(&self) -> &[u8] {
        &self.challenge
    }

    /// Reads the AUTHENTICATE that answers this challenge, and refuses what no password could mend.
    pub(super) fn receive(
        self,
        message: &[u8],
        settings: &Settings,
        ours: Option<&ChannelBinding>,
    ) -> Result<Received, Refused> {
        check_length(message, AUTHENTICATE_BYTES_MAX)?;
        let read = Authenticate::read(message)?;
        refuse_weak(&read)?;
        // From here on the blob is covered by the proof, whoever the client is.
        let blob = keys::blob(read.nt_response).ok_or(Refused::NtlmV1)?;
        let theirs = TargetInfo::read(blob.target_info)?;
        self.target_info.contained_in(&theirs)?;
        let sent = theirs.get(AvId::CHANNEL_BINDINGS);
        let bound = binding::check(settings.channel_binding(), sent, ours, Insistence::None)?;
        let has_mic = theirs.flags()? & target_info::FLAG_MIC != 0;
        if !has_mic && settings.channel_binding() == ChannelBindingPolicy::Require {
            return Err(Refused::MicMissing);
        }
        let target = match theirs.get(AvId::TARGET_NAME) {
            Some(name) => messages::name("target name", name, messages::Encoding::Utf16)?,
            None => String::new(),
        };
        let mic = if has_mic { Some(read.mic()?) } else { None };
        Ok(Received {
            flags: read.flags,
            encrypted_key: read.encrypted_key.to_vec(),
            bound,
            target,
            signed: mic.map(|mic| Signed {
                negotiate: self.negotiate,
                challenge: self.challenge,
                authenticate: message.to_vec(),
                mic,
            }),
            proof: NtlmProof {
                nt_response: read.nt_response.to_vec(),
                user: read.user,
                domain: read.domain,
                workstation: read.workstation,
                server_challenge: self.server_challenge,
            },
        })
    }
}

/// Nobody has proven anything yet, and the connection keeps the message until the next one.
fn check_length(message: &[u8], bytes_max: usize) -> Result<(), Refused> {
    let bytes = message.len();
    if bytes > bytes_max { Err(Refused::TooLong { bytes, bytes_max }) } else { Ok(()) }
}

/// [MS-NLMP] 3.2.5.1.1: what we always want, and what the client asked for of the rest.
fn challenge_flags(asked: Flags) -> Result<Flags, Refused> {
    if asked.has(Flags::ANONYMOUS) {
        return Err(Refused::Anonymous);
    }
    if asked.has(Flags::DATAGRAM) {
        return Err(Refused::Malformed { what: "NEGOTIATE: datagrams" });
    }
    let encoding = if asked.has(Flags::UNICODE) {
        Flags::UNICODE
    } else if asked.has(Flags::OEM) {
        Flags::OEM
    } else {
        return Err(Refused::Malformed { what: "NEGOTIATE: neither Unicode nor OEM" });
    };
    let echoed = Flags::KEY_EXCHANGE | Flags::SIGN | Flags::SEAL | Flags::KEY_128 | Flags::KEY_56;
    let always = Flags::REQUEST_TARGET
        | Flags::NTLM
        | Flags::ALWAYS_SIGN
        | Flags::TARGET_TYPE_DOMAIN
        | Flags::EXTENDED_SESSION_SECURITY
        | Flags::TARGET_INFO
        | Flags::VERSION;
    Ok(Flags(encoding | always | asked.0 & echoed))
}

fn refuse_weak(read: &Authenticate<'_>) -> Result<(), Refused> {
    if read.flags.has(Flags::ANONYMOUS) || read.user.is_empty() {
        return Err(Refused::Anonymous);
    }
    // Windows maps a logon it cannot prove to Guest; the SID of Guest is refused elsewhere as well.
    let name = read.user.split('@').next().unwrap_or_default().trim();
    if name.eq_ignore_ascii_case("guest") {
        return Err(Refused::Guest);
    }
    match read.nt_response.len() {
        0 if read.lm_response.iter().any(|byte| *byte != 0) && read.lm_response.len() > 1 => {
            Err(Refused::LmOnly)
        }
        0 => Err(Refused::Anonymous),
        // [MS-NLMP] 2.2.2.6: NTLMv1, with or without extended session security.
        24 => Err(Refused::NtlmV1),
        _ => Ok(()),
    }
}

/// [MS-DTYP] 2.3.3: tenths of microseconds since 1601; a clock before that reads as the beginning.
fn filetime(now: SystemTime) -> u64 {
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let ticks = u64::try_from(since_1970.as_nanos() / 100).unwrap_or(u64::MAX);
    ticks.saturating_add(FILETIME_OF_1970)
}

/// Two names of a computer: 100 bytes.
const NEGOTIATE_BYTES_MAX: usize = 2 << 10;
/// Names, and the target information with them once more: 1 KiB.
const AUTHENTICATE_BYTES_MAX: usize = 16 << 10;
/// 1601-01-01 to 1970-01-01.
const FILETIME_OF_1970: u64 = 116_444_736_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_time_as_windows_does() {
        assert_eq!(filetime(SystemTime::UNIX_EPOCH), FILETIME_OF_1970);
        let later = SystemTime::UNIX_EPOCH + Duration::from_micros(1);
        assert_eq!(filetime(later), FILETIME_OF_1970 + 10);
    }

    #[test]
    fn echoes_only_the_flags_that_keys_depend_on() {
        let asked = Flags(Flags::UNICODE | Flags::OEM | Flags::KEY_128 | 0x0000_0080 | 0x0800_0000);
        let flags = challenge_flags(asked).unwrap();
        assert!(flags.has(Flags::UNICODE) && flags.has(Flags::KEY_128));
        assert!(!flags.has(Flags::OEM) && !flags.has(0x0000_0080) && !flags.has(Flags::KEY_EXCHANGE));
    }

    #[test]
    fn refuses_a_negotiate_without_an_encoding_and_an_anonymous_one() {
        assert!(matches!(challenge_flags(Flags(0x200)), Err(Refused::Malformed { .. })));
        assert!(matches!(challenge_flags(Flags(Flags::UNICODE | 0x40)), Err(Refused::Malformed { .. })));
        assert!(matches!(challenge_flags(Flags(Flags::UNICODE | 0x800)), Err(Refused::Anonymous)));
    }
}

//! Why a client is refused.

use super::kerberos;

/// Why a client is refused: for the log, never for the client.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// A ticket.
    #[error("Kerberos: {0}")]
    Kerberos(#[from] kerberos::Refused),
    /// More than any client sends.
    #[error("a token of {bytes} bytes is too long; at most {bytes_max} are read")]
    TooLong {
        /// How many came.
        bytes: usize,
        /// How many a token of its kind may have.
        bytes_max: usize,
    },
    /// The bytes are not what they should be.
    #[error("malformed token: {what}")]
    Malformed {
        /// Where.
        what: &'static str,
    },
    /// A message that nothing on this connection led to: a client behind a pooling proxy looks so.
    #[error("unexpected {what}: no challenge is open on this connection")]
    UnexpectedLeg {
        /// The message.
        what: &'static str,
    },
    /// The client offers Kerberos alone, which has no keytab here, or something else that we do not speak.
    #[error(
        "no mechanism in common: Kerberos needs a keytab here and must be the client's first choice, and the client does not offer NTLM"
    )]
    NoMechanismInCommon,
    /// The client sent `reject`.
    #[error("the client gave the negotiation up")]
    GivenUp,
    /// No name, no proof, or the flag.
    #[error("anonymous logon")]
    Anonymous,
    /// The account Guest.
    #[error("logon as guest")]
    Guest,
    /// A response that a captured one of can be cracked in a day.
    #[error("an NTLMv1 response; the client's LmCompatibilityLevel must be 3 or more")]
    NtlmV1,
    /// The same, and older.
    #[error("an LM response; the client's LmCompatibilityLevel must be 3 or more")]
    LmOnly,
    /// A name with characters that no name has.
    #[error("the {what} is not a name: its characters are damaged, forbidden or too many")]
    BadName {
        /// Which name.
        what: &'static str,
    },
    /// The response answers another server: a relay, or a damaged client.
    #[error("the response is to another server: target information {id} is not what was sent")]
    TargetInfoNotOurs {
        /// The id of the pair, [MS-NLMP] 2.2.2.1.
        id: u16,
    },
    /// The client is on another TLS connection than this one: a relay, or a TLS terminator in between.
    #[error("the channel binding is that of another connection")]
    ChannelBindingDiffers,
    /// The policy asks for one.
    #[error("no channel binding, and one is required")]
    ChannelBindingMissing,
    /// The client says that there is one, or the policy asks for it.
    #[error("no MIC over the three messages")]
    MicMissing,
    /// Somebody changed a message, or the password is wrong.
    #[error("the MIC over the three messages does not hold")]
    MicWrong,
    /// Without it, somebody in between may have shortened the list of mechanisms.
    #[error("no mechListMIC over the list of mechanisms")]
    MechListMicMissing,
    /// Somebody changed the list.
    #[error("the mechListMIC over the list of mechanisms does not hold")]
    MechListMicWrong,
}

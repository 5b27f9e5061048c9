//! Why a ticket is refused.

use super::{PacError, SKEW_SECONDS_MAX};

/// Why a ticket is refused: for the log, never for the client.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refused {
    /// The bytes are not what they should be.
    #[error("malformed {what}")]
    Malformed {
        /// What they should be.
        what: &'static str,
    },
    /// The client would have us use a ticket of our own.
    #[error("user-to-user authentication, which no service of ours asks for")]
    UserToUser,
    /// The ticket is for another service: its SPN belongs to our account and is not in the keytab, or
    /// somebody passes tickets on.
    #[error("the ticket is for {service}; the keytab has {known}")]
    UnknownService {
        /// What the ticket is for.
        service: String,
        /// What we have.
        known: String,
    },
    /// RC4 or DES.
    #[error(
        "the {what} is of encryption type {etype}, and only AES is taken (17 to 20); give the account of {service} AES keys: msDS-SupportedEncryptionTypes = 24"
    )]
    WeakCipher {
        /// The ticket, or the key in it.
        what: &'static str,
        /// The number of the type.
        etype: i64,
        /// What the ticket is for.
        service: String,
    },
    /// The account's password was changed and the keytab was not, or another account has our SPN as well.
    #[error(
        "no key of {service} in the keytab opens the ticket: it was made with {made_with}, the keytab has {known}"
    )]
    NoKeyOpens {
        /// What the ticket is for.
        service: String,
        /// Its type and key version.
        made_with: String,
        /// The types and versions of ours.
        known: String,
    },
    /// A postdated ticket that nobody validated.
    #[error("the ticket is marked as not valid")]
    MarkedInvalid,
    /// Its time is over.
    #[error("the ticket ended {seconds} s ago")]
    Expired {
        /// How long ago.
        seconds: i64,
    },
    /// Its time has not come.
    #[error("the ticket begins in {seconds} s")]
    NotYet {
        /// How soon.
        seconds: i64,
    },
    /// Whoever sends the ticket does not know the key in it.
    #[error("the proof was not made with the ticket's key")]
    ProofWrong,
    /// The proof is for another ticket.
    #[error("the proof names another client than the ticket")]
    OtherClient,
    /// One of the two clocks is wrong.
    #[error("the client's clock is {seconds} s {side} ours; at most {SKEW_SECONDS_MAX} s are allowed")]
    ClockSkew {
        /// How far it is away.
        seconds: i64,
        /// `ahead of`, or `behind`.
        side: &'static str,
    },
    /// A proof is taken once.
    #[error("the same proof was sent before: a replay")]
    Replayed,
    /// There is no room to remember one more.
    #[error("{account} has logged in more often in ten minutes than can be remembered")]
    TooMany {
        /// Whose.
        account: String,
    },
    /// The proof says nothing about the channel.
    #[error("the proof has no checksum of GSS (0x8003)")]
    NoGssChecksum,
    /// No groups, or none that count.
    #[error("{0}")]
    Pac(#[from] PacError),
    /// A name with characters that no name has.
    #[error("the name in the PAC is no account's: its characters are forbidden or too many")]
    BadName,
    /// A key of a realm for which nothing says whose accounts it may name.
    #[error("nothing under [identity.kerberos.realms] says whose accounts the realm {realm} may name")]
    RealmUnnamed {
        /// The realm of the key.
        realm: String,
    },
    /// An account of another domain than the realm's, or of the accounts file.
    #[error(
        "the realm {realm} may not speak for the account {sid}: its domain is none of those under \
         [identity.kerberos.realms], or is that of the local accounts"
    )]
    ForeignDomain {
        /// The account in the PAC.
        sid: String,
        /// The realm of the key.
        realm: String,
    },
    /// A service uses the account's ticket in its name (constrained delegation).
    #[error("a service got the ticket in the name of {account} (constrained delegation)")]
    Delegated {
        /// In whose name.
        account: String,
    },
    /// The account Guest.
    #[error("logon as guest")]
    Guest,
    /// A service asked for this ticket in the account's name, without its password (protocol transition).
    #[error("the ticket was made for a service in the name of {account}, without its password")]
    OnBehalf {
        /// In whose name.
        account: String,
    },
}

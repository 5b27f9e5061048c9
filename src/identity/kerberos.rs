//! Kerberos, the server's side: a ticket for one of our services, and the proof that its sender is the client
//! that it names, to an account with its groups ([RFC 4120] 3.2, [RFC 4121], [MS-KILE] 3.4.5).

mod crypto;
mod keytab;
mod logon_info;
pub(super) mod messages;
mod named;
mod pac;
mod replay;

pub use keytab::{Keytab, KeytabError};
pub use named::{KeyInUse, LeftOut, NamedKey, Source, etype_name};
pub use pac::PacError;

use super::binding::{self, Insistence};
use super::{Bound, ChannelBinding, ChannelBindingPolicy, Leg};
use crate::principal::{Account, AccountName};
use crypto::{BLOCK, Etype, Key, Usage};
use keytab::ServiceKey;
use logon_info::LogonInfo;
use messages::{Authenticator, Client, Encrypted, Request, SessionKey, Ticket, TicketPart};
use replay::{Known, Replays};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Takes tickets, and remembers which proofs it took: one for a node.
pub struct Acceptor {
    keytab: Mutex<Arc<Keytab>>,
    replays: Mutex<Replays>,
}

/// What a ticket and its proof say.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) account: Account,
    /// The service that the ticket is for, `HTTP/host@REALM`.
    pub(super) service: String,
    pub(super) bound: Bound,
    /// Our own proof, if the client asked for one: a GSS token.
    pub(super) reply: Option<Vec<u8>>,
}

/// The connection that a token came on.
pub(super) struct Channel<'a> {
    pub(super) policy: ChannelBindingPolicy,
    pub(super) binding: Option<&'a ChannelBinding>,
}

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
    #[error("more logins in ten minutes than can be remembered")]
    TooMany,
    /// The proof says nothing about the channel.
    #[error("the proof has no checksum of GSS (0x8003)")]
    NoGssChecksum,
    /// No groups, or none that count.
    #[error("{0}")]
    Pac(#[from] PacError),
    /// A name with characters that no name has.
    #[error("the name in the PAC is no account's: its characters are forbidden or too many")]
    BadName,
    /// A service asked for this ticket in the account's name, without its password (protocol transition).
    #[error("the ticket was made for a service in the name of {account}, without its password")]
    OnBehalf {
        /// In whose name.
        account: String,
    },
}

impl Acceptor {
    /// With the keys of our services.
    #[must_use]
    pub fn new(keytab: Keytab) -> Self {
        Acceptor { keytab: Mutex::new(Arc::new(keytab)), replays: Mutex::default() }
    }

    /// Takes other keys from now on. What was taken before is remembered, so that no proof is taken again.
    pub fn replace(&self, mut keytab: Keytab) {
        let mut now = self.keytab.lock().unwrap_or_else(PoisonError::into_inner);
        keytab.succeed(&now);
        *now = Arc::new(keytab);
    }

    /// The keys, without the keys themselves.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyInUse> {
        self.keytab().in_use()
    }

    /// Whether there is any key.
    pub(super) fn has_keys(&self) -> bool {
        !self.keytab().is_empty()
    }

    fn keytab(&self) -> Arc<Keytab> {
        self.keytab.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a GSS token with an AP-REQ, [RFC 4121] 4.1.
    pub(super) fn accept(
        &self,
        token: &[u8],
        channel: &Channel<'_>,
        leg: &Leg,
    ) -> Result<Accepted, super::Refused> {
        let malformed = Refused::Malformed { what: "Kerberos token" };
        let request = messages::unframe(token).and_then(Request::read).ok_or(malformed)?;
        if request.options & USE_SESSION_KEY != 0 {
            return Err(Refused::UserToUser.into());
        }
        // One keytab for the whole of it, should it be replaced meanwhile.
        let keytab = self.keytab();
        let (service_key, plain) = open(&keytab, &request.ticket)?;
        let malformed = Refused::Malformed { what: "inside of a ticket" };
        let ticket = TicketPart::read(&plain).ok_or(malformed)?;
        let now = unix_seconds(leg.now);
        check_time(&ticket, now)?;
        let session_key = session_key(&ticket.key, service_key)?;
        let plain = open_proof(&request.authenticator, &session_key)?;
        let proof = Authenticator::read(&plain).ok_or(Refused::Malformed { what: "authenticator" })?;
        if proof.client != ticket.client {
            return Err(Refused::OtherClient.into());
        }
        check_clock(proof.seconds, now)?;
        let bound = check_binding(&proof, channel)?;
        let account = account(&ticket, &service_key.key)?;
        self.take_once(&request, proof.seconds, now)?;
        service_key.used.note(now);
        let mutual = request.options & MUTUAL_REQUIRED != 0;
        let reply = if mutual { Some(reply(&proof, &session_key, leg)?) } else { None };
        Ok(Accepted { account, service: service_key.to_string(), bound, reply })
    }

    fn take_once(&self, request: &Request<'_>, seconds: i64, now: i64) -> Result<(), Refused> {
        let hash: [u8; 32] = Sha256::digest(request.authenticator.cipher).into();
        let [mark, _] = hash.as_chunks::<16>().0 else { return Err(Refused::TooMany) };
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        replays.remember(*mark, seconds, now).map_err(|known| match known {
            Known::Already => Refused::Replayed,
            Known::Full => Refused::TooMany,
        })
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("keytab", &self.keytab()).finish_non_exhaustive()
    }
}

/// Every key of the service and of the type is tried: while a password is being changed, tickets made with
/// the old one and with the new one come.
fn open<'a>(
    keytab: &'a Keytab,
    ticket: &Ticket<'_>,
) -> Result<(&'a ServiceKey, Zeroizing<Vec<u8>>), Refused> {
    let service = format!("{}@{}", ticket.service.join("/"), ticket.realm);
    let keys = keytab.of(&ticket.service, &ticket.realm);
    if keys.is_empty() {
        return Err(Refused::UnknownService { service, known: keytab.services().join(", ") });
    }
    let Encrypted { etype, key_version, cipher } = ticket.encrypted;
    let Some(etype) = Etype::of_number(etype) else {
        return Err(Refused::WeakCipher { what: "ticket", etype, service });
    };
    let opened = keys
        .iter()
        .filter(|key| key.key.etype() == etype)
        .find_map(|key| Some((*key, key.key.decrypt(Usage::Ticket, cipher)?)));
    opened.ok_or_else(|| {
        let version = key_version.map_or_else(|| "?".into(), |version| version.to_string());
        let known: Vec<String> =
            keys.iter().map(|key| format!("{} version {}", key.key.etype(), key.version)).collect();
        Refused::NoKeyOpens {
            service,
            made_with: format!("{etype} version {version}"),
            known: known.join(", "),
        }
    })
}

fn check_time(ticket: &TicketPart<'_>, now: i64) -> Result<(), Refused> {
    if ticket.flags & INVALID != 0 {
        return Err(Refused::MarkedInvalid);
    }
    if ticket.begins > now + SKEW_SECONDS_MAX {
        return Err(Refused::NotYet { seconds: ticket.begins - now });
    }
    if ticket.ends < now - SKEW_SECONDS_MAX {
        return Err(Refused::Expired { seconds: now - ticket.ends });
    }
    Ok(())
}

fn session_key(key: &SessionKey<'_>, service: &ServiceKey) -> Result<Key, Refused> {
    let weak =
        || Refused::WeakCipher { what: "ticket's key", etype: key.etype, service: service.to_string() };
    let etype = Etype::of_number(key.etype).ok_or_else(weak)?;
    Key::new(etype, key.bytes).ok_or(Refused::Malformed { what: "key of a ticket" })
}

fn open_proof(proof: &Encrypted<'_>, key: &Key) -> Result<Zeroizing<Vec<u8>>, Refused> {
    if proof.etype != i64::from(key.etype().number()) {
        return Err(Refused::ProofWrong);
    }
    key.decrypt(Usage::Authenticator, proof.cipher).ok_or(Refused::ProofWrong)
}

fn check_clock(theirs: i64, ours: i64) -> Result<(), Refused> {
    let ahead = theirs - ours;
    if ahead.abs() <= SKEW_SECONDS_MAX {
        return Ok(());
    }
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    Err(Refused::ClockSkew { seconds: ahead.abs(), side })
}

/// The binding is in the checksum; a client that says that it knows of bindings must send one over TLS, or
/// somebody has put a clear connection in between ([MS-KILE] 3.2.5.8, KERB_AP_OPTIONS_CBT).
fn check_binding(proof: &Authenticator<'_>, channel: &Channel<'_>) -> Result<Bound, super::Refused> {
    let checksum = proof.checksum.as_ref().and_then(messages::Checksum::of_gss);
    let checksum = checksum.ok_or(Refused::NoGssChecksum)?;
    let insistence = match proof.authorization {
        Some(data) if knows_bindings(data, 0).ok_or(Refused::Malformed { what: "authenticator" })? => {
            Insistence::KnowsOfBindings
        }
        _ => Insistence::None,
    };
    binding::check(channel.policy, Some(checksum.bindings), channel.binding, insistence)
}

/// AD-AUTH-DATA-AP-OPTIONS with KERB_AP_OPTIONS_CBT, as it is or inside AD-IF-RELEVANT.
fn knows_bindings(data: &[u8], depth: u8) -> Option<bool> {
    let mut found = false;
    for (kind, inner) in messages::authorization(data)? {
        found |= match kind {
            AP_OPTIONS => inner.first_chunk().is_some_and(|bytes| u32::from_le_bytes(*bytes) & CBT != 0),
            IF_RELEVANT if depth == 0 => knows_bindings(inner, 1)?,
            _ => false,
        };
    }
    Some(found)
}

fn account(ticket: &TicketPart<'_>, key: &Key) -> Result<Account, Refused> {
    let Client { name, .. } = &ticket.client;
    let client = name.join("/");
    let bytes = pac::find(ticket.authorization.ok_or(PacError::Missing)?)?;
    let said = pac::Ticket { client: &client, authenticated: ticket.authenticated };
    let LogonInfo { sid, domain, name, groups } = pac::read(bytes, key, &said)?;
    let name = AccountName::new(&domain, &name).ok_or(Refused::BadName)?;
    if groups.iter().any(|group| group.is_service_asserted()) {
        return Err(Refused::OnBehalf { account: name.to_string() });
    }
    Ok(Account { sid, name, groups })
}

/// AP-REP: shows that we could open the ticket. A client with a key of its own gets one of ours as well.
fn reply(proof: &Authenticator<'_>, key: &Key, leg: &Leg) -> Result<Vec<u8>, Refused> {
    let cannot = || Refused::Malformed { what: "reply" };
    let (confounder, rest) = leg.random.split_first_chunk::<BLOCK>().ok_or_else(cannot)?;
    let (sequence, rest) = rest.split_first_chunk::<4>().ok_or_else(cannot)?;
    let subkey = rest.get(..key.etype().key_bytes()).ok_or_else(cannot)?;
    let subkey = proof.subkey.as_ref().map(|_| (key.etype().number(), subkey));
    let sequence = proof.sequence.map(|_| u32::from_be_bytes(*sequence));
    let part = Zeroizing::new(messages::write_reply_part(proof, subkey, sequence));
    let cipher = key.encrypt(Usage::Reply, confounder, &part).ok_or_else(cannot)?;
    Ok(messages::write_reply(key.etype().number(), &cipher))
}

fn unix_seconds(now: SystemTime) -> i64 {
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}

/// What the whole world of Kerberos allows, and Windows too.
const SKEW_SECONDS_MAX: i64 = 300;
/// Bits of AP-REQ's options, [RFC 4120] 5.5.1.
const USE_SESSION_KEY: u32 = 0x4000_0000;
const MUTUAL_REQUIRED: u32 = 0x2000_0000;
/// A bit of a ticket's flags, [RFC 4120] 5.3.
const INVALID: u32 = 0x0100_0000;
/// [RFC 4120] 5.2.6.1 and [MS-KILE] 2.2.6, 3.2.5.8.
const IF_RELEVANT: i64 = 1;
const AP_OPTIONS: i64 = 143;
const CBT: u32 = 0x4000;

#[cfg(test)]
mod tests;

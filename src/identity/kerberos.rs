//! Kerberos, the server's side: a ticket for one of our services, and the proof that its sender is the client
//! that it names, to an account with its groups ([RFC 4120] 3.2, [RFC 4121], [MS-KILE] 3.4.5).

mod authorization;
pub(super) mod crypto;
pub(super) mod gss_checksum;
mod keytab;
mod logon_info;
pub(super) mod messages;
mod named;
mod pac;
mod realms;
mod refused;
mod replay;

pub use keytab::{Keytab, KeytabError};
pub use named::{KeyInUse, LeftOut, NamedKey, Source, etype_name};
pub use pac::PacError;
pub use realms::{Domains, Realms};
pub use refused::Refused;

use super::binding::{self, Insistence};
use super::{Bound, ChannelBinding, ChannelBindingPolicy, Leg};
use crate::principal::{Account, AccountName};
use crypto::{BLOCK, Etype, Key, Usage};
use keytab::ServiceKey;
use messages::{Authenticator, Client, Encrypted, Request, SessionKey, Ticket, TicketPart};
use realms::Realm;
use replay::{Known, Proof, Replays};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// Takes tickets, and remembers which proofs it took: one for a node.
pub struct Acceptor {
    keytab: Mutex<Arc<Keytab>>,
    realms: Realms,
    replays: Mutex<Replays>,
}

/// What the groups in a ticket are worth beside those of a directory.
#[derive(Clone, Debug)]
pub struct Word {
    /// When the account got its first ticket: what is said of groups is as old as that.
    pub authenticated: SystemTime,
    /// The domains that may be named for this caller.
    pub domains: Domains,
}

/// What a ticket and its proof say.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) account: Account,
    /// The service that the ticket is for, `HTTP/host@REALM`.
    pub(super) service: String,
    /// The service that the client says it means, if it says one: under its proof, as the ticket's is not.
    pub(super) target: Option<String>,
    pub(super) word: Word,
    pub(super) bound: Bound,
    /// Our own proof, if the client asked for one: a GSS token.
    pub(super) reply: Option<Vec<u8>>,
}

/// The connection that a token came on.
pub(super) struct Channel<'a> {
    pub(super) policy: ChannelBindingPolicy,
    pub(super) binding: Option<&'a ChannelBinding>,
}

impl Acceptor {
    /// With the keys of our services.
    #[must_use]
    pub fn new(keytab: Keytab) -> Self {
        Acceptor {
            keytab: Mutex::new(Arc::new(keytab)),
            realms: Realms::default(),
            replays: Mutex::default(),
        }
    }

    /// Holds what the controllers of each realm say against this.
    #[must_use]
    pub fn with_realms(self, realms: Realms) -> Self {
        Acceptor { realms, ..self }
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
        let session_key = aes_key(&ticket.key, "ticket's key", service_key)?;
        let plain = open_proof(&request.authenticator, &session_key)?;
        let proof = Authenticator::read(&plain).ok_or(Refused::Malformed { what: "authenticator" })?;
        if proof.client != ticket.client {
            return Err(Refused::OtherClient.into());
        }
        if let Some(subkey) = &proof.subkey {
            aes_key(subkey, "client's own key", service_key)?;
        }
        check_clock(proof.seconds, now)?;
        let said = ClientSaid::read(&proof)?;
        let bound = check_binding(&proof, &said, channel)?;
        let (account, domains) = self.account(&ticket, service_key, keytab.has_one_realm())?;
        self.take_once(&request, &account, proof.seconds, now)?;
        service_key.used.note(now);
        let mutual = request.options & MUTUAL_REQUIRED != 0;
        let reply = if mutual { Some(reply(&proof, &session_key, leg)?) } else { None };
        let (service, target) = (service_key.to_string(), said.target);
        let word = Word { authenticated: system_time(ticket.authenticated), domains };
        Ok(Accepted { account, service, target, word, bound, reply })
    }

    /// Who the client is, by the PAC.
    fn account(
        &self,
        ticket: &TicketPart<'_>,
        service: &ServiceKey,
        one_realm: bool,
    ) -> Result<(Account, Domains), Refused> {
        let Client { name, .. } = &ticket.client;
        let client = name.join("/");
        let bytes = pac::find(ticket.authorization.ok_or(PacError::Missing)?)?;
        let in_ticket = pac::Ticket { client: &client, authenticated: ticket.authenticated };
        let pac::Said { info, delegated } = pac::read(bytes, &service.key, &in_ticket)?;
        let name = AccountName::new(&info.domain, &info.name).ok_or(Refused::BadName)?;
        if info.guest {
            return Err(Refused::Guest);
        }
        if info.service_asserted {
            return Err(Refused::OnBehalf { account: name.to_string() });
        }
        if delegated {
            return Err(Refused::Delegated { account: name.to_string() });
        }
        // The realm of the key: that in the ticket is not proven.
        let realm = Realm { name: &service.realm, alone: one_realm };
        let (info, domains) = self.realms.hold(realm, info)?;
        Ok((Account { sid: info.sid, name, groups: info.groups }, domains))
    }

    fn take_once(
        &self,
        request: &Request<'_>,
        account: &Account,
        seconds: i64,
        now: i64,
    ) -> Result<(), Refused> {
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(Sha256::digest(request.authenticator.cipher));
        let proof =
            Proof { account: &account.sid, mark: u64::from_be_bytes([a, b, c, d, e, f, g, h]), seconds };
        let mut replays = self.replays.lock().unwrap_or_else(PoisonError::into_inner);
        replays.remember(&proof, now).map_err(|known| match known {
            Known::Already => Refused::Replayed,
            Known::Full => Refused::TooMany { account: account.name.to_string() },
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
    // Nobody has proven it.
    let service = format!("{}@{}", ticket.service.join("/"), ticket.realm);
    let service: String = service.chars().take(SERVICE_SHOWN_CHARS_MAX).collect();
    let keys = keytab.of(&ticket.service, &ticket.realm);
    if keys.is_empty() {
        return Err(Refused::UnknownService { service, known: keytab.some_services() });
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

/// The key in a ticket, or the one that a client adds to it.
fn aes_key(key: &SessionKey<'_>, what: &'static str, service: &ServiceKey) -> Result<Key, Refused> {
    let weak = || Refused::WeakCipher { what, etype: key.etype, service: service.to_string() };
    let etype = Etype::of_number(key.etype).ok_or_else(weak)?;
    Key::new(etype, key.bytes).ok_or(Refused::Malformed { what })
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

/// What a client says about the connection in its authorization data ([MS-KILE] 3.2.5.8).
#[derive(Debug, Default, PartialEq, Eq)]
struct ClientSaid {
    /// Its options (KERB_AP_OPTIONS).
    options: Option<u32>,
    /// Which service it means (KERB_AUTH_DATA_CLIENT_TARGET). Whether it is sure of the name
    /// (KERB_AP_OPTIONS_UNVERIFIED_TARGET_NAME) changes nothing: it is for one that we have, or it is not.
    target: Option<String>,
}

impl ClientSaid {
    fn read(proof: &Authenticator<'_>) -> Result<Self, Refused> {
        let mut said = ClientSaid::default();
        if let Some(data) = proof.authorization {
            said.add(data, 0).ok_or(Refused::Malformed { what: "authenticator" })?;
        }
        Ok(said)
    }

    /// The elements as they are, or inside AD-IF-RELEVANT.
    fn add(&mut self, data: &[u8], depth: u8) -> Option<()> {
        for (kind, inner) in authorization::authorization(data)? {
            if !authorization::is_known_form(kind, inner, depth) {
                return None;
            }
            match kind {
                // Two could be read in two ways.
                AP_OPTIONS if self.options.is_some() => return None,
                AP_OPTIONS => self.options = Some(u32::from_le_bytes(inner.try_into().ok()?)),
                CLIENT_TARGET if self.target.is_some() => return None,
                CLIENT_TARGET => self.target = Some(target(inner)?),
                authorization::IF_RELEVANT if depth == 0 => self.add(inner, 1)?,
                _ => {}
            }
        }
        Some(())
    }

    /// It knows of channel bindings (KERB_AP_OPTIONS_CBT).
    fn knows_bindings(&self) -> bool {
        self.options.is_some_and(|options| options & CBT != 0)
    }
}

/// UTF-16, with nothing around it.
fn target(bytes: &[u8]) -> Option<String> {
    let name = pac::utf16(bytes)?;
    let good = name.chars().count() <= SERVICE_SHOWN_CHARS_MAX && !name.chars().any(char::is_control);
    good.then_some(name)
}

/// The binding is in the checksum; a client that says that it knows of bindings must send one over TLS, or
/// somebody has put a clear connection in between.
fn check_binding(
    proof: &Authenticator<'_>,
    said: &ClientSaid,
    channel: &Channel<'_>,
) -> Result<Bound, super::Refused> {
    let checksum = proof.checksum.as_ref().and_then(messages::Checksum::of_gss);
    let checksum = checksum.ok_or(Refused::NoGssChecksum)?;
    let insistence = if said.knows_bindings() { Insistence::KnowsOfBindings } else { Insistence::None };
    binding::check(channel.policy, Some(checksum.bindings), channel.binding, insistence)
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

fn system_time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn unix_seconds(now: SystemTime) -> i64 {
    let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}

/// What the whole world of Kerberos allows, and Windows too.
const SKEW_SECONDS_MAX: i64 = 300;
/// `HTTP/`, a DNS name, a port and a realm.
const SERVICE_SHOWN_CHARS_MAX: usize = 512;
/// Bits of AP-REQ's options, [RFC 4120] 5.5.1.
const USE_SESSION_KEY: u32 = 0x4000_0000;
const MUTUAL_REQUIRED: u32 = 0x2000_0000;
/// A bit of a ticket's flags, [RFC 4120] 5.3.
const INVALID: u32 = 0x0100_0000;
/// [MS-KILE] 2.2.6, 3.2.5.8.
const AP_OPTIONS: i64 = 143;
const CLIENT_TARGET: i64 = 144;
const CBT: u32 = 0x4000;

#[cfg(test)]
mod tests;

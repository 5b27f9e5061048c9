//! Token bytes to a proven account, leg by leg: Kerberos ([RFC 4120]) and NTLMv2 ([MS-NLMP]), raw and inside
//! SPNEGO ([RFC 4178], [MS-SPNG]).
//!
//! No network, no files, no clock and no randomness; the one thing remembered between connections is which
//! Kerberos proofs were taken. No input panics; no error is for the client.

mod attempt;
mod binding;
mod der;
pub mod kerberos;
pub mod kerberos_client;
mod ntlm;
pub mod ntlm_client;
mod refused;
mod spnego;

pub use attempt::{Attempt, Bound, Proven};
pub use binding::{ChannelBinding, NotACertificate};
pub use ntlm::keys::{NtlmProof, SessionBaseKey, nt_hash, verify};
pub use refused::Refused;

use crate::principal::Account;
use attempt::Wrapped;
use ntlm::Kind;
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

/// The word in front of the token in the `Authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Negotiate` ([RFC 4559]): SPNEGO, or NTLM as it is, which clients without a ticket send.
    Negotiate,
    /// `NTLM` ([MS-NTHT]): NTLM as it is.
    Ntlm,
}

/// What to do about channel bindings: the word of IIS, `extendedProtection`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBindingPolicy {
    /// Nothing: for clients behind somebody else's TLS.
    Off,
    /// Check what a client sends; let those in that send none.
    Allow,
    /// Let nobody in without one, nor without a MIC, nor on a clear connection.
    Require,
}

/// What the acceptor says of itself, and what it insists on.
#[derive(Clone, Debug)]
pub struct Settings {
    domain: String,
    computer: String,
    dns_domain: String,
    channel_binding: ChannelBindingPolicy,
    kerberos: Option<Arc<kerberos::Acceptor>>,
}

/// Why a name cannot be told to clients.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name:?} cannot be the {what}; write 1 to 255 characters, no control characters")]
pub struct SettingsError {
    what: &'static str,
    name: String,
}

impl Settings {
    /// The domain's and the computer's NetBIOS names, the domain's DNS name, and the policy.
    ///
    /// # Errors
    /// When a name is empty, too long for DNS, or has a control character.
    pub fn new(
        domain: &str,
        computer: &str,
        dns_domain: &str,
        channel_binding: ChannelBindingPolicy,
    ) -> Result<Self, SettingsError> {
        for (what, name) in
            [("NetBIOS domain", domain), ("NetBIOS computer name", computer), ("DNS domain", dns_domain)]
        {
            let chars = name.chars().count();
            if chars == 0 || chars > NAME_CHARS_MAX || name.chars().any(char::is_control) {
                return Err(SettingsError { what, name: name.chars().take(NAME_CHARS_MAX).collect() });
            }
        }
        Ok(Settings {
            domain: domain.into(),
            computer: computer.into(),
            dns_domain: dns_domain.into(),
            channel_binding,
            kerberos: None,
        })
    }

    /// Takes Kerberos as well.
    #[must_use]
    pub fn with_kerberos(self, acceptor: Arc<kerberos::Acceptor>) -> Self {
        Settings { kerberos: Some(acceptor), ..self }
    }

    /// The domain's NetBIOS name.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The domain's DNS name.
    #[must_use]
    pub fn dns_domain(&self) -> &str {
        &self.dns_domain
    }

    /// What is done about channel bindings.
    #[must_use]
    pub fn channel_binding(&self) -> ChannelBindingPolicy {
        self.channel_binding
    }

    /// What takes tickets, if there is any key now.
    fn kerberos(&self) -> Option<&kerberos::Acceptor> {
        self.kerberos.as_deref().filter(|acceptor| acceptor.has_keys())
    }

    fn computer(&self) -> &str {
        &self.computer
    }

    fn dns_computer(&self) -> String {
        format!("{}.{}", self.computer.to_lowercase(), self.dns_domain)
    }
}

/// What a leg needs from outside.
#[derive(Clone, Copy)]
pub struct Leg {
    /// Eight bytes that nobody can foresee, fresh for each leg: NTLM's challenge.
    pub challenge: [u8; 8],
    /// More such bytes, for Kerberos' answer.
    pub random: [u8; RANDOM_BYTES],
    /// The time.
    pub now: SystemTime,
}

/// What comes of a leg.
#[derive(Debug)]
pub enum Step {
    /// Send this token with a 401; the next leg comes on the same connection.
    Continue {
        /// The token, for the header.
        token: Vec<u8>,
    },
    /// Ask who knows the password, then [`Attempt::finish`].
    Verify(Box<Attempt>),
    /// A ticket has proven the account, and says its groups.
    Ticket(Box<TicketProven>),
}

/// What a Kerberos ticket has proven.
#[derive(Debug)]
pub struct TicketProven {
    /// The account, with the groups that its domain said it was in when the client got its own first ticket.
    pub account: Account,
    /// The service that the ticket is for, `HTTP/host@REALM`.
    pub service: String,
    /// The service that the client says, under its proof, that it means; `None` if it says nothing.
    pub target: Option<String>,
    /// What its groups are worth.
    pub word: kerberos::Word,
    /// Whether the proof is tied to this TLS connection.
    pub bound: Bound,
    /// The last token, for the answer's header.
    pub reply: Option<Vec<u8>>,
}

/// The handshake of one connection: the state of an unfinished one, and nothing else.
///
/// Every leg takes the state away and puts a new one only if it succeeds: after an error the
/// handshake is as new, and a challenge is answered once.
#[derive(Debug)]
pub struct Handshake {
    settings: Arc<Settings>,
    binding: Option<ChannelBinding>,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    New,
    /// NTLM was chosen out of a list in which it is not the first; its NEGOTIATE comes next.
    Chosen(Wrapped),
    /// A challenge is out. `None`: as it is, under that scheme.
    Challenged { wrapped: Option<Wrapped>, scheme: Scheme, sent: ntlm::Sent },
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::New => "New",
            State::Chosen(_) => "Chosen",
            State::Challenged { .. } => "Challenged",
        })
    }
}

impl Handshake {
    /// For a new connection; `binding` is that of our certificate on it, `None` on a clear one.
    #[must_use]
    pub fn new(settings: Arc<Settings>, binding: Option<ChannelBinding>) -> Self {
        Handshake { settings, binding, state: State::New }
    }

    /// Takes a client's token, decoded from base64.
    ///
    /// # Errors
    /// Says why the client is refused, for the log. The client learns only that it is.
    pub fn step(&mut self, scheme: Scheme, token: &[u8], leg: Leg) -> Result<Step, Refused> {
        let state = mem::take(&mut self.state);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong { bytes: token.len(), bytes_max: TOKEN_BYTES_MAX });
        }
        if token.starts_with(ntlm::messages::SIGNATURE) {
            return self.raw(state, scheme, token, &leg);
        }
        match scheme {
            Scheme::Ntlm => Err(Refused::Malformed { what: "not an NTLM message" }),
            Scheme::Negotiate if kerberos::messages::is_framed(token) => {
                let accepted = self.ticket(token, &leg)?;
                let reply = accepted.reply.clone();
                Ok(proven(accepted, reply))
            }
            Scheme::Negotiate => self.negotiate(state, token, &leg),
        }
    }

    /// NTLM as it is.
    fn raw(&mut self, state: State, scheme: Scheme, message: &[u8], leg: &Leg) -> Result<Step, Refused> {
        match (ntlm::kind(message), state) {
            // A client may begin again at any time, as with a wrong password.
            (Some(Kind::Negotiate), _) => {
                let sent = ntlm::challenge(message, &self.settings, leg)?;
                let token = sent.message().to_vec();
                self.state = State::Challenged { wrapped: None, scheme, sent };
                Ok(Step::Continue { token })
            }
            (Some(Kind::Authenticate), State::Challenged { wrapped: None, scheme: before, sent })
                if before == scheme =>
            {
                let received = sent.receive(message, &self.settings, self.binding.as_ref())?;
                Ok(Step::Verify(Box::new(Attempt::new(received, None))))
            }
            (Some(Kind::Authenticate), _) => Err(Refused::UnexpectedLeg { what: "AUTHENTICATE" }),
            (None, _) => Err(Refused::Malformed { what: "an NTLM message of an unknown type" }),
        }
    }

    /// Kerberos as it is.
    fn ticket(&self, token: &[u8], leg: &Leg) -> Result<kerberos::Accepted, Refused> {
        let acceptor = self.settings.kerberos().ok_or(Refused::NoMechanismInCommon)?;
        let policy = self.settings.channel_binding;
        acceptor.accept(token, &kerberos::Channel { policy, binding: self.binding.as_ref() }, leg)
    }

    /// SPNEGO.
    fn negotiate(&mut self, state: State, token: &[u8], leg: &Leg) -> Result<Step, Refused> {
        match spnego::parse(token).ok_or(Refused::Malformed { what: "not a SPNEGO token" })? {
            spnego::Token::Init(init) => self.choose(&init, leg),
            spnego::Token::Response(response) => {
                if response.state == Some(spnego::REJECT) {
                    return Err(Refused::GivenUp);
                }
                if response.mech.is_some_and(|mech| mech != spnego::NTLM) {
                    return Err(Refused::NoMechanismInCommon);
                }
                let message = response.token.ok_or(Refused::Malformed { what: "SPNEGO without a token" })?;
                match (ntlm::kind(message), state) {
                    (Some(Kind::Negotiate), State::Chosen(wrapped)) => {
                        self.challenge_wrapped(wrapped, message, leg, None)
                    }
                    (
                        Some(Kind::Authenticate),
                        State::Challenged { wrapped: Some(wrapped), scheme: Scheme::Negotiate, sent },
                    ) => {
                        let received = sent.receive(message, &self.settings, self.binding.as_ref())?;
                        let wrapped = wrapped.with_mech_list_mic(response.mech_list_mic);
                        Ok(Step::Verify(Box::new(Attempt::new(received, Some(wrapped)))))
                    }
                    (Some(_), _) => Err(Refused::UnexpectedLeg { what: "NegTokenResp" }),
                    (None, _) => Err(Refused::Malformed { what: "SPNEGO with a token that is not NTLM" }),
                }
            }
        }
    }

    /// The first token of a negotiation.
    fn choose(&mut self, init: &spnego::Init<'_>, leg: &Leg) -> Result<Step, Refused> {
        let favourite = init.mechs.first().copied().unwrap_or_default();
        if let Some(token) =
            init.token.filter(|_| self.settings.kerberos().is_some() && is_kerberos(favourite))
        {
            let accepted = self.ticket(token, leg)?;
            let (state, reply) = (spnego::State::Completed, accepted.reply.as_deref());
            // The favourite was taken, so nobody has shortened the list: no mechListMIC, [RFC 4178] 5.
            let reply = spnego::write_response(state, Some(favourite), reply, None);
            return Ok(proven(accepted, Some(reply)));
        }
        if !init.mechs.contains(&spnego::NTLM) {
            return Err(Refused::NoMechanismInCommon);
        }
        let favourite = init.mechs.first() == Some(&spnego::NTLM);
        let wrapped = Wrapped::new(init.mech_list, favourite);
        match init.token {
            // The token is one of the client's favourite, [RFC 4178] 4.2.1.
            Some(message) if favourite => match ntlm::kind(message) {
                Some(Kind::Negotiate) => {
                    self.challenge_wrapped(wrapped, message, leg, Some(spnego::State::Incomplete))
                }
                Some(Kind::Authenticate) => Err(Refused::UnexpectedLeg { what: "AUTHENTICATE" }),
                None => Err(Refused::Malformed { what: "SPNEGO with a token that is not NTLM" }),
            },
            _ => {
                let state = if favourite { spnego::State::Incomplete } else { spnego::State::RequestMic };
                self.state = State::Chosen(wrapped);
                Ok(Step::Continue { token: spnego::write_response(state, Some(spnego::NTLM), None, None) })
            }
        }
    }

    /// A challenge inside SPNEGO; the first answer of a negotiation also names the mechanism.
    fn challenge_wrapped(
        &mut self,
        wrapped: Wrapped,
        negotiate: &[u8],
        leg: &Leg,
        first: Option<spnego::State>,
    ) -> Result<Step, Refused> {
        let sent = ntlm::challenge(negotiate, &self.settings, leg)?;
        let mech = first.map(|_| spnego::NTLM);
        let state = first.unwrap_or(spnego::State::Incomplete);
        let token = spnego::write_response(state, mech, Some(sent.message()), None);
        self.state = State::Challenged { wrapped: Some(wrapped), scheme: Scheme::Negotiate, sent };
        Ok(Step::Continue { token })
    }
}

fn proven(accepted: kerberos::Accepted, reply: Option<Vec<u8>>) -> Step {
    let kerberos::Accepted { account, service, target, word, bound, .. } = accepted;
    Step::Ticket(Box::new(TicketProven { account, service, target, word, bound, reply }))
}

/// Windows offers the same mechanism under two numbers, the wrong one first.
fn is_kerberos(mech: &[u8]) -> bool {
    mech == kerberos::messages::KERBEROS || mech == kerberos::messages::KERBEROS_OF_WINDOWS
}

/// What Windows allows a token to be (MaxTokenSize): 64,000 characters in base64. One with 1,000 groups has 10 KB.
const TOKEN_BYTES_MAX: usize = 48_000;
/// A confounder, a sequence number and a key.
const RANDOM_BYTES: usize = 16 + 4 + 32;
/// What a DNS name can have.
const NAME_CHARS_MAX: usize = 255;

#[cfg(test)]
mod tests;

/// Proofs by hand, for the tests of a verifier.
#[cfg(test)]
pub(crate) mod testing {
    use super::NtlmProof;
    use super::ntlm::keys;
    use crate::secret::Secret;

    /// Makes the proof one that holds for this hash.
    pub(crate) fn prove(nt_hash: &Secret<[u8; 16]>, proof: &mut NtlmProof) {
        let key = keys::response_key(nt_hash, &proof.user, &proof.domain);
        let (claimed, blob) = proof.nt_response.split_first_chunk_mut::<16>().expect("a response");
        *claimed = keys::nt_proof(&key, &proof.server_challenge, blob);
    }
}

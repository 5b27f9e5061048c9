//! The end of a handshake: the proof for whoever knows the password, then the checks that need its key.

use super::ntlm::keys::{self, NtlmProof, SessionBaseKey, Signer};
use super::ntlm::messages::{Flags, around_mic};
use super::ntlm::{Received, Signed};
use super::{Refused, spnego};
use crate::secret::Secret;
use subtle::ConstantTimeEq;

/// A client's AUTHENTICATE, waiting for somebody who knows the password.
pub struct Attempt {
    received: Received,
    wrapped: Option<Wrapped>,
}

/// What a finished handshake says beside the account, which the directory gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The name that the client gives its computer. Nothing proves it: for events, never for decisions.
    pub workstation: String,
    /// The service that the client thinks it talks to, `HTTP/host` (MsvAvTargetName); empty if it does not say.
    /// It is covered by the proof.
    pub target: String,
    /// Whether the proof is tied to this TLS connection.
    pub bound: Bound,
    /// Whether a MIC over the three messages was there, and held.
    pub mic: bool,
    /// SPNEGO's last token, for the answer's header.
    pub reply: Option<Vec<u8>>,
}

/// What came of the channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The client sent the binding of this very connection.
    ToChannel,
    /// The client sent none, and the policy allows that.
    NotSent,
    /// The policy is not to look.
    NotChecked,
}

/// What SPNEGO adds to a handshake.
pub(super) struct Wrapped {
    mech_list: Vec<u8>,
    favourite: bool,
    mech_list_mic: Option<Vec<u8>>,
}

impl Wrapped {
    /// `favourite`: NTLM is the first of the client's list.
    pub(super) fn new(mech_list: &[u8], favourite: bool) -> Self {
        Wrapped { mech_list: mech_list.to_vec(), favourite, mech_list_mic: None }
    }

    pub(super) fn with_mech_list_mic(self, mic: Option<&[u8]>) -> Self {
        Wrapped { mech_list_mic: mic.map(<[u8]>::to_vec), ..self }
    }
}

impl Attempt {
    pub(super) fn new(received: Received, wrapped: Option<Wrapped>) -> Self {
        Attempt { received, wrapped }
    }

    /// What to ask the directory.
    #[must_use]
    pub fn proof(&self) -> &NtlmProof {
        &self.received.proof
    }

    /// Ends the handshake with the key that the verifier of [`Attempt::proof`] gave.
    ///
    /// # Errors
    /// When the MIC or the mechListMIC does not hold, or is not there and must be.
    pub fn finish(self, key: &SessionBaseKey) -> Result<Proven, Refused> {
        let Received { proof, flags, encrypted_key, bound, target, signed } = self.received;
        let key = keys::exported_key(key, flags, &encrypted_key)
            .ok_or(Refused::Malformed { what: "AUTHENTICATE: the session key is missing" })?;
        let mic = signed.is_some();
        if let Some(signed) = signed {
            check_mic(&signed, &key)?;
        }
        let reply = match self.wrapped {
            Some(wrapped) => Some(close(&wrapped, mic, flags, &key)?),
            None => None,
        };
        Ok(Proven { workstation: proof.workstation, target, bound, mic, reply })
    }
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt").field("proof", &self.received.proof).finish_non_exhaustive()
    }
}

fn check_mic(signed: &Signed, key: &Secret<[u8; 16]>) -> Result<(), Refused> {
    let around = around_mic(&signed.authenticate).ok_or(Refused::MicMissing)?;
    let computed = keys::mic(key, [&signed.negotiate, &signed.challenge], around);
    if bool::from(computed.ct_eq(&signed.mic)) { Ok(()) } else { Err(Refused::MicWrong) }
}

/// Checks the client's mechListMIC and writes the last token, with ours ([RFC 4178] 5, [MS-SPNG] 3.3.5.1).
fn close(wrapped: &Wrapped, mic: bool, flags: Flags, key: &Secret<[u8; 16]>) -> Result<Vec<u8>, Refused> {
    let sign = |signer| keys::signature(key, flags, signer, &wrapped.mech_list);
    let Some(sent) = &wrapped.mech_list_mic else {
        // A client that signs its messages signs its list too; one whose favourite is not NTLM must.
        if mic || !wrapped.favourite {
            return Err(Refused::MechListMicMissing);
        }
        return Ok(spnego::write_response(spnego::State::Completed, None, None, None));
    };
    let (Some(computed), Some(ours)) = (sign(Signer::Client), sign(Signer::Server)) else {
        return Err(Refused::MechListMicWrong);
    };
    if !bool::from(computed.ct_eq(sent)) {
        return Err(Refused::MechListMicWrong);
    }
    Ok(spnego::write_response(spnego::State::Completed, None, None, Some(&ours)))
}

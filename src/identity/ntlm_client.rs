//! NTLMv2, the client's side ([MS-NLMP] 3.1.5): with a server that may be hostile. It always signs.

use super::ChannelBinding;
use super::ntlm::keys;
use super::ntlm::messages::{
    self, AUTHENTICATE, Flags, NEGOTIATE, Payload, SIGNATURE, VERSION_BYTES, challenge_field, u32_at, utf16,
};
use super::ntlm::target_info::{AvId, FLAG_MIC, TargetInfo};
use crate::secret::Secret;

/// One handshake of a client.
pub struct NtlmClient {
    credentials: Credentials,
    negotiate: Vec<u8>,
}

/// Who the client is.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The domain of the account; empty with a UPN.
    pub domain: String,
    /// The account.
    pub user: String,
    /// The hash of its password.
    pub nt_hash: Secret<[u8; 16]>,
    /// The name of the client's computer.
    pub workstation: String,
}

/// Bytes that nobody can foresee, fresh for each handshake.
#[derive(Clone, Debug)]
pub struct Nonces {
    /// The client's part of the proof.
    pub client_challenge: [u8; 8],
    /// The key of the session.
    pub session_key: Secret<[u8; 16]>,
}

/// Where the client believes itself to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Server<'a> {
    /// The service's name, `HTTP/host`; empty: not said.
    pub target: &'a str,
    /// The binding of the server's certificate; `None` on a clear connection.
    pub binding: Option<&'a ChannelBinding>,
}

/// Why a server's answer is of no use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ClientError {
    /// The bytes are not a CHALLENGE.
    #[error("not an NTLM challenge: {what}")]
    NotAChallenge {
        /// What is wrong with them.
        what: &'static str,
    },
    /// Some name is longer than a message can hold.
    #[error("a name of {bytes} bytes is too long for a message")]
    NameTooLong {
        /// Its length in UTF-16.
        bytes: usize,
    },
}

impl NtlmClient {
    /// Begins a handshake.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        let flags = FLAGS.to_le_bytes();
        let names = [0; 16]; // no domain and no workstation: neither would be protected
        let negotiate = [SIGNATURE, &NEGOTIATE.to_le_bytes(), &flags, &names, &VERSION_BYTES].concat();
        NtlmClient { credentials, negotiate }
    }

    /// The first message.
    #[must_use]
    pub fn negotiate(&self) -> &[u8] {
        &self.negotiate
    }

    /// The last message, for the server's challenge.
    ///
    /// # Errors
    /// When the server's bytes are not a challenge, or a name is too long.
    pub fn authenticate(
        &self,
        challenge: &[u8],
        nonces: &Nonces,
        server: Server<'_>,
    ) -> Result<Vec<u8>, ClientError> {
        let read = Challenge::read(challenge)?;
        let mut target_info = read.target_info;
        target_info.set(AvId::FLAGS, FLAG_MIC.to_le_bytes().to_vec());
        let binding = server.binding.map_or([0; 16], |binding| *binding.bytes());
        target_info.set(AvId::CHANNEL_BINDINGS, binding.to_vec());
        target_info.set(AvId::TARGET_NAME, name(server.target)?);

        let Credentials { domain, user, nt_hash, workstation } = &self.credentials;
        let response_key = keys::response_key(nt_hash, user, domain);
        // [MS-NLMP] 2.2.2.7: types, reserved, timestamp, our challenge, reserved, pairs, reserved.
        let blob = [
            &[1, 1, 0, 0, 0, 0, 0, 0][..],
            &read.time,
            &nonces.client_challenge,
            &[0; 4],
            &target_info.encode(),
            &[0; 4],
        ]
        .concat();
        let nt_proof = keys::nt_proof(&response_key, &read.server_challenge, &blob);
        let base_key = keys::session_base_key(&response_key, &nt_proof);

        let mut payload = Payload::after(messages::MIC_END);
        let domain = payload.field(&name(domain)?);
        let user = payload.field(&name(user)?);
        let workstation = payload.field(&name(workstation)?);
        let lm_response = payload.field(&[0; 24]); // [MS-NLMP] 3.1.5.1.2: with a timestamp, none
        let nt_response = payload.field(&[&nt_proof[..], &blob].concat());
        let key = payload.field(&keys::exchange_key(&base_key, nonces.session_key.expose()));
        let flags = (read.flags.0 & FLAGS).to_le_bytes();
        let before = [
            SIGNATURE,
            &AUTHENTICATE.to_le_bytes(),
            &lm_response,
            &nt_response,
            &domain,
            &user,
            &workstation,
            &key,
            &flags,
            &VERSION_BYTES,
        ]
        .concat();
        let messages = [&self.negotiate[..], challenge];
        let mic = keys::mic(&nonces.session_key, messages, (&before, &payload.bytes));
        Ok([&before[..], &mic, &payload.bytes].concat())
    }
}

/// What a client reads of a CHALLENGE ([MS-NLMP] 2.2.1.2).
struct Challenge {
    flags: Flags,
    server_challenge: [u8; 8],
    /// The server's clock.
    time: [u8; 8],
    target_info: TargetInfo,
}

impl Challenge {
    fn read(message: &[u8]) -> Result<Self, ClientError> {
        let wrong = |what| ClientError::NotAChallenge { what };
        if message.len() > CHALLENGE_BYTES_MAX {
            return Err(wrong("too long"));
        }
        if messages::kind(message) != Some(messages::CHALLENGE) {
            return Err(wrong("another message"));
        }
        let flags = Flags(u32_at(message, 20).ok_or(wrong("cut short"))?);
        if !NEEDED.into_iter().all(|flag| flags.has(flag)) {
            return Err(wrong("a server that does not grant what was asked"));
        }
        let server_challenge = *message.get(24..).and_then(<[u8]>::first_chunk).ok_or(wrong("cut short"))?;
        let target_info = challenge_field(message, 40).ok_or(wrong("no target information"))?;
        let target_info =
            TargetInfo::read_of_server(target_info).map_err(|_| wrong("damaged target information"))?;
        // [MS-NLMP] 3.1.5.1.2: without the time, a client would have to prove itself the older way as well.
        let time = target_info.get(AvId::TIMESTAMP).and_then(|time| time.try_into().ok());
        let time = time.ok_or(wrong("no time, which every server since 2008 says"))?;
        Ok(Challenge { flags, server_challenge, time, target_info })
    }
}

fn name(text: &str) -> Result<Vec<u8>, ClientError> {
    let bytes = utf16(text);
    if bytes.len() > NAME_BYTES_MAX {
        Err(ClientError::NameTooLong { bytes: bytes.len() })
    } else {
        Ok(bytes)
    }
}

/// Far below the 64 KiB that a length can say, as a response holds a name and more.
const NAME_BYTES_MAX: usize = 1024;

/// Five names and some numbers; what follows from it stays far below the 64 KiB that a length can say.
const CHALLENGE_BYTES_MAX: usize = 8 << 10;

/// What a server must grant: without them there is no session key, or a weak one.
const NEEDED: [u32; 4] =
    [Flags::KEY_EXCHANGE, Flags::UNICODE, Flags::EXTENDED_SESSION_SECURITY, Flags::KEY_128];

/// What the client asks for; a session key, so that the exchange is used.
const FLAGS: u32 = Flags::UNICODE
    | Flags::REQUEST_TARGET
    | Flags::SIGN
    | Flags::NTLM
    | Flags::ALWAYS_SIGN
    | Flags::EXTENDED_SESSION_SECURITY
    | Flags::TARGET_INFO
    | Flags::VERSION
    | Flags::KEY_128
    | Flags::KEY_EXCHANGE
    | Flags::KEY_56;

//! `Authorization: Negotiate` or `NTLM` to a [`Caller`], by Kerberos or NTLM. A handshake of NTLM lives and dies with one
//! connection on one node; what it proves is for the request that ends it, as a ticket is.

use super::logins::{self, Logins};
use crate::directory::Directory;
use crate::event::{Event, Tally};
use crate::identity::{
    Attempt, Bound, ChannelBinding, Handshake, Leg, Refused, Scheme, Settings, Step, kerberos,
};
use crate::principal::{Account, Binding, Caller, Channel, Mechanism};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// What authenticating needs to know about this node.
pub struct Authenticator {
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    logins: Arc<Logins>,
    target_names: Vec<String>,
    refusals: Tally<std::net::IpAddr>,
}

/// One connection of a client.
pub struct Connection {
    /// The other end.
    pub remote: SocketAddr,
    /// Whether it is encrypted.
    pub channel: Channel,
    /// What a client that uses channel binding must have seen; `None` without TLS.
    pub binding: Option<ChannelBinding>,
    progress: Mutex<Progress>,
    /// It ends with the next answer that leaves nothing to be said.
    leaving: AtomicBool,
}

/// How far the connection's authentication is.
///
/// Nobody is remembered once the request is answered that ended a handshake: each request brings its own proof. A
/// balancer may share its connections to us between clients, with our own certificate in front of them, and not even
/// a bound proof shows that: the next request could be somebody else's (RFC 4559 6).
#[derive(Default)]
struct Progress {
    handshake: Option<Handshake>,
    refused: u32,
}

/// What the request's headers led to.
pub enum Authenticated {
    /// The caller, and a last token for it, if the scheme has one.
    Caller {
        /// Who calls.
        caller: Arc<Caller>,
        /// The value of `WWW-Authenticate` that ends the handshake.
        token: Option<String>,
    },
    /// The client must answer one of these challenges.
    Challenge(Vec<String>),
    /// It failed too often on this connection, which should be closed.
    TooOften(Vec<String>),
    /// It may be who it says, and has to wait.
    Overloaded,
}

/// Why a leg led to nobody: for the log.
enum Refusal {
    /// The client has not proven an account.
    Unproven(String),
    /// There is no room for one more login of this account, or nobody can verify it now: no fault in its proof.
    Overloaded(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Refusal::Unproven(reason)
    }
}

impl From<logins::Refused> for Refusal {
    fn from(refused: logins::Refused) -> Self {
        let reason = refused.to_string();
        if refused.is_undetermined() { Refusal::Overloaded(reason) } else { Refusal::Unproven(reason) }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let reason = refused.to_string();
        let overloaded = matches!(refused, Refused::Kerberos(kerberos::Refused::TooMany { .. }));
        if overloaded { Refusal::Overloaded(reason) } else { Refusal::Unproven(reason) }
    }
}

impl Connection {
    /// A connection that was just accepted. A client with an IPv4 address is known by that on every listener.
    #[must_use]
    pub fn new(remote: SocketAddr, channel: Channel, binding: Option<ChannelBinding>) -> Self {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        Connection { remote, channel, binding, progress: Mutex::default(), leaving: AtomicBool::default() }
    }

    /// The node ends: this connection is to end as soon as its client can do without it.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether this answer is the last one. A client that is told to prove itself does so on the same connection, or its
    /// logon fails.
    pub(super) fn ends_with(&self, status: StatusCode) -> bool {
        self.leaving.load(Ordering::Relaxed) && status != StatusCode::UNAUTHORIZED
    }

    /// Whether the client's next leg of a handshake is awaited.
    pub(super) fn is_shaking_hands(&self) -> bool {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).handshake.is_some()
    }

    fn take(&self) -> Progress {
        std::mem::take(&mut *self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, progress: Progress) {
        *self.progress.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

impl Authenticator {
    /// Authenticates by this directory. A client that says which service it means must mean one of
    /// `target_names`.
    #[must_use]
    pub fn new(
        settings: Settings,
        directory: Arc<Directory>,
        logins: Arc<Logins>,
        target_names: Vec<String>,
    ) -> Self {
        Authenticator {
            settings: Arc::new(settings),
            directory,
            logins,
            target_names,
            refusals: Tally::new(REFUSAL_EVENT_EVERY),
        }
    }

    /// Finds out who sent a request.
    pub async fn authenticate(&self, connection: &Connection, headers: &HeaderMap) -> Authenticated {
        let mut progress = connection.take();
        let result = match token(headers) {
            // Nobody is remembered: see `Progress`.
            Ok(None) => Ok(Authenticated::Challenge(self.offers())),
            Ok(Some((scheme, token))) => self.leg(connection, &mut progress, scheme, &token).await,
            Err(reason) => Err(reason.into()),
        };
        let authenticated = result.unwrap_or_else(|refusal| self.refuse(connection, &mut progress, &refusal));
        connection.put(progress);
        authenticated
    }

    fn refuse(&self, connection: &Connection, progress: &mut Progress, refusal: &Refusal) -> Authenticated {
        progress.handshake = None;
        let reason = match refusal {
            Refusal::Overloaded(reason) => {
                self.report(connection, reason);
                return Authenticated::Overloaded;
            }
            Refusal::Unproven(reason) => reason,
        };
        progress.refused += 1;
        self.report(connection, reason);
        if progress.refused >= REFUSALS_MAX {
            Authenticated::TooOften(self.offers())
        } else {
            Authenticated::Challenge(self.offers())
        }
    }

    async fn leg(
        &self,
        connection: &Connection,
        progress: &mut Progress,
        scheme: Scheme,
        token: &[u8],
    ) -> Result<Authenticated, Refusal> {
        let came_at = Instant::now();
        let mut handshake = progress
            .handshake
            .take()
            .unwrap_or_else(|| Handshake::new(self.settings.clone(), connection.binding.clone()));
        let leg = Leg { challenge: rand::random(), random: rand::random(), now: SystemTime::now() };
        match handshake.step(scheme, token, leg)? {
            Step::Continue { token } => {
                progress.handshake = Some(handshake);
                Ok(Authenticated::Challenge(vec![challenge(scheme, &token)]))
            }
            Step::Verify(attempt) => {
                let result = self.ntlm(connection, progress, scheme, *attempt).await;
                if result.is_err() {
                    self.logins.answer_time(came_at).await;
                }
                result
            }
            Step::Ticket(proven) => {
                for meant in [Some(&proven.service), proven.target.as_ref()].into_iter().flatten() {
                    check_target(meant, &self.target_names)?;
                }
                let token = proven.reply.map(|token| challenge(scheme, &token));
                let caller = caller(connection, proven.account, Mechanism::Kerberos, proven.bound)?;
                self.logins.seen(&caller);
                progress.refused = 0;
                Ok(Authenticated::Caller { caller: self.confirm(&caller, &proven.word).await?, token })
            }
        }
    }

    /// The third leg of NTLM. Whatever fails in it, nobody can tell from the time it takes.
    async fn ntlm(
        &self,
        connection: &Connection,
        progress: &mut Progress,
        scheme: Scheme,
        attempt: Attempt,
    ) -> Result<Authenticated, Refusal> {
        let (claimed, address) = (attempt.proof().user.clone(), connection.remote.ip());
        let verified = self.logins.verify(&self.directory, attempt.proof(), address).await?;
        let proven = attempt.finish(&verified.key)?;
        check_target(&proven.target, &self.target_names)?;
        let token = proven.reply.map(|token| challenge(scheme, &token));
        // The binding is under the proof, and so is whether there is a MIC: whoever binds itself signs as well.
        let bound = if proven.mic { proven.bound } else { Bound::NotSent };
        let caller = caller(connection, verified.account, Mechanism::Ntlm, bound)?;
        self.logins.proven(&claimed, &caller, address);
        progress.refused = 0;
        Ok(Authenticated::Caller { caller, token })
    }

    /// The caller of a ticket as the directory has it now.
    async fn confirm(&self, caller: &Arc<Caller>, word: &kerberos::Word) -> Result<Arc<Caller>, String> {
        self.directory.confirm(caller, word).await.map_err(|error| error.to_string())
    }

    /// The schemes on offer, the better one first.
    fn offers(&self) -> Vec<String> {
        let ntlm = self.directory.takes_ntlm().then(|| "NTLM".to_owned());
        std::iter::once("Negotiate".to_owned()).chain(ntlm).collect()
    }

    /// Event 2000, at most once a minute and source.
    fn report(&self, connection: &Connection, reason: &str) {
        let ip = connection.remote.ip();
        if let Some(left_out) = self.refusals.say(ip, Instant::now()) {
            Event::PrincipalInvalid { computer: &ip.to_string(), reason, left_out }.log();
        } else {
            tracing::debug!(%ip, reason, "refused again");
        }
    }
}

fn caller(
    connection: &Connection,
    account: Account,
    mechanism: Mechanism,
    bound: Bound,
) -> Result<Arc<Caller>, String> {
    if account.sid.is_anonymous() || account.sid.is_guest() {
        return Err(format!("{} is no account of a server", account.name));
    }
    let (channel, computer) = (connection.channel, connection.remote.ip().to_string());
    let binding = match bound {
        Bound::ToChannel => Binding::Channel,
        Bound::NotSent | Bound::NotChecked => Binding::None,
    };
    Ok(Arc::new(Caller { account, mechanism, binding, channel, computer }))
}

/// A Windows client says, under its proof, which service it believes to talk to. If that is another one,
/// somebody passes its messages on to us ([MS-NLMP] 2.2.2.1, MsvAvTargetName; [MS-KILE] 3.2.5.8,
/// KERB_AUTH_DATA_CLIENT_TARGET). With Kerberos the realm may follow.
fn check_target(target: &str, accepted: &[String]) -> Result<(), String> {
    if target.is_empty() {
        return Ok(());
    }
    let host = target
        .split_once('/')
        .filter(|(class, _)| class.eq_ignore_ascii_case("HTTP"))
        .map(|(_, host)| host.split_once('@').map_or(host, |(host, _)| host))
        .map(|host| host.split_once(':').map_or(host, |(host, _)| host));
    match host {
        Some(host) if accepted.iter().any(|name| name.eq_ignore_ascii_case(host)) => Ok(()),
        _ => Err(format!("the client means the service {target:?}, not HTTP/{}", accepted.join(" or HTTP/"))),
    }
}

/// The token of the one `Authorization` header, if there is one.
fn token(headers: &HeaderMap) -> Result<Option<(Scheme, Vec<u8>)>, String> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("more than one Authorization header".into());
    }
    let text = value.to_str().map_err(|_| "an Authorization header that is no text".to_owned())?;
    let (scheme, token) =
        text.split_once(' ').ok_or_else(|| "an Authorization header without a token".to_owned())?;
    let scheme = match scheme {
        _ if scheme.eq_ignore_ascii_case("negotiate") => Scheme::Negotiate,
        _ if scheme.eq_ignore_ascii_case("ntlm") => Scheme::Ntlm,
        _ => return Err("an Authorization scheme other than Negotiate and NTLM".into()),
    };
    let token = STANDARD.decode(token.trim()).map_err(|_| "a token that is not base64".to_owned())?;
    Ok(Some((scheme, token)))
}

fn challenge(scheme: Scheme, token: &[u8]) -> String {
    let word = match scheme {
        Scheme::Negotiate => "Negotiate",
        Scheme::Ntlm => "NTLM",
    };
    format!("{word} {}", STANDARD.encode(token))
}

/// A person mistypes twice; a machine that fails three times goes on for ever.
const REFUSALS_MAX: u32 = 3;
/// One event a minute and source tells as much as a thousand.
const REFUSAL_EVENT_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check_token(values: &[&'static str]) -> Result<Option<usize>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        token(&headers).map(|token| token.map(|(_, bytes)| bytes.len()))
    }

    #[test]
    fn a_client_has_one_address_on_every_listener() {
        for (seen, known) in
            [("[::ffff:10.1.0.1]:80", "10.1.0.1:80"), ("[2001:db8::1]:80", "[2001:db8::1]:80")]
        {
            let connection = Connection::new(seen.parse().unwrap(), Channel::Http, None);
            assert_eq!(connection.remote.to_string(), known);
        }
    }

    #[test]
    fn a_client_that_means_another_service_is_refused() {
        let accepted = ["rms.contoso.com".to_owned(), "localhost".into()];
        for target in [
            "",
            "HTTP/rms.contoso.com",
            "http/RMS.contoso.com:443",
            "HTTP/localhost",
            "HTTP/localhost@CONTOSO.COM",
            "HTTP/rms.contoso.com:443@CONTOSO.COM",
        ] {
            assert_eq!(check_target(target, &accepted), Ok(()), "{target}");
        }
        for target in [
            "cifs/rms.contoso.com",
            "HTTP/evil",
            "HTTP",
            "HTTP/",
            "rms.contoso.com",
            "HTTP/rms.contoso.com.evil",
            "HTTP/evil@rms.contoso.com",
            "HTTP/rms.contoso.com/evil@CONTOSO.COM",
            "cifs/rms.contoso.com@CONTOSO.COM",
        ] {
            assert!(check_target(target, &accepted).is_err(), "{target}");
        }
    }

    /// A status 401 would be final for a client whose proof holds.
    #[test]
    fn an_account_without_room_has_proven_itself_all_the_same() {
        let account = "CONTOSO\\EXCH01$".to_owned();
        let refusal = |refused: kerberos::Refused| Refusal::from(Refused::from(refused));
        assert!(matches!(refusal(kerberos::Refused::TooMany { account }), Refusal::Overloaded(_)));
        assert!(matches!(refusal(kerberos::Refused::Replayed), Refusal::Unproven(_)));
    }

    #[test]
    fn reads_one_token_of_a_known_scheme() {
        assert_eq!(check_token(&[]), Ok(None));
        assert_eq!(check_token(&["negotiate YQ=="]), Ok(Some(1)));
        assert_eq!(check_token(&["NTLM YWI="]), Ok(Some(2)));
        for wrong in ["Basic YQ==", "NTLM", "NTLM !", "NTLM YQ==, NTLM YQ=="] {
            assert!(check_token(&[wrong]).is_err(), "{wrong}");
        }
        assert!(check_token(&["NTLM YQ==", "NTLM YQ=="]).is_err());
    }
}

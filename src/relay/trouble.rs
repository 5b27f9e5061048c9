//! What an administrator is told about trouble on the way to the service.

use crate::event::{Event, UpstreamTrouble};
use crate::tls::ServerFault;
use crate::upstream::Trouble;

/// The event for it: one of its own where the remedy is clear, else 3000.
pub(super) fn event<'a>(trouble: &Trouble, reason: &'a str) -> Event<'a> {
    let why = match trouble {
        Trouble::NoName { .. } => UpstreamTrouble::NoName,
        Trouble::Tls(ServerFault::Expired | ServerFault::NotYetValid) => UpstreamTrouble::Expired,
        Trouble::Tls(ServerFault::WrongName { .. }) => UpstreamTrouble::WrongName,
        Trouble::Tls(ServerFault::UnknownIssuer { .. }) => UpstreamTrouble::UnknownIssuer,
        Trouble::ProxyUnreachable => UpstreamTrouble::ProxyUnreachable,
        Trouble::ProxyLogin | Trouble::ProxyPassword => UpstreamTrouble::ProxyLogin,
        Trouble::ProxyRefused { .. } => UpstreamTrouble::ProxyRefused,
        Trouble::NoLogin => UpstreamTrouble::NoLogin,
        Trouble::LoginRefused => UpstreamTrouble::LoginRefused,
        Trouble::NoToken => UpstreamTrouble::NoToken,
        Trouble::TokenRefused => UpstreamTrouble::TokenRefused,
        Trouble::NotAllowed { .. } => UpstreamTrouble::NotAllowed,
        Trouble::Refused
        | Trouble::Unreachable
        | Trouble::Tls(ServerFault::Handshake)
        | Trouble::Lost
        | Trouble::TimedOut { .. }
        | Trouble::Busy { .. }
        | Trouble::Unsendable { .. } => {
            return Event::Unexpected { doing: "relaying a request to the service", reason };
        }
    };
    Event::UpstreamTrouble { why, reason }
}

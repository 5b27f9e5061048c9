//! Who a certificate of the cluster's authority is for: a URI in its subject alternative names.

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A member of a cluster, out of `rmsc://CLUSTER/node/ID` or `rmsc://CLUSTER/admin/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The cluster's id: letters and digits.
    pub cluster: String,
    /// What the certificate may be used for.
    pub kind: MemberKind,
}

/// What a member's certificate may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A node, by its id: the peer port, and to be a server.
    Node(u64),
    /// An administrator, by name: the admin port.
    Admin(String),
}

impl Member {
    /// Reads it out of a certificate (DER). One such URI, no more, or it is nobody's.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let names = certificate.subject_alternative_name().ok()??;
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        let uri = uris.next()?;
        if uris.next().is_some() {
            return None;
        }
        Member::of_uri(uri)
    }

    /// The URI that names the member.
    #[must_use]
    pub fn uri(&self) -> String {
        match &self.kind {
            MemberKind::Node(id) => format!("rmsc://{}/node/{id}", self.cluster),
            MemberKind::Admin(name) => format!("rmsc://{}/admin/{name}", self.cluster),
        }
    }

    /// The node's id, if it is one.
    #[must_use]
    pub fn node_id(&self) -> Option<u64> {
        match self.kind {
            MemberKind::Node(id) => Some(id),
            MemberKind::Admin(_) => None,
        }
    }

    fn of_uri(uri: &str) -> Option<Self> {
        let mut parts = uri.strip_prefix("rmsc://")?.split('/');
        let (cluster, kind, id) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !is_word(cluster) || !is_word(id) {
            return None;
        }
        let kind = match kind {
            "node" => MemberKind::Node(id.parse().ok().filter(|id| *id > 0)?),
            "admin" => MemberKind::Admin(id.into()),
            _ => return None,
        };
        Some(Member { cluster: cluster.into(), kind })
    }
}

fn is_word(text: &str) -> bool {
    (1..=WORD_CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A label of a DNS name, which the cluster's id must fit into, has at most 63 characters (RFC 1035 2.3.4).
const WORD_CHARS_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_its_own_uri() {
        for kind in [MemberKind::Node(7), MemberKind::Admin("alice".into())] {
            let member = Member { cluster: "c1".into(), kind };
            assert_eq!(Member::of_uri(&member.uri()), Some(member));
        }
    }

    #[test]
    fn refuses_every_other_form() {
        for uri in [
            "rmsc://c1/node/0",
            "rmsc://c1/node/x",
            "rmsc://c1/node/1/",
            "rmsc://c1/node",
            "rmsc:///node/1",
            "rmsc://c1/root/1",
            "rmsc://c1.x/node/1",
            "http://c1/node/1",
        ] {
            assert_eq!(Member::of_uri(uri), None, "{uri}");
        }
    }
}

//! The roster and its changes to the stored messages, and back.

mod administrators;
mod secrets;
mod service_keys;

use super::raft::{random_from, random_to};
use super::values::wrong;
use crate::cluster::types::DecodeError;
use crate::proto::state::v1 as stored;
use crate::state::{
    Drained, KeyHash, NewNode, Node, NodeKind, Rejection, RemovedNode, Roster, RosterChange, Sealed,
    Timestamp, Token, TokenFate, TokenId,
};
use administrators::{new_from as new_administrator_from, new_to as new_administrator_to};
use stored::change::Change as StoredChange;
use stored::rejection::Rejection as StoredRejection;
use stored::roster_row::Row;

type Result<T> = std::result::Result<T, DecodeError>;

pub(super) fn change_to(change: &RosterChange) -> StoredChange {
    match change {
        RosterChange::Found { authority, node, version, administrator } => {
            StoredChange::Found(stored::Found {
                authority: authority.clone(),
                node: Some(new_node_to(node)),
                version: *version,
                administrator: administrator.as_ref().map(new_administrator_to),
            })
        }
        RosterChange::PutSecret { name, sealed } => {
            let sealed = sealed.as_ref().map(|sealed| sealed.0.clone());
            StoredChange::PutSecret(stored::PutSecret { name: name.clone(), sealed })
        }
        RosterChange::PutSecrets(put) => StoredChange::PutSecrets(secrets::put_to(put)),
        RosterChange::CreateToken { id, token } => {
            StoredChange::CreateToken(stored::CreateToken { token: Some(token_to(*id, token)) })
        }
        RosterChange::RevokeToken { id } => {
            StoredChange::RevokeToken(stored::RevokeToken { id: id.0.to_vec() })
        }
        RosterChange::Admit { token, node } => {
            StoredChange::Admit(stored::Admit { token_id: token.0.to_vec(), node: Some(new_node_to(node)) })
        }
        RosterChange::RemoveNode { node_id } => {
            StoredChange::RemoveNode(stored::RemoveNode { node_id: *node_id })
        }
        RosterChange::DropNode { node_id } => StoredChange::DropNode(stored::DropNode { node_id: *node_id }),
        RosterChange::RenameNode { node_id, name } => {
            StoredChange::RenameNode(stored::RenameNode { node_id: *node_id, name: name.clone() })
        }
        RosterChange::ReportNode { node_id, peer_address, admin_address, build } => {
            StoredChange::ReportNode(stored::ReportNode {
                node_id: *node_id,
                peer_address: peer_address.clone(),
                admin_address: admin_address.clone(),
                build: *build,
            })
        }
        RosterChange::DrainNode { node_id, drained } => {
            StoredChange::DrainNode(stored::DrainNode { node_id: *node_id, drained: *drained })
        }
        RosterChange::RaiseVersion { version } => {
            StoredChange::RaiseVersion(stored::RaiseVersion { version: *version })
        }
        RosterChange::Recover { node_id, administrator } => StoredChange::Recover(stored::Recover {
            node_id: *node_id,
            administrator: administrator.as_ref().map(new_administrator_to),
        }),
        RosterChange::AddAdministrator(new) => StoredChange::AddAdministrator(new_administrator_to(new)),
        RosterChange::RemoveAdministrator { name } => {
            StoredChange::RemoveAdministrator(stored::RemoveAdministrator { name: name.clone() })
        }
        RosterChange::PutServiceKeys(put) => StoredChange::PutServiceKeys(service_keys::put_to(put)),
        RosterChange::RemoveServiceKeys { service, version } => {
            StoredChange::RemoveServiceKeys(service_keys::choice_to(service, *version))
        }
        RosterChange::DropRetiredKeys => StoredChange::DropRetiredKeys(stored::Empty {}),
    }
}

pub(super) fn change_from(change: StoredChange) -> Result<RosterChange> {
    Ok(match change {
        StoredChange::Found(found) => RosterChange::Found {
            authority: found.authority,
            node: new_node_from(found.node)?,
            version: found.version,
            administrator: found.administrator.map(new_administrator_from).transpose()?,
        },
        StoredChange::PutSecret(put) => {
            RosterChange::PutSecret { name: put.name, sealed: put.sealed.map(Sealed) }
        }
        StoredChange::PutSecrets(put) => RosterChange::PutSecrets(secrets::put_from(put)?),
        StoredChange::CreateToken(create) => {
            let (id, token) = token_from(create.token.unwrap_or_default())?;
            RosterChange::CreateToken { id, token }
        }
        StoredChange::RevokeToken(revoke) => RosterChange::RevokeToken { id: token_id_from(&revoke.id)? },
        StoredChange::Admit(admit) => {
            RosterChange::Admit { token: token_id_from(&admit.token_id)?, node: new_node_from(admit.node)? }
        }
        StoredChange::RemoveNode(remove) => RosterChange::RemoveNode { node_id: remove.node_id },
        StoredChange::DropNode(drop) => RosterChange::DropNode { node_id: drop.node_id },
        StoredChange::RenameNode(rename) => {
            RosterChange::RenameNode { node_id: rename.node_id, name: rename.name }
        }
        StoredChange::ReportNode(report) => RosterChange::ReportNode {
            node_id: report.node_id,
            peer_address: report.peer_address,
            admin_address: report.admin_address,
            build: report.build,
        },
        StoredChange::DrainNode(drain) => {
            RosterChange::DrainNode { node_id: drain.node_id, drained: drain.drained }
        }
        StoredChange::RaiseVersion(raise) => RosterChange::RaiseVersion { version: raise.version },
        StoredChange::Recover(recover) => RosterChange::Recover {
            node_id: recover.node_id,
            administrator: recover.administrator.map(new_administrator_from).transpose()?,
        },
        StoredChange::AddAdministrator(new) => RosterChange::AddAdministrator(new_administrator_from(new)?),
        StoredChange::RemoveAdministrator(remove) => RosterChange::RemoveAdministrator { name: remove.name },
        StoredChange::PutServiceKeys(put) => service_keys::put_from(put)?,
        StoredChange::RemoveServiceKeys(stored::ServiceKeyChoice { service, version }) => {
            RosterChange::RemoveServiceKeys { service, version }
        }
        StoredChange::DropRetiredKeys(_) => RosterChange::DropRetiredKeys,
        StoredChange::Allow(_) | StoredChange::Remove(_) => {
            return Err(wrong("a change of the roster", &"it is one of the table"));
        }
    })
}

pub(super) fn rejection_to(rejection: &Rejection) -> stored::Rejection {
    let empty = stored::Empty {};
    let rejection = match rejection {
        Rejection::NotFounded => StoredRejection::NotFounded(empty),
        Rejection::AlreadyFounded => StoredRejection::AlreadyFounded(empty),
        Rejection::NoSuchNode { node_id } => StoredRejection::NoSuchNode(*node_id),
        Rejection::NameTaken { name, node_id } => {
            StoredRejection::NameTaken(stored::NameTaken { name: name.clone(), node_id: *node_id })
        }
        Rejection::LastNode { node_id } => StoredRejection::LastNode(*node_id),
        Rejection::TooManyNodes { nodes_max } => StoredRejection::TooManyNodes(*nodes_max),
        Rejection::NoSuchToken { id } => StoredRejection::NoSuchToken(id.0.to_vec()),
        Rejection::TokenExpired { id } => StoredRejection::TokenExpired(id.0.to_vec()),
        Rejection::TokenUsed { id, node_id } => {
            StoredRejection::TokenUsed(stored::TokenUsed { id: id.0.to_vec(), node_id: *node_id })
        }
        Rejection::TokenRevoked { id } => StoredRejection::TokenRevoked(id.0.to_vec()),
        Rejection::Version { wanted, now, known } => {
            StoredRejection::Version(stored::VersionRejected { wanted: *wanted, now: *now, known: *known })
        }
        Rejection::NoSuchAdministrator { name } => StoredRejection::NoSuchAdministrator(name.clone()),
        Rejection::AdministratorExists { name } => StoredRejection::AdministratorExists(name.clone()),
        Rejection::LastAdministrator { name } => StoredRejection::LastAdministrator(name.clone()),
        Rejection::TooManyAdministrators { administrators_max } => {
            StoredRejection::TooManyAdministrators(*administrators_max)
        }
        Rejection::KeyUsed { name } => StoredRejection::KeyUsed(name.clone()),
        Rejection::NoSuchServiceKey { service, version } => {
            StoredRejection::NoSuchServiceKey(service_keys::choice_to(service, *version))
        }
        Rejection::ServiceKeyDiffers { id } => StoredRejection::ServiceKeyDiffers(service_keys::id_to(id)),
        Rejection::ServiceKeyRemoved { id, by } => {
            StoredRejection::ServiceKeyRemoved(service_keys::rejected_to(id, by))
        }
        Rejection::ServiceKeyRealms { realms } => StoredRejection::ServiceKeyRealms(realms.clone()),
        Rejection::TooManyServiceKeys { keys_max } => StoredRejection::TooManyServiceKeys(*keys_max),
        Rejection::SecretChanged { name } => StoredRejection::SecretChanged(name.clone()),
    };
    stored::Rejection { rejection: Some(rejection) }
}

pub(super) fn rejection_from(rejection: stored::Rejection) -> Result<Rejection> {
    let rejection =
        rejection.rejection.ok_or_else(|| wrong("an outcome", &"its reason is not known here"))?;
    Ok(match rejection {
        StoredRejection::NotFounded(_) => Rejection::NotFounded,
        StoredRejection::AlreadyFounded(_) => Rejection::AlreadyFounded,
        StoredRejection::NoSuchNode(node_id) => Rejection::NoSuchNode { node_id },
        StoredRejection::NameTaken(taken) => {
            Rejection::NameTaken { name: taken.name, node_id: taken.node_id }
        }
        StoredRejection::LastNode(node_id) => Rejection::LastNode { node_id },
        StoredRejection::TooManyNodes(nodes_max) => Rejection::TooManyNodes { nodes_max },
        StoredRejection::NoSuchToken(id) => Rejection::NoSuchToken { id: token_id_from(&id)? },
        StoredRejection::TokenExpired(id) => Rejection::TokenExpired { id: token_id_from(&id)? },
        StoredRejection::TokenUsed(used) => {
            Rejection::TokenUsed { id: token_id_from(&used.id)?, node_id: used.node_id }
        }
        StoredRejection::TokenRevoked(id) => Rejection::TokenRevoked { id: token_id_from(&id)? },
        StoredRejection::Version(version) => {
            Rejection::Version { wanted: version.wanted, now: version.now, known: version.known }
        }
        StoredRejection::NoSuchAdministrator(name) => Rejection::NoSuchAdministrator { name },
        StoredRejection::AdministratorExists(name) => Rejection::AdministratorExists { name },
        StoredRejection::LastAdministrator(name) => Rejection::LastAdministrator { name },
        StoredRejection::TooManyAdministrators(administrators_max) => {
            Rejection::TooManyAdministrators { administrators_max }
        }
        StoredRejection::KeyUsed(name) => Rejection::KeyUsed { name },
        StoredRejection::NoSuchServiceKey(stored::ServiceKeyChoice { service, version }) => {
            Rejection::NoSuchServiceKey { service, version }
        }
        StoredRejection::ServiceKeyDiffers(id) => {
            Rejection::ServiceKeyDiffers { id: service_keys::id_from(id)? }
        }
        StoredRejection::ServiceKeyRemoved(removed) => service_keys::rejected_from(removed)?,
        StoredRejection::ServiceKeyRealms(realms) => Rejection::ServiceKeyRealms { realms },
        StoredRejection::TooManyServiceKeys(keys_max) => Rejection::TooManyServiceKeys { keys_max },
        StoredRejection::SecretChanged(name) => Rejection::SecretChanged { name },
    })
}

/// The rows of a roster with their keys, in order.
pub(in crate::cluster) fn roster_to(roster: &Roster) -> Vec<(String, stored::RosterRow)> {
    let head = Row::Head(stored::RosterHead {
        authority: roster.authority.clone(),
        version: roster.version,
        revision: roster.revision,
    });
    let mut rows = vec![(HEAD.to_owned(), head)];
    rows.extend(
        roster.nodes.iter().map(|(id, node)| (format!("node/{id:020}"), Row::Node(node_to(*id, node)))),
    );
    rows.extend(roster.removed.iter().map(|(id, removed)| {
        let removed = stored::RemovedNode {
            node_id: *id,
            name: removed.name.clone(),
            by: removed.by.clone(),
            at_ms: removed.at.0,
        };
        (format!("removed/{id:020}"), Row::Removed(removed))
    }));
    rows.extend(
        roster.tokens.iter().map(|(id, token)| (format!("token/{id}"), Row::Token(token_to(*id, token)))),
    );
    rows.extend(roster.secrets.iter().map(|(name, sealed)| {
        let secret = stored::NamedSecret { name: name.clone(), sealed: sealed.0.clone() };
        (format!("secret/{name}"), Row::Secret(secret))
    }));
    rows.extend(administrators::rows(roster));
    rows.extend(service_keys::rows(roster));
    rows.extend(service_keys::removed_rows(roster));
    rows.into_iter().map(|(key, row)| (key, stored::RosterRow { row: Some(row) })).collect()
}

/// Puts one row back into a roster.
pub(in crate::cluster) fn roster_row_from(roster: &mut Roster, row: stored::RosterRow) -> Result<()> {
    match row.row.ok_or_else(|| wrong("a row of the roster", &"its kind is not known here"))? {
        Row::Head(head) => {
            roster.authority = head.authority;
            roster.version = head.version;
            roster.revision = head.revision;
        }
        Row::Node(row) => {
            let new = new_node_from(row.node)?;
            let node = Node {
                name: new.name,
                peer_address: new.peer_address,
                admin_address: new.admin_address,
                kind: new.kind,
                incarnation: new.incarnation,
                key: new.key,
                build: new.build,
                joined_at: Timestamp(row.joined_at_ms),
                leaving: row.leaving,
                drained: row.drained.map(|drained| Drained { by: drained.by, at: Timestamp(drained.at_ms) }),
            };
            roster.nodes.insert(row.node_id, node);
        }
        Row::Removed(row) => {
            let removed = RemovedNode { name: row.name, by: row.by, at: Timestamp(row.at_ms) };
            roster.removed.insert(row.node_id, removed);
        }
        Row::Token(row) => {
            let (id, token) = token_from(row)?;
            roster.tokens.insert(id, token);
        }
        Row::Secret(row) => drop(roster.secrets.insert(row.name, Sealed(row.sealed))),
        Row::Administrator(row) => administrators::put(roster, row)?,
        Row::FormerAdministrator(row) => administrators::put_former(roster, row)?,
        Row::ServiceKey(row) => service_keys::put_row(roster, row)?,
        Row::RemovedServiceKey(row) => service_keys::put_removed_row(roster, row)?,
    }
    Ok(())
}

fn key_from(bytes: &[u8]) -> Result<KeyHash> {
    bytes.try_into().map(KeyHash).map_err(|_| wrong("the hash of a key", &bytes.len()))
}

fn node_to(node_id: u64, node: &Node) -> stored::RosterNode {
    let as_new = NewNode {
        name: node.name.clone(),
        peer_address: node.peer_address.clone(),
        admin_address: node.admin_address.clone(),
        kind: node.kind,
        incarnation: node.incarnation,
        key: node.key,
        build: node.build,
    };
    let drained = node.drained.as_ref();
    stored::RosterNode {
        node_id,
        node: Some(new_node_to(&as_new)),
        joined_at_ms: node.joined_at.0,
        leaving: node.leaving.clone(),
        drained: drained.map(|drained| stored::Drained { by: drained.by.clone(), at_ms: drained.at.0 }),
    }
}

fn new_node_to(node: &NewNode) -> stored::NewNode {
    stored::NewNode {
        name: node.name.clone(),
        peer_address: node.peer_address.clone(),
        admin_address: node.admin_address.clone(),
        kind: kind_to(node.kind).into(),
        incarnation: random_to(node.incarnation),
        key: node.key.0.to_vec(),
        build: node.build,
    }
}

fn new_node_from(node: Option<stored::NewNode>) -> Result<NewNode> {
    let node = node.ok_or_else(|| wrong("a node", &"it is not there"))?;
    Ok(NewNode {
        kind: kind_from(node.kind)?,
        incarnation: random_from(&node.incarnation)?,
        key: key_from(&node.key)?,
        name: node.name,
        peer_address: node.peer_address,
        admin_address: node.admin_address,
        build: node.build,
    })
}

fn token_to(id: TokenId, token: &Token) -> stored::Token {
    stored::Token {
        id: id.0.to_vec(),
        key: token.key.0.clone(),
        kind: kind_to(token.kind).into(),
        replaces: token.replaces.unwrap_or(0),
        created_by: token.created_by.clone(),
        created_at_ms: token.created_at.0,
        expires_at_ms: token.expires_at.0,
        used_by: if let TokenFate::UsedBy(node_id) = token.fate { node_id } else { 0 },
        revoked: token.fate == TokenFate::Revoked,
    }
}

fn token_from(token: stored::Token) -> Result<(TokenId, Token)> {
    let fate = match (token.used_by, token.revoked) {
        (0, false) => TokenFate::Open,
        (0, true) => TokenFate::Revoked,
        (node_id, _) => TokenFate::UsedBy(node_id),
    };
    let id = token_id_from(&token.id)?;
    let token = Token {
        key: Sealed(token.key),
        kind: kind_from(token.kind)?,
        replaces: Some(token.replaces).filter(|replaced| *replaced != 0),
        created_by: token.created_by,
        created_at: Timestamp(token.created_at_ms),
        expires_at: Timestamp(token.expires_at_ms),
        fate,
    };
    Ok((id, token))
}

fn token_id_from(bytes: &[u8]) -> Result<TokenId> {
    let bytes = bytes.try_into().map_err(|_| wrong("a token's id", &format!("{} bytes", bytes.len())))?;
    Ok(TokenId(bytes))
}

fn kind_to(kind: NodeKind) -> stored::NodeKind {
    match kind {
        NodeKind::Relay => stored::NodeKind::Relay,
        NodeKind::Witness => stored::NodeKind::Witness,
    }
}

fn kind_from(kind: i32) -> Result<NodeKind> {
    match stored::NodeKind::try_from(kind) {
        Ok(stored::NodeKind::Relay) => Ok(NodeKind::Relay),
        Ok(stored::NodeKind::Witness) => Ok(NodeKind::Witness),
        Ok(stored::NodeKind::Unspecified) | Err(_) => Err(wrong("what a node does", &kind)),
    }
}

/// The key of the row that says which rules are kept to.
pub(in crate::cluster) const HEAD: &str = "head";

#[cfg(test)]
mod tests;

//! Applies a change to the roster: pure, and the same on every node.

use super::{
    Command, Drained, FOUNDER, NewAdministrator, NewNode, Node, NodeKind, Outcome, PutSecrets, Rejection,
    RemovedNode, Roster, RosterChange, Sealed, State, Timestamp, Token, TokenFate, TokenId,
};
use std::sync::Arc;

impl State {
    /// A change that is rejected leaves the roster as it was.
    pub(super) fn enroll(&mut self, change: &RosterChange, command: &Command, log_index: u64) -> Outcome {
        let before = &self.roster;
        let mut roster = Roster::clone(before);
        match roster.change(change, command, log_index) {
            Ok(Outcome::RosterChanged) if roster == **before => Outcome::RosterUnchanged,
            Ok(outcome) if roster == **before => outcome,
            Ok(outcome) => {
                roster.revision = log_index;
                self.roster = Arc::new(roster);
                outcome
            }
            Err(rejection) => Outcome::Rejected(rejection),
        }
    }
}

impl State {
    /// Begins a new lineage out of a backup, with one new node alone: as [`RosterChange::Recover`], but that
    /// node needs no token, since there is nobody left who could let it in.
    ///
    /// # Errors
    /// [`Rejection::NotFounded`].
    pub fn restore(
        &mut self,
        node_id: u64,
        (node, administrator): (&NewNode, Option<&NewAdministrator>),
        command: &Command,
    ) -> Result<(), Rejection> {
        let mut roster = Roster::clone(&self.roster);
        if !roster.is_founded() {
            return Err(Rejection::NotFounded);
        }
        roster.nodes.insert(node_id, node_of(node, command.at));
        roster.recover(node_id, administrator, command)?;
        self.roster = Arc::new(roster);
        self.begin_again(node_id);
        Ok(())
    }

    /// Drops secrets that a new lineage must not go on with.
    pub fn forget_secrets(&mut self, names: &[String]) {
        let roster = Arc::make_mut(&mut self.roster);
        names.iter().for_each(|name| drop(roster.secrets.remove(name)));
    }

    /// Says of everything that it changed at this log index: what was before, some reader may have seen
    /// with a higher one.
    pub fn begin_again(&mut self, log_index: u64) {
        Arc::make_mut(&mut self.table).revision = log_index;
        Arc::make_mut(&mut self.roster).revision = log_index;
    }
}

impl Roster {
    fn change(
        &mut self,
        change: &RosterChange,
        command: &Command,
        log_index: u64,
    ) -> Result<Outcome, Rejection> {
        if let RosterChange::Found { authority, node, version, administrator } = change {
            if let (Some(administrator), false) = (administrator, self.is_founded()) {
                self.put_administrator(administrator, command);
            }
            return self.found(authority, node, *version, command.at);
        }
        if !self.is_founded() {
            return Err(Rejection::NotFounded);
        }
        match change {
            RosterChange::Found { .. } => return Err(Rejection::AlreadyFounded),
            RosterChange::PutSecret { name, sealed } => match sealed {
                Some(sealed) => drop(self.secrets.insert(name.clone(), sealed.clone())),
                None => drop(self.secrets.remove(name)),
            },
            RosterChange::PutSecrets(put) => self.put_secrets(put)?,
            RosterChange::CreateToken { id, token } => self.create_token(*id, token, command),
            RosterChange::RevokeToken { id } => {
                let token = self.tokens.get_mut(id).ok_or(Rejection::NoSuchToken { id: *id })?;
                if token.fate == TokenFate::Open {
                    token.fate = TokenFate::Revoked;
                }
            }
            RosterChange::Admit { token, node } => return self.admit(*token, node, command, log_index),
            RosterChange::RemoveNode { node_id } => {
                if !self.removed.contains_key(node_id) {
                    self.check_goes(*node_id)?;
                    self.node(*node_id)?.leaving.get_or_insert(command.by.clone());
                }
            }
            RosterChange::DropNode { node_id } => {
                if !self.removed.contains_key(node_id) {
                    self.check_goes(*node_id)?;
                    self.take_out(*node_id, &command.by, command.at);
                }
            }
            RosterChange::RenameNode { node_id, name } => {
                self.check_name(name, *node_id)?;
                self.node(*node_id)?.name.clone_from(name);
            }
            RosterChange::ReportNode { node_id, peer_address, admin_address, build } => {
                let node = self.node(*node_id)?;
                node.peer_address.clone_from(peer_address);
                node.admin_address.clone_from(admin_address);
                node.build = *build;
            }
            RosterChange::DrainNode { node_id, drained } => {
                let now = Drained { by: command.by.clone(), at: command.at };
                let node = self.node(*node_id)?;
                // Who drained it first stays on record.
                node.drained = drained.then(|| node.drained.take().unwrap_or(now));
            }
            RosterChange::RaiseVersion { version } => self.raise_version(*version)?,
            RosterChange::Recover { node_id, administrator } => {
                self.recover(*node_id, administrator.as_ref(), command)?;
            }
            RosterChange::AddAdministrator(new) => self.add_administrator(new, command)?,
            RosterChange::RemoveAdministrator { name } => self.remove_administrator(name, command)?,
            RosterChange::PutServiceKeys(put) => {
                self.put_service_keys(put, command)?;
            }
            RosterChange::RemoveServiceKeys { service, version } => {
                self.remove_service_keys(service, *version, command)?;
            }
            RosterChange::DropRetiredKeys => self.drop_retired_keys(command.at),
        }
        Ok(Outcome::RosterChanged)
    }

    fn found(
        &mut self,
        authority: &str,
        node: &NewNode,
        version: u32,
        at: Timestamp,
    ) -> Result<Outcome, Rejection> {
        if self.is_founded() {
            return Err(Rejection::AlreadyFounded);
        }
        self.authority = authority.into();
        self.version = version;
        self.nodes.insert(FOUNDER, node_of(node, at));
        Ok(Outcome::Admitted { node_id: FOUNDER })
    }

    fn put_secrets(&mut self, put: &PutSecrets) -> Result<(), Rejection> {
        for (name, mark) in &put.expected {
            if self.secrets.get(name).map(Sealed::mark) != *mark {
                return Err(Rejection::SecretChanged { name: name.clone() });
            }
        }
        for (name, sealed) in &put.secrets {
            match sealed {
                Some(sealed) => drop(self.secrets.insert(name.clone(), sealed.clone())),
                None => drop(self.secrets.remove(name)),
            }
        }
        Ok(())
    }

    fn create_token(&mut self, id: TokenId, token: &Token, command: &Command) {
        let (by, at) = (command.by.clone(), command.at);
        self.tokens.insert(id, Token { created_by: by, created_at: at, ..token.clone() });
        // Those of the past are kept for a while, so that who comes late is told why.
        while self.tokens.len() > TOKENS_MAX {
            let oldest = self.tokens.iter().min_by_key(|(id, token)| (token.expires_at, **id));
            let Some(oldest) = oldest.map(|(id, _)| *id) else { return };
            self.tokens.remove(&oldest);
        }
    }

    fn admit(
        &mut self,
        id: TokenId,
        new: &NewNode,
        command: &Command,
        log_index: u64,
    ) -> Result<Outcome, Rejection> {
        let token = self.tokens.get(&id).ok_or(Rejection::NoSuchToken { id })?;
        let (replaces, kind) = (token.replaces, token.kind);
        match token.fate {
            TokenFate::Revoked => return Err(Rejection::TokenRevoked { id }),
            // The same host asks again, because it did not hear the answer.
            TokenFate::UsedBy(node_id) => {
                let same = self
                    .nodes
                    .get(&node_id)
                    .is_some_and(|node| node.incarnation == new.incarnation && node.key == new.key);
                let again = Outcome::Admitted { node_id };
                return if same { Ok(again) } else { Err(Rejection::TokenUsed { id, node_id }) };
            }
            TokenFate::Open if command.at >= token.expires_at => {
                return Err(Rejection::TokenExpired { id });
            }
            TokenFate::Open => {}
        }
        if let Some(replaced) = replaces.and_then(|replaced| self.nodes.get_mut(&replaced)) {
            replaced.leaving.get_or_insert(command.by.clone());
        }
        self.check_name(&new.name, log_index)?;
        if self.nodes.len() >= NODES_MAX {
            return Err(Rejection::TooManyNodes { nodes_max: NODES_MAX as u64 });
        }
        self.nodes.insert(log_index, Node { kind, ..node_of(new, command.at) });
        if let Some(replaced) = replaces.filter(|replaced| self.nodes.contains_key(replaced)) {
            self.check_goes(replaced)?;
        }
        if let Some(token) = self.tokens.get_mut(&id) {
            token.fate = TokenFate::UsedBy(log_index);
        }
        Ok(Outcome::Admitted { node_id: log_index })
    }

    fn check_goes(&self, node_id: u64) -> Result<(), Rejection> {
        if !self.nodes.contains_key(&node_id) {
            return Err(Rejection::NoSuchNode { node_id });
        }
        let mut others = self.nodes.iter().filter(|(id, node)| **id != node_id && node.leaving.is_none());
        if !others.any(|(_, node)| node.kind == NodeKind::Relay) {
            return Err(Rejection::LastNode { node_id });
        }
        Ok(())
    }

    fn recover(
        &mut self,
        node_id: u64,
        administrator: Option<&NewAdministrator>,
        command: &Command,
    ) -> Result<(), Rejection> {
        // Whoever is left is all there is: it was to go while there were others.
        let node = self.node(node_id)?;
        (node.leaving, node.drained) = (None, None);
        if let Some(administrator) = administrator {
            self.put_administrator(administrator, command);
        }
        let others: Vec<u64> = self.nodes.keys().copied().filter(|other| *other != node_id).collect();
        others.into_iter().for_each(|other| self.take_out(other, &command.by, command.at));
        for token in self.tokens.values_mut().filter(|token| token.fate == TokenFate::Open) {
            token.fate = TokenFate::Revoked;
        }
        Ok(())
    }

    fn take_out(&mut self, node_id: u64, by: &str, at: Timestamp) {
        let Some(node) = self.nodes.remove(&node_id) else { return };
        let by = node.leaving.unwrap_or_else(|| by.into());
        let removed = RemovedNode { name: node.name, by, at };
        self.removed.insert(node_id, removed);
        while self.removed.len() > REMOVED_MAX {
            self.removed.pop_first();
        }
    }

    fn raise_version(&mut self, wanted: u32) -> Result<(), Rejection> {
        let known = self.nodes.values().map(|node| node.build).min().unwrap_or(0);
        if wanted < self.version || wanted > known {
            return Err(Rejection::Version { wanted, now: self.version, known });
        }
        self.version = wanted;
        Ok(())
    }

    fn node(&mut self, node_id: u64) -> Result<&mut Node, Rejection> {
        self.nodes.get_mut(&node_id).ok_or(Rejection::NoSuchNode { node_id })
    }

    fn check_name(&self, name: &str, own: u64) -> Result<(), Rejection> {
        let stays = |node: &Node| node.leaving.is_none();
        match self.nodes.iter().find(|(id, node)| **id != own && node.name == name && stays(node)) {
            Some((node_id, _)) => Err(Rejection::NameTaken { name: name.into(), node_id: *node_id }),
            None => Ok(()),
        }
    }
}

fn node_of(new: &NewNode, at: Timestamp) -> Node {
    Node {
        name: new.name.clone(),
        peer_address: new.peer_address.clone(),
        admin_address: new.admin_address.clone(),
        kind: new.kind,
        incarnation: new.incarnation,
        key: new.key,
        build: new.build,
        joined_at: at,
        drained: None,
        leaving: None,
    }
}

/// Far more than anybody has servers for a relay; each change copies the roster.
const NODES_MAX: usize = 64;
/// Used, revoked and expired ones among them.
const TOKENS_MAX: usize = 128;
/// For display; an id that is in no list is refused, too.
const REMOVED_MAX: usize = 256;

#[cfg(test)]
mod tests;

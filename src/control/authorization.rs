//! The table of authorized accounts: add, remove, list, watch, test.

use super::changes::{self, now, unexpected, used_before};
use super::directory::{self, no_directory};
use super::{Survey, administrator, conflicts, convert, effect, entry, status, tested};
use crate::cluster::Written;
use crate::directory::{Directory, Found};
use crate::principal::{AccountName, Sid, quoted};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::authorizations_server::Authorizations;
use crate::state::{Change, Entry, Kind, NewEntry, Outcome, State, Table};
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status};

/// The service.
pub(super) struct Service {
    survey: Survey,
    /// None: a witness, which authenticates nobody.
    directory: Option<Arc<Directory>>,
}

type Watching = Pin<Box<dyn Stream<Item = Result<proto::ListResponse, Status>> + Send>>;

impl Service {
    pub(super) fn new(survey: Survey, directory: Option<Arc<Directory>>) -> Self {
        Service { survey, directory }
    }

    async fn find(&self, name: &str) -> Result<Option<Found>, Status> {
        let directory = self.directory.as_ref().ok_or_else(no_directory)?;
        directory.find(name).await.map_err(|error| status::of_find(&error))
    }

    async fn look_up(&self, name: &str) -> Result<Found, Status> {
        self.find(name).await?.ok_or_else(|| directory::unknown(name))
    }

    async fn new_entry(&self, request: proto::AddRequest) -> Result<NewEntry, Status> {
        let role = convert::role(request.role())?;
        let asked = convert::kind(request.kind());
        let note = convert::words("note", request.note, NOTE_CHARS_MAX)?;
        if request.sid.is_empty() {
            let found = self.look_up(&request.name).await?;
            check_kind(&found, asked)?;
            return Ok(NewEntry {
                kind: found.what.kind(),
                sid: found.account.sid,
                name: found.account.name.to_string(),
                role,
                note,
            });
        }
        let sid: Sid = request.sid.parse().map_err(|error| Status::invalid_argument(format!("{error}")))?;
        self.check_label(&sid, &request.name, asked).await?;
        let kind = asked.ok_or_else(|| {
            Status::invalid_argument(
                "a SID needs the kind of principal: name it with --account, --computer or --group",
            )
        })?;
        let name = if request.name.is_empty() {
            sid.to_string()
        } else {
            let name = request.name.parse::<AccountName>();
            name.map_err(|error| Status::invalid_argument(error.to_string()))?.to_string()
        };
        Ok(NewEntry { sid, name, kind, role, note })
    }

    /// A name beside a SID is a label; where the directory knows better, it must not lie.
    async fn check_label(&self, sid: &Sid, name: &str, asked: Option<Kind>) -> Result<(), Status> {
        // A directory that does not answer knows nothing better; the SID decides.
        let find = async |text: &str| match self.find(text).await {
            Err(status) if status.code() == Code::Aborted => Ok(None),
            found => found,
        };
        let by_sid = find(&sid.to_string()).await?;
        let by_name = if name.is_empty() { None } else { find(name).await? };
        for found in by_sid.into_iter().chain(by_name) {
            let named = name.is_empty() || name.parse() == Ok(found.account.name.clone());
            if found.account.sid != *sid || !named {
                return Err(Status::invalid_argument(format!(
                    "the directory says that {} is {}; give the name alone",
                    found.account.name, found.account.sid
                )));
            }
            check_kind(&found, asked)?;
        }
        Ok(())
    }

    /// Out of a name or SID to the entry's SID: the table's own names count first, since an account
    /// may be gone from the directory.
    async fn entry_sid(&self, table: &Table, principal: &str) -> Result<Sid, Status> {
        if let Ok(sid) = principal.parse() {
            return Ok(sid);
        }
        let named: Vec<&Arc<Entry>> =
            table.entries.values().filter(|entry| entry.name.eq_ignore_ascii_case(principal)).collect();
        match named.as_slice() {
            [entry] => Ok(entry.sid.clone()),
            [] => Ok(self.look_up(principal).await?.account.sid),
            several => {
                let sids: Vec<_> = several.iter().map(|entry| entry.sid.to_string()).collect();
                Err(Status::failed_precondition(format!(
                    "{} names {} entries; give one of their SIDs: {}",
                    quoted(principal),
                    several.len(),
                    sids.join(", ")
                )))
            }
        }
    }

    async fn check_conflicts(&self, new: &NewEntry) -> Result<String, Status> {
        let state = self.newest().await?;
        conflicts::check(self.directory.as_deref(), &state.table, new).await
    }

    async fn write(&self, by: &str, change: Change, request_id: &[u8]) -> Result<Written, Status> {
        changes::write(self.survey.cluster(), by, change, request_id).await
    }

    /// On which nodes a change acts, as far as the caller waits for that.
    async fn effect_for(&self, wait_for: proto::WaitFor, revision: u64) -> proto::Effect {
        match wait_for {
            proto::WaitFor::Unspecified | proto::WaitFor::Effect => effect::of(&self.survey, revision).await,
            proto::WaitFor::Acknowledgement => proto::Effect { revision, ..Default::default() },
        }
    }

    async fn newest(&self) -> Result<Arc<State>, Status> {
        self.survey.cluster().read_barrier().await.map_err(|error| status::of_read(&error))?;
        Ok(Arc::clone(&self.survey.cluster().state().borrow()))
    }
}

#[tonic::async_trait]
impl Authorizations for Service {
    async fn add(&self, request: Request<proto::AddRequest>) -> Result<Response<proto::AddResponse>, Status> {
        let by = administrator(&request)?;
        let request = request.into_inner();
        let (request_id, wait_for) = (request.request_id.clone(), request.wait_for());
        let force = request.force;
        let new = self.new_entry(request).await?;
        if new.sid.is_crowd() {
            return Err(Status::invalid_argument(format!(
                "{} ({}) is everybody's group; authorize the servers, or a group of servers alone",
                new.name, new.sid
            )));
        }
        let unchecked = if force { String::new() } else { self.check_conflicts(&new).await? };
        let written = self.write(&by, Change::Allow(new.clone()), &request_id).await?;
        let added = match &written.outcome {
            Outcome::Allowed => true,
            Outcome::Renewed => false,
            Outcome::HasOtherRole { role } => {
                return Err(Status::already_exists(format!(
                    "{} is authorized already, with the role {role}; take it out first: rmsc authz remove {}",
                    new.name, new.sid
                )));
            }
            Outcome::TableFull => return Err(Status::resource_exhausted("the table is full")),
            Outcome::OtherCommand => return Err(used_before()),
            Outcome::Removed { .. }
            | Outcome::NotInTable
            | Outcome::Forgotten
            | Outcome::Admitted { .. }
            | Outcome::RosterChanged
            | Outcome::RosterUnchanged
            | Outcome::Rejected(_) => {
                return Err(unexpected(&written));
            }
        };
        let entry = Entry {
            sid: new.sid,
            name: new.name.into(),
            kind: new.kind,
            role: new.role,
            note: new.note.into(),
            added_by: by.into(),
            added_at: now(),
        };
        let effect = self.effect_for(wait_for, written.log_index).await;
        Ok(Response::new(proto::AddResponse {
            entry: Some(convert::entry(&entry)),
            added,
            effect: Some(effect),
            unchecked,
        }))
    }

    async fn remove(
        &self,
        request: Request<proto::RemoveRequest>,
    ) -> Result<Response<proto::RemoveResponse>, Status> {
        let by = administrator(&request)?;
        let request = request.into_inner();
        let state = self.newest().await?;
        let sid = self.entry_sid(&state.table, &request.principal).await?;
        let entry = state.table.entries.get(&sid).cloned();
        let written = self.write(&by, Change::Remove { sid: sid.clone() }, &request.request_id).await?;
        match &written.outcome {
            Outcome::Removed { .. } => {}
            Outcome::NotInTable => {
                return Err(Status::not_found(format!("{} is not in the table", request.principal)));
            }
            Outcome::OtherCommand => return Err(used_before()),
            Outcome::Allowed
            | Outcome::Renewed
            | Outcome::HasOtherRole { .. }
            | Outcome::TableFull
            | Outcome::Forgotten
            | Outcome::Admitted { .. }
            | Outcome::RosterChanged
            | Outcome::RosterUnchanged
            | Outcome::Rejected(_) => {
                return Err(unexpected(&written));
            }
        }
        let effect = self.effect_for(request.wait_for(), written.log_index).await;
        Ok(Response::new(proto::RemoveResponse {
            entry: entry.map(|entry| convert::entry(&entry)),
            effect: Some(effect),
        }))
    }

    async fn get(&self, request: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        administrator(&request)?;
        Ok(Response::new(entry::get(self.survey.cluster(), &request.into_inner()).await?))
    }

    async fn list(
        &self,
        request: Request<proto::ListRequest>,
    ) -> Result<Response<proto::ListResponse>, Status> {
        administrator(&request)?;
        let state = self.newest().await?;
        Ok(Response::new(list(&state)))
    }

    type WatchStream = Watching;

    async fn watch(&self, request: Request<proto::WatchRequest>) -> Result<Response<Watching>, Status> {
        administrator(&request)?;
        let mut last = None;
        let changes = WatchStream::new(self.survey.cluster().state()).filter_map(move |state| {
            let revision = state.table.revision;
            (last.replace(revision) != Some(revision)).then(|| Ok(list(&state)))
        });
        Ok(Response::new(Box::pin(changes)))
    }

    async fn test(
        &self,
        request: Request<proto::TestRequest>,
    ) -> Result<Response<proto::TestResponse>, Status> {
        administrator(&request)?;
        let asked = request.into_inner().account;
        let state = self.newest().await?;
        let directory = self.directory.as_ref().ok_or_else(no_directory)?;
        let shown = directory.show(&asked).await.map_err(|error| status::of_find(&error))?;
        Ok(Response::new(match shown {
            Some(shown) => tested::known(&state.table, &shown),
            None => tested::unknown(&state.table, &asked)?,
        }))
    }
}

fn check_kind(found: &Found, asked: Option<Kind>) -> Result<(), Status> {
    let kind = found.what.kind();
    match asked.filter(|asked| *asked != kind) {
        None => Ok(()),
        Some(asked) => Err(Status::invalid_argument(format!(
            "in the directory {} is of the kind {kind}, not {asked}",
            found.account.name
        ))),
    }
}

fn list(state: &State) -> proto::ListResponse {
    let entries = state.table.entries.values().map(|entry| convert::entry(entry)).collect();
    proto::ListResponse { revision: state.table.revision, entries }
}

const NOTE_CHARS_MAX: usize = 500;

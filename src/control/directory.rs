//! What administrators ask the directory: by the beginning of a name, and one principal with its groups.

use super::{administrator, convert, status};
use crate::directory::{Directory, Found, Group, What};
use crate::principal::{Sid, quoted};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::directory_server;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// The service.
pub(super) struct Service {
    /// None: a witness, which authenticates nobody.
    directory: Option<Arc<Directory>>,
}

impl Service {
    pub(super) fn new(directory: Option<Arc<Directory>>) -> Self {
        Service { directory }
    }

    fn directory(&self) -> Result<&Directory, Status> {
        self.directory.as_deref().ok_or_else(no_directory)
    }
}

#[tonic::async_trait]
impl directory_server::Directory for Service {
    async fn search(
        &self,
        request: Request<proto::SearchDirectoryRequest>,
    ) -> Result<Response<proto::SearchDirectoryResponse>, Status> {
        administrator(&request)?;
        let request = request.into_inner();
        let what = what(request.what());
        let search = self.directory()?.search(&request.beginning, what, &request.after, ROWS_MAX);
        let page = in_time(search).await?.map_err(|error| status::of_find(&error))?;
        Ok(Response::new(proto::SearchDirectoryResponse {
            principals: page.rows.iter().map(principal).collect(),
            more: page.more,
            cut: page.cut,
        }))
    }

    async fn show(
        &self,
        request: Request<proto::ShowDirectoryRequest>,
    ) -> Result<Response<proto::ShowDirectoryResponse>, Status> {
        administrator(&request)?;
        let request = request.into_inner();
        let shown = in_time(self.directory()?.show(&request.principal)).await?;
        let shown = shown.map_err(|error| status::of_find(&error))?;
        let shown = shown.ok_or_else(|| unknown(&request.principal))?;
        let after = request.after.to_lowercase();
        let mut groups: Vec<&Group> =
            shown.groups.iter().filter(|group| group.name.to_lowercase() > after).collect();
        let more = groups.len() > ROWS_MAX;
        groups.truncate(ROWS_MAX);
        Ok(Response::new(proto::ShowDirectoryResponse {
            principal: Some(principal(&shown.found)),
            groups: groups.into_iter().map(membership).collect(),
            groups_total: u32::try_from(shown.groups.len()).unwrap_or(u32::MAX),
            more,
            age_ms: convert::milliseconds(shown.found.age),
        }))
    }
}

pub(super) fn membership(group: &Group) -> proto::Membership {
    proto::Membership { sid: group.sid.to_string(), name: group.name.clone(), via: group.via.clone() }
}

pub(super) fn no_directory() -> Status {
    Status::failed_precondition(NO_DIRECTORY)
}

pub(super) fn unknown(name: &str) -> Status {
    let words = match name.parse::<Sid>() {
        Ok(sid) => format!(
            "the directory knows no account, computer or group with the SID {sid}; check it. What is in no directory \
             that this node asks needs its kind and a name: rmsc authz add --sid {sid} --group 'DOMAIN\\name', or \
             --account, or --computer"
        ),
        Err(_) => format!(
            "the directory does not know {}; write DOMAIN\\name as the directory does, or give the SID. A node asks \
             what [directory] in its file names, and without that its accounts file alone",
            quoted(name)
        ),
    };
    Status::not_found(words)
}

/// An administrator waits in front of a terminal.
async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Status> {
    let late = |_| Status::aborted(format!("the directory gave no answer for {} s", TIME_MAX.as_secs()));
    tokio::time::timeout(TIME_MAX, answer).await.map_err(late)
}

fn principal(found: &Found) -> proto::Principal {
    proto::Principal {
        sid: found.account.sid.to_string(),
        name: found.account.name.to_string(),
        what: match found.what {
            What::User => proto::What::User,
            What::Computer => proto::What::Computer,
            What::Group => proto::What::Group,
            What::DistributionGroup => proto::What::DistributionGroup,
            What::ServiceAccount => proto::What::ServiceAccount,
        }
        .into(),
        disabled: !found.enabled,
        // It goes to a terminal, and many can write a part of it.
        dn: found.dn.chars().map(|char| if char.is_control() { '?' } else { char }).collect(),
    }
}

fn what(what: proto::What) -> Option<What> {
    match what {
        proto::What::Unspecified => None,
        proto::What::User => Some(What::User),
        proto::What::Computer => Some(What::Computer),
        proto::What::Group => Some(What::Group),
        proto::What::DistributionGroup => Some(What::DistributionGroup),
        proto::What::ServiceAccount => Some(What::ServiceAccount),
    }
}

const ROWS_MAX: usize = 50;
const TIME_MAX: Duration = Duration::from_secs(2);
const NO_DIRECTORY: &str =
    "this node is a witness and cannot look accounts up; call a node that relays: --endpoint HOST:PORT";

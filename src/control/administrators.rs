//! Who may use the admin port: add an administrator, list them, remove one.

use super::changes::{rejected, write_roster};
use super::survey::Survey;
use super::{administrator, effect, status};
use crate::enrolment::{AddError, Enrolment};
use crate::event::with_causes;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::administrators_server::Administrators;
use crate::state::{Roster, RosterChange};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
pub(super) struct Service {
    survey: Survey,
    enrolment: Enrolment,
}

impl Service {
    pub(super) fn new(survey: Survey, enrolment: Enrolment) -> Self {
        Service { survey, enrolment }
    }

    async fn newest(&self) -> Result<Arc<Roster>, Status> {
        self.survey.cluster().read_barrier().await.map_err(|error| status::of_read(&error))?;
        Ok(self.survey.cluster().state().borrow().roster.clone())
    }
}

#[tonic::async_trait]
impl Administrators for Service {
    async fn add(
        &self,
        request: Request<proto::AddAdministratorRequest>,
    ) -> Result<Response<proto::AddAdministratorResponse>, Status> {
        let by = administrator(&request)?;
        let proto::AddAdministratorRequest { name, certificate_request } = request.into_inner();
        let added = self.enrolment.add_administrator(&by, &name, &certificate_request).await;
        let added = added.map_err(|error| of_add(&error))?;
        let effect = effect::of(&self.survey, added.log_index).await;
        let roster = self.survey.cluster().state().borrow().roster.clone();
        Ok(Response::new(proto::AddAdministratorResponse {
            administrator: one(&roster, &name, &by),
            certificate: added.certificate,
            authority: added.authority,
            endpoints: roster.nodes.values().map(|node| node.admin_address.clone()).collect(),
            effect: Some(effect),
        }))
    }

    async fn list(
        &self,
        request: Request<proto::ListAdministratorsRequest>,
    ) -> Result<Response<proto::ListAdministratorsResponse>, Status> {
        let by = administrator(&request)?;
        let roster = self.newest().await?;
        let former = roster.former_administrators.iter().map(|(key, former)| proto::FormerAdministrator {
            name: former.name.clone(),
            key: key.to_string(),
            by: former.by.clone(),
            at_ms: former.at.0,
        });
        let mut former: Vec<_> = former.collect();
        former.sort_by_key(|former| former.at_ms);
        Ok(Response::new(proto::ListAdministratorsResponse {
            administrators: roster.administrators.keys().filter_map(|name| one(&roster, name, &by)).collect(),
            former,
        }))
    }

    async fn remove(
        &self,
        request: Request<proto::RemoveAdministratorRequest>,
    ) -> Result<Response<proto::RemoveAdministratorResponse>, Status> {
        let by = administrator(&request)?;
        let proto::RemoveAdministratorRequest { name, force, request_id } = request.into_inner();
        let oneself = name == by;
        if oneself && !force {
            return Err(Status::failed_precondition(format!(
                "{name} is yourself: another administrator has to remove you, or give --force"
            )));
        }
        let change = RosterChange::RemoveAdministrator { name: name.clone() };
        let written = write_roster(self.survey.cluster(), &by, change, &request_id).await?;
        let effect = match (oneself, written.changed) {
            // The connection that would say it closes in a moment.
            (true, _) | (_, false) => None,
            (false, true) => Some(effect::of(&self.survey, written.log_index).await),
        };
        let already = !written.changed;
        Ok(Response::new(proto::RemoveAdministratorResponse { name, already, effect }))
    }
}

fn one(roster: &Roster, name: &str, asks: &str) -> Option<proto::Administrator> {
    roster.administrators.get(name).map(|administrator| proto::Administrator {
        name: name.to_owned(),
        key: administrator.key.to_string(),
        added_by: administrator.added_by.clone(),
        added_at_ms: administrator.added_at.0,
        own: name == asks,
    })
}

fn of_add(error: &AddError) -> Status {
    match error {
        AddError::Name { .. } | AddError::Request(_) => Status::invalid_argument(with_causes(error)),
        AddError::Write(error) => status::of_write(error),
        AddError::Rejected(rejection) => rejected(rejection),
        AddError::Certify(_) => Status::unavailable(with_causes(error)),
        AddError::Unexpected { .. } => Status::internal(with_causes(error)),
    }
}

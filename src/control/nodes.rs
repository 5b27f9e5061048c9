//! The nodes: list, drain, undrain, remove, rename.

use super::changes::write_roster;
use super::survey::{Picture, Seat, Survey};
use super::{administrator, convert, drain, effect, leadership, removal};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::nodes_server::Nodes;
use crate::state::RosterChange;
use crate::tasks::Tasks;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

/// The service.
pub(super) struct Service {
    survey: Survey,
    node_id: u64,
    tasks: Tasks,
}

type Draining = Pin<Box<dyn Stream<Item = Result<proto::DrainProgress, Status>> + Send>>;

impl Service {
    pub(super) fn new(survey: Survey, node_id: u64, tasks: Tasks) -> Self {
        Service { survey, node_id, tasks }
    }
}

/// A node that an administrator named.
pub(super) fn named<'a>(picture: &'a Picture, name: &str) -> Result<&'a Seat, Status> {
    picture.find(name).ok_or_else(|| {
        let names = picture.names(|_| true);
        Status::not_found(format!("there is no node {name:?} in the cluster; it has {}", names.join(", ")))
    })
}

#[tonic::async_trait]
impl Nodes for Service {
    async fn list(
        &self,
        request: Request<proto::ListNodesRequest>,
    ) -> Result<Response<proto::ListNodesResponse>, Status> {
        administrator(&request)?;
        let picture = self.survey.newest().await;
        let removed = &picture.state.roster.removed;
        Ok(Response::new(proto::ListNodesResponse {
            nodes: picture.seats.iter().map(|seat| convert::node(seat, &picture.standing)).collect(),
            removed: removed.iter().map(|(id, node)| convert::removed_node(*id, node)).collect(),
            current: picture.current,
        }))
    }

    type DrainStream = Draining;

    async fn drain(&self, request: Request<proto::DrainRequest>) -> Result<Response<Draining>, Status> {
        let by = administrator(&request)?;
        let request = request.into_inner();
        let picture = self.survey.newest().await;
        let seat = named(&picture, &request.node)?.clone();
        check_drain(&picture, &seat, request.force)?;
        let change = RosterChange::DrainNode { node_id: seat.id(), drained: true };
        write_roster(self.survey.cluster(), &by, change, &request.request_id).await?;
        let begun = Instant::now();
        let handed_to = if picture.standing.leader == Some(seat.id()) {
            hand_over(&self.survey, &picture).await
        } else {
            String::new()
        };
        let deadline = begun + Duration::from_millis(request.deadline_ms.into()).min(DEADLINE_MAX);
        let (sender, steps) = mpsc::channel(STEPS_QUEUED_MAX);
        let survey = self.survey.clone();
        let (tasks, node_id) = (self.tasks.clone(), seat.id());
        self.tasks.spawn("drain", async move {
            tokio::select! {
                () = drain::watch(&survey, node_id, deadline, Some(&sender)) => {}
                () = tasks.draining() => {}
            }
        });
        let progress = move |step| Ok(progress(&seat, begun, &handed_to, step));
        Ok(Response::new(Box::pin(ReceiverStream::new(steps).map(progress))))
    }

    async fn undrain(
        &self,
        request: Request<proto::UndrainRequest>,
    ) -> Result<Response<proto::UndrainResponse>, Status> {
        let by = administrator(&request)?;
        let request = request.into_inner();
        let picture = self.survey.newest().await;
        let seat = named(&picture, &request.node)?;
        let change = RosterChange::DrainNode { node_id: seat.id(), drained: false };
        let written = write_roster(self.survey.cluster(), &by, change, &request.request_id).await?;
        let begun = Instant::now();
        let deadline = Duration::from_millis(request.deadline_ms.into()).min(DEADLINE_MAX);
        let (ready, reason) = await_ready(&self.survey, seat.id(), begun + deadline).await;
        Ok(Response::new(proto::UndrainResponse {
            name: seat.name().to_owned(),
            already: !written.changed,
            ready,
            reason,
            elapsed_ms: convert::milliseconds(begun.elapsed()),
        }))
    }

    async fn remove(
        &self,
        request: Request<proto::RemoveNodeRequest>,
    ) -> Result<Response<proto::RemoveNodeResponse>, Status> {
        let by = administrator(&request)?;
        removal::remove(&self.survey, self.node_id, &by, request.into_inner()).await.map(Response::new)
    }

    async fn rename(
        &self,
        request: Request<proto::RenameRequest>,
    ) -> Result<Response<proto::RenameResponse>, Status> {
        let by = administrator(&request)?;
        let request = request.into_inner();
        check_name(&request.name)?;
        let picture = self.survey.newest().await;
        let seat = named(&picture, &request.node)?;
        let change = RosterChange::RenameNode { node_id: seat.id(), name: request.name.clone() };
        let written = write_roster(self.survey.cluster(), &by, change, &request.request_id).await?;
        Ok(Response::new(proto::RenameResponse {
            id: seat.id(),
            before: seat.name().to_owned(),
            now: request.name,
            effect: Some(effect::of(&self.survey, written.log_index).await),
        }))
    }
}

fn check_drain(picture: &Picture, seat: &Seat, force: bool) -> Result<(), Status> {
    if seat.is_witness() {
        return Err(Status::failed_precondition(format!(
            "{} is a witness: it takes no requests, so there is nothing to drain",
            seat.name()
        )));
    }
    let others = picture.seats.iter().filter(|other| other.id() != seat.id() && other.ready()).count();
    if seat.ready() && others == 0 && !force {
        return Err(Status::failed_precondition(format!(
            "{} is the last node that takes requests: nothing would be relayed any more. Put another back \
             first (rmsc node undrain NODE), or give --force",
            seat.name()
        )));
    }
    Ok(())
}

/// A drained node may lead, but work is about to be done on it. That nobody else can lead is no reason not
/// to drain it.
async fn hand_over(survey: &Survey, picture: &Picture) -> String {
    let Some(to) = leadership::best(picture) else { return String::new() };
    match leadership::hand_over(survey, to).await {
        Ok(leader) => leader,
        Err(error) => {
            tracing::warn!(error = error.message(), "a drained node leads on");
            String::new()
        }
    }
}

fn progress(seat: &Seat, begun: Instant, handed_to: &str, step: drain::Step) -> proto::DrainProgress {
    proto::DrainProgress {
        name: seat.name().to_owned(),
        elapsed_ms: convert::milliseconds(begun.elapsed()),
        up: step.up,
        in_flight: step.in_flight,
        sending: step.sending,
        handed_to: handed_to.to_owned(),
        end: step.end.into(),
    }
}

async fn await_ready(survey: &Survey, node_id: u64, deadline: Instant) -> (bool, String) {
    loop {
        let picture = survey.ask().await;
        let seat = picture.seats.iter().find(|seat| seat.id() == node_id);
        if seat.is_some_and(Seat::ready) {
            return (true, String::new());
        }
        if Instant::now() >= deadline {
            let status = seat.and_then(|seat| seat.status.as_ref());
            return (
                false,
                status.map_or_else(|| "does not answer".into(), |status| status.facts.reason.clone()),
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// As in a node file.
fn check_name(name: &str) -> Result<(), Status> {
    let good = (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    // An id must not be a name, or it could mean two nodes.
    if good && !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "{name:?} cannot be a node's name; write letters, digits, - and ., and not digits alone"
    )))
}

const DEADLINE_MAX: Duration = Duration::from_secs(3_600);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const STEPS_QUEUED_MAX: usize = 8;
const NAME_CHARS_MAX: usize = 253;

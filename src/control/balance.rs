//! How requests are spread over the nodes.

use super::survey::{Picture, Seat, Survey};
use super::{administrator, equality};
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::balance_server::Balance;
use crate::proto::peer::v1 as peer;
use tonic::{Request, Response, Status};

/// The service.
pub(super) struct Service {
    survey: Survey,
}

impl Service {
    pub(super) fn new(survey: Survey) -> Self {
        Service { survey }
    }
}

#[tonic::async_trait]
impl Balance for Service {
    async fn show(
        &self,
        request: Request<proto::ShowBalanceRequest>,
    ) -> Result<Response<proto::ShowBalanceResponse>, Status> {
        administrator(&request)?;
        let picture = self.survey.ask().await;
        let relays = picture.seats.iter().filter(|seat| !seat.is_witness());
        let fronts: Vec<_> = relays.map(|seat| front(&picture, seat)).collect();
        let equality = Some(equality::of(&fronts));
        Ok(Response::new(proto::ShowBalanceResponse { fronts, equality }))
    }
}

fn front(picture: &Picture, seat: &Seat) -> proto::Front {
    let report = seat.status.as_ref().and_then(|status| status.facts.front.clone());
    let (node_id, name) = (seat.id(), seat.name().to_owned());
    let Some(report) = report else { return proto::Front { node_id, name, ..Default::default() } };
    let nodes = report.nodes.into_iter().map(|node| seen(picture, node)).collect();
    proto::Front { node_id, name, known: true, unchanged_ms: report.unchanged_ms, nodes }
}

fn seen(picture: &Picture, node: peer::FrontNode) -> proto::SeenNode {
    let name = picture.seats.iter().find(|seat| seat.id() == node.node_id).map(Seat::name);
    proto::SeenNode {
        node_id: node.node_id,
        name: name.map_or_else(|| format!("node {}", node.node_id), ToOwned::to_owned),
        standing: standing(node.standing()).into(),
        reason: node.reason,
        for_ms: node.for_ms,
        in_rotation: node.in_rotation,
        drained: node.drained,
        turns: node.turns,
        handed: node.handed,
        lost: node.lost,
        in_flight: node.in_flight,
    }
}

fn standing(standing: peer::FrontStanding) -> proto::Standing {
    match standing {
        peer::FrontStanding::Unspecified => proto::Standing::Unspecified,
        peer::FrontStanding::Unheard => proto::Standing::Unheard,
        peer::FrontStanding::Ready => proto::Standing::Ready,
        peer::FrontStanding::NoService => proto::Standing::NoService,
        peer::FrontStanding::Overloaded => proto::Standing::Overloaded,
        peer::FrontStanding::NotReady => proto::Standing::NotReady,
        peer::FrontStanding::Suspended => proto::Standing::Suspended,
        peer::FrontStanding::Unreachable => proto::Standing::Unreachable,
    }
}

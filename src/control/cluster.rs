//! The cluster as such: one screen, what the nodes agree on, who leads, which rules are kept to.

use super::changes::write_roster;
use super::nodes::named;
use super::survey::{Picture, Seat, Survey};
use super::warnings::{self, Seen};
use super::{Config, administrator, convert, leadership};
use crate::enrolment::Enrolment;
use crate::event::with_causes;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::cluster_server::Cluster as ClusterService;
use crate::state::{Roster, RosterChange};
use crate::tls;
use std::time::Instant;
use tonic::{Request, Response, Status};

/// The service.
pub(super) struct Service {
    config: Config,
    survey: Survey,
    enrolment: Enrolment,
}

impl Service {
    pub(super) fn new(config: Config, survey: Survey, enrolment: Enrolment) -> Self {
        Service { config, survey, enrolment }
    }

    fn screen(&self, picture: &Picture) -> proto::StatusResponse {
        let own = self.survey.cluster().own_status().facts;
        let age_ms = own.age.map(convert::milliseconds);
        let nodes: Vec<proto::Node> =
            picture.seats.iter().map(|seat| convert::node(seat, &picture.standing)).collect();
        let (survivals, entries) = (picture.survivals(), picture.state.table.entries.len() as u64);
        let old = (!picture.current).then_some(age_ms);
        let mut warnings = warnings::of(&Seen { nodes: &nodes, survivals, entries, old });
        warnings.extend(self.about_cloud(picture));
        warnings.extend(super::certificates::left_over(picture));
        warnings.extend(super::settings::differing(picture));
        warnings.extend(picture.seats.iter().filter_map(failing));
        proto::StatusResponse {
            cluster_id: self.config.cluster_id.clone(),
            service_name: self.config.service_name.clone(),
            leader: picture.leader().map(|seat| seat.name().to_owned()).unwrap_or_default(),
            term: picture.standing.term,
            revision: picture.state.table.revision,
            entries,
            nodes,
            relay_survives: survivals.relay,
            changes_survive: survivals.changes,
            upstream: self.upstream(),
            warnings,
            current: picture.current,
            fresh_ms: age_ms,
            stale_after_ms: convert::milliseconds(own.stale_after),
            kerberos: Some(kerberos(picture)),
        }
    }

    /// What is wrong with the sign-in at the cloud, where there is one.
    fn about_cloud(&self, picture: &Picture) -> Vec<String> {
        match self.enrolment.cloud(&picture.state.roster) {
            // Where nobody has signed in a witness, for one, does not know whether somebody should.
            Ok(cloud) if self.config.upstream_kind != OAUTH && cloud.enrolment.is_none() => Vec::new(),
            Ok(cloud) => super::cloud::problems(&cloud, super::changes::now()),
            Err(error) => vec![with_causes(&error)],
        }
    }

    fn upstream(&self) -> Option<proto::Upstream> {
        let Config { upstream_kind, upstream_address, .. } = &self.config;
        (!upstream_kind.is_empty())
            .then(|| proto::Upstream { kind: (*upstream_kind).into(), address: upstream_address.clone() })
    }

    fn shown(&self, picture: &Picture) -> proto::ShowResponse {
        let (roster, standing, survivals) = (&picture.state.roster, &picture.standing, picture.survivals());
        let group = if standing.group == 0 { String::new() } else { format!("{:032x}", standing.group) };
        proto::ShowResponse {
            cluster_id: self.config.cluster_id.clone(),
            service_name: self.config.service_name.clone(),
            version: roster.version,
            version_known: known(roster),
            group,
            leader: picture.leader().map(|seat| seat.name().to_owned()).unwrap_or_default(),
            term: standing.term,
            voters: picture.names(|seat| seat.member.voter),
            learners: picture.names(|seat| !seat.member.voter),
            witnesses: picture.names(Seat::is_witness),
            relay_survives: survivals.relay,
            changes_survive: survivals.changes,
            last_log_index: standing.last_log_index,
            applied: standing.applied,
            snapshot_index: standing.snapshot,
            authority_key: tls::authority_pin(&roster.authority).map(hexadecimal).unwrap_or_default(),
            roster_revision: roster.revision,
            current: picture.current,
        }
    }
}

#[tonic::async_trait]
impl ClusterService for Service {
    async fn status(
        &self,
        request: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        administrator(&request)?;
        Ok(Response::new(self.screen(&self.survey.newest().await)))
    }

    async fn show(
        &self,
        request: Request<proto::ShowRequest>,
    ) -> Result<Response<proto::ShowResponse>, Status> {
        administrator(&request)?;
        Ok(Response::new(self.shown(&self.survey.newest().await)))
    }

    async fn transfer(
        &self,
        request: Request<proto::TransferRequest>,
    ) -> Result<Response<proto::TransferResponse>, Status> {
        let by = administrator(&request)?;
        let request = request.into_inner();
        let picture = self.survey.newest().await;
        let from = picture.leader().ok_or_else(|| Status::unavailable("no node leads the cluster now"))?;
        let to = successor(&picture, &request)?;
        if to.id() == from.id() {
            return Ok(Response::new(proto::TransferResponse {
                from: from.name().to_owned(),
                to: to.name().to_owned(),
                term: picture.standing.term,
                took_ms: 0,
                already: true,
            }));
        }
        tracing::info!(by, from = from.name(), to = to.name(), "leadership is handed over");
        let begun = Instant::now();
        let leader = leadership::hand_over(&self.survey, to).await?;
        let took_ms = convert::milliseconds(begun.elapsed());
        let term = self.survey.cluster().standing().term;
        let from = from.name().to_owned();
        Ok(Response::new(proto::TransferResponse { from, to: leader, term, took_ms, already: false }))
    }

    async fn upgrade(
        &self,
        request: Request<proto::UpgradeRequest>,
    ) -> Result<Response<proto::UpgradeResponse>, Status> {
        let by = administrator(&request)?;
        let request_id = request.into_inner().request_id;
        let picture = self.survey.newest().await;
        let roster = &picture.state.roster;
        let (before, version) = (roster.version, known(roster));
        if version > before {
            let change = RosterChange::RaiseVersion { version };
            write_roster(self.survey.cluster(), &by, change, &request_id).await?;
        }
        let newest = roster.nodes.values().map(|node| node.build).max().unwrap_or(0);
        let oldest = roster.nodes.values().filter(|node| node.build < newest);
        Ok(Response::new(proto::UpgradeResponse {
            before,
            now: version.max(before),
            oldest: oldest.map(|node| node.name.clone()).collect(),
            newest,
        }))
    }
}

/// The service is there and does nothing but fail, or is not there.
fn failing(seat: &Seat) -> Option<String> {
    let words = seat.status.as_ref().map(|status| status.facts.service_failing.as_str());
    let words = words.filter(|words| !words.is_empty())?;
    Some(format!("{}: {words}; what to do is in the log there, with the event", seat.name()))
}

fn kerberos(picture: &Picture) -> proto::KerberosSources {
    let now = super::changes::now();
    let taken = picture.state.roster.service_keys.values().filter(|key| !key.is_retired(now)).count();
    let of_file = |seat: &Seat| {
        let keys = seat.status.as_ref().map(|status| &status.facts.service_keys);
        keys.is_some_and(|keys| keys.iter().any(|key| key.of_file))
    };
    let cluster_keys = u32::try_from(taken).unwrap_or(u32::MAX);
    proto::KerberosSources { cluster_keys, files: picture.names(of_file) }
}

/// The node that is to lead, if it can.
fn successor<'a>(picture: &'a Picture, request: &proto::TransferRequest) -> Result<&'a Seat, Status> {
    if request.to.is_empty() {
        return leadership::best(picture).ok_or_else(leadership::nobody);
    }
    let seat = named(picture, &request.to)?;
    let name = seat.name();
    let refusal = if !seat.member.voter {
        format!("{name} has no vote yet, so it cannot lead")
    } else if !seat.up() {
        format!("{name} does not answer, so it cannot lead")
    } else if seat.is_witness() && !request.force {
        format!("{name} is a witness, which leads only when nobody else can; give --force to have it lead")
    } else {
        return Ok(seat);
    };
    Err(Status::failed_precondition(refusal))
}

/// The newest version of the rules that all builds know.
fn known(roster: &Roster) -> u32 {
    roster.nodes.values().map(|node| node.build).min().unwrap_or(0)
}

fn hexadecimal(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The kind of service that takes tokens.
const OAUTH: &str = "oauth";

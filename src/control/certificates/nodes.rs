//! What each node shows to calling servers, and what is wrong with that.

use crate::cluster::Facts;
use crate::control::survey::{Picture, Seat, Survey};
use crate::enrolment::FrontMarks;
use crate::proto::control::v1 as proto;
use crate::tls::{AboutCertificate, FrontCertificate};
use std::time::{Duration, Instant};

pub(super) fn node(seat: &Seat) -> proto::CertificateOfNode {
    let shown = seat.status.as_ref().and_then(|status| status.facts.front_certificate.clone());
    let source = match &shown {
        Some(shown) if shown.of_file => "file",
        Some(_) => "cluster",
        None => "",
    };
    let shown = shown.unwrap_or_default();
    proto::CertificateOfNode {
        name: seat.name().to_owned(),
        up: seat.up(),
        source: source.into(),
        fingerprint: shown.fingerprint,
        subject: shown.subject,
        issuer: shown.issuer,
        not_after_ms: shown.not_after.0,
    }
}

/// The nodes that show one of their own file.
pub(super) fn files(picture: &Picture) -> Vec<String> {
    picture.names(|seat| {
        let shown = seat.status.as_ref().and_then(|status| status.facts.front_certificate.as_ref());
        shown.is_some_and(|shown| shown.of_file)
    })
}

/// What each node says of its own, and what only shows beside the others.
pub(super) fn problems(picture: &Picture, of_cluster: Option<&AboutCertificate>) -> Vec<String> {
    let mut problems = Vec::new();
    for seat in picture.seats.iter().filter(|seat| !seat.is_witness()) {
        let Some(status) = &seat.status else {
            problems.push(format!("{} does not answer: what it shows is not known", seat.name()));
            continue;
        };
        let faults = status.facts.certificate_faults.iter();
        problems.extend(faults.map(|fault| format!("{}: {fault}", seat.name())));
        match (&status.facts.front_certificate, of_cluster) {
            (Some(shown), Some(_)) if shown.of_file => problems.push(format!(
                "{} shows the certificate of its own file, not the cluster's: take certificate and key out of [listen] \
                 there, and restart it",
                seat.name()
            )),
            (Some(shown), Some(about)) if shown.fingerprint != about.fingerprint => {
                problems.push(format!("{} does not show the cluster's certificate yet", seat.name()));
            }
            (Some(_) | None, _) => {}
        }
    }
    problems.extend(left_over(picture));
    problems
}

/// The nodes that show the cluster's certificate, though it has none any more. A node of an earlier build does.
pub(in crate::control) fn left_over(picture: &Picture) -> Vec<String> {
    if FrontMarks::of(&picture.state.roster).certificate.is_some() {
        return Vec::new();
    }
    let names = picture.names(|seat| seat.up() && still(seat).is_some());
    let words = |name: &String| {
        format!("{name} shows the certificate of the cluster still, and that was removed: restart {name}")
    };
    names.iter().map(words).collect()
}

/// Asks the nodes until each that has no file of its own shows this certificate, for a few seconds at most. That a node
/// has applied the change does not say that it could use what is in it. Gives those that do not show it, and why.
pub(super) async fn await_shown(
    survey: &Survey,
    certificate: &FrontCertificate,
) -> (Picture, Vec<proto::UnshownCertificate>) {
    let fingerprint = certificate.about().first().map(|about| about.fingerprint).unwrap_or_default();
    await_nodes(survey, |seat| unshown(seat, &fingerprint)).await
}

/// Asks the nodes until none shows the cluster's certificate any more, as long as that. Gives those that do, and why.
pub(super) async fn await_gone(survey: &Survey) -> (Picture, Vec<proto::UnshownCertificate>) {
    let (picture, still) = await_nodes(survey, still).await;
    // Somebody may have imported another one already.
    let gone = FrontMarks::of(&picture.state.roster).certificate.is_none();
    (picture, if gone { still } else { Vec::new() })
}

async fn await_nodes(
    survey: &Survey,
    lacks: impl Fn(&Seat) -> Option<proto::UnshownCertificate>,
) -> (Picture, Vec<proto::UnshownCertificate>) {
    let deadline = Instant::now() + SHOW_TIMEOUT;
    loop {
        let picture = survey.ask().await;
        let seats = || picture.seats.iter().filter(|seat| !seat.is_witness());
        let lacking: Vec<_> = seats().filter_map(&lacks).collect();
        // Who does not answer was waited for before.
        let waits = seats().any(|seat| seat.up() && lacking.iter().any(|it| it.name == seat.name()));
        if !waits || Instant::now() >= deadline {
            return (picture, lacking);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn unshown(seat: &Seat, fingerprint: &[u8]) -> Option<proto::UnshownCertificate> {
    let because = |reason| because(seat, reason);
    let Some(status) = &seat.status else { return because(SILENT) };
    let lacking = status.facts.certificate_lacking.as_str();
    match &status.facts.front_certificate {
        Some(shown) if shown.of_file || shown.fingerprint == fingerprint => None,
        Some(_) if lacking.is_empty() => because("it shows another one"),
        // It has no front with TLS.
        None if lacking.is_empty() => None,
        Some(_) | None => because(lacking),
    }
}

fn still(seat: &Seat) -> Option<proto::UnshownCertificate> {
    let Some(status) = &seat.status else { return because(seat, SILENT) };
    let shown = status.facts.front_certificate.as_ref();
    shown.filter(|shown| !shown.of_file).and_then(|_| because(seat, "it has not taken it away: restart it"))
}

fn because(seat: &Seat, reason: &str) -> Option<proto::UnshownCertificate> {
    Some(proto::UnshownCertificate { name: seat.name().to_owned(), reason: reason.into() })
}

/// The nodes that answer and have no certificate, though they should.
pub(super) fn shows_none(picture: &Picture) -> Vec<String> {
    picture.names(|seat| {
        let facts = seat.status.as_ref().map(|status| &status.facts);
        let lacks =
            |facts: &Facts| facts.front_certificate.is_none() && !facts.certificate_lacking.is_empty();
        !seat.is_witness() && facts.is_some_and(lacks)
    })
}

/// The nodes that would show no certificate without the cluster's, and why.
pub(super) fn without_files(picture: &Picture) -> Vec<(String, String)> {
    let seats = picture.seats.iter().filter(|seat| !seat.is_witness());
    seats.filter_map(|seat| Some((seat.name().to_owned(), has_no_file(seat)?))).collect()
}

fn has_no_file(seat: &Seat) -> Option<String> {
    let Some(status) = &seat.status else {
        return Some("does not answer, so whether it has a file is not known".into());
    };
    let lacking = &status.facts.certificate_lacking;
    match &status.facts.front_certificate {
        Some(shown) if shown.of_file && lacking.is_empty() => None,
        Some(shown) if shown.of_file => Some(format!("has files that it cannot use: {lacking}")),
        // It has no front with TLS.
        None if lacking.is_empty() => None,
        Some(_) | None => Some("has no certificate and key in [listen] of its file".into()),
    }
}

pub(super) fn would_show_none(without: &[(String, String)]) -> String {
    let words: Vec<String> = without.iter().map(|(name, why)| format!("\n  {name} {why}")).collect();
    format!(
        "the certificate is not taken away: calling servers would reach these nodes over https no more:{}\nGive them \
         files first. If that is meant: --force",
        words.concat()
    )
}

/// Nodes take it within a moment of the change; one that cannot says so.
const SHOW_TIMEOUT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const SILENT: &str = "it does not answer";

#[cfg(test)]
pub(in crate::control) mod tests;

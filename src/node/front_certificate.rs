//! What calling servers see at this node: the certificate of its own file, or that of the cluster. A new one is shown
//! to new connections at once, and open ones go on. One that cannot be used is tried again, and the one before stays.
//! What is wrong is said when it comes and once a day.

use super::metrics::CertificateMetrics;
use super::{StartError, ticket_keys};
use crate::cluster::{Cluster, ShownCertificate};
use crate::config::Config;
use crate::enrolment::{Enrolment, Front, FrontMarks};
use crate::event::{Certificates, Event, with_causes};
use crate::state::{SealMark, Timestamp};
use crate::tasks::Tasks;
use crate::telemetry::Registry;
use crate::tls::{AboutCertificate, CertificateFault, Files, FrontCertificate, FrontServer, Trusted};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use time::OffsetDateTime;

/// The certificate of this node's front. Clones are the same.
#[derive(Clone)]
pub(super) struct FrontCertificates {
    server: FrontServer,
    /// The node's own; with it the cluster's is not heeded.
    files: Option<Files>,
    is_wanted: bool,
    service_name: String,
    shown: Arc<Mutex<Shown>>,
    metrics: CertificateMetrics,
}

#[derive(Default)]
struct Shown {
    certificate: Option<FrontCertificate>,
    about: Option<AboutCertificate>,
    faults: Vec<CertificateFault>,
    /// Why what there is to show cannot be used: it is tried again.
    unusable: Option<String>,
    /// Which one of the cluster was taken, or tried.
    mark: Option<SealMark>,
    /// Which one the cluster has, whether or not it is shown here.
    of_cluster: Option<SealMark>,
    /// What the files looked like when they were read, and when they were looked at last.
    read: Option<Stamp>,
    looked: Option<Stamp>,
    judged_at: Option<OffsetDateTime>,
    stages: (Stage, Stage),
    authority: Option<AboutCertificate>,
}

/// What other nodes are told.
#[derive(Default)]
pub(super) struct CertificateFacts {
    /// What is shown.
    pub(super) shown: Option<ShownCertificate>,
    /// Why what should be shown is not; empty: it is.
    pub(super) lacking: String,
    /// What should be done about all this.
    pub(super) faults: Vec<String>,
}

/// Changes whenever one of the files does.
type Stamp = [(i64, i64, (i64, i64), u64, u64); 2];

/// How near the end of a certificate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Fine,
    /// An order may take so long.
    Days45,
    Days14,
    Days3,
    Over,
}

impl FrontCertificates {
    /// With the node's own file, if it has one.
    pub(super) fn open(config: &Config, registry: &mut Registry) -> Result<Self, StartError> {
        let files = config.listen.https.as_ref().and_then(|(_, files)| files.clone());
        let metrics = CertificateMetrics::register(registry);
        let own = FrontCertificates {
            server: FrontServer::default(),
            files,
            is_wanted: config.listen.https.is_some(),
            service_name: config.cluster.service_name.clone(),
            shown: Arc::default(),
            metrics,
        };
        if let Some(files) = &own.files {
            // Before they are read: what changes meanwhile is read again.
            let stamp = stamp(files);
            let certificate = FrontCertificate::of_files(files)?;
            let unusable =
                |source| crate::tls::LoadError::Unusable { path: files.certificate.clone(), source };
            own.server.show(&certificate).map_err(unusable)?;
            let mut shown = own.shown();
            shown.about = certificate.about().into_iter().next();
            shown.certificate = Some(certificate);
            (shown.read, shown.looked) = (stamp, stamp);
        }
        Ok(own)
    }

    /// What shakes hands with it.
    pub(super) fn server(&self) -> FrontServer {
        self.server.clone()
    }

    /// What other nodes are told: what is shown, and what should be done about it.
    pub(super) fn facts(&self, now: OffsetDateTime) -> CertificateFacts {
        let shown = self.shown();
        let mut faults: Vec<String> = shown.faults.iter().map(|fault| format!("{FRONT}: {fault}")).collect();
        let certificate = shown.about.as_ref().map(|about| ShownCertificate {
            fingerprint: about.fingerprint.into(),
            subject: about.subject.clone(),
            issuer: about.issuer.clone(),
            not_after: Timestamp(about.until.unix_timestamp().saturating_mul(1_000)),
            of_file: self.files.is_some(),
        });
        let lacking = match (&shown.unusable, &certificate) {
            (Some(reason), Some(_)) => format!("a new certificate cannot be used, {BEFORE}: {reason}"),
            (Some(reason), None) => format!("{FRONT} cannot be used, and there is no other: {reason}"),
            (None, None) if self.is_wanted => MISSING.into(),
            (None, _) => String::new(),
        };
        faults.extend(Some(lacking.clone()).filter(|lacking| !lacking.is_empty()));
        let ends = [(FRONT, &shown.about), (AUTHORITY, &shown.authority)];
        faults.extend(ends.into_iter().filter_map(|(what, about)| end_in_words(what, about.as_ref()?, now)));
        CertificateFacts { shown: certificate, lacking, faults }
    }

    /// Takes what there is of the cluster or in the files, if it is another one than what is shown.
    fn take(&self, cluster: &Cluster, enrolment: &Enrolment) {
        {
            let mut shown = self.shown();
            if shown.authority.is_none() {
                shown.authority = AboutCertificate::of_pem(&enrolment.authority_pem());
            }
        }
        match &self.files {
            Some(files) => self.take_files(files),
            None if self.is_wanted => self.take_of_cluster(cluster, enrolment),
            None => {}
        }
        self.note_removal(cluster, enrolment);
        self.judge_in_time(OffsetDateTime::now_utc());
    }

    /// Takes what is known, and follows the roster and the files until the tasks drain.
    pub(super) fn keep(&self, cluster: &Cluster, enrolment: &Enrolment, tasks: &Tasks) {
        self.take(cluster, enrolment);
        let following = self.clone().follow(cluster.clone(), enrolment.clone(), tasks.clone());
        tasks.spawn("certificate", following);
        ticket_keys::keep(self.server.ticket_keys(), cluster, enrolment, tasks);
    }

    /// Follows the roster and the files until the tasks drain.
    async fn follow(self, cluster: Cluster, enrolment: Enrolment, tasks: Tasks) {
        let mut newest = cluster.roster();
        loop {
            newest.borrow_and_update();
            self.take(&cluster, &enrolment);
            tokio::select! {
                changed = newest.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = tasks.draining() => return,
            }
        }
    }

    fn take_of_cluster(&self, cluster: &Cluster, enrolment: &Enrolment) {
        let roster = cluster.state().borrow().roster.clone();
        if self.is_due(FrontMarks::of(&roster).certificate) {
            self.take_kept(enrolment.front(&roster));
        }
    }

    /// Whether the cluster's certificate is another one than the one that was taken, or could not be used.
    fn is_due(&self, mark: Option<SealMark>) -> bool {
        let shown = self.shown();
        shown.mark != mark || shown.unusable.is_some()
    }

    fn take_kept(&self, front: Front) {
        self.shown().mark = front.marks.certificate;
        match front.certificate {
            Ok(Some(kept)) => self.show(kept.certificate, &format!("imported by {}", kept.by)),
            Ok(None) => self.show_none(),
            Err(error) => self.unusable(&with_causes(&error)),
        }
    }

    /// Says that the cluster has no certificate any more, also where that is not the one that is shown.
    fn note_removal(&self, cluster: &Cluster, enrolment: &Enrolment) {
        let roster = cluster.state().borrow().roster.clone();
        let mark = FrontMarks::of(&roster).certificate;
        let before = std::mem::replace(&mut self.shown().of_cluster, mark);
        if before.is_none() || mark.is_some() {
            return;
        }
        let by = match enrolment.front(&roster).removed {
            Ok(Some(removed)) => removed.by,
            Ok(None) | Err(_) => "somebody".into(),
        };
        let reason = format!("removed by {by}");
        Event::Certificate { why: Certificates::Removed, reason: &reason }.log();
    }

    fn take_files(&self, files: &Files) {
        let is = stamp(files);
        let mut shown = self.shown();
        let settled = std::mem::replace(&mut shown.looked, is) == is;
        // Somebody may be writing: what looks the same twice is whole. What could not be used is tried again, as
        // are files that are gone.
        let has = shown.read == is && is.is_some() && shown.unusable.is_none();
        if !settled || has {
            return;
        }
        shown.read = is;
        drop(shown);
        match FrontCertificate::of_files(files) {
            Ok(certificate) => self.show(certificate, &format!("out of {}", files.certificate.display())),
            Err(error) => self.unusable(&with_causes(&error)),
        }
    }

    fn show(&self, certificate: FrontCertificate, from: &str) {
        let mut shown = self.shown();
        if shown.certificate.as_ref().is_some_and(|before| before.is(&certificate)) {
            shown.unusable = None;
            return;
        }
        if let Err(error) = self.server.show(&certificate) {
            drop(shown);
            return self.unusable(&error.to_string());
        }
        shown.unusable = None;
        let had_another = shown.certificate.is_some();
        shown.about = certificate.about().into_iter().next();
        shown.certificate = Some(certificate);
        shown.judged_at = None;
        let about = shown.about.clone();
        drop(shown);
        if let Some(about) = about.filter(|_| had_another) {
            let reason = format!("{}, until {}, {from}", about.subject, about.until.date());
            Event::Certificate { why: Certificates::Changed, reason: &reason }.log();
        }
    }

    /// The cluster has none any more.
    fn show_none(&self) {
        let mut shown = self.shown();
        self.server.show_none();
        (shown.certificate, shown.about, shown.unusable) = (None, None, None);
        shown.judged_at = None;
    }

    /// Keeps what is shown, and says once why the new one is not.
    fn unusable(&self, reason: &str) {
        let before = self.shown().unusable.replace(reason.to_owned());
        if before.as_deref() != Some(reason) {
            Event::Certificate { why: Certificates::Unusable, reason }.log();
        }
    }

    /// Says what is wrong when a certificate is new, when its end comes nearer, and once a day.
    fn judge_in_time(&self, now: OffsetDateTime) {
        let mut shown = self.shown();
        let stages = (stage(shown.about.as_ref(), now), stage(shown.authority.as_ref(), now));
        let due = shown.judged_at.is_none_or(|at| (now - at).unsigned_abs() >= JUDGE_EVERY);
        if !due && shown.stages == stages {
            return;
        }
        shown.stages = stages;
        // What was said when it came is said again with everything else.
        let again = shown.judged_at.replace(now).is_some();
        let unusable = shown.unusable.clone().filter(|_| again);
        let (front, authority) = (shown.about.clone(), shown.authority.clone());
        let certificate = shown.certificate.clone();
        drop(shown);
        self.metrics.note(front.as_ref(), authority.as_ref());
        let faults = certificate.as_ref().map(|it| it.faults(&self.service_name, &Trusted::of_system(), now));
        // Its end is said by its own events.
        let faults: Vec<_> = faults
            .unwrap_or_default()
            .into_iter()
            .filter(|fault| !matches!(fault, CertificateFault::Expired { .. }))
            .collect();
        if let Some(reason) = &unusable {
            Event::Certificate { why: Certificates::Unusable, reason }.log();
        }
        for fault in &faults {
            Event::Certificate { why: Certificates::Fault, reason: &fault.to_string() }.log();
        }
        self.shown().faults = faults;
        if self.is_wanted && certificate.is_none() {
            Event::Certificate { why: Certificates::Missing, reason: MISSING }.log();
        }
        for (what, about, stage) in [(FRONT, front, stages.0), (AUTHORITY, authority, stages.1)] {
            let why = if stage == Stage::Over { Certificates::Expired } else { Certificates::Expires };
            if let Some(reason) = about.and_then(|about| end_in_words(what, &about, now)) {
                Event::Certificate { why, reason: &reason }.log();
            }
        }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(files: &Files) -> Option<Stamp> {
    let of = |path| {
        let metadata = std::fs::metadata(path).ok()?;
        // Its rights count as well: ctime changes with them.
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some((metadata.mtime(), metadata.mtime_nsec(), changed, metadata.size(), metadata.ino()))
    };
    Some([of(&files.certificate)?, of(&files.key)?])
}

fn stage(about: Option<&AboutCertificate>, now: OffsetDateTime) -> Stage {
    let Some(about) = about else { return Stage::Fine };
    match (about.until - now).whole_seconds() {
        ..=0 => Stage::Over,
        left if left <= 3 * DAY_SECONDS => Stage::Days3,
        left if left <= 14 * DAY_SECONDS => Stage::Days14,
        left if left <= 45 * DAY_SECONDS => Stage::Days45,
        _ => Stage::Fine,
    }
}

/// When it ends, if that is near or past.
fn end_in_words(what: &str, about: &AboutCertificate, now: OffsetDateTime) -> Option<String> {
    about.end_in_words(now).map(|words| format!("{what} {words}"))
}

/// So that a lost event has a next one, and a fault of the host's authorities is seen.
const JUDGE_EVERY: Duration = Duration::from_secs(DAY_SECONDS as u64);
/// Two looks at a file are soon enough.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const DAY_SECONDS: i64 = 24 * 3_600;
const FRONT: &str = "the certificate for calling servers";
const BEFORE: &str = "and calling servers see the one before";
const AUTHORITY: &str = "the cluster's own authority, which no command renews yet,";
const MISSING: &str = "there is no certificate for calling servers: rmsc cert import FILE";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrolment::{FrontError, KeptCertificate, SecretError};
    use crate::secret::Secret;
    use crate::tls::{Authority, Bundle};
    use time::Duration as Span;

    /// A node without files.
    fn certificates() -> FrontCertificates {
        FrontCertificates {
            server: FrontServer::default(),
            files: None,
            is_wanted: true,
            service_name: "rms.test".into(),
            shown: Arc::default(),
            metrics: CertificateMetrics::register(&mut Registry::default()),
        }
    }

    /// What the roster has under a mark.
    fn front(mark: u8, certificate: Result<Option<KeptCertificate>, FrontError>) -> Front {
        let mark = certificate.as_ref().map_or(true, Option::is_some).then_some(SealMark([mark; 16]));
        let marks = FrontMarks { certificate: mark, request: None };
        Front { certificate, request: Ok(None), removed: Ok(None), marks }
    }

    fn kept(now: OffsetDateTime) -> KeptCertificate {
        let authority = Authority::new("ca", now).unwrap();
        let issued = authority.issue_server(&["rms.test".into()], now).unwrap();
        let pem = format!("{}{}", issued.certificate_pem, issued.key_pem.expose());
        let bundle = Bundle::read(pem.as_bytes(), &Secret::new(String::new())).unwrap();
        let certificate = FrontCertificate::of_parts(bundle.certificates, bundle.key.unwrap()).unwrap();
        KeptCertificate { certificate, by: "alice".into(), at: Timestamp(1) }
    }

    #[test]
    fn what_cannot_be_used_is_named_and_tried_again_and_the_one_before_stays() {
        let now = OffsetDateTime::now_utc();
        let (certificates, first, second) = (certificates(), kept(now), kept(now));
        let fingerprint = |kept: &KeptCertificate| kept.certificate.about()[0].fingerprint.to_vec();
        let mark = |mark| Some(SealMark([mark; 16]));
        assert!(certificates.is_due(mark(1)) && !certificates.is_due(None));
        certificates.take_kept(front(1, Ok(Some(first.clone()))));
        assert!(!certificates.is_due(mark(1)) && certificates.facts(now).lacking.is_empty());
        certificates.take_kept(front(2, Err(SecretError::Unknown { name: "front-certificate" }.into())));
        let facts = certificates.facts(now);
        let words = "a new certificate cannot be used, and calling servers see the one before: front-certificate is \
                     not of a kind that this build knows";
        assert_eq!(facts.lacking, words);
        assert!(facts.faults.contains(&facts.lacking), "{:?}", facts.faults);
        assert_eq!(facts.shown.unwrap().fingerprint, fingerprint(&first));
        // Nothing has changed, and yet it is tried.
        assert!(certificates.is_due(mark(2)));
        certificates.take_kept(front(2, Ok(Some(second.clone()))));
        let facts = certificates.facts(now);
        assert_eq!((facts.lacking.as_str(), certificates.is_due(mark(2))), ("", false));
        assert_eq!(facts.shown.unwrap().fingerprint, fingerprint(&second));
        certificates.take_kept(front(0, Ok(None)));
        let facts = certificates.facts(now);
        assert!(facts.shown.is_none() && facts.lacking == MISSING && !certificates.is_due(None));
    }

    #[test]
    fn the_end_is_said_at_45_14_and_3_days_and_when_it_has_come() {
        let now = OffsetDateTime::UNIX_EPOCH + Span::days(20_000);
        let about = |left| AboutCertificate {
            subject: "CN=rms".into(),
            issuer: "CN=ca".into(),
            names: vec!["rms".into()],
            from: now - Span::days(300),
            until: now + left,
            fingerprint: [0; 32],
        };
        let (day, second) = (Span::days(1), Span::seconds(1));
        for (left, expected) in [
            (day * 45 + second, Stage::Fine),
            (day * 45, Stage::Days45),
            (day * 14 + second, Stage::Days45),
            (day * 14, Stage::Days14),
            (day * 3 + second, Stage::Days14),
            (day * 3, Stage::Days3),
            (second, Stage::Days3),
            (Span::ZERO, Stage::Over),
            (-day, Stage::Over),
        ] {
            assert_eq!(stage(Some(&about(left)), now), expected, "{left}");
        }
        let words = |left| end_in_words(FRONT, &about(left), now);
        assert_eq!(words(day * 46), None);
        assert!(words(day * 9).unwrap().contains("expires in 9 days, on 20"), "{:?}", words(day * 9));
        assert!(words(-second).unwrap().contains("has expired, on 20"));
        assert_eq!(stage(None, now), Stage::Fine);
    }
}

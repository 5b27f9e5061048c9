//! A backup of everything that the nodes agree on, encrypted here and streamed to the administrator.

use super::{administrator, status};
use crate::backup::{self, Lock, Taken};
use crate::cluster::{Cluster, Copy, CopyError};
use crate::enrolment::Enrolment;
use crate::event::with_causes;
use crate::proto::control::v1 as proto;
use crate::proto::control::v1::backup_part::Part;
use crate::proto::control::v1::backups_server::Backups;
use crate::seal::Key;
use crate::secret::Secret;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// The service.
pub(super) struct Service {
    cluster: Cluster,
    enrolment: Enrolment,
    service_name: String,
    node: String,
    /// One at a time: each takes memory for the passphrase, and room on the disk for the copy.
    running: Arc<Semaphore>,
}

type Parts = ReceiverStream<Result<proto::BackupPart, Status>>;

impl Service {
    pub(super) fn new(cluster: Cluster, enrolment: Enrolment, service_name: String, node: String) -> Self {
        Service { cluster, enrolment, service_name, node, running: Arc::new(Semaphore::new(1)) }
    }
}

#[tonic::async_trait]
impl Backups for Service {
    type CreateStream = Parts;

    async fn create(&self, request: Request<proto::CreateBackupRequest>) -> Result<Response<Parts>, Status> {
        let by = administrator(&request)?;
        let request = request.into_inner();
        let lock = Lock::new(&request.recipients, Secret::new(request.passphrase));
        let lock = lock.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let running = tokio::time::timeout(TURN_TIMEOUT, self.running.clone().acquire_owned()).await;
        let Ok(Ok(running)) = running else {
            return Err(Status::resource_exhausted("this node makes another backup now; try again"));
        };
        let copy = self.cluster.copy().await.map_err(|error| of_copy(&error))?;
        let taken =
            Taken { service_name: self.service_name.clone(), at_ms: now(), by, node: self.node.clone() };
        let (sender, parts) = mpsc::channel(PARTS_MAX);
        let summary = proto::BackupPart { part: Some(Part::Summary(summary(&copy, &taken))) };
        // There is room for it: nothing else was sent.
        sender.try_send(Ok(summary)).ok();
        let data_key = self.enrolment.data_key();
        tokio::task::spawn_blocking(move || {
            let _running = running;
            stream(&copy, &taken, (&data_key, &lock), &sender);
        });
        Ok(Response::new(ReceiverStream::new(parts)))
    }
}

fn stream(
    copy: &Copy,
    taken: &Taken,
    (data_key, lock): (&Key, &Lock),
    parts: &mpsc::Sender<Result<proto::BackupPart, Status>>,
) {
    let output = BufWriter::with_capacity(PART_BYTES, Output(parts));
    match backup::write(copy, taken, data_key, lock, output) {
        Ok(()) => tracing::info!(by = taken.by, log_index = copy.log_index, "a backup was taken"),
        Err(error) => {
            tracing::warn!(error = with_causes(&error), "a backup was not finished");
            // Whoever asked may be gone.
            parts.blocking_send(Err(Status::internal("the backup was not finished"))).ok();
        }
    }
}

/// The way to the administrator.
struct Output<'a>(&'a mpsc::Sender<Result<proto::BackupPart, Status>>);

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = proto::BackupPart { part: Some(Part::Data(bytes.to_vec())) };
        let sent = self.0.blocking_send(Ok(part));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes it any more"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn summary(copy: &Copy, taken: &Taken) -> proto::BackupSummary {
    proto::BackupSummary {
        cluster_id: copy.cluster_id.clone(),
        service_name: taken.service_name.clone(),
        log_index: copy.log_index,
        revision: copy.revision,
        entries: copy.entries,
        nodes: copy.nodes,
        taken_at_ms: taken.at_ms,
        taken_at: taken.node.clone(),
    }
}

fn of_copy(error: &CopyError) -> Status {
    match error {
        CopyError::Behind(error) => status::of_read(error),
        CopyError::Io(source) => {
            tracing::error!(error = with_causes(source), "no copy of the state could be made");
            Status::internal("this node cannot make a copy of the state; its log says why")
        }
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// One that nobody takes any more ends within this.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// What waits for a slow administrator: two MiB.
const PARTS_MAX: usize = 8;
const PART_BYTES: usize = 256 * 1024;

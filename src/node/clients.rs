//! The listeners for calling servers.

use super::StartError;
use super::front_certificate::FrontCertificates;
use crate::config::Config;
use crate::front::{Front, Listener};
use crate::tasks::Tasks;
use futures::FutureExt;
use std::future::Future;
use std::sync::Arc;

/// Who comes before `ready` waits to be accepted.
pub(super) async fn serve(
    config: &Config,
    front: &Arc<Front>,
    certificates: &FrontCertificates,
    ready: impl Future<Output = ()> + Clone + Send + 'static,
    tasks: &Tasks,
) -> Result<(), StartError> {
    let mut listeners = Vec::new();
    if let Some((address, _)) = &config.listen.https {
        listeners.push(("https", *address, Some(certificates.server())));
    }
    if let Some(address) = config.listen.http {
        listeners.push(("http", address, None));
    }
    for (what, address, tls) in listeners {
        let listener = Listener::bind(address, tls, &config.front)
            .await
            .map_err(|source| StartError::Listen { what, address, source })?;
        let serving = listener.serve(front.clone(), tasks.clone());
        tasks.spawn("client listener", ready.clone().then(|()| serving));
    }
    Ok(())
}

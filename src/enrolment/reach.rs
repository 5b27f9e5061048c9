//! Which of some nodes run: a cluster must not begin again beside its old self.

use crate::tls::Membership;
use std::time::Duration;

/// The names of those that answer on their peer port as nodes of this cluster, whoever they take us for.
///
/// Nobody answering proves nothing: they may be cut off.
pub async fn answering(own: &Membership, nodes: &[(String, String)]) -> Vec<String> {
    let client = own.client();
    let asked = nodes.iter().map(|(name, address)| {
        let client = client.clone();
        async move {
            let reached = tokio::time::timeout(ANSWER_TIMEOUT, client.connect(address)).await;
            matches!(reached, Ok(Ok(_))).then(|| format!("{name} at {address}"))
        }
    });
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}

/// A node that is busy answers later than one that is not.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

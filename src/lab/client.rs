//! A plain HTTP client for the lab's own questions.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Gets a JSON document, whatever its status.
///
/// # Errors
/// Nobody answers in time, or something else than JSON.
pub(super) async fn get_json(address: SocketAddr, path: &str) -> anyhow::Result<serde_json::Value> {
    timeout(TIMEOUT, get(address, path)).await.context("no answer in time")?
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<serde_json::Value> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let ask = async {
        let request =
            Request::get(path).header(header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
        let bytes = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        anyhow::Ok(serde_json::from_slice(&bytes)?)
    };
    tokio::select! {
        answer = ask => answer,
        ended = connection => bail!("the connection ended: {ended:?}"),
    }
}

const TIMEOUT: Duration = Duration::from_secs(2);

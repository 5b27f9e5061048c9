//! A server whose certificate was issued just now and is kept in no file: the simulated service.

use super::{Issued, provider, timed};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Shakes hands as a server with HTTP/1.1 alone.
#[derive(Clone)]
pub struct IssuedServer {
    acceptor: TlsAcceptor,
}

impl IssuedServer {
    /// Shows this certificate.
    ///
    /// # Errors
    /// It is unusable.
    pub fn new(issued: &Issued) -> io::Result<Self> {
        let certificate =
            CertificateDer::from_pem_slice(issued.certificate_pem.as_bytes()).map_err(io::Error::other)?;
        let key =
            PrivateKeyDer::from_pem_slice(issued.key_pem.expose().as_bytes()).map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
            .map_err(io::Error::other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(IssuedServer { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Shakes hands over any stream.
    ///
    /// # Errors
    /// The peer's fault, or it took too long.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        timed(self.acceptor.accept(stream)).await
    }
}

//! The server side of the front listener. Its certificate can be changed while connections are open: those go on,
//! new ones are shaken with the new one, and no ticket of the old one is good any more.

use super::tickets::Tickets;
use super::{Files, FrontCertificate, LoadError, ServerStream, TicketKeys, provider, timed};
use rustls::ServerConfig;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// TLS 1.2 and 1.3, HTTP/1.1 alone, no client certificate. Clones show the same certificate.
///
/// Negotiate and NTLM authenticate a connection and cannot work over HTTP/2, so it is not offered.
#[derive(Clone, Default)]
pub struct FrontServer {
    current: Arc<Mutex<Option<Arc<Current>>>>,
    ticket_keys: TicketKeys,
}

/// The settings made out of one certificate.
struct Current {
    acceptor: TlsAcceptor,
    leaf: Arc<[u8]>,
}

impl FrontServer {
    /// Shows the certificate of these files.
    ///
    /// # Errors
    /// [`LoadError`] names the file.
    pub fn load(files: &Files) -> Result<Self, LoadError> {
        let server = FrontServer::default();
        let unusable = |source| LoadError::Unusable { path: files.certificate.clone(), source };
        server.show(&FrontCertificate::of_files(files)?).map_err(unusable)?;
        Ok(server)
    }

    /// Shows this certificate to everybody who comes from now on.
    ///
    /// # Errors
    /// It cannot be used; the one before stays.
    pub fn show(&self, certificate: &FrontCertificate) -> Result<(), rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(certificate.served(), certificate.private_key()?)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets of this certificate alone: who resumes a session has been shaken with the very certificate that the
        // channel binding is made of. There is no 0-RTT: what is sent with it can be sent again by others.
        config.ticketer = Arc::new(Tickets::new(self.ticket_keys.clone(), certificate.leaf()));
        config.max_early_data_size = 0;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let current = Current { acceptor, leaf: certificate.leaf().into() };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(current));
        Ok(())
    }

    /// What sessions are resumed with.
    #[must_use]
    pub fn ticket_keys(&self) -> TicketKeys {
        self.ticket_keys.clone()
    }

    /// Shows none from now on: nobody is shaken hands with any more, and open connections go on.
    pub fn show_none(&self) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Shakes hands, and gives the certificate that this client has seen (DER): what its channel binding is made of
    /// (RFC 5929 4.1).
    ///
    /// # Errors
    /// The peer's fault, it took too long, or there is no certificate to show.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(ServerStream, Arc<[u8]>)> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let current = current.ok_or_else(|| io::Error::other("there is no certificate to show"))?;
        let stream = timed(current.acceptor.accept(stream)).await?;
        Ok((stream, current.leaf.clone()))
    }
}

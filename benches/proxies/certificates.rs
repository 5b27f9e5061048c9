//! The certificates of the proxies: the front's is that of the lab, so that all handshakes cost the same; the hop's are
//! made here.

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};

/// What a proxy is given.
pub struct Certificates {
    /// Certificate and key of the front in one file.
    pub front: PathBuf,
    /// The same apart.
    pub front_certificate: PathBuf,
    pub front_key: PathBuf,
    /// Who issued the front's certificate.
    pub authority: PathBuf,
    /// Certificate and key of both ends of the hop.
    pub hop: PathBuf,
    /// Who issued that.
    pub hop_authority: PathBuf,
}

/// The front's as a lab has it.
pub struct Front {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub authority: PathBuf,
}

pub fn make(folder: &Path, front: Front) -> anyhow::Result<Certificates> {
    let (pem, hop, hop_authority) =
        (folder.join("front.pem"), folder.join("hop.pem"), folder.join("hop-authority.pem"));
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    fs::write(&pem, format!("{}{}", read(&front.certificate)?, read(&front.key)?))?;
    let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::from_params(&params, &authority_key);
    let certificate = CertificateParams::new(["hop.test".to_owned()])?.signed_by(&key, &issuer)?;
    fs::write(&hop, format!("{}{}", certificate.pem(), key.serialize_pem()))?;
    fs::write(&hop_authority, authority.pem())?;
    let Front { certificate: front_certificate, key: front_key, authority } = front;
    Ok(Certificates { front: pem, front_certificate, front_key, authority, hop, hop_authority })
}

//! The certificates of the proxies: the front's is that of the lab, so that all handshakes cost the same; the hop's are
//! made here.

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};

/// What a proxy is given.
pub struct Certificates {
    /// Certificate and key of the front in one file.
    pub front: PathBuf,
    /// The same apart.
    pub front_certificate: PathBuf,
    pub front_key: PathBuf,
    /// Who issued the certificates of all fronts.
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
    /// Of this lab and the others.
    pub authorities: Vec<PathBuf>,
}

pub fn make(folder: &Path, front: Front) -> anyhow::Result<Certificates> {
    let [pem, all, hop, hop_authority] =
        ["front.pem", "authorities.pem", "hop.pem", "hop-authority.pem"].map(|name| folder.join(name));
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    fs::write(&pem, format!("{}{}", read(&front.certificate)?, read(&front.key)?))?;
    let authorities: anyhow::Result<String> = front.authorities.iter().map(|path| read(path)).collect();
    fs::write(&all, authorities?)?;
    let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Without names of their own both would have the same, and what was issued would look like its own issuer.
    params.distinguished_name.push(DnType::CommonName, "authority of the hop");
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::from_params(&params, &authority_key);
    let certificate = CertificateParams::new(["hop.test".to_owned()])?.signed_by(&key, &issuer)?;
    fs::write(&hop, format!("{}{}", certificate.pem(), key.serialize_pem()))?;
    fs::write(&hop_authority, authority.pem())?;
    let Front { certificate: front_certificate, key: front_key, .. } = front;
    Ok(Certificates { front: pem, front_certificate, front_key, authority: all, hop, hop_authority })
}

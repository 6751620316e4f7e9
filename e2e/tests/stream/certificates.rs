//! Certificates of yesterday, as a machine that slept for months finds them.

use std::path::Path;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

fn params(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 3, 31);
    Ok(params)
}

/// Puts an expired serving certificate of the authority that is there into `data`.
pub(crate) fn expire_serving(data: &Path) -> Result<()> {
    let tls = data.join("tls");
    let key = KeyPair::from_pem(&std::fs::read_to_string(tls.join("ca-key.pem"))?)?;
    let authority = std::fs::read_to_string(tls.join("ca.pem"))?;
    let issuer = Issuer::from_ca_cert_pem(&authority, key)?;
    write_serving(&tls, &issuer)
}

/// Puts an expired authority and an expired serving certificate of it into `data`.
pub(crate) fn expire_authority(data: &Path) -> Result<()> {
    let tls = data.join("tls");
    let key = KeyPair::generate()?;
    let mut params = params("proofstream webhook CA of 2020")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = params.self_signed(&key)?.pem();
    std::fs::write(tls.join("ca.pem"), &authority)?;
    std::fs::write(tls.join("ca-key.pem"), key.serialize_pem())?;
    write_serving(&tls, &Issuer::from_ca_cert_pem(&authority, key)?)
}

fn write_serving(tls: &Path, issuer: &Issuer<'_, KeyPair>) -> Result<()> {
    let key = KeyPair::generate()?;
    let certificate = params("proofstream webhook of 2020")?.signed_by(&key, issuer)?;
    std::fs::write(tls.join("serving.pem"), certificate.pem())?;
    std::fs::write(tls.join("serving-key.pem"), key.serialize_pem())?;
    Ok(())
}

//! The cluster's certificate authority: one for the API server's certificate and for users.
//!
//! Users are client certificates: the common name is the user's name and each organisation one of
//! its groups, as Kubernetes reads them. Dates are fixed and far apart; nothing here guards anything
//! but a throw-away cluster on loopback.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SigningKey, date_time_ymd,
};
use yasna::models::{ObjectIdentifier, UTCTime};
use yasna::{DERWriter, Tag};

const NAME: &str = "proofstream-e2e";
const NOT_BEFORE: &[u8] = b"200101000000Z";
const NOT_AFTER: &[u8] = b"490101000000Z";

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const CLIENT_AUTHENTICATION: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
const ECDSA_WITH_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];

/// A certificate and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// Issues the certificates of one cluster.
#[derive(Debug)]
pub(crate) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Reads the authority kept in `folder` (`ca.crt`, `ca.key`), or makes one and keeps it there.
    pub(crate) fn open_or_create(folder: &Path) -> Result<Self> {
        let (certificate_path, key_path) = (folder.join("ca.crt"), folder.join("ca.key"));
        if !key_path.exists() {
            let key = KeyPair::generate()?;
            let certificate = authority_parameters()?.self_signed(&key)?.pem();
            fs::write(&certificate_path, certificate)?;
            write_private(&key_path, &key.serialize_pem())?;
        }
        let certificate = fs::read_to_string(&certificate_path)
            .with_context(|| format!("cannot read `{}`", certificate_path.display()))?;
        let key = KeyPair::from_pem(&fs::read_to_string(&key_path)?)
            .with_context(|| format!("no private key in `{}`", key_path.display()))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)?;
        Ok(Self { certificate, issuer })
    }

    /// The authority's own certificate, PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A serving certificate for these names and addresses.
    pub(crate) fn issue_server(&self, names: &[&str]) -> Result<Credential> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names)?;
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2049, 1, 1);
        parameters.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, &self.issuer)?.pem();
        Ok(Credential { certificate, key: key.serialize_pem() })
    }

    /// A client certificate of `user`, a member of `groups`.
    ///
    /// Written out by hand (RFC 5280 section 4.1), because rcgen's names hold one organisation and a
    /// user may have several groups.
    pub(crate) fn issue_client(&self, user: &str, groups: &[&str]) -> Result<Credential> {
        let key = KeyPair::generate()?;
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(|error| anyhow!("no randomness: {error}"))?;
        let (not_before, not_after) = (time(NOT_BEFORE)?, time(NOT_AFTER)?);
        let body = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
                writer.next().write_bigint_bytes(&serial, true);
                write_algorithm(writer.next());
                write_name(writer.next(), NAME, &[]);
                writer.next().write_sequence(|writer| {
                    writer.next().write_utctime(&not_before);
                    writer.next().write_utctime(&not_after);
                });
                write_name(writer.next(), user, groups);
                writer.next().write_der(&key.subject_public_key_info());
                writer.next().write_tagged(Tag::context(3), |writer| {
                    writer.write_sequence(|writer| write_usage(writer.next()));
                });
            });
        });
        let signature = self.issuer.key().sign(&body)?;
        let certificate = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&body);
                write_algorithm(writer.next());
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        Ok(Credential { certificate: pem("CERTIFICATE", &certificate), key: key.serialize_pem() })
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// Writes the key with which the API server signs service account tokens (`service-account.key`, and
/// its public half `service-account.pub`) into `folder`, unless it is there.
pub(crate) fn keep_signing_key(folder: &Path) -> Result<()> {
    let path = folder.join("service-account.key");
    if !path.exists() {
        let key = KeyPair::generate()?;
        fs::write(folder.join("service-account.pub"), key.public_key_pem())?;
        write_private(&path, &key.serialize_pem())?;
    }
    Ok(())
}

fn authority_parameters() -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.not_before = date_time_ymd(2020, 1, 1);
    parameters.not_after = date_time_ymd(2049, 1, 1);
    // INVARIANT: a single common name, as `write_name(NAME, [])` writes it; Go compares the bytes.
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, NAME);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(parameters)
}

fn time(text: &[u8]) -> Result<UTCTime> {
    UTCTime::parse(text).context("a fixed date does not parse")
}

fn write_algorithm(writer: DERWriter<'_>) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(ECDSA_WITH_SHA256));
    });
}

fn write_name(writer: DERWriter<'_>, common_name: &str, organizations: &[&str]) {
    let attributes = organizations
        .iter()
        .map(|&group| (ORGANIZATION, group))
        .chain([(COMMON_NAME, common_name)]);
    writer.write_sequence(|writer| {
        for (kind, value) in attributes {
            writer.next().write_set(|writer| {
                writer.next().write_sequence(|writer| {
                    writer.next().write_oid(&ObjectIdentifier::from_slice(kind));
                    writer.next().write_utf8_string(value);
                });
            });
        }
    });
}

fn write_usage(writer: DERWriter<'_>) {
    let purposes = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_oid(&ObjectIdentifier::from_slice(CLIENT_AUTHENTICATION));
        });
    });
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(EXTENDED_KEY_USAGE));
        writer.next().write_bytes(&purposes);
    });
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    for (position, character) in text.chars().enumerate() {
        if position > 0 && position % 64 == 0 {
            lines.push('\n');
        }
        lines.push(character);
    }
    lines + &format!("\n-----END {label}-----\n")
}

//! Our own certificate authority and the serving certificate of the webhook: made on the first start,
//! kept in the data folder (0600), renewed long before they expire.
//!
//! Whoever can write to this folder can answer the API server in our place, and so let anything pass.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::private_file;

const DAY: i64 = 24 * 60 * 60;
/// How long a certificate authority is good, in days.
const AUTHORITY_DAYS: i64 = 5 * 365;
/// How long a serving certificate is good, in days.
const SERVING_DAYS: i64 = 90;
/// Clocks of API servers may be this far behind ours, in seconds.
const SKEW: i64 = 60 * 60;

const AUTHORITY: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca-key.pem";
const PREVIOUS: &str = "ca-previous.pem";
const SERVING: &str = "serving.pem";
const SERVING_KEY: &str = "serving-key.pem";

/// Why there is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The folder cannot be read or written.
    #[error("cannot use `{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Making a certificate failed.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library does not take our key.
    #[error("cannot use the serving key: {0}")]
    Key(#[from] rustls::Error),
}

/// What [`Certificates::refresh`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refreshed {
    /// Nothing was due.
    Kept,
    /// A new serving certificate, of the same authority.
    Serving,
    /// A new authority and serving certificate; clients must learn of the new authority.
    Authority,
}

/// Authority and serving certificate of this installation. The TLS acceptor asks it for the
/// certificate at each handshake, so that a renewed one is used at once.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
    names: Vec<String>,
    serving: ArcSwap<CertifiedKey>,
    bundle: ArcSwap<Vec<u8>>,
}

struct Authority {
    certificate: String,
    key: KeyPair,
}

struct Validity {
    from: i64,
    until: i64,
}

// === impl Certificates ===

impl Certificates {
    /// Reads what the folder holds, and makes or renews what is missing, broken, expired, about to
    /// expire or made for other names. `names` are DNS names and addresses of this webhook.
    pub fn open(
        folder: &Path,
        names: Vec<String>,
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        private_file::folder(folder)
            .map_err(|source| CertificateError::File { path: folder.to_owned(), source })?;
        let (serving, bundle, _) = prepare(folder, &names, now)?;
        Ok(Self {
            folder: folder.to_owned(),
            names,
            serving: ArcSwap::from_pointee(serving),
            bundle: ArcSwap::from_pointee(bundle),
        })
    }

    /// Renews what is due. To be called now and then, at least daily.
    pub fn refresh(&self, now: Timestamp) -> Result<Refreshed, CertificateError> {
        let (serving, bundle, mut refreshed) = prepare(&self.folder, &self.names, now)?;
        // The command line may have renewed them beside us.
        if bundle != **self.bundle.load() {
            refreshed = Refreshed::Authority;
        } else if serving.cert != self.serving.load().cert {
            refreshed = refreshed.max(Refreshed::Serving);
        }
        if refreshed > Refreshed::Kept {
            self.bundle.store(Arc::new(bundle));
            self.serving.store(Arc::new(serving));
        }
        Ok(refreshed)
    }

    /// The authorities (PEM) by which clients should know us: the present one and, until it expires,
    /// the one before it.
    pub fn bundle(&self) -> Arc<Vec<u8>> {
        self.bundle.load_full()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.serving.load_full())
    }
}

fn prepare(
    folder: &Path,
    names: &[String],
    now: Timestamp,
) -> Result<(CertifiedKey, Vec<u8>, Refreshed), CertificateError> {
    let now = now.as_second();
    let (authority, mut refreshed) = authority(folder, now)?;
    let kept = read(folder, SERVING)?.zip(read(folder, SERVING_KEY)?);
    let wanted_names = names.join(",");
    let usable = kept.filter(|(certificate, key)| {
        is_good(certificate, now, SERVING_DAYS * DAY / 3, "serving certificate")
            && names_of(certificate) == wanted_names
            && issued_by(certificate, &authority.certificate)
            && certified_key(certificate, &authority, key)
                .is_ok_and(|pair| pair.keys_match().is_ok())
    });
    let (certificate, key) = match usable {
        Some(pair) if refreshed == Refreshed::Kept => pair,
        _ => {
            refreshed = refreshed.max(Refreshed::Serving);
            let (certificate, key) = make_serving(&authority, names, now)?;
            write(folder, SERVING_KEY, &key)?;
            write(folder, SERVING, &certificate)?;
            tracing::info!(days = SERVING_DAYS, "made a serving certificate for {wanted_names}");
            (certificate, key)
        }
    };
    let mut bundle = authority.certificate.clone().into_bytes();
    if let Some(previous) = read(folder, PREVIOUS)?
        && validity(&previous).is_some_and(|validity| validity.until > now)
    {
        bundle.extend_from_slice(previous.as_bytes());
    }
    Ok((certified_key(&certificate, &authority, &key)?, bundle, refreshed))
}

fn authority(folder: &Path, now: i64) -> Result<(Authority, Refreshed), CertificateError> {
    if let Some((certificate, key)) = read(folder, AUTHORITY)?.zip(read(folder, AUTHORITY_KEY)?) {
        let good = is_good(&certificate, now, AUTHORITY_DAYS * DAY / 5, "certificate authority");
        match KeyPair::from_pem(&key) {
            // A crash between the two files leaves a certificate and another one's key.
            Ok(key) if good && !is_certificate_of(&certificate, &key) => {
                tracing::warn!("the authority's key is another one's; making a new authority");
            }
            Ok(key) if good => return Ok((Authority { certificate, key }, Refreshed::Kept)),
            Ok(_) => write(folder, PREVIOUS, &certificate)?,
            Err(error) => tracing::warn!(%error, "the authority's key is unusable; making another"),
        }
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("proofstream webhook CA {now}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = moment(now - SKEW);
    params.not_after = moment(now + AUTHORITY_DAYS * DAY);
    let certificate = params.self_signed(&key)?.pem();
    write(folder, AUTHORITY_KEY, &key.serialize_pem())?;
    write(folder, AUTHORITY, &certificate)?;
    tracing::info!(days = AUTHORITY_DAYS, "made a certificate authority");
    Ok((Authority { certificate, key }, Refreshed::Authority))
}

fn make_serving(
    authority: &Authority,
    names: &[String],
    now: i64,
) -> Result<(String, String), CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "proofstream webhook");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.not_before = moment(now - SKEW);
    params.not_after = moment(now + SERVING_DAYS * DAY);
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, &authority.key)?;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok((certificate, key.serialize_pem()))
}

fn certified_key(
    certificate: &str,
    authority: &Authority,
    key: &str,
) -> Result<CertifiedKey, CertificateError> {
    let unusable = |error: rustls::pki_types::pem::Error| {
        CertificateError::Key(rustls::Error::General(error.to_string()))
    };
    let chain = [certificate, &authority.certificate]
        .into_iter()
        .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).map_err(unusable))
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(unusable)?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)?;
    Ok(CertifiedKey::new(chain, key))
}

/// Whether a certificate holds now and for `margin` seconds more; says why not.
fn is_good(pem: &str, now: i64, margin: i64, what: &str) -> bool {
    match validity(pem) {
        None => tracing::warn!("the {what} is unreadable; making another"),
        Some(validity) if validity.until <= now => {
            tracing::warn!("the {what} expired at {}; making another", shown(validity.until));
        }
        Some(validity) if validity.until - margin <= now => {
            tracing::info!("the {what} expires at {}; renewing it", shown(validity.until));
        }
        Some(validity) if validity.from > now + SKEW => {
            tracing::warn!("the {what} is not valid before {}; making another", {
                shown(validity.from)
            });
        }
        Some(_) => return true,
    }
    false
}

fn validity(pem: &str) -> Option<Validity> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let validity = certificate.validity();
    Some(Validity { from: validity.not_before.timestamp(), until: validity.not_after.timestamp() })
}

fn is_certificate_of(pem: &str, key: &KeyPair) -> bool {
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(pem.as_bytes()) else { return false };
    let public_key = key.subject_public_key_info();
    pem.parse_x509().is_ok_and(|certificate| certificate.public_key().raw == public_key)
}

/// Whether the issuer that a certificate names is this authority: each has a name of its own.
fn issued_by(pem: &str, authority: &str) -> bool {
    let parsed = |pem: &str| x509_parser::pem::parse_x509_pem(pem.as_bytes()).map(|(_, pem)| pem);
    let (Ok(certificate), Ok(authority)) = (parsed(pem), parsed(authority)) else { return false };
    match (certificate.parse_x509(), authority.parse_x509()) {
        (Ok(certificate), Ok(authority)) => {
            certificate.issuer().as_raw() == authority.subject().as_raw()
        }
        _ => false,
    }
}

/// The names a certificate was made for, in its order.
fn names_of(pem: &str) -> String {
    use x509_parser::extensions::GeneralName;
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(pem.as_bytes()) else {
        return String::new();
    };
    let Ok(certificate) = pem.parse_x509() else { return String::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return String::new() };
    let shown: Vec<String> = names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                if let Ok(four) = <[u8; 4]>::try_from(*bytes) {
                    Some(std::net::Ipv4Addr::from(four).to_string())
                } else {
                    let sixteen = <[u8; 16]>::try_from(*bytes).ok()?;
                    Some(std::net::Ipv6Addr::from(sixteen).to_string())
                }
            }
            _ => None,
        })
        .collect();
    shown.join(",")
}

fn moment(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn shown(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn read(folder: &Path, name: &str) -> Result<Option<String>, CertificateError> {
    let path = folder.join(name);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CertificateError::File { path, source }),
    }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), CertificateError> {
    let path = folder.join(name);
    private_file::write(&path, text.as_bytes())
        .map_err(|source| CertificateError::File { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * DAY).unwrap()
    }

    fn names() -> Vec<String> {
        ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
    }

    fn serving(folder: &Path) -> String {
        fs::read_to_string(folder.join(SERVING)).unwrap()
    }

    #[test]
    fn keeps_what_is_good_and_private() {
        let folder = tempfile::tempdir().unwrap();
        Certificates::open(folder.path(), names(), at(0)).unwrap();
        let first = serving(folder.path());
        let again = Certificates::open(folder.path(), names(), at(1)).unwrap();
        assert_eq!(serving(folder.path()), first);
        assert_eq!(again.refresh(at(2)).unwrap(), Refreshed::Kept);
        for name in [AUTHORITY_KEY, SERVING_KEY] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn renews_before_expiry_and_replaces_what_expired() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::open(folder.path(), names(), at(0)).unwrap();
        let bundle = certificates.bundle();
        assert_eq!(certificates.refresh(at(59)).unwrap(), Refreshed::Kept);
        assert_eq!(certificates.refresh(at(61)).unwrap(), Refreshed::Serving);
        assert_eq!(certificates.bundle(), bundle);
        let renewed = serving(folder.path());
        Certificates::open(folder.path(), names(), at(300)).unwrap();
        assert_ne!(serving(folder.path()), renewed);
        assert!(validity(&serving(folder.path())).unwrap().until > at(300).as_second());
    }

    #[test]
    fn what_another_process_renewed_is_taken_up() {
        let folder = tempfile::tempdir().unwrap();
        let running = Certificates::open(folder.path(), names(), at(0)).unwrap();
        Certificates::open(folder.path(), names(), at(61)).unwrap();
        assert_eq!(running.refresh(at(61)).unwrap(), Refreshed::Serving);
        let beside = Certificates::open(folder.path(), names(), at(5 * 365 - 300)).unwrap();
        assert_ne!(beside.bundle(), running.bundle());
        assert_eq!(running.refresh(at(5 * 365 - 300)).unwrap(), Refreshed::Authority);
        assert_eq!(beside.bundle(), running.bundle());
    }

    #[test]
    fn other_names_need_another_certificate_of_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = Certificates::open(folder.path(), names(), at(0)).unwrap().bundle();
        let first = serving(folder.path());
        let other = vec!["proofstream.proofstream.svc".to_owned()];
        let again = Certificates::open(folder.path(), other, at(0)).unwrap();
        assert_ne!(serving(folder.path()), first);
        assert_eq!(again.bundle(), bundle);
    }

    #[test]
    fn a_new_authority_stands_beside_the_old_one_until_that_expires() {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::open(folder.path(), names(), at(0)).unwrap();
        let old = certificates.bundle();
        let due = AUTHORITY_DAYS * 4 / 5 + 1;
        assert_eq!(certificates.refresh(at(due)).unwrap(), Refreshed::Authority);
        let both = certificates.bundle();
        assert!(both.ends_with(&old) && both.len() > old.len());
        Certificates::open(folder.path(), names(), at(due)).unwrap();
        let late = Certificates::open(folder.path(), names(), at(AUTHORITY_DAYS + 1)).unwrap();
        assert!(!late.bundle().ends_with(&old));
    }

    #[test]
    fn a_broken_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        Certificates::open(folder.path(), names(), at(0)).unwrap();
        fs::write(folder.path().join(SERVING), "nonsense").unwrap();
        fs::write(folder.path().join(AUTHORITY_KEY), "nonsense").unwrap();
        Certificates::open(folder.path(), names(), at(0)).unwrap();
        assert!(validity(&serving(folder.path())).is_some());
    }
}

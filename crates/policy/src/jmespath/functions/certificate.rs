//! `x509_decode`: certificates and requests for them, with the names that policies of the field use
//! (those of Go's `crypto/x509`). As in the field only RSA keys are read.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use x509_parser::certificate::X509Certificate;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo, X509Name};

use super::super::{Data, Failure, Interpreter};
use super::{Function, Kinds, fixed, take, text_of};

pub(super) const TABLE: &[Function] = &[fixed("x509_decode", &[Kinds::TEXT], x509_decode)];

/// Largest text that is decoded, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Go's number for RSA keys.
const RSA: u8 = 1;

/// Signature algorithms by their identifier, and Go's numbers for them.
const SIGNATURES: [(&str, u8); 6] = [
    ("1.2.840.113549.1.1.4", 2),
    ("1.2.840.113549.1.1.5", 3),
    ("1.2.840.113549.1.1.11", 4),
    ("1.2.840.113549.1.1.12", 5),
    ("1.2.840.113549.1.1.13", 6),
    ("1.2.840.113549.1.1.10", 13),
];

/// Parts of a name that may stand several times, by their identifier.
const NAME_LISTS: [(&str, &str); 7] = [
    ("2.5.4.6", "Country"),
    ("2.5.4.10", "Organization"),
    ("2.5.4.11", "OrganizationalUnit"),
    ("2.5.4.7", "Locality"),
    ("2.5.4.8", "Province"),
    ("2.5.4.9", "StreetAddress"),
    ("2.5.4.17", "PostalCode"),
];

/// Parts of a name that stand once.
const NAME_TEXTS: [(&str, &str); 2] = [("2.5.4.5", "SerialNumber"), ("2.5.4.3", "CommonName")];

fn x509_decode<'a>(
    interpreter: &Interpreter,
    arguments: Vec<Data<'a>>,
) -> Result<Data<'a>, Failure> {
    let [text] = take(arguments)?;
    let text = text_of(&text)?;
    if text.len() > MAX_TEXT {
        return Err(Failure::invalid(format!("text is longer than {MAX_TEXT} bytes")));
    }
    interpreter.charge(text.len())?;
    let (_, block) = x509_parser::pem::parse_x509_pem(text.as_bytes())
        .map_err(|_| Failure::invalid("the text holds no PEM block"))?;
    let der = block.contents.as_slice();
    match block.label.as_str() {
        "CERTIFICATE" => {
            let (_, certificate) = X509Certificate::from_der(der)
                .map_err(|cause| Failure::invalid(format!("not a certificate: {cause}")))?;
            certificate_of(&certificate, der)
        }
        "CERTIFICATE REQUEST" => {
            let (_, request) = X509CertificationRequest::from_der(der)
                .map_err(|cause| Failure::invalid(format!("not a certificate request: {cause}")))?;
            request_of(&request, der)
        }
        other => Err(Failure::invalid(format!(
            "the PEM block is `{other}`, not `CERTIFICATE` or `CERTIFICATE REQUEST`"
        ))),
    }
    .map(|members| Data::Owned(Value::Object(members)))
}

fn certificate_of(
    certificate: &X509Certificate<'_>,
    der: &[u8],
) -> Result<Map<String, Value>, Failure> {
    let mut made = shared(
        certificate.version().0 + 1,
        certificate.subject(),
        certificate.public_key(),
        &certificate.signature_algorithm,
        certificate.signature_value.data.as_ref(),
        der,
    )?;
    let mut put = |key: &str, value: Value| made.insert(key.to_owned(), value);
    put("SerialNumber", decimal(&certificate.tbs_certificate.serial));
    put("Issuer", name_of(certificate.issuer()));
    put("RawIssuer", encoded(certificate.issuer().as_raw()));
    let validity = certificate.validity();
    put("NotBefore", moment(validity.not_before)?);
    put("NotAfter", moment(validity.not_after)?);
    put("KeyUsage", json!(0));
    put("ExtKeyUsage", Value::Null);
    put("BasicConstraintsValid", json!(false));
    put("IsCA", json!(false));
    put("MaxPathLen", json!(0));
    let mut names = Names::default();
    for extension in certificate.iter_extensions() {
        match extension.parsed_extension() {
            ParsedExtension::BasicConstraints(constraints) => {
                put("BasicConstraintsValid", json!(true));
                put("IsCA", json!(constraints.ca));
                let length = constraints.path_len_constraint.map_or(-1, i64::from);
                put("MaxPathLen", json!(length));
                put("MaxPathLenZero", json!(length == 0));
            }
            ParsedExtension::KeyUsage(usage) => {
                put("KeyUsage", json!(usage.flags));
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                // Go's numbers for the purposes of a key.
                let purposes = [
                    (usage.any, 0),
                    (usage.server_auth, 1),
                    (usage.client_auth, 2),
                    (usage.code_signing, 3),
                    (usage.email_protection, 4),
                    (usage.time_stamping, 8),
                    (usage.ocsp_signing, 9),
                ];
                let set = purposes.into_iter().filter(|(is_set, _)| *is_set);
                put("ExtKeyUsage", json!(set.map(|(_, number)| number).collect::<Vec<u8>>()));
            }
            ParsedExtension::SubjectKeyIdentifier(identifier) => {
                put("SubjectKeyId", encoded(identifier.0));
            }
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                let identifier = identifier.key_identifier.as_ref();
                put("AuthorityKeyId", identifier.map_or(Value::Null, |id| encoded(id.0)));
            }
            ParsedExtension::SubjectAlternativeName(alternatives) => {
                names.take(&alternatives.general_names);
            }
            _ => {}
        }
    }
    names.put(&mut made);
    Ok(made)
}

fn request_of(
    request: &X509CertificationRequest<'_>,
    der: &[u8],
) -> Result<Map<String, Value>, Failure> {
    let info = &request.certification_request_info;
    let mut made = shared(
        info.version.0,
        &info.subject,
        &info.subject_pki,
        &request.signature_algorithm,
        request.signature_value.data.as_ref(),
        der,
    )?;
    let mut names = Names::default();
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(alternatives) = extension {
            names.take(&alternatives.general_names);
        }
    }
    names.put(&mut made);
    Ok(made)
}

/// What certificates and requests have in common.
fn shared(
    version: u32,
    subject: &X509Name<'_>,
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    signature: &[u8],
    der: &[u8],
) -> Result<Map<String, Value>, Failure> {
    let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
        return Err(Failure::invalid("the certificate's key is not an RSA key"));
    };
    let exponent = rsa.try_exponent().map_err(|_| Failure::invalid("the key's exponent"))?;
    let identifier = algorithm.algorithm.to_id_string();
    let known = SIGNATURES.iter().find(|(id, _)| *id == identifier);
    let mut made = Map::new();
    let mut put = |key: &str, value: Value| made.insert(key.to_owned(), value);
    put("Raw", encoded(der));
    put("Version", json!(version));
    put("Subject", name_of(subject));
    put("RawSubject", encoded(subject.as_raw()));
    put("RawSubjectPublicKeyInfo", encoded(key.raw));
    put("PublicKeyAlgorithm", json!(RSA));
    put("PublicKey", json!({"N": BigUint::from_bytes_be(rsa.modulus).to_string(), "E": exponent}));
    put("Signature", encoded(signature));
    put("SignatureAlgorithm", json!(known.map_or(0, |(_, number)| *number)));
    Ok(made)
}

fn encoded(bytes: &[u8]) -> Value {
    Value::String(STANDARD.encode(bytes))
}

/// A large number as numbers of JSON are read: to the nearest double.
fn decimal(number: &BigUint) -> Value {
    let text = number.to_string();
    text.parse::<u64>().map_or_else(|_| json!(text.parse::<f64>().unwrap_or(f64::MAX)), Value::from)
}

fn moment(time: ASN1Time) -> Result<Value, Failure> {
    let moment = Timestamp::from_second(time.timestamp())
        .map_err(|_| Failure::invalid("the certificate's validity is out of range"))?;
    Ok(Value::String(moment.to_string()))
}

fn name_of(name: &X509Name<'_>) -> Value {
    let mut made = Map::new();
    for (_, key) in NAME_LISTS {
        made.insert(key.to_owned(), Value::Null);
    }
    for (_, key) in NAME_TEXTS {
        made.insert(key.to_owned(), json!(""));
    }
    let mut all = Vec::new();
    for attribute in name.iter_attributes() {
        let Ok(text) = attribute.as_str() else { continue };
        let identifier = attribute.attr_type().to_id_string();
        let parts: Vec<u64> = identifier.split('.').filter_map(|part| part.parse().ok()).collect();
        all.push(json!({"Type": parts, "Value": text}));
        if let Some((_, key)) = NAME_LISTS.iter().find(|(id, _)| *id == identifier) {
            match made.get_mut(*key) {
                Some(Value::Array(texts)) => texts.push(json!(text)),
                _ => {
                    made.insert((*key).to_owned(), json!([text]));
                }
            }
        } else if let Some((_, key)) = NAME_TEXTS.iter().find(|(id, _)| *id == identifier) {
            made.insert((*key).to_owned(), json!(text));
        }
    }
    made.insert("Names".to_owned(), Value::Array(all));
    made.insert("ExtraNames".to_owned(), Value::Null);
    Value::Object(made)
}

/// Alternative names of the subject.
#[derive(Default)]
struct Names {
    dns: Vec<String>,
    emails: Vec<String>,
    addresses: Vec<String>,
}

impl Names {
    fn take(&mut self, names: &[GeneralName<'_>]) {
        for name in names {
            match name {
                GeneralName::DNSName(name) => self.dns.push((*name).to_owned()),
                GeneralName::RFC822Name(address) => self.emails.push((*address).to_owned()),
                GeneralName::IPAddress(bytes) => self.addresses.extend(address(bytes)),
                _ => {}
            }
        }
    }

    /// Lists that are empty are null, as Go writes them.
    fn put(self, made: &mut Map<String, Value>) {
        for (key, names) in [
            ("DNSNames", self.dns),
            ("EmailAddresses", self.emails),
            ("IPAddresses", self.addresses),
        ] {
            let value = if names.is_empty() { Value::Null } else { json!(names) };
            made.insert(key.to_owned(), value);
        }
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| Ipv6Addr::from(sixteen).to_string())
}

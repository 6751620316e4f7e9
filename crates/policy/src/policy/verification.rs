//! `verifyImages`: which images a rule would verify. Signatures themselves are not verified by this
//! version: a rule says so of each request with such an image, which then follows the policy's
//! `failurePolicy`.

use serde_json::Value;

use crate::error::ParseError;
use crate::fields::Fields;
use crate::image::Image;
use crate::wildcard::Wildcard;

const FIELDS: [&str; 22] = [
    "failureAction",
    "failureActionOverrides",
    "type",
    "image",
    "imageReferences",
    "skipImageReferences",
    "key",
    "roots",
    "subject",
    "issuer",
    "additionalExtensions",
    "attestors",
    "attestations",
    "annotations",
    "repository",
    "cosignOCI11",
    "mutateDigest",
    "verifyDigest",
    "required",
    "imageRegistryCredentials",
    "useCache",
    "validate",
];

/// Images of one entry.
#[derive(Debug)]
pub(crate) struct ImageVerification {
    references: Vec<Wildcard>,
    skipped: Vec<Wildcard>,
}

impl ImageVerification {
    pub(super) fn parse_list(rule: &Fields<'_>) -> Result<Vec<Self>, ParseError> {
        let entries = rule.list("verifyImages")?;
        if entries.is_empty() {
            return Err(rule.error("verifyImages", "needs at least one entry"));
        }
        entries.into_iter().map(|(path, item)| Self::parse(item, &path)).collect()
    }

    fn parse(value: &Value, path: &str) -> Result<Self, ParseError> {
        let fields = Fields::new(value, path, &FIELDS)?;
        let globs = |texts: Vec<&str>| texts.into_iter().map(Wildcard::new).collect::<Vec<_>>();
        let mut references = globs(fields.texts("imageReferences")?);
        references.extend(fields.text("image")?.map(Wildcard::new));
        if references.is_empty() {
            references.push(Wildcard::new("*"));
        }
        let kinds = ["Cosign", "SigstoreBundle", "Notary"];
        if let Some(kind) = fields.text("type")?.filter(|kind| !kinds.contains(kind)) {
            let message = format!("`{kind}` is none of {}", kinds.join(", "));
            return Err(fields.error("type", message));
        }
        for (path, item) in fields.list("attestors")? {
            let attestor = Fields::new(item, &path, &["count", "entries"])?;
            if attestor.list("entries")?.is_empty() {
                return Err(attestor.error("entries", "needs at least one entry"));
            }
        }
        for flag in ["mutateDigest", "verifyDigest", "required", "useCache", "cosignOCI11"] {
            fields.flag(flag)?;
        }
        Ok(Self { references, skipped: globs(fields.texts("skipImageReferences")?) })
    }

    /// Whether the entry is about an image; what cannot be read as an image is somebody's to verify.
    pub(crate) fn names(&self, image: &str) -> bool {
        let whole = Image::parse(image).map(|image| image.reference());
        let fits = |globs: &[Wildcard]| {
            globs.iter().any(|glob| {
                glob.matches(image) || whole.as_deref().is_some_and(|whole| glob.matches(whole))
            })
        };
        whole.is_none() || (fits(&self.references) && !fits(&self.skipped))
    }
}

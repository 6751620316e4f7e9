//! An audit event (`audit.k8s.io/v1 Event`) projected from its bytes, borrowed from them where
//! nothing is escaped.
//!
//! <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>

mod identity;
mod text;

use std::borrow::Cow;

use proofstream_model::{Actor, Operation};
use serde::Deserialize;
use serde_json::value::RawValue;

pub use identity::identity_sha256;
pub use text::{Annotations, Text};

/// What is read of an audit event. Absent and empty are the same here, as they are in Go.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event<'a> {
    /// From the client's header or made by the API server: identifies nothing by itself.
    #[serde(borrow, rename = "auditID")]
    pub audit_id: Text<'a>,
    /// `RequestReceived`, `ResponseStarted`, `ResponseComplete`, `Panic`.
    #[serde(borrow)]
    pub stage: Text<'a>,
    /// `Metadata`, `Request`, `RequestResponse`.
    #[serde(borrow)]
    pub level: Text<'a>,
    /// `create`, `get`, …
    #[serde(borrow)]
    pub verb: Text<'a>,
    /// Who authenticated.
    #[serde(borrow)]
    pub user: User<'a>,
    /// Whom they acted as, if anyone.
    #[serde(borrow)]
    pub impersonated_user: Option<User<'a>>,
    /// The path and query as the client sent them.
    #[serde(borrow, rename = "requestURI")]
    pub request_uri: Text<'a>,
    /// What the request was about; absent for non-resource paths.
    #[serde(borrow)]
    pub object_ref: Option<ObjectRef<'a>>,
    /// What was answered.
    #[serde(borrow)]
    pub response_status: Option<ResponseStatus<'a>>,
    /// RFC 3339, microseconds.
    #[serde(borrow)]
    pub request_received_timestamp: Text<'a>,
    /// RFC 3339, microseconds.
    #[serde(borrow)]
    pub stage_timestamp: Text<'a>,
    /// What admission and authorization left.
    #[serde(borrow)]
    pub annotations: Annotations<'a>,
    /// The client's word.
    #[serde(borrow)]
    pub user_agent: Text<'a>,
    /// The client's word but for the last.
    #[serde(borrow, rename = "sourceIPs")]
    pub source_ips: Vec<Text<'a>>,
    /// The request's body (levels `Request` and `RequestResponse`).
    #[serde(borrow)]
    pub request_object: Option<&'a RawValue>,
    /// The response's body (level `RequestResponse`).
    #[serde(borrow)]
    pub response_object: Option<&'a RawValue>,
}

/// A user as the event has it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct User<'a> {
    /// The name.
    #[serde(borrow)]
    pub username: Text<'a>,
    /// Groups.
    #[serde(borrow)]
    pub groups: Vec<Text<'a>>,
}

/// The object that the request names.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef<'a> {
    /// Plural, lower case.
    #[serde(borrow)]
    pub resource: Text<'a>,
    /// Empty for cluster-scoped objects.
    #[serde(borrow)]
    pub namespace: Text<'a>,
    /// Empty for collections and for a create that leaves the name to the API server.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Empty for the core group.
    #[serde(borrow)]
    pub api_group: Text<'a>,
    /// `v1`, …
    #[serde(borrow)]
    pub api_version: Text<'a>,
    /// `exec`, `status`, …
    #[serde(borrow)]
    pub subresource: Text<'a>,
}

/// What the API server answered.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseStatus<'a> {
    /// HTTP status.
    pub code: u16,
    /// `Forbidden`, `Invalid`, …; empty for success.
    #[serde(borrow)]
    pub reason: Text<'a>,
    /// Text for the user; empty for success.
    #[serde(borrow)]
    pub message: Text<'a>,
}

/// Whether a request was a server-side dry run, as far as its event can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// It was.
    Yes,
    /// It was not.
    No,
    /// A delete may ask for it in its body, which this event does not carry.
    Unknown,
}

/// Bytes that are no audit event.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not JSON, or JSON of another shape.
    #[error("line is not an audit event: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but without what every audit event has.
    #[error("line is not an audit event: `{0}` is missing")]
    Missing(&'static str),
}

// === impl Event ===

impl<'a> Event<'a> {
    /// Reads one event. Objects without an audit ID, a stage or a verb are refused: whatever they
    /// are, they are no audit events.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EventError> {
        let event: Self = serde_json::from_slice(bytes)?;
        for (field, text) in
            [("auditID", &event.audit_id), ("stage", &event.stage), ("verb", &event.verb)]
        {
            if text.is_empty() {
                return Err(EventError::Missing(field));
            }
        }
        Ok(event)
    }

    /// The user in effect: the impersonated one, if any.
    pub fn actor(&self) -> Actor {
        let owned = |user: &User<'_>| Actor {
            user: user.username.to_string(),
            groups: user.groups.iter().map(ToString::to_string).collect(),
            impersonated_by: None,
        };
        match &self.impersonated_user {
            Some(user) => {
                Actor { impersonated_by: Some(self.user.username.to_string()), ..owned(user) }
            }
            None => owned(&self.user),
        }
    }

    /// What was to be done, for requests that admission sees. A stream to an object (exec, attach,
    /// port-forward, proxy) is `get` or `create` in the log and CONNECT in admission.
    pub fn operation(&self) -> Option<Operation> {
        let object = self.object_ref.as_ref()?;
        if matches!(
            (&*object.resource, &*object.subresource),
            ("pods", "exec" | "attach" | "portforward" | "proxy") | ("services" | "nodes", "proxy")
        ) {
            return Some(Operation::Connect);
        }
        match &*self.verb {
            "create" => Some(Operation::Create),
            "update" | "patch" => Some(Operation::Update),
            "delete" | "deletecollection" => Some(Operation::Delete),
            _ => None,
        }
    }

    /// Whether this was a server-side dry run.
    pub fn dry_run(&self) -> DryRun {
        let query = self.request_uri.split_once('?').map_or("", |(_, query)| query);
        if query.split('&').any(is_dry_run_parameter) {
            return DryRun::Yes;
        }
        if self.operation() != Some(Operation::Delete) {
            return DryRun::No;
        }
        // `kubectl delete --dry-run=server` says so in the DeleteOptions that it sends.
        let Some(body) = self.request_object else { return DryRun::Unknown };
        match serde_json::from_str::<DeleteOptions<'_>>(body.get()) {
            Ok(options) if options.dry_run.is_empty() => DryRun::No,
            Ok(_) => DryRun::Yes,
            Err(_) => DryRun::Unknown,
        }
    }

    /// `apps/v1`, `v1`, … of the object.
    pub fn api_version(&self) -> String {
        let Some(object) = &self.object_ref else { return String::new() };
        match (&*object.api_group, &*object.api_version) {
            ("", version) => version.to_owned(),
            (group, version) => format!("{group}/{version}"),
        }
    }

    /// The kind of the object: from the request's body where the event has it (a patch has none),
    /// else from the resource's name.
    pub fn kind(&self) -> Cow<'_, str> {
        let Some(object) = &self.object_ref else { return Cow::Borrowed("") };
        let body = self.request_object.filter(|_| {
            object.subresource.is_empty() && matches!(&*self.verb, "create" | "update")
        });
        match body.and_then(|body| serde_json::from_str::<TypeMeta<'_>>(body.get()).ok()) {
            Some(meta) if !meta.kind.is_empty() => Cow::Owned(meta.kind.to_string()),
            _ => super::kind_of(&object.api_group, &object.resource),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeleteOptions<'a> {
    #[serde(borrow)]
    dry_run: Vec<Text<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TypeMeta<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
}

/// `dryRun=All`, also percent-encoded. The API server refuses any other value but the empty one.
fn is_dry_run_parameter(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let plain = percent_decode(name);
    plain == "dryRun" && !value.is_empty()
}

fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let code = match byte {
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(digits, 16).unwrap_or(b'?')
            }
            other => other,
        };
        plain.push(code);
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

#[cfg(test)]
mod tests;

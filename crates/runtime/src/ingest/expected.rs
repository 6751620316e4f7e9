//! What arrives beside what the API server's audit policy says should.
//!
//! An event whose level is not the one that the policy gives its request says that the API server runs with
//! another policy than the one that is read here: the file was changed and the server not restarted, or it is
//! another file. What is never logged cannot be seen here; heartbeats and the linter are for that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use proofstream_audit::{Ask, AuditPolicy, Level};
use proofstream_observe::audit::event::Event;

/// The policy that events are held against, and what came of it.
#[derive(Debug, Default)]
pub struct Expected {
    policy: ArcSwapOption<AuditPolicy>,
    held: AtomicU64,
    apart: AtomicU64,
    last: Mutex<Option<String>>,
}

// === impl Expected ===

impl Expected {
    /// From now on events are held against this policy; none is held against none.
    pub fn set(&self, policy: Option<AuditPolicy>) {
        self.policy.store(policy.map(Into::into));
    }

    /// How many events came at the level that the policy gives them, and how many at another one.
    pub fn counts(&self) -> (u64, u64) {
        (self.held.load(Ordering::Relaxed), self.apart.load(Ordering::Relaxed))
    }

    /// The last event that came at another level, in words.
    pub fn last_apart(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes an event into account.
    pub(super) fn see(&self, event: &Event<'_>) {
        let policy = self.policy.load();
        let Some(policy) = policy.as_deref() else { return };
        let Some(level) = Level::parse(&event.level) else { return };
        // What cannot be asked about is no event of an API server that we know.
        let Ok(request) = ask(event).request() else { return };
        let judgement = policy.judge(&request);
        if judgement.level == level {
            self.held.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.apart.fetch_add(1, Ordering::Relaxed);
        let why = policy.why(&request, &judgement);
        let said = format!(
            "`{request}` came at {}, and the policy says {} ({why})",
            level.name(),
            judgement.level.name()
        );
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }
}

fn ask(event: &Event<'_>) -> Ask {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    // The level was chosen for who signed in, not for whom they acted as.
    let user = &event.user;
    let mut ask = Ask {
        verb: event.verb.to_string(),
        user: text(&user.username),
        groups: Some(user.groups.iter().map(ToString::to_string).collect()),
        ..Ask::default()
    };
    match &event.object_ref {
        Some(object) => {
            ask.resource = text(&object.resource);
            ask.subresource = text(&object.subresource);
            ask.group = text(&object.api_group);
            ask.namespace = text(&object.namespace);
            ask.name = text(&object.name);
        }
        None => ask.path = text(&event.request_uri),
    }
    ask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> AuditPolicy {
        let document = serde_json::json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [
                {"level": "None", "userGroups": ["system:nodes"]},
                {"level": "Request", "verbs": ["create"],
                 "resources": [{"resources": ["pods"], "resourceNames": ["web"]}]},
                {"level": "Metadata"},
            ],
        });
        AuditPolicy::parse(&document).expect("a policy").0
    }

    fn see(expected: &Expected, level: &str, rest: &str) {
        let text =
            format!(r#"{{"auditID":"a","stage":"ResponseComplete","level":"{level}",{rest}}}"#);
        expected.see(&Event::parse(text.as_bytes()).expect("an event"));
    }

    #[test]
    fn levels_are_those_of_the_policy_or_it_is_another_one() {
        let expected = Expected::default();
        let pod = r#""verb":"create","user":{"username":"alice","groups":["system:authenticated"]},
            "objectRef":{"resource":"pods","namespace":"a","name":"web"}"#;
        see(&expected, "Metadata", pod);
        assert_eq!(expected.counts(), (0, 0));
        expected.set(Some(policy()));
        // The name came with the body, after the level was chosen.
        see(&expected, "Metadata", pod);
        see(&expected, "Metadata", r#""verb":"get","requestURI":"/healthz?x=1","user":{}"#);
        assert_eq!((expected.counts(), expected.last_apart()), ((2, 0), None));
        let node = r#""verb":"get","user":{"username":"system:node:n","groups":["system:nodes"]},
            "objectRef":{"resource":"nodes","name":"n"}"#;
        see(&expected, "Request", node);
        assert_eq!(expected.counts(), (2, 1));
        let said = expected.last_apart().expect("apart");
        assert!(said.contains("came at Request, and the policy says None (rules[0]"), "{said}");
    }
}

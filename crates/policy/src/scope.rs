//! What names mean while a rule is judged: the request, the policy's context, loops' elements.

mod patched;
mod review;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use proofstream_rego::Value as RegoValue;
use serde_json::{Map, Value, json};

use crate::context::ContextEntry;
use crate::environment::{Answer, Environment, Lookup};
use crate::jmespath::{Data, Document, Failure, Interpreter};
use crate::request::{Operation, Request, UserInfo};
pub(crate) use patched::Patched;

/// Most lookups that one judgement may ask for.
const MAX_LOOKUPS: usize = 64;

/// What is shared by all rules that judge one request.
pub(crate) struct Judgement<'r> {
    pub(crate) request: &'r Request,
    pub(crate) environment: &'r Environment,
    interpreter: Interpreter,
    /// Values given by the caller, dotted keys unfolded.
    given: Map<String, Value>,
    small: OnceCell<Value>,
    images: OnceCell<Value>,
    review: OnceCell<RegoValue>,
    /// Objects that expressions have asked for, each with its namespace.
    made: RefCell<Vec<(String, Value)>>,
    pub(crate) needs: RefCell<Vec<Lookup>>,
    /// The namespace of the policy that is judging, which is all that it may look into.
    confined: RefCell<Option<Arc<str>>>,
}

impl<'r> Judgement<'r> {
    pub(crate) fn new(request: &'r Request, environment: &'r Environment) -> Self {
        Self {
            request,
            environment,
            interpreter: Interpreter::new(environment.now, environment.seed),
            given: unfold(&environment.variables),
            small: OnceCell::new(),
            images: OnceCell::new(),
            review: OnceCell::new(),
            made: RefCell::default(),
            needs: RefCell::new(Vec::new()),
            confined: RefCell::new(None),
        }
    }

    /// Notes an object that an expression asks for.
    pub(crate) fn make(&self, namespace: &str, object: Value) {
        self.made.borrow_mut().push((namespace.to_owned(), object));
    }

    /// What expressions have asked for since this was asked the last time.
    pub(crate) fn take_made(&self) -> Vec<(String, Value)> {
        self.made.take()
    }

    /// From now on a policy of this namespace (or of none) judges.
    pub(crate) fn confine(&self, namespace: Option<&Arc<str>>) {
        *self.confined.borrow_mut() = namespace.cloned();
    }

    /// Why the policy that is judging may not look something up. Lookups are made with our rights, not
    /// with those of whoever may write policies into one namespace.
    fn forbids(&self, lookup: &Lookup) -> Option<String> {
        let confined = self.confined.borrow();
        let home: &str = confined.as_deref()?;
        let within = match lookup {
            Lookup::ConfigMap { namespace, .. } | Lookup::Objects { namespace, .. } => {
                namespace == home
            }
            Lookup::Object { namespace, .. } | Lookup::Parameters { namespace, .. } => {
                namespace.as_deref() == Some(home)
            }
            Lookup::ApiCall { url_path, .. } => is_within(url_path, home),
            Lookup::Service { .. } => false,
            Lookup::Global { .. } | Lookup::Image { .. } => true,
        };
        (!within).then(|| {
            let what = lookup.describe();
            format!("{what}: a policy of namespace `{home}` may look into that namespace only")
        })
    }

    /// The same, with what the caller says of the operation set aside: for the object as it was
    /// before an update, which is judged as if it were created.
    pub(crate) fn before(request: &'r Request, environment: &'r Environment) -> Self {
        let mut judgement = Self::new(request, environment);
        if let Some(Value::Object(given)) = judgement.given.get_mut("request") {
            given.remove("operation");
        }
        judgement
    }

    /// The answer to a lookup; where there is none, it is noted as needed.
    pub(crate) fn answer(&self, lookup: Lookup) -> Result<&'r Value, Failure> {
        if let Some(reason) = self.forbids(&lookup) {
            return Err(Failure::invalid(reason));
        }
        match self.environment.answers.get(&lookup) {
            Some(Answer::Ok(value)) => Ok(value),
            Some(Answer::Err(reason)) => Err(Failure::invalid(reason.clone())),
            None if self.environment.offline => {
                Err(Failure::invalid(format!("no answer is given for {}", lookup.describe())))
            }
            None => {
                let mut needs = self.needs.borrow_mut();
                if needs.len() >= MAX_LOOKUPS {
                    return Err(Failure::invalid(format!("more than {MAX_LOOKUPS} lookups")));
                }
                if !needs.contains(&lookup) {
                    needs.push(lookup);
                }
                Err(Failure::Pending)
            }
        }
    }

    /// The new object of the request as rules see it: on DELETE the old one.
    fn object(&self) -> Option<&'r Value> {
        match self.request.operation {
            Operation::Delete => self.request.subject(),
            _ => self.request.object.as_ref(),
        }
    }

    /// All of `request` but the objects.
    fn small(&self) -> &Value {
        self.small.get_or_init(|| {
            let request = self.request;
            let kind = &request.kind;
            let resource = &request.resource;
            let user = request.user.as_ref();
            json!({
                "uid": request.uid,
                "kind": { "group": kind.group, "version": kind.version, "kind": kind.kind },
                "resource": {
                    "group": resource.group,
                    "version": resource.version,
                    "resource": resource.resource,
                },
                "subResource": request.subresource.clone().unwrap_or_default(),
                "requestKind": { "group": kind.group, "version": kind.version, "kind": kind.kind },
                "name": request.name.clone().unwrap_or_default(),
                "namespace": request.namespace.clone().unwrap_or_default(),
                "operation": request.operation.as_str(),
                "userInfo": user_info(user),
                "roles": user.map(|user| &user.roles),
                "clusterRoles": user.map(|user| &user.cluster_roles),
                "dryRun": request.dry_run,
                "options": request.options,
            })
        })
    }

    /// A name that every rule knows.
    fn builtin<'s>(&'s self, name: &str, rule_given: &'s Map<String, Value>) -> Option<Data<'s>> {
        if rule_given.contains_key(name) || self.given.contains_key(name) {
            return None;
        }
        match name {
            "request" => Some(Data::Lazy(self)),
            "images" => {
                let made = self.images.get_or_init(|| {
                    self.object().map_or_else(|| json!({}), crate::image::images_of)
                });
                Some(Data::Borrowed(made))
            }
            "serviceAccountName" | "serviceAccountNamespace" => {
                let user = self.request.user.as_ref()?;
                let account = user.username.strip_prefix("system:serviceaccount:").unwrap_or("");
                let (namespace, account) = account.split_once(':').unwrap_or(("", ""));
                Some(Data::text(if name == "serviceAccountName" { account } else { namespace }))
            }
            _ => None,
        }
    }

    /// The whole of `request`, with values of the caller laid over it.
    fn request_with(&self, overlays: &[&Map<String, Value>]) -> Result<Value, Failure> {
        self.whole().map(|whole| with_overlays(whole, overlays))
    }
}

impl Document for Judgement<'_> {
    /// Members of `request`.
    fn member<'s>(&'s self, name: &str) -> Result<Option<Data<'s>>, Failure> {
        Ok(match name {
            "object" => self.object().map(Data::Borrowed),
            "oldObject" => self.request.old_object.as_ref().map(Data::Borrowed),
            other => self.small().get(other).map(Data::Borrowed),
        })
    }

    fn whole(&self) -> Result<Value, Failure> {
        let mut whole = self.small().clone();
        if let Some(members) = whole.as_object_mut() {
            let mut put = |name: &str, value: Option<&Value>| {
                if let Some(value) = value {
                    members.insert(name.to_owned(), value.clone());
                }
            };
            put("object", self.object());
            put("oldObject", self.request.old_object.as_ref());
        }
        Ok(whole)
    }
}

/// The element that a loop stands at.
pub(crate) struct Element<'s> {
    pub(crate) value: Data<'s>,
    pub(crate) index: usize,
    pub(crate) nesting: usize,
}

/// The entries of one context, each loaded when it is first asked for.
pub(crate) struct Frame<'p> {
    entries: &'p [ContextEntry],
    loaded: Vec<OnceCell<Result<Value, Failure>>>,
}

impl<'p> Frame<'p> {
    pub(crate) fn new(entries: &'p [ContextEntry]) -> Self {
        Self { entries, loaded: entries.iter().map(|_| OnceCell::new()).collect() }
    }
}

/// One level of names.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'s> {
    judgement: &'s Judgement<'s>,
    /// Values that the caller gives for this rule alone.
    rule_given: &'s Map<String, Value>,
    /// Values that the caller gives for the elements of this rule's loops.
    foreach_given: Option<&'s Map<String, Value>>,
    parent: Option<&'s Scope<'s>>,
    frame: Option<&'s Frame<'s>>,
    /// How many entries of the frame are visible: an entry sees those before it.
    visible: usize,
    element: Option<&'s Element<'s>>,
    /// The object as patches have left it, which stands before what the request says.
    patched: Option<&'s Patched<'s>>,
    merged_request: &'s OnceCell<Value>,
}

impl<'s> Scope<'s> {
    pub(crate) fn root(
        judgement: &'s Judgement<'s>,
        rule_given: &'s Map<String, Value>,
        foreach_given: Option<&'s Map<String, Value>>,
        merged_request: &'s OnceCell<Value>,
    ) -> Self {
        Self {
            judgement,
            rule_given,
            foreach_given,
            parent: None,
            frame: None,
            visible: 0,
            element: None,
            patched: None,
            merged_request,
        }
    }

    /// A level below with the entries of a context.
    pub(crate) fn with_frame<'c>(&'c self, frame: &'c Frame<'c>) -> Scope<'c> {
        Scope {
            parent: Some(self),
            frame: Some(frame),
            visible: frame.entries.len(),
            element: None,
            ..*self
        }
    }

    /// A level below with the element of a loop.
    pub(crate) fn with_element<'c>(&'c self, element: &'c Element<'c>) -> Scope<'c> {
        Scope { parent: Some(self), frame: None, visible: 0, element: Some(element), ..*self }
    }

    /// A level below with the object as patches have left it.
    pub(crate) fn with_patched<'c>(&'c self, patched: &'c Patched<'c>) -> Scope<'c> {
        Scope {
            parent: Some(self),
            frame: None,
            visible: 0,
            element: None,
            patched: Some(patched),
            ..*self
        }
    }

    pub(crate) fn interpreter(&self) -> &'s Interpreter {
        &self.judgement.interpreter
    }

    pub(crate) fn judgement(&self) -> &'s Judgement<'s> {
        self.judgement
    }

    /// `request` without its objects and without what is empty, as the API server shows it to CEL,
    /// with values of the caller laid over it.
    pub(crate) fn request_without_objects(&self) -> Value {
        let mut made = self.judgement.small().clone();
        if let Some(members) = made.as_object_mut() {
            for ours in ["roles", "clusterRoles"] {
                members.remove(ours);
            }
            members.insert(
                "requestResource".to_owned(),
                members.get("resource").cloned().unwrap_or_default(),
            );
            members.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
        }
        for overlay in [&self.judgement.given, self.rule_given] {
            if let Some(value) = overlay.get("request") {
                lay_over(&mut made, value);
            }
        }
        made
    }

    /// A value that the caller gives for a name.
    fn given(&self, name: &str) -> Option<&'s Value> {
        self.rule_given.get(name).or_else(|| self.judgement.given.get(name))
    }

    fn frame_member(&self, name: &str) -> Option<Result<Data<'s>, Failure>> {
        let frame = self.frame?;
        let visible = frame.entries.get(..self.visible).unwrap_or_default();
        let place = visible.iter().rposition(|entry| entry.name == name)?;
        let (entry, cell) = (frame.entries.get(place)?, frame.loaded.get(place)?);
        if !entry.is_variable()
            && let Some(value) = self.given(name)
        {
            return Some(Ok(Data::Borrowed(value)));
        }
        let loaded = cell.get_or_init(|| {
            let before = Scope { visible: place, ..*self };
            entry.load(&before).map_err(|failure| match failure {
                Failure::Pending => Failure::Pending,
                other => Failure::invalid(format!("context entry `{name}`: {other}")),
            })
        });
        Some(loaded.as_ref().map(Data::Borrowed).map_err(Clone::clone))
    }

    fn element_member(&self, name: &str) -> Option<Data<'s>> {
        let element = self.element?;
        let whole = |index: usize| Data::Owned(Value::from(index));
        match name {
            "element" => return Some(element.value.clone()),
            "elementIndex" => return Some(whole(element.index)),
            _ => {}
        }
        let numbered = name.strip_prefix("element")?;
        let nesting = |digits: &str| digits.parse::<usize>() == Ok(element.nesting);
        match numbered.strip_prefix("Index") {
            Some(digits) if nesting(digits) => Some(whole(element.index)),
            None if nesting(numbered) => Some(element.value.clone()),
            _ => None,
        }
    }

    fn foreach_member(&self, name: &str) -> Option<Data<'s>> {
        let element = self.element?;
        let values = self.foreach_given?.get(name)?.as_array()?;
        values.get(element.index).map(Data::Borrowed)
    }
}

impl Document for Scope<'_> {
    fn member<'m>(&'m self, name: &str) -> Result<Option<Data<'m>>, Failure> {
        if let Some(loaded) = self.frame_member(name) {
            return loaded.map(Some);
        }
        if let Some(value) = self.element_member(name).or_else(|| self.foreach_member(name)) {
            return Ok(Some(value));
        }
        if let Some(patched) = self.patched.filter(|patched| patched.stands_for(name)) {
            return patched.data(&[&self.judgement.given, self.rule_given]).map(Some);
        }
        if let Some(parent) = self.parent {
            return parent.member(name);
        }
        if let Some(value) = self.judgement.builtin(name, self.rule_given) {
            return Ok(Some(value));
        }
        if name == "request" {
            if self.merged_request.get().is_none() {
                let overlays = [&self.judgement.given, self.rule_given];
                let merged = self.judgement.request_with(&overlays)?;
                self.merged_request.get_or_init(|| merged);
            }
            return Ok(self.merged_request.get().map(Data::Borrowed));
        }
        Ok(self.given(name).map(Data::Borrowed))
    }

    fn whole(&self) -> Result<Value, Failure> {
        let names = [
            "request",
            "target",
            "images",
            "serviceAccountName",
            "serviceAccountNamespace",
            "element",
        ];
        let mut made = Map::new();
        for name in names {
            if let Some(value) = self.member(name)? {
                made.insert(name.to_owned(), value.into_value()?);
            }
        }
        Ok(Value::Object(made))
    }
}

/// Whether a path of the API server leads into a namespace, and nowhere else.
fn is_within(url_path: &str, namespace: &str) -> bool {
    let path = url_path.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let plain = !path.contains(['%', '\\']) && !parts.iter().any(|part| [".", ".."].contains(part));
    let (["", "api", _, rest @ ..] | ["", "apis", _, _, rest @ ..]) = parts.as_slice() else {
        return false;
    };
    plain && matches!(rest, ["namespaces", name, ..] if *name == namespace)
}

/// Who asks, as requests carry it: what is empty is left out.
fn user_info(user: Option<&UserInfo>) -> Value {
    let mut made = Map::new();
    let Some(user) = user else { return Value::Object(made) };
    let mut put = |key: &str, value: Value, empty: bool| {
        if !empty {
            made.insert(key.to_owned(), value);
        }
    };
    put("username", json!(user.username), user.username.is_empty());
    put("uid", json!(user.uid), user.uid.is_empty());
    put("groups", json!(user.groups), user.groups.is_empty());
    put("extra", json!(user.extra), user.extra.is_empty());
    Value::Object(made)
}

/// Unfolds dotted keys: `{"a.b": 1}` becomes `{"a": {"b": 1}}`.
pub(crate) fn unfold(flat: &Map<String, Value>) -> Map<String, Value> {
    let mut made = Value::Object(Map::new());
    // Shorter keys first, so that `a.b` is laid over what `a` says.
    let ordered: BTreeMap<(usize, &String), &Value> =
        flat.iter().map(|(key, value)| ((key.matches('.').count(), key), value)).collect();
    for ((_, key), value) in ordered {
        let mut nested = value.clone();
        for part in key.rsplit('.') {
            let mut level = Map::new();
            level.insert(part.trim_matches('"').to_owned(), nested);
            nested = Value::Object(level);
        }
        lay_over(&mut made, &nested);
    }
    match made {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// A request with what the values of the caller say of it.
fn with_overlays(mut request: Value, overlays: &[&Map<String, Value>]) -> Value {
    for overlay in overlays {
        if let Some(value) = overlay.get("request") {
            lay_over(&mut request, value);
        }
    }
    request
}

/// Lays one value over another: objects are merged, all else is replaced.
fn lay_over(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(under.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_into_one_namespace_or_elsewhere() {
        for (path, within) in [
            ("/api/v1/namespaces/team-a/configmaps?limit=1", true),
            ("/apis/apps/v1/namespaces/team-a/deployments/web", true),
            ("/api/v1/namespaces/team-b/secrets", false),
            ("/api/v1/namespaces/team-a/../team-b/secrets", false),
            ("/api/v1/namespaces/team-a/%2e%2e/team-b/secrets", false),
            ("/api/v1/secrets?x=/namespaces/team-a/", false),
            ("/apis/namespaces/team-a/pods", false),
            ("api/v1/namespaces/team-a/pods", false),
        ] {
            assert_eq!(is_within(path, "team-a"), within, "{path}");
        }
    }

    #[test]
    fn dotted_keys_are_unfolded_and_merged() {
        let flat = json!({"a.b": 1, "a": {"c": 2}, "request.operation": "UPDATE"});
        let made = unfold(flat.as_object().unwrap());
        let expected = json!({"a": {"b": 1, "c": 2}, "request": {"operation": "UPDATE"}});
        assert_eq!(Value::Object(made), expected);
    }
}

//! Full types of what expressions of Kubernetes' own admission policies see: of the request and the
//! namespace always, as the API server refuses what does not fit them; of the objects where their kind is
//! known, for warnings.

use std::collections::BTreeSet;

use proofstream_cel::{Declarations, Type};
use proofstream_schema::{Described, Schemas, Shape};
use serde_json::Value;

use super::expressions::{self, VARIABLES, compile, entries};
use crate::fields::Fields;
use crate::kinds;

/// Most kinds of objects that a policy is checked for, as in Kubernetes.
const MAX_KINDS: usize = 10;
/// Deepest nesting of anonymous structures.
const MAX_DEPTH: usize = 32;

const REQUEST: &str = "kubernetes.AdmissionRequest";
const NAMESPACE: &str = "kubernetes.Namespace";

fn list(of: Type) -> Type {
    Type::List(Box::new(of))
}

fn map(of: Type) -> Type {
    Type::Map(Box::new(Type::String), Box::new(of))
}

fn structure(name: &str) -> Type {
    Type::Message(name.into())
}

/// Has `request` and `namespaceObject` checked with their types.
pub(super) fn check_request(declared: &mut Declarations) {
    let texts = |names: &[&str]| -> Vec<(String, Type)> {
        names.iter().map(|name| ((*name).to_owned(), Type::String)).collect()
    };
    let mut structures = vec![
        ("kubernetes.GroupVersionKind", texts(&["group", "version", "kind"])),
        ("kubernetes.GroupVersionResource", texts(&["group", "version", "resource"])),
    ];
    let mut user = texts(&["username", "uid"]);
    user.push(("groups".to_owned(), list(Type::String)));
    user.push(("extra".to_owned(), map(list(Type::String))));
    structures.push(("kubernetes.UserInfo", user));
    let mut request =
        texts(&["name", "namespace", "operation", "subResource", "requestSubResource", "uid"]);
    for (name, its_type) in [
        ("kind", structure("kubernetes.GroupVersionKind")),
        ("requestKind", structure("kubernetes.GroupVersionKind")),
        ("resource", structure("kubernetes.GroupVersionResource")),
        ("requestResource", structure("kubernetes.GroupVersionResource")),
        ("userInfo", structure("kubernetes.UserInfo")),
        ("dryRun", Type::Bool),
        ("options", Type::Dyn),
    ] {
        request.push((name.to_owned(), its_type));
    }
    structures.push((REQUEST, request));
    let mut metadata = texts(&["name", "generateName", "namespace", "UID", "resourceVersion"]);
    for (name, its_type) in [
        ("labels", map(Type::String)),
        ("annotations", map(Type::String)),
        ("finalizers", list(Type::String)),
        ("creationTimestamp", Type::Dyn),
        ("deletionTimestamp", Type::Dyn),
        ("deletionGracePeriodSeconds", Type::Int),
        ("generation", Type::Int),
    ] {
        metadata.push((name.to_owned(), its_type));
    }
    structures.push(("kubernetes.NamespaceMetadata", metadata));
    structures
        .push(("kubernetes.NamespaceSpec", vec![("finalizers".to_owned(), list(Type::String))]));
    structures.push(("kubernetes.NamespaceStatus", texts(&["phase"])));
    let parts = [
        ("metadata", structure("kubernetes.NamespaceMetadata")),
        ("spec", structure("kubernetes.NamespaceSpec")),
        ("status", structure("kubernetes.NamespaceStatus")),
    ];
    let parts = parts.map(|(name, its_type)| (name.to_owned(), its_type)).to_vec();
    structures.push((NAMESPACE, parts));
    for (name, fields) in structures {
        declared.declare_structure(name, fields);
    }
    let types = [("request", structure(REQUEST)), ("namespaceObject", structure(NAMESPACE))];
    declared.also_check(types);
}

/// An expression that does not fit the type of an object that it will see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeWarning {
    /// Where the expression stands, as in `spec.validations[0].expression`.
    pub path: String,
    /// The kind of the object, as in `apps/v1 Deployment`.
    pub kind: String,
    /// What does not fit.
    pub message: String,
}

/// Checks the expressions of a ValidatingAdmissionPolicy against the built-in kinds that it names without
/// globs, as the API server does for its status.
pub fn type_warnings(document: &Value) -> Vec<TypeWarning> {
    let mut found = Vec::new();
    let Some(spec) = document.get("spec") else { return found };
    let Ok(fields) = Fields::open(spec, "spec") else { return found };
    for (api_version, kind) in kinds_of(spec).into_iter().take(MAX_KINDS) {
        let Some(shape) = Schemas::built_in().of_kind(&api_version, &kind) else { continue };
        let mut declared = expressions::declarations(spec.get("paramKind").is_some());
        declared.be_strict();
        let its_type = type_of(shape, &mut declared, &format!("{api_version}.{kind}"), 0);
        declared.also_check([("object", its_type.clone()), ("oldObject", its_type)]);
        for (path, message) in faults(&fields, &mut declared) {
            found.push(TypeWarning { path, kind: format!("{api_version} {kind}"), message });
        }
    }
    found
}

/// The built-in kinds that a policy's constraints name: `apiVersion` and kind.
fn kinds_of(spec: &Value) -> BTreeSet<(String, String)> {
    let texts = |rule: &Value, name: &str| -> Vec<String> {
        let list = rule.get(name).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let rules = spec.pointer("/matchConstraints/resourceRules").and_then(Value::as_array);
    let mut found = BTreeSet::new();
    for rule in rules.into_iter().flatten() {
        for group in texts(rule, "apiGroups") {
            for version in texts(rule, "apiVersions") {
                for resource in texts(rule, "resources") {
                    let Some(known) = kinds::by_resource(&group, &resource) else { continue };
                    let api_version = match group.as_str() {
                        "" => version.clone(),
                        group => format!("{group}/{version}"),
                    };
                    found.insert((api_version, known.kind.to_owned()));
                }
            }
        }
    }
    found
}

/// The type of a shape; structures are declared by their names as they are met.
fn type_of(shape: Shape<'_>, declared: &mut Declarations, path: &str, depth: usize) -> Type {
    if depth > MAX_DEPTH {
        return Type::Dyn;
    }
    let name = match shape.describe() {
        Described::Any | Described::Number => return Type::Dyn,
        Described::Text => return Type::String,
        Described::Boolean => return Type::Bool,
        Described::List(of) => return list(type_of(of, declared, &format!("{path}[]"), depth + 1)),
        Described::Map(of) => return map(type_of(of, declared, &format!("{path}{{}}"), depth + 1)),
        Described::Structure(name) => name.unwrap_or(path).to_owned(),
    };
    if !declared.has_structure(&name) {
        // Declared before its members are, so that one that holds itself ends.
        declared.declare_structure(name.as_str(), []);
        let members: Vec<(String, Type)> = shape
            .members()
            .filter_map(|member| {
                let path = format!("{path}.{member}");
                let its_type = type_of(shape.declared(member)?, declared, &path, depth + 1);
                Some((member.to_owned(), its_type))
            })
            .collect();
        declared.declare_structure(name.as_str(), members);
    }
    structure(&name)
}

/// Where expressions of a policy stand that do not fit what is declared, and why.
fn faults(spec: &Fields<'_>, declared: &mut Declarations) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut check =
        |list: &str, field: &str, declared: &mut Declarations, wanted: Option<&Type>| {
            for (path, item) in entries(spec, list).unwrap_or_default() {
                let Ok(inner) = Fields::open(item, &path) else { continue };
                if inner.get(field).is_none() {
                    continue;
                }
                let result = match compile(&inner, field, declared, wanted) {
                    Ok(program) => program.result().clone(),
                    Err(error) => {
                        found.push((error.path, error.message));
                        Type::Dyn
                    }
                };
                if list == "variables"
                    && let Ok(Some(name)) = inner.text("name")
                {
                    declared.declare(&format!("variables.{name}"), VARIABLES, result);
                }
            }
        };
    check("matchConditions", "expression", declared, None);
    check("variables", "expression", declared, None);
    check("validations", "expression", declared, None);
    check("validations", "messageExpression", declared, None);
    check("auditAnnotations", "valueExpression", declared, None);
    found
}

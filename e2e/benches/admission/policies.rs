//! As many policies about pods as are asked for, all in Enforce and all kept by the pods of the load.

use serde_json::{Value, json};

const ARTICLE: [&str; 2] = [
    include_str!("../../../examples/article/require-hardened-securitycontext.yaml"),
    include_str!("../../../examples/article/disallow-secret-env-vars.yaml"),
];

/// `count` policies for `namespace`: the article's two, and then what teams ask of pods, over and over
/// under other names.
pub(crate) fn policies(count: usize, namespace: &str) -> Vec<String> {
    let article = ARTICLE.map(|policy| {
        policy.replace("\"payments\"", &format!("\"{namespace}\"")).replace("\"ledger\"", "\"l\"")
    });
    let rest = (0..).zip(validations().into_iter().cycle());
    let rest = rest.map(|(number, validate)| policy(number, namespace, &validate).to_string());
    article.into_iter().chain(rest).take(count).collect()
}

fn policy(number: usize, namespace: &str, validate: &Value) -> Value {
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy",
        "metadata": {"name": format!("about-pods-{number}")},
        "spec": {
            "validationFailureAction": "Enforce",
            "rules": [{
                "name": "rule",
                "match": {"any": [{"resources": {"kinds": ["Pod"], "namespaces": [namespace]}}]},
                "validate": validate,
            }],
        },
    })
}

fn validations() -> Vec<Value> {
    let every = |container: Value| {
        json!({"spec": {
            "=(ephemeralContainers)": [container], "=(initContainers)": [container],
            "containers": [container],
        }})
    };
    let all = "request.object.spec.[ephemeralContainers, initContainers, containers][]";
    let added = format!("{{{{ {all}.securityContext.capabilities.add[] || `[]` }}}}");
    let usual = ["CHOWN", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];
    vec![
        json!({"message": "Namespaces of the host are not shared.", "pattern": {"spec": {
            "=(hostPID)": "false", "=(hostIPC)": "false", "=(hostNetwork)": "false",
        }}}),
        json!({"message": "No privileges.", "pattern":
            every(json!({"=(securityContext)": {"=(privileged)": "false"}}))}),
        json!({"message": "Usual capabilities only.", "deny": {"conditions": {"all": [
            {"key": added, "operator": "AnyNotIn", "value": usual},
        ]}}}),
        json!({"message": "Every container drops ALL.", "foreach": [{
            "list": "request.object.spec.containers",
            "deny": {"conditions": {"all": [{
                "key": "ALL", "operator": "AnyNotIn",
                "value": "{{ element.securityContext.capabilities.drop[] || `[]` }}",
            }]}},
        }]}),
        json!({"message": "No paths of the host.", "pattern": {"spec": {
            "=(volumes)": [{"X(hostPath)": "null"}],
        }}}),
        json!({"message": "No ports of the host.", "pattern":
            every(json!({"=(ports)": [{"=(hostPort)": 0}]}))}),
        json!({"message": "Not as root.", "anyPattern": [
            {"spec": {"securityContext": {"runAsNonRoot": "true"}}},
            every(json!({"securityContext": {"runAsNonRoot": "true"}})),
        ]}),
        json!({"message": "A seccomp profile.", "pattern": {"spec": {"securityContext": {
            "seccompProfile": {"type": "RuntimeDefault | Localhost"},
        }}}}),
        json!({"message": "Images of our registry.", "pattern":
            every(json!({"image": "registry.example/*"}))}),
        json!({"message": "Not the latest.", "pattern": every(json!({"image": "*:* & !*:latest"}))}),
        json!({"message": "Requests are stated.", "pattern": {"spec": {"containers": [
            {"resources": {"requests": {"cpu": "?*", "memory": "?*"}}},
        ]}}}),
        json!({"message": "An app has a name.", "pattern": {"metadata": {"labels": {"app": "?*"}}}}),
    ]
}

//! Random pods, each valid for the API server: the same seed makes the same pods.

use proofstream_e2e::Dice;
use serde_json::{Map, Value, json};

/// A pod without namespace, whose name has its number.
pub(crate) fn pod(dice: &mut Dice, number: usize) -> Value {
    let count = usize::try_from(1 + dice.below(3)).unwrap_or(1);
    let containers: Vec<Value> =
        ["main", "side", "aux"].iter().take(count).map(|name| container(dice, name)).collect();
    let mut spec = json!({"containers": containers, "automountServiceAccountToken": false});
    if dice.once_in(3) {
        spec["initContainers"] = json!([container(dice, "first")]);
    }
    let yes_or_no = [json!(true), json!(false)];
    for name in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"] {
        // A port of the host's network needs more than we want to say here.
        if name != "hostPID" || spec.get("shareProcessNamespace").is_none() {
            dice.maybe(&mut spec, name, 6, &yes_or_no);
        }
    }
    if spec["hostPID"] == json!(true) {
        spec["shareProcessNamespace"] = json!(false);
    }
    if spec["hostNetwork"] == json!(true) {
        for list in ["containers", "initContainers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                container.as_object_mut().map(|fields| fields.remove("ports"));
            }
        }
    }
    if dice.once_in(2) {
        spec["securityContext"] = pod_context(dice);
    }
    if dice.once_in(2) {
        spec["volumes"] = volumes(dice);
    }
    dice.maybe(&mut spec, "terminationGracePeriodSeconds", 2, &[json!(0), json!(30), json!(300)]);
    dice.maybe(&mut spec, "nodeSelector", 3, &[json!({"disk": "ssd"}), json!({})]);
    dice.maybe(&mut spec, "priority", 5, &[json!(0)]);
    let mut labels = Map::new();
    for (name, values) in [("team", ["a", "b", "c"]), ("tier", ["", "web", "x"])] {
        if dice.once_in(2) {
            labels.insert(name.to_owned(), dice.one_of(&values.map(Value::from)));
        }
    }
    let mut metadata = json!({"name": format!("pod-{number}"), "labels": labels});
    dice.maybe(
        &mut metadata,
        "annotations",
        2,
        &[
            json!({"note": "for a test"}),
            json!({"container.apparmor.security.beta.kubernetes.io/main": "runtime/default"}),
            json!({"a.b/c": "1", "x": ""}),
        ],
    );
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
}

fn container(dice: &mut Dice, name: &str) -> Value {
    let images = ["ghcr.io/a/b:1.2.3", "nginx", "docker.io/library/redis:7", "Quay.io:5000/x/y:V1"];
    let mut made = json!({"name": name, "image": dice.one_of(&images.map(Value::from))});
    if dice.once_in(2) {
        made["resources"] = resources(dice);
    }
    if !dice.once_in(3) {
        made["securityContext"] = context(dice);
    }
    dice.maybe(
        &mut made,
        "ports",
        3,
        &[
            json!([{"containerPort": 80}]),
            json!([{"containerPort": 8080, "hostPort": 8080, "name": "web"}]),
            json!([{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]),
        ],
    );
    dice.maybe(
        &mut made,
        "env",
        3,
        &[
            json!([{"name": "A", "value": "1"}]),
            json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            json!([]),
        ],
    );
    made
}

fn resources(dice: &mut Dice) -> Value {
    let mut limits = json!({});
    dice.maybe(&mut limits, "cpu", 2, &["500m", "0.5", "2", "100m"].map(Value::from));
    dice.maybe(&mut limits, "memory", 2, &["1Gi", "1024Mi", "1G", "64Mi"].map(Value::from));
    if dice.once_in(2) { json!({"limits": limits}) } else { json!({"requests": limits}) }
}

fn context(dice: &mut Dice) -> Value {
    let yes_or_no = [json!(true), json!(false)];
    let mut made = json!({});
    let privileged = dice.once_in(8);
    if privileged {
        made["privileged"] = json!(true);
    } else {
        dice.maybe(&mut made, "allowPrivilegeEscalation", 2, &yes_or_no);
    }
    dice.maybe(&mut made, "runAsNonRoot", 2, &yes_or_no);
    dice.maybe(&mut made, "readOnlyRootFilesystem", 3, &yes_or_no);
    dice.maybe(&mut made, "runAsUser", 3, &[json!(0), json!(1000)]);
    dice.maybe(&mut made, "procMount", 12, &[json!("Default")]);
    dice.maybe(
        &mut made,
        "seccompProfile",
        3,
        &[
            json!({"type": "RuntimeDefault"}),
            json!({"type": "Unconfined"}),
            json!({"type": "Localhost", "localhostProfile": "p.json"}),
        ],
    );
    dice.maybe(
        &mut made,
        "appArmorProfile",
        6,
        &[json!({"type": "RuntimeDefault"}), json!({"type": "Unconfined"})],
    );
    dice.maybe(
        &mut made,
        "seLinuxOptions",
        6,
        &[
            json!({"type": "container_t"}),
            json!({"type": "spc_t"}),
            json!({"level": "s0:c1"}),
            json!({"user": "u", "role": "r"}),
        ],
    );
    let added = ["NET_BIND_SERVICE", "CHOWN", "NET_RAW", "AUDIT_WRITE"].map(Value::from);
    if dice.once_in(2) {
        let mut capabilities = json!({});
        let addition = dice.one_of(&added);
        dice.maybe(&mut capabilities, "add", 2, &[json!([addition]), json!([])]);
        dice.maybe(&mut capabilities, "drop", 2, &[json!(["ALL"]), json!(["NET_RAW"])]);
        made["capabilities"] = capabilities;
    }
    made
}

fn pod_context(dice: &mut Dice) -> Value {
    let mut made = json!({});
    dice.maybe(&mut made, "runAsNonRoot", 2, &[json!(true), json!(false)]);
    dice.maybe(&mut made, "runAsUser", 3, &[json!(0), json!(2000)]);
    dice.maybe(&mut made, "fsGroup", 3, &[json!(1)]);
    dice.maybe(
        &mut made,
        "seccompProfile",
        2,
        &[json!({"type": "RuntimeDefault"}), json!({"type": "Unconfined"})],
    );
    dice.maybe(
        &mut made,
        "sysctls",
        4,
        &[
            json!([{"name": "kernel.shm_rmid_forced", "value": "0"}]),
            json!([{"name": "net.ipv4.tcp_keepalive_time", "value": "60"}]),
            json!([{"name": "kernel.msgmax", "value": "1"}]),
        ],
    );
    made
}

fn volumes(dice: &mut Dice) -> Value {
    let choices = [
        json!({"emptyDir": {}}),
        json!({"hostPath": {"path": "/var/log"}}),
        json!({"configMap": {"name": "c"}}),
        json!({"secret": {"secretName": "s"}}),
        json!({"nfs": {"server": "nfs.example", "path": "/"}}),
        json!({"projected": {"sources": [{"downwardAPI": {}}]}}),
    ];
    let count = 1 + dice.below(2);
    let named = |(number, mut volume): (u64, Value)| {
        volume["name"] = json!(format!("v{number}"));
        volume
    };
    (0..count).map(|number| (number, dice.one_of(&choices))).map(named).collect()
}

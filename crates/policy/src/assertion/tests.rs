//! Trees held against values, and what cannot be compared.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;

fn judge(tree: &Value, value: &Value) -> Result<Vec<String>, String> {
    let tree = parse(tree, "assert").map_err(|error| error.to_string())?;
    let outer = |name: &str| Ok((name == "limit").then(|| json!(2)));
    let mut names = Names::new(&outer);
    let interpreter = Interpreter::new(Timestamp::UNIX_EPOCH, 0);
    let found = tree.differences(value, &mut names, &interpreter).map_err(|f| f.to_string())?;
    Ok(found.into_iter().map(|each| each.path).collect())
}

#[test]
fn trees_are_held_against_values() {
    let pod = json!({
        "metadata": {"labels": {"app": "web", "tier": "front"}, "generation": 3},
        "spec": {
            "containers": [{"name": "a", "image": "nginx:1"}, {"name": "b", "image": "busybox"}],
            "hostPID": null,
        },
    });
    let cases: [(Value, &[&str]); 17] = [
        (json!({"metadata": {"labels": {"app": "web"}}}), &[]),
        (json!({"metadata": {"labels": {"app": "api"}}}), &["metadata.labels.app"]),
        (json!({"metadata": {"annotations": {}}}), &["metadata.annotations"]),
        (json!({"metadata": {"generation": 3.0}}), &[]),
        (json!({"spec": {"hostPID": {}}}), &["spec.hostPID"]),
        (json!({"spec": {"hostPID": null}}), &[]),
        (json!({"spec": {"hostPID": {"a": 1}}}), &["spec.hostPID.a"]),
        (json!({"spec": {"containers": [{"name": "a"}]}}), &["spec.containers"]),
        (
            json!({"spec": {"containers": [{"name": "a"}, {"name": "c"}]}}),
            &["spec.containers[1].name"],
        ),
        (json!({"spec": {"(length(containers))": 2}}), &[]),
        (json!({"spec": {"(length(containers) > `2`)": false}}), &[]),
        (
            json!({"spec": {"(length(containers) > $limit)": true}}),
            &["spec.length(containers) > $limit"],
        ),
        (
            json!({"spec": {"~.containers": {"(contains(image, ':'))": true}}}),
            &["spec.containers[1].contains(image, ':')"],
        ),
        (json!({"spec": {"~index.containers->all": {"($index < length($all))": true}}}), &[]),
        (
            json!({"metadata": {"~name.labels": {"(length($name) > `3`)": true}}}),
            &["metadata.labels[app].length($name) > `3`"],
        ),
        (json!({"spec": {"containers->all": {"([].name)": ["a", "b"]}, "(length($all))": 2}}), &[]),
        (json!({"(spec.none.deeper)": null}), &[]),
    ];
    for (tree, differing) in cases {
        assert_eq!(judge(&tree, &pod).unwrap(), differing, "{tree}");
    }
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let value = json!({"a": 1, "b": [1], "c": "x"});
    for tree in [
        json!({"a": "1"}),
        json!({"a": {"b": 1}}),
        json!({"a": [1]}),
        json!({"b": 1}),
        json!({"~.c": {"d": 1}}),
        json!({"($unknown)": 1}),
    ] {
        assert!(judge(&tree, &value).is_err(), "{tree}");
    }
    assert!(parse(&json!([]), "assert").is_err());
    assert!(parse(&json!({"a": "~.b"}), "assert").is_err());
    assert!(parse(&json!({"(a |)": 1}), "assert").is_err());
}

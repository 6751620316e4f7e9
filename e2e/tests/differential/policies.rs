//! Policies over which the API server and our engine must agree. Each selects its pods by a label, so
//! that one cluster holds all of them and a request meets one.

use serde_json::{Value, json};

/// The label that says which policy a pod is for.
pub(crate) const LABEL: &str = "judged-by";

/// A policy and its bindings, one a document.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) policy: Value,
    pub(crate) bindings: Vec<Value>,
}

/// Expressions, each the only demand of a policy.
const EXPRESSIONS: &[&str] = &[
    // Of the request and the namespace the server knows the types: it does not take what does not fit.
    "request.kind.kindd == 'Pod'",
    "request.object.spec == object.spec",
    "request.namespace == 3",
    "request.dryRun == 'yes'",
    "request.userInfo.name == ''",
    "request.userInfo.groups.all(g, g > 1)",
    "request.requestKind.kind == 'Pod' && request.requestResource.group == ''",
    "request.userInfo.?extra[?'a'].orValue([]).size() == 0",
    "namespaceObject.metadata.labels.stage == 1",
    "namespaceObject.metadata.nam == 'team-a'",
    "namespaceObject.spec.finalisers.size() > 0",
    "'stage' in namespaceObject.metadata.labels",
    "!has(object.spec.hostNetwork) || !object.spec.hostNetwork",
    "object.spec.hostNetwork == false",
    "object.spec.containers.all(c, c.image.startsWith('ghcr.io/'))",
    "object.spec.containers.all(c, has(c.securityContext) && has(c.securityContext.runAsNonRoot) \
     && c.securityContext.runAsNonRoot)",
    "object.spec.containers.all(c, c.?securityContext.?privileged.orValue(false) == false)",
    "object.spec.containers.all(c, quantity(c.resources.limits.memory).isLessThan(quantity('1Gi')))",
    "object.spec.containers.all(c, has(c.resources.limits) && 'cpu' in c.resources.limits && \
     quantity(c.resources.limits.cpu).compareTo(quantity('500m')) <= 0)",
    "object.spec.containers.exists(c, c.?resources.?limits.?cpu.hasValue() && \
     quantity(c.resources.limits.cpu).asApproximateFloat() > 0.3)",
    "object.metadata.name.matches('^[a-z]+-[0-9]$')",
    "object.metadata.name.find('[0-9]+') == '7' || object.metadata.name.findAll('[0-9]').size() == 2",
    "has(object.metadata.labels) && 'team' in object.metadata.labels && \
     object.metadata.labels.team in ['a', 'b']",
    "object.metadata.labels.team == 'a' || object.metadata.labels.tier == 'web'",
    "object.metadata.labels.exists(k, v, k != 'judged-by' && v == '')",
    "object.metadata.labels.transformMap(k, v, v + '!').exists(k, k == 'team')",
    "sets.contains(['NET_BIND_SERVICE'], \
     object.spec.containers[0].?securityContext.?capabilities.?add.orValue([]))",
    "sets.intersects(object.spec.containers.map(c, c.name), ['side', 'other'])",
    "request.operation == 'CREATE' && request.dryRun && request.namespace == 'team-a'",
    "request.kind.kind == 'Pod' && request.resource.resource == 'pods' && request.subResource == ''",
    "'system:masters' in request.userInfo.groups && request.userInfo.username != ''",
    "oldObject == null",
    "namespaceObject.metadata.labels.stage == 'prod' && namespaceObject.metadata.name == 'team-a'",
    "!has(object.spec.volumes) || object.spec.volumes.all(v, !has(v.hostPath))",
    "object.spec.volumes.exists_one(v, has(v.emptyDir))",
    "object.spec.containers.all(c, !has(c.ports) || \
     c.ports.all(p, !has(p.hostPort) || p.hostPort == 0))",
    "object.spec.containers.all(c, c.image.lowerAscii() == c.image && \
     c.image.split(':').size() == 2 && c.image.lastIndexOf('/') > 0)",
    "object.spec.containers.map(c, c.image.substring(0, c.image.indexOf('/'))).isSorted()",
    "isSemver(object.spec.containers[0].image.split(':')[1])",
    "semver(object.spec.containers[0].image.split(':')[1]).isGreaterThan(semver('1.0.0'))",
    "url('https://' + object.spec.containers[0].image).getHostname() == 'ghcr.io'",
    "isURL('https://' + object.spec.containers[0].image)",
    "object.spec.containers.map(c, size(c.name)).sum() < 9",
    "object.spec.containers.map(c, c.name).min() == 'aux'",
    "object.spec.terminationGracePeriodSeconds == 30.0 || \
     object.spec.terminationGracePeriodSeconds < 1",
    "object.spec.?nodeSelector.orValue({}) == {}",
    "object.spec.?securityContext.?runAsUser.optMap(u, u > 1000).orValue(true)",
    "int(object.spec.securityContext.runAsUser) / 0 == 1",
    "object.spec.containers.exists_one(c, c.name == 'main') ? object.spec.containers.size() > 1 : false",
    "object.spec.containers.filter(c, has(c.env)).all(c, c.env.all(e, !has(e.valueFrom)))",
    "[1, 2, 3].exists(n, n == object.spec.containers.size()) && ![object.spec.containers].isSorted()",
    "duration('1h') > duration(string(object.spec.terminationGracePeriodSeconds) + 's')",
    "timestamp(object.metadata.creationTimestamp) > timestamp('2020-01-01T00:00:00Z')",
    "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.2.3') && \
     object.spec.containers.size() != 2",
    "'%s:%d'.format([object.metadata.name, object.spec.containers.size()]).endsWith(':2')",
    "object.spec.containers.all(i, c, i == 0 || c.name != 'main')",
    "type(object.spec.containers) == list && dyn(1) == 1.0 && \
     object.spec.containers[0].image.replace('nginx', 'x') != 'x'",
    "object.spec.containers[1].name == 'side' || object.spec.containers.size() == 1",
    "format.dns1123Label().validate(object.metadata.name).hasValue()",
    "object.metadata.name.size() == 5 || object.metadata.name.charAt(4) == '1'",
    "has(object.metadata.annotations) && object.metadata.annotations.all(k, k.contains('/'))",
    "string(object.spec.containers) == ''",
    "object.spec.containers.all(c, !has(c.resources.limits) || c.resources.limits.all(k, \
     sign(quantity(c.resources.limits[k])) == 1))",
    // The API server takes none of these.
    "cel.bind(n, object.metadata.name, n.size() == 5)",
    "[object.metadata.name, 'x'] == []",
    "['x', object.metadata.name] == []",
    "[1, 'x'].size() == 2",
    "[1, ?object.spec.?terminationGracePeriodSeconds].size() == 2",
    "{'a': 1, ?'b': object.spec.?terminationGracePeriodSeconds}.size() == 2",
    "object.spec.hostNetwork",
    "quantity('1').sign() == 1",
    "object.spec.containers.size() == '1'",
    "nothing.like(this)",
    "object.spec.nowhere == 1 || object.spec.containers.size() > 1",
    "object.spec.containers.size() > 1 && object.spec.nowhere == 1",
    "object.spec.containers.all(c, c.securityContext.runAsNonRoot == true)",
    "object.spec.containers.exists(c, c.securityContext.privileged == true)",
    "object.spec.containers.exists_one(c, c.securityContext.runAsUser == 1000)",
    "object.spec.containers.filter(c, c.securityContext.runAsUser == 1000).size() == 1",
    "has(object.spec.containers[0].securityContext.capabilities.add)",
    "object.spec.?nowhere == optional.none() && object.spec.?hostNetwork.orValue(false)",
    "object.metadata.labels == {'team': 'a', 'judged-by': object.metadata.labels['judged-by']}",
    "object.spec.containers[0].resources == {} || object.spec.containers[0].resources.limits == {}",
    "'side' in object.spec.containers.map(c, c.name) ? object.spec.hostNetwork == true : true",
    "int('9223372036854775807') + object.spec.containers.size() > 0",
    "object.spec.containers.size() % (object.spec.containers.size() - 1) == 0",
    "-object.spec.containers.size() < 0 && object.spec.containers.size() * 2 - 1 == 3",
    "double('1.5') * 2.0 == 3.0 && int(2.9) == object.spec.containers.size()",
    "dyn(object.spec.containers.size()) == dyn(2u) || uint(1) == 2u",
    "string(object.spec.containers.size()) + '.0' == string(2.5) || bytes('a') == b'a'",
    "timestamp('2024-01-01T00:00:00Z').getDayOfWeek() == object.spec.containers.size()",
    "duration('90s').getMinutes() == object.spec.containers.size() && duration('30s') == duration('0.5m')",
    "quantity('1k').add(quantity('24')).isGreaterThan(quantity('1Ki')) || quantity('50Mi').asInteger() > 5",
    "object.spec.containers.all(c, !has(c.resources.limits) || c.resources.limits.all(k, \
     isQuantity(c.resources.limits[k]) && quantity(c.resources.limits[k]).sign() == 1))",
    "object.spec.containers[0].image.split('/', 2)[0].contains('.')",
    "object.spec.containers[0].image.replace('a', 'b', 1).upperAscii().trim().indexOf('B', 2) > 0",
    "['a', 'b'].join('-') + object.metadata.name.substring(3) < 'a-b-1'",
    "object.spec.containers.map(c, c.image).indexOf('nginx') > -1",
    "object.spec.containers.map(c, c.?ports.orValue([]).map(p, p.containerPort).sum()).max() > 80",
    "object.spec.containers.map(c, c.securityContext.runAsUser).max() > 500",
    "object.spec.containers.map(c, has(c.ports), c.ports[0].containerPort) == [80]",
    "'%s|%.1f|%x'.format([object.spec.containers[0].image, 1.25, 255]) == 'nginx|1.2|ff'",
    "'%s'.format([object.spec.containers[0].?resources.orValue({})]) == '{}'",
    "object.metadata.labels.all(k, v, v.matches('^[a-c]?$') || k == 'judged-by')",
    "object.metadata.labels.exists_one(k, k.startsWith('t'))",
    "object.spec.tolerations.exists(t, t.key.endsWith('not-ready') && t.tolerationSeconds == 300)",
    "object.spec.containers.all(c, c.terminationMessagePath == '/dev/termination-log' && \
     c.imagePullPolicy == (c.image.contains(':') ? 'IfNotPresent' : 'Always'))",
    "object.spec.dnsPolicy == 'ClusterFirst' && object.spec.restartPolicy != 'Never' && \
     object.spec.serviceAccountName == 'default'",
    "object.metadata.generateName == '' || object.metadata.uid != ''",
    "sets.equivalent(object.spec.containers.map(c, c.name), ['side', 'main'])",
    "object.spec.containers.transformList(i, c, i > 0, c.name) == ['side']",
    "!(object.spec.containers.size() in [1, 2]) || {'a': object.spec.containers.size()}['a'] == 1",
    "{'1': 'one'}[string(object.spec.containers.size())] == 'one'",
];

/// Everything, named by its place.
pub(crate) fn all() -> Vec<Case> {
    let mut cases: Vec<Case> = EXPRESSIONS
        .iter()
        .enumerate()
        .flat_map(|(number, expression)| {
            // Without value it refuses in the one, and is passed over in the other.
            ["Fail", "Ignore"].map(|failure_policy| {
                let spec = json!({
                    "failurePolicy": failure_policy,
                    "validations": [{"expression": expression}],
                });
                case(&format!("x{number}-{}", failure_policy.to_lowercase()), spec, &[json!({})])
            })
        })
        .collect();
    cases.extend(messages());
    cases.extend(conditions());
    cases.extend(parameters());
    cases
}

fn messages() -> Vec<Case> {
    let bad = "object.spec.containers.filter(c, !c.image.contains(':')).map(c, c.image)";
    let variables = json!([
        {"name": "bad", "expression": bad},
        {"name": "count", "expression": "variables.bad.size()"},
        {"name": "broken", "expression": "object.spec.nowhere.at.all"},
    ]);
    let with = |name: &str, validation: Value| {
        let spec = json!({"variables": variables, "validations": [validation]});
        case(name, spec, &[json!({})])
    };
    vec![
        with(
            "message-made",
            json!({
                "expression": "variables.count == 0", "message": "not this",
                "messageExpression": "'without tag: ' + variables.bad.join(', ')",
            }),
        ),
        with(
            "message-broken",
            json!({
                "expression": "variables.count == 0", "message": "this instead",
                "messageExpression": "string(variables.broken)",
            }),
        ),
        with(
            "message-empty",
            json!({"expression": "variables.count == 0", "messageExpression": "'  '"}),
        ),
        with(
            "message-lines",
            json!({"expression": "variables.count == 0 &&\n true", "message": " spaces  "}),
        ),
        with("variable-broken", json!({"expression": "variables.broken == 1"})),
        with(
            "reason",
            json!({"expression": "variables.count < 2", "reason": "Forbidden", "message": "two"}),
        ),
        case(
            "several",
            json!({"failurePolicy": "Ignore", "validations": [
                {"expression": "object.spec.hostNetwork == true", "message": "first"},
                {"expression": "object.spec.containers.size() < 3", "message": "second"},
            ]}),
            &[json!({})],
        ),
    ]
}

fn conditions() -> Vec<Case> {
    let with = |name: &str, failure_policy: &str, conditions: &[&str]| {
        let conditions: Vec<Value> = conditions
            .iter()
            .enumerate()
            .map(|(number, text)| json!({"name": format!("c{number}"), "expression": text}))
            .collect();
        let spec = json!({
            "failurePolicy": failure_policy, "matchConditions": conditions,
            "validations": [{"expression": "object.spec.containers.size() > 1", "message": "one"}],
        });
        case(name, spec, &[json!({})])
    };
    let host = "object.spec.hostNetwork == true";
    let team = "object.metadata.labels.team == 'a'";
    vec![
        with("condition-fail", "Fail", &[host]),
        with("condition-ignore", "Ignore", &[host]),
        with("conditions-fail", "Fail", &[host, team]),
        with("conditions-ignore", "Ignore", &[team, "object.metadata.name != 'pod-3'"]),
    ]
}

fn parameters() -> Vec<Case> {
    let spec = || {
        json!({
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConditions": [{"name": "wanted", "expression": "params.data.max != '9'"}],
            "validations": [{
                "expression": "object.spec.containers.size() <= int(params.data.max)",
                "messageExpression": "'more than ' + params.data.max",
            }],
        })
    };
    let with = |name: &str, reference: Value| case(name, spec(), &[json!({"paramRef": reference})]);
    let maps = json!({"matchLabels": {"limit": "yes"}});
    vec![
        with("param-named", json!({"name": "two", "parameterNotFoundAction": "Deny"})),
        with("param-nine", json!({"name": "nine", "parameterNotFoundAction": "Deny"})),
        with("param-missing", json!({"name": "gone", "parameterNotFoundAction": "Deny"})),
        with("param-allowed", json!({"name": "gone", "parameterNotFoundAction": "Allow"})),
        with("param-selected", json!({"selector": maps, "parameterNotFoundAction": "Deny"})),
        with(
            "param-elsewhere",
            json!({"name": "one", "namespace": "team-b", "parameterNotFoundAction": "Deny"}),
        ),
        case(
            "bindings",
            json!({"validations": [{"expression": "object.spec.containers.size() < 2"}]}),
            &[
                json!({"validationActions": ["Audit"]}),
                json!({"matchResources": {"objectSelector": {"matchLabels": {"team": "b"}}}}),
                json!({"matchResources": {"namespaceSelector": {"matchLabels": {"stage": "no"}}}}),
                json!({"matchResources": {"excludeResourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
                    "operations": ["CREATE"],
                }]}}),
                json!({"matchResources": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods/*"],
                    "operations": ["*"],
                }]}}),
            ],
        ),
    ]
}

/// Parameters for the policies above, by namespace.
pub(crate) fn limits() -> Vec<Value> {
    let map = |namespace: &str, name: &str, max: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": namespace, "name": name, "labels": {"limit": "yes"}},
            "data": {"max": max},
        })
    };
    vec![map("team-a", "two", "2"), map("team-a", "nine", "9"), map("team-b", "one", "1")]
}

pub(crate) fn case(name: &str, spec: Value, bindings: &[Value]) -> Case {
    case_on(&["CREATE"], name, spec, bindings)
}

/// The same about other operations.
pub(crate) fn case_on(operations: &[&str], name: &str, spec: Value, bindings: &[Value]) -> Case {
    let deny = |more: &Value| {
        let mut spec = json!({"validationActions": ["Deny"]});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        spec
    };
    let bindings = bindings.iter().map(deny);
    case_of("ValidatingAdmissionPolicy", operations, name, spec, bindings)
}

/// Mutations, each the only one of a policy: those that make a list are operations.
const MUTATIONS: &[&str] = &[
    "Object{metadata: Object.metadata{labels: {'made': 'here'}}}",
    "Object{spec: Object.spec{terminationGracePeriodSeconds: 5}}",
    "Object{spec: Object.spec{containers: object.spec.containers.map(c, \
     Object.spec.containers{name: c.name, image: 'mirror/' + c.image})}}",
    "Object{spec: Object.spec{securityContext: Object.spec.securityContext{runAsNonRoot: true}}}",
    "Object{metadata: Object.metadata{finalizers: ['a.b/c']}}",
    "Object{spec: Object.spec{containers: [Object.spec.containers{\
     name: variables.first.name, command: ['x']}]}}",
    "Object{spec: Object.spec{nowhere: 1}}",
    "Object{metadata: Object.metadata{?annotations: object.metadata.?labels[?'team']\
     .optMap(t, {'team': t})}}",
    "object.spec.hostNetwork ? Object{} : Object{metadata: Object.metadata{labels: {'a': 'b'}}}",
    "[JSONPatch{op: 'add', path: '/metadata/labels/a', value: 'b'}, \
     JSONPatch{op: 'replace', path: '/spec/containers/0/image', value: 'other'}]",
    "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a.b/c'), \
     value: string(object.metadata.labels.size())}]",
    "[JSONPatch{op: 'test', path: '/spec/hostNetwork', value: true}, \
     JSONPatch{op: 'add', path: '/metadata/labels/host', value: 'yes'}]",
    "[JSONPatch{op: 'remove', path: '/metadata/labels/team'}]",
    "[JSONPatch{op: 'copy', from: '/metadata/name', path: '/metadata/labels/name'}]",
    "[JSONPatch{op: 'test', path: '/a', value: 1}].filter(o, false)",
    // The API server does not take this one: it cannot know of what the list is.
    "object.spec.containers.size() > 1 ? [] : []",
];

/// Policies of which some expressions do not fit the types of the objects that they see.
pub(crate) fn ill_typed() -> Vec<Value> {
    let rule = |group: &str, resource: &str| {
        json!({
            "apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": [resource],
        })
    };
    let rules = json!([rule("", "pods"), rule("apps", "deployments")]);
    let policy = |(number, expression): (usize, &&str)| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": format!("types-{number}") },
            "spec": {
                "matchConstraints": { "resourceRules": rules },
                "variables": [{ "name": "spec", "expression": "object.spec" }],
                "validations": [{ "expression": format!("{expression} ? true : true") }],
            },
        })
    };
    ILL_TYPED.iter().enumerate().map(policy).collect()
}

const ILL_TYPED: &[&str] = &[
    "object.spec.hostNetwork",
    "object.spec.replicas > 1",
    "object.spec.replica > 1",
    "object.metadata.labels['a'] == 'b'",
    "object.metadata.labels == 'b'",
    "object.metadata.name == 1",
    "dyn(object).spec.nowhere == 1",
    "has(object.spec.template) && has(object.spec.template.spec.hostPid)",
    "object.spec.?nowhere.orValue(true)",
    "object.spec.template.spec.containers.all(c, c.images == '')",
    "object.spec.template.spec.containers.all(c, c.image == '' && c.env.all(e, e.name != ''))",
    "oldObject == null || oldObject.spec.strateg == object.spec.strategy",
    "variables.spec.paused",
    "object.spec.strategy.rollingUpdate.maxSurge == 1",
];

/// Policies that change pods.
pub(crate) fn mutating() -> Vec<Case> {
    let mutation = |expression: &&str| {
        let inner = json!({"expression": expression});
        if expression.contains("Object{") {
            json!({"patchType": "ApplyConfiguration", "applyConfiguration": inner})
        } else {
            json!({"patchType": "JSONPatch", "jsonPatch": inner})
        }
    };
    let one_by_one = MUTATIONS.iter().map(|expression| vec![mutation(expression)]);
    // The second sees what the first made.
    let both = [0, 10].iter().filter_map(|place| MUTATIONS.get(*place)).map(mutation).collect();
    let with = |(number, mutations): (usize, Vec<Value>)| {
        ["Fail", "Ignore"].map(|failure_policy| {
            let spec = json!({
                "failurePolicy": failure_policy, "reinvocationPolicy": "Never",
                "variables": [{"name": "first", "expression": "object.spec.containers[0]"}],
                "mutations": mutations,
            });
            let name = format!("m{number}-{}", failure_policy.to_lowercase());
            case_of("MutatingAdmissionPolicy", &["CREATE"], &name, spec, std::iter::once(json!({})))
        })
    };
    let fixed = one_by_one.chain([both]).enumerate().flat_map(with);
    fixed.chain(mutating_with_parameters()).collect()
}

/// Policies that change pods by what a ConfigMap says; what several say goes together in any order.
fn mutating_with_parameters() -> Vec<Case> {
    let spec = |failure_policy: &str| {
        json!({
            "failurePolicy": failure_policy, "reinvocationPolicy": "Never",
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConditions": [{"name": "wanted", "expression": "params.data.max != '9'"}],
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                "Object{metadata: Object.metadata{labels: \
                 {'limit-' + params.metadata.name: params.data.max}}}"}}],
        })
    };
    let maps = json!({"matchLabels": {"limit": "yes"}});
    let references = [
        json!({"name": "two", "parameterNotFoundAction": "Deny"}),
        json!({"name": "nine", "parameterNotFoundAction": "Deny"}),
        json!({"name": "gone", "parameterNotFoundAction": "Deny"}),
        json!({"name": "gone", "parameterNotFoundAction": "Allow"}),
        json!({"selector": maps, "parameterNotFoundAction": "Deny"}),
        json!({"name": "one", "namespace": "team-b", "parameterNotFoundAction": "Deny"}),
    ];
    let with = |(number, reference): (usize, Value)| {
        ["Fail", "Ignore"].map(|failure_policy| {
            let name = format!("mp{number}-{}", failure_policy.to_lowercase());
            let binding = json!({"paramRef": reference});
            let bindings = std::iter::once(binding);
            case_of("MutatingAdmissionPolicy", &["CREATE"], &name, spec(failure_policy), bindings)
        })
    };
    references.into_iter().enumerate().flat_map(with).collect()
}

fn case_of(
    kind: &str,
    operations: &[&str],
    name: &str,
    mut spec: Value,
    bindings: impl Iterator<Item = Value>,
) -> Case {
    const GROUP: &str = "admissionregistration.k8s.io/v1";
    spec["matchConstraints"] = json!({
        "objectSelector": {"matchLabels": {LABEL: name}},
        "resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
            "operations": operations,
        }],
    });
    let policy = json!({
        "apiVersion": GROUP, "kind": kind,
        "metadata": {"name": name}, "spec": spec,
    });
    let bind = |(number, mut spec): (usize, Value)| {
        spec["policyName"] = name.into();
        json!({
            "apiVersion": GROUP, "kind": format!("{kind}Binding"),
            "metadata": {"name": format!("{name}-{number}")}, "spec": spec,
        })
    };
    let bindings = bindings.enumerate().map(bind).collect();
    Case { name: name.to_owned(), policy, bindings }
}

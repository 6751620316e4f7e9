//! `proofstream policy` as a user sees it: the real binary, its output, its exit codes.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use insta::assert_snapshot;

const POLICY: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: require-team
spec:
  validationFailureAction: Enforce
  rules:
  - name: label-team
    match:
      any:
      - resources:
          kinds: [Pod]
    validate:
      message: Say whose it is.
      pattern:
        metadata:
          labels:
            team: '?*'
  - name: no-latest
    match:
      any:
      - resources:
          kinds: [Pod]
          namespaces: [shop-*]
    validate:
      message: Name a version.
      deny:
        conditions:
          any:
          - key: '{{ request.object.spec.containers[].image }}'
            operator: AnyIn
            value: ['*:latest']
";

const PODS: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: good, namespace: shop-a, labels: {team: till}}
spec: {containers: [{name: c, image: 'till:3'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: bad, namespace: shop-a}
spec: {containers: [{name: c, image: 'till:latest'}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
";

/// A folder with files, and the command run in it.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.run_with_input(arguments, "")
    }

    fn run_with_input(&self, arguments: &[&str], input: &str) -> String {
        let mut child = command(self.0.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        format!(
            "exit {}\n----- stdout\n{}----- stderr\n{}",
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap()
        )
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofstream"));
    command.current_dir(folder).env("COLUMNS", "100").env_remove("NO_COLOR");
    command
}

#[test]
fn apply_shows_what_fails_and_counts_the_rest() {
    let bench = Bench::new(&[("policy.yaml", POLICY), ("pods.yaml", PODS)]);
    assert_snapshot!(bench.run(&["policy", "apply", "policy.yaml", "--resource", "pods.yaml"]));
}

#[test]
fn apply_lists_everything_when_asked() {
    let bench = Bench::new(&[("policy.yaml", POLICY), ("pods.yaml", PODS)]);
    assert_snapshot!(bench.run(&["policy", "apply", "policy.yaml", "-r", "pods.yaml", "--all"]));
}

#[test]
fn apply_writes_json() {
    let bench = Bench::new(&[("policy.yaml", POLICY), ("pods.yaml", PODS)]);
    let shown =
        bench.run(&["policy", "apply", "policy.yaml", "--resource", "pods.yaml", "-o", "json"]);
    let json = shown.split("----- stdout\n").nth(1).unwrap().split("----- stderr").next().unwrap();
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(value["summary"]["fail"], 2);
    assert_eq!(value["results"].as_array().unwrap().len(), 4);
    assert_snapshot!(shown);
}

#[test]
fn apply_reads_standard_input_and_walks_folders_in_order() {
    let bench = Bench::new(&[("p/b.yaml", POLICY), ("p/notes.txt", "x"), ("p/c.yaml", PODS)]);
    let arguments = ["policy", "apply", "p", "--resource", "-"];
    assert_snapshot!(bench.run_with_input(&arguments, PODS));
    let bench = Bench::new(&[
        ("policy.yaml", POLICY),
        ("r/b/2.yaml", PODS),
        ("r/a/1.yml", "apiVersion: v1\nkind: Pod\nmetadata: {name: first}\n"),
        ("r/values.yaml", "replicas: 3\n"),
    ]);
    assert_snapshot!(bench.run(&["policy", "apply", "policy.yaml", "--resource", "r"]));
}

#[test]
fn apply_passes_what_holds_and_names_policies_that_match_nothing() {
    let bench = Bench::new(&[
        ("policy.yaml", POLICY),
        ("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"),
        ("good.yaml", PODS.split("---\n").next().unwrap()),
    ]);
    assert_snapshot!(bench.run(&["policy", "apply", "policy.yaml", "--resource", "other.yaml"]));
    assert_snapshot!(bench.run(&["policy", "apply", "policy.yaml", "--resource", "good.yaml"]));
}

#[test]
fn apply_honours_values_user_and_exceptions() {
    let policy = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: p}
spec:
  rules:
  - name: only-updates
    match:
      any:
      - resources:
          kinds: [ConfigMap]
          operations: [UPDATE]
          namespaceSelector: {matchLabels: {regulated: 'yes'}}
        subjects: [{kind: User, name: ada}]
    context:
    - name: allowed
      configMap: {name: allowed, namespace: default}
    validate:
      message: 'not in {{ allowed.data.names }}'
      deny:
        conditions:
          all:
          - {key: '{{ request.object.metadata.name }}', operator: AnyNotIn, value: '{{ allowed.data.names }}'}
";
    let values = "\
apiVersion: cli.kyverno.io/v1alpha1
kind: Values
globalValues: {request.operation: UPDATE}
namespaceSelector: [{name: shop, labels: {regulated: 'yes'}}]
policies:
- name: p
  rules: [{name: only-updates, values: {allowed.data.names: 'a'}}]
  resources: [{name: c, values: {request.operation: CREATE}}]
";
    let exception = "\
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: let-b, namespace: shop}
spec:
  exceptions: [{policyName: p, ruleNames: [only-updates]}]
  match: {any: [{resources: {kinds: [ConfigMap], names: [b]}}]}
";
    let objects: String = ["a", "b", "c", "d"]
        .map(|name| {
            format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\n")
        })
        .concat();
    let user = "kind: UserInfo\nuserInfo: {username: ada, groups: [dev]}\n";
    let bench = Bench::new(&[
        ("policy.yaml", policy),
        ("values.yaml", values),
        ("exception.yaml", exception),
        ("user.yaml", user),
        ("bob.yaml", "userInfo: {username: bob}\n"),
        ("objects.yaml", &objects),
    ]);
    let mut arguments = vec!["policy", "apply", "policy.yaml", "-r", "objects.yaml", "--all"];
    arguments.extend(["--values", "values.yaml", "--exception", "exception.yaml", "--user-info"]);
    arguments.push("user.yaml");
    assert_snapshot!(bench.run(&arguments));
    *arguments.last_mut().unwrap() = "bob.yaml";
    assert_snapshot!(bench.run(&arguments));
}

#[test]
fn bad_input_names_file_line_and_field() {
    let misspelled = POLICY.replace("operator: AnyIn", "operator: AnyInn");
    let bench = Bench::new(&[
        ("policy.yaml", POLICY),
        ("operator.yaml", &misspelled),
        ("broken.yaml", "a: 1\n\tb: 2\n"),
        ("empty.yaml", "# nothing\n"),
        ("pods.yaml", PODS),
        ("not-an-object.yaml", "replicas: 3\n"),
        (
            "cel.yaml",
            "apiVersion: policies.kyverno.io/v1\nkind: ImageValidatingPolicy\nmetadata: {name: x}\n",
        ),
    ]);
    let cases: [&[&str]; 9] = [
        &["operator.yaml", "--resource", "pods.yaml"],
        &["broken.yaml", "--resource", "pods.yaml"],
        &["missing.yaml", "--resource", "pods.yaml"],
        &["empty.yaml", "--resource", "pods.yaml"],
        &["cel.yaml", "--resource", "pods.yaml"],
        &["policy.yaml", "--resource", "broken.yaml"],
        &["policy.yaml", "--resource", "not-an-object.yaml"],
        &["policy.yaml", "--resource", "pods.yaml", "--values", "pods.yaml"],
        &["-", "--resource", "-"],
    ];
    let mut shown = String::new();
    for case in cases {
        let arguments = [&["policy", "apply"], case].concat();
        write!(shown, "$ {}\n{}\n", arguments.join(" "), bench.run(&arguments)).unwrap();
    }
    assert_snapshot!(shown);
}

#[test]
fn a_broken_policy_leaves_the_others_in_force() {
    let misspelled = POLICY.replace("operator: AnyIn", "operator: AnyInn");
    let bench = Bench::new(&[("p/a.yaml", &misspelled), ("p/b.yaml", POLICY), ("pods.yaml", PODS)]);
    let shown = bench.run(&["policy", "apply", "p", "--resource", "pods.yaml"]);
    assert!(shown.starts_with("exit 2\n"), "{shown}");
    assert!(shown.contains("2 failed"), "{shown}");
    assert!(shown.contains("p/a.yaml:31:13: "), "{shown}");
}

#[test]
fn usage_errors_exit_with_2_and_help_with_0() {
    let bench = Bench::new(&[]);
    assert!(bench.run(&["policy", "apply"]).starts_with("exit 2\n"));
    assert!(bench.run(&["nonsense"]).starts_with("exit 2\n"));
    assert_snapshot!(bench.run(&["--help"]));
    assert_snapshot!(bench.run(&["policy", "apply", "--help"]));
    assert_snapshot!(bench.run(&["policy", "test", "--help"]));
    assert!(bench.run(&["completions", "bash"]).contains("_proofstream()"));
}

const TEST: &str = "\
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: team}
policies: [policy.yaml]
resources: [pods.yaml]
results:
- {policy: require-team, rule: label-team, kind: Pod, resources: [good], result: pass}
- {policy: require-team, rule: no-latest, kind: Pod, resources: [shop-a/bad], result: fail}
";

#[test]
fn test_is_strict() {
    let wrong = format!(
        "{TEST}\
- {{policy: require-team, rule: label-team, kind: Pod, resources: [good, bad], result: fail}}
- {{policy: require-team, rule: no-such-rule, kind: Pod, resources: [good], result: pass}}
- {{policy: require-team, rule: label-team, kind: Pod, resources: [absent], result: pass}}
- {{policy: require-team, rule: label-team, kind: ConfigMap, resources: [other], result: skip}}
- {{policy: absent, rule: label-team, kind: Pod, resources: [good], result: pass}}
- {{policy: require-team, rule: label-team, resourceSpecs: [{{kind: Pod, name: bad}}], result: fail}}
- {{policy: require-team, rule: label-team, kind: Pod, result: pass}}
- {{policy: require-team, rule: label-team, kind: Pod, resources: [good], patchedResources: x.yaml, result: pass}}
- {{policy: require-team, rule: label-team, kind: Pod, resources: [good], isDeletingPolicy: true, result: pass}}
"
    );
    let files = [("policy.yaml", POLICY), ("pods.yaml", PODS), ("kyverno-test.yaml", TEST)];
    let bench = Bench::new(&files);
    assert_snapshot!(bench.run(&["policy", "test", "."]));
    assert_snapshot!(bench.run(&["policy", "test", ".", "-o", "json"]));
    let files = [
        ("policy.yaml", POLICY),
        ("pods.yaml", PODS),
        ("a/b.txt", ""),
        ("kyverno-test.yml", &wrong),
    ];
    let bench = Bench::new(&files);
    assert_snapshot!(bench.run(&["policy", "test", "."]));
}

/// Mutates pods and the config map beside them.
const MUTATE: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: fill}
spec:
  rules:
  - name: team
    match: {any: [{resources: {kinds: [Pod]}}]}
    mutate:
      patchStrategicMerge:
        metadata: {labels: {+(team): nobody}}
  - name: count
    match: {any: [{resources: {kinds: [Pod]}}]}
    mutate:
      targets:
      - {apiVersion: v1, kind: ConfigMap, name: other, namespace: '{{ request.namespace }}'}
      patchesJson6902: |-
        - {op: add, path: '/data/{{ request.name }}', value: '{{ target.metadata.name }}'}
";

#[test]
fn mutate_rules_come_before_the_others() {
    let bench = Bench::new(&[("a.yaml", MUTATE), ("b.yaml", POLICY), ("pods.yaml", PODS)]);
    let apply = ["policy", "apply", "a.yaml", "b.yaml", "--resource", "pods.yaml"];
    // The pod without a team has one by the time it is judged; there is no cluster with the target.
    assert_snapshot!(bench.run(&[&apply[..], &["--all"]].concat()));
    assert_snapshot!(bench.run(&[&apply[..], &["--output", "json"]].concat()));
}

#[test]
fn tests_compare_patched_resources() {
    let test = "\
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: fill}
policies: [policy.yaml]
resources: [pods.yaml]
targetResources: [targets.yaml]
results:
- {policy: fill, rule: team, kind: Pod, resources: [bad], patchedResources: patched.yaml, result: pass}
- {policy: fill, rule: team, kind: Pod, resources: [good], patchedResources: patched.yaml, result: skip}
- {policy: fill, rule: team, kind: Pod, patchedResources: one.yaml, result: pass}
- {policy: fill, rule: count, kind: ConfigMap, resources: [shop-a/other], patchedResources: patched.yaml, result: pass}
- {policy: fill, rule: team, kind: Pod, resources: [bad], patchedResources: wrong.yaml, result: pass}
- {policy: fill, rule: team, kind: Pod, resources: [bad], patchedResources: pods.yaml, result: pass}
- {policy: fill, rule: team, kind: Pod, resources: [good], patchedResources: patched.yaml, result: pass}
- {policy: fill, rule: team, kind: Pod, resources: [bad], patchedResources: one.yaml, result: skip}
";
    let target = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: shop-a}
data: {x: y}
";
    let one = "\
apiVersion: v1
kind: Pod
metadata: {name: bad, namespace: shop-a, labels: {team: nobody}}
spec: {containers: [{name: c, image: 'till:latest'}]}
";
    let good = PODS.split("---").next().unwrap();
    let changed = target.replace("{x: y}", "{x: y, good: other}");
    let patched = format!("{one}---\n{good}---\n{changed}");
    let wrong = one.replace("nobody", "somebody");
    let bench = Bench::new(&[
        ("policy.yaml", MUTATE),
        ("pods.yaml", PODS),
        ("targets.yaml", target),
        ("one.yaml", one),
        ("patched.yaml", &patched),
        ("wrong.yaml", &wrong),
        ("kyverno-test.yaml", test),
    ]);
    assert_snapshot!(bench.run(&["policy", "test", ".", "--all"]));
}

#[test]
fn test_refuses_what_it_cannot_read() {
    let cases = [
        ("misspelled", TEST.replace("results:", "result:")),
        ("unknown result", TEST.replace("result: fail", "result: failed")),
        ("missing resources", TEST.replace("pods.yaml", "nowhere.yaml")),
        ("missing policies", TEST.replace("policy.yaml", "nowhere.yaml")),
        ("another kind", TEST.replace("kind: Test", "kind: Values")),
        ("no YAML", "a: [".to_owned()),
    ];
    let mut shown = String::new();
    for (name, test) in cases {
        let bench = Bench::new(&[
            ("policy.yaml", POLICY),
            ("pods.yaml", PODS),
            ("kyverno-test.yaml", test.as_str()),
        ]);
        write!(shown, "# {name}\n{}\n", bench.run(&["policy", "test", "."])).unwrap();
    }
    let bench = Bench::new(&[("readme.md", "")]);
    write!(shown, "# no test\n{}\n", bench.run(&["policy", "test", "."])).unwrap();
    assert_snapshot!(shown);
}

const HARDENED: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: hard, namespace: shop-a}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: c
    image: till:3
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: soft, namespace: shop-a}
spec: {template: {spec: {hostPID: true, containers: [{name: c, image: 'till:3'}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: odd, namespace: shop-a}
spec: {hostPID: 'yes', containers: []}
";

#[test]
fn apply_holds_pods_against_the_pod_security_standards() {
    let bench = Bench::new(&[("pods.yaml", HARDENED), ("policy.yaml", POLICY)]);
    let standard = ["policy", "apply", "--pod-security", "baseline:v1.30", "-r", "pods.yaml"];
    assert_snapshot!(bench.run(&standard));
    let both =
        ["policy", "apply", "policy.yaml", "--pod-security", "restricted", "-r", "pods.yaml"];
    let shown = bench.run(&both);
    assert!(shown.contains("require-team / label-team"), "{shown}");
    assert!(shown.contains("pod-security / seccompProfile_restricted"), "{shown}");
    let wrong = bench.run(&["policy", "apply", "--pod-security", "strict", "-r", "pods.yaml"]);
    assert!(wrong.starts_with("exit 2"), "{wrong}");
    assert!(wrong.contains("`strict` is not one of"), "{wrong}");
}

#[test]
fn results_are_written_for_build_servers() {
    let test = TEST_WITH_STUBS.replace("result: pass", "result: fail");
    let bench = Bench::new(&[
        ("policy.yaml", POLICY),
        ("pods.yaml", PODS),
        ("lookup.yaml", LOOKUP),
        ("cluster.yaml", CLUSTER),
        ("kyverno-test.yaml", &test),
    ]);
    let apply = ["policy", "apply", "policy.yaml", "-r", "pods.yaml", "--output", "junit"];
    assert_snapshot!(bench.run(&apply));
    assert_snapshot!(bench.run(&["policy", "test", ".", "--output", "junit"]));
}

const LOOKUP: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: lookup}
spec:
  rules:
  - name: known-team
    match: {any: [{resources: {kinds: [Pod]}}]}
    context:
    - name: teams
      apiCall: {urlPath: /apis/acme.io/v1/teams, jmesPath: 'items[].metadata.name'}
    - name: limits
      configMap: {name: limits, namespace: ops}
    - name: banned
      globalReference: {name: banned.names}
    validate:
      message: Unknown team.
      deny:
        conditions:
          any:
          - {key: \"{{ request.object.metadata.labels.team || 'none' }}\", operator: AnyNotIn, value: '{{ teams }}'}
          - {key: '{{ request.object.metadata.name }}', operator: AnyIn, value: '{{ banned }}'}
          - {key: '{{ limits.data.open }}', operator: NotEquals, value: 'yes'}
";

const TEST_WITH_STUBS: &str = "\
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: stubs}
policies: [lookup.yaml]
resources: [pods.yaml, missing.yaml]
clusterResources: [cluster.yaml]
apiCallResponses:
- urlPath: /apis/acme.io/v1/teams
  method: GET
  response: {statusCode: 200, body: {items: [{metadata: {name: till}}]}}
globalContextEntries:
- name: banned
  data: {items: [{name: worst}]}
  projections: [{name: names, path: 'items[].name'}]
results:
- {policy: lookup, rule: known-team, kind: Pod, resources: [good], result: pass}
- {policy: lookup, rule: known-team, kind: Pod, resources: [bad], result: fail}
- {policy: lookup, rule: known-team, kind: Pod, resources: [absent], result: fail}
";

const CLUSTER: &str = "\
apiVersion: cli.kyverno.io/v1alpha1
kind: ClusterResource
metadata: {name: cluster}
spec:
  resources:
  - apiVersion: v1
    kind: ConfigMap
    metadata: {name: limits, namespace: ops}
    data: {open: 'yes'}
";

#[test]
fn tests_stand_in_for_clusters_and_missing_files_are_not_run() {
    let bench = Bench::new(&[
        ("pods.yaml", PODS),
        ("lookup.yaml", LOOKUP),
        ("cluster.yaml", CLUSTER),
        ("kyverno-test.yaml", TEST_WITH_STUBS),
    ]);
    assert_snapshot!(bench.run(&["policy", "test", ".", "--all"]));
    let wrong = TEST_WITH_STUBS.replace("method: GET", "method: PUT");
    let bench = Bench::new(&[("kyverno-test.yaml", &wrong)]);
    let shown = bench.run(&["policy", "test", "."]);
    assert!(shown.contains("apiCallResponses[0]: method `PUT` is none of GET, POST"), "{shown}");
}

#[test]
fn an_exception_that_has_expired_exempts_nothing_and_is_told() {
    let exception = "\
apiVersion: kyverno.io/v2
kind: PolicyException
metadata: {name: till, namespace: shop-a}
spec:
  expiresAt: '2020-01-01T00:00:00Z'
  exceptions: [{policyName: require-team, ruleNames: [label-team]}]
  match: {any: [{resources: {kinds: [Pod]}}]}
";
    let bench =
        Bench::new(&[("policy.yaml", POLICY), ("pods.yaml", PODS), ("exception.yaml", exception)]);
    let arguments = ["policy", "apply", "policy.yaml", "-r", "pods.yaml", "-e", "exception.yaml"];
    let shown = bench.run(&arguments);
    assert!(shown.contains("exception `shop-a/till` has expired and exempts nothing"), "{shown}");
    assert!(shown.contains("expired at 2020-01-01T00:00:00Z"), "{shown}");
}

const GENERATE: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: pull-secret}
spec:
  rules:
  - name: copy
    match: {any: [{resources: {kinds: [Namespace]}}]}
    generate:
      apiVersion: v1
      kind: Secret
      name: pull
      namespace: '{{ request.object.metadata.name }}'
      clone: {namespace: vault, name: regcred}
  - name: limits
    match: {any: [{resources: {kinds: [Namespace]}}]}
    generate:
      apiVersion: v1
      kind: LimitRange
      name: limits
      namespace: '{{ request.object.metadata.name }}'
      data: {spec: {limits: [{type: Container, default: {cpu: 500m}}]}}
";

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";

#[test]
fn apply_writes_what_is_generated() {
    let bench = Bench::new(&[("policy.yaml", GENERATE), ("shop.yaml", NAMESPACE)]);
    let arguments = ["policy", "apply", "policy.yaml", "-r", "shop.yaml", "-o", "json"];
    assert_snapshot!(bench.run(&arguments));
}

#[test]
fn test_holds_what_is_generated_against_what_is_expected() {
    let test = "\
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: generated}
policies: [policy.yaml]
resources: [shop.yaml]
results:
- {policy: pull-secret, rule: copy, kind: Namespace, resources: [shop], result: pass,
   cloneSourceResource: source.yaml, generatedResource: copy.yaml}
- {policy: pull-secret, rule: limits, kind: Namespace, resources: [shop], result: pass,
   generatedResource: limits.yaml}
";
    let bench = Bench::new(&[
        ("kyverno-test.yaml", test),
        ("policy.yaml", GENERATE),
        ("shop.yaml", NAMESPACE),
        (
            "source.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: regcred, namespace: vault, uid: u}\ndata: {a: MQ==}\n",
        ),
        (
            "copy.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: pull, namespace: shop}\ndata: {a: MQ==}\n",
        ),
        (
            "limits.yaml",
            "apiVersion: v1\nkind: LimitRange\nmetadata: {name: limits, namespace: shop}\n\
             spec: {limits: [{type: Container, default: {cpu: 250m}}]}\n",
        ),
    ]);
    assert_snapshot!(bench.run(&["policy", "test", ".", "--all"]));
}

/// Kubernetes' own policy, bound where teams have a limit of their own.
const ADMISSION: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: few}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations:
  - expression: size(object.spec.containers) <= int(params.data.max)
    messageExpression: \"'no more than ' + params.data.max\"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: few-limited}
spec:
  policyName: few
  validationActions: [Deny, Audit]
  paramRef: {name: limit, parameterNotFoundAction: Deny}
";
/// A policy that changes pods by what a ConfigMap says.
const MARK: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: mark}
spec:
  paramKind: {apiVersion: v1, kind: ConfigMap}
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration: {expression: 'Object{metadata: Object.metadata{labels: params.data}}'}
";
const LIMIT: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: limit, namespace: shop-a}
data: {max: '0'}
";

#[test]
fn admission_policies_are_judged_by_their_bindings() {
    let bench = Bench::new(&[
        ("policy.yaml", ADMISSION),
        ("unbound.yaml", ADMISSION.split("---").next().unwrap()),
        ("stray.yaml", ADMISSION.split("---").nth(1).unwrap()),
        ("limit.yaml", LIMIT),
        ("mark.yaml", MARK),
        ("pods.yaml", PODS),
    ]);
    let resource = ["--resource", "pods.yaml", "--all"];
    let run = |more: &[&str]| bench.run(&[&["policy", "apply"], more, &resource].concat());
    assert_snapshot!("bound", run(&["policy.yaml", "--param-resource", "limit.yaml"]));
    assert_snapshot!("without_parameters", run(&["policy.yaml"]));
    assert_snapshot!("unbound", run(&["unbound.yaml", "--param-resource", "limit.yaml"]));
    assert_snapshot!("stray", run(&["stray.yaml"]));
    // Without a binding there is no parameter: `params` is null.
    assert_snapshot!("mutation_without_parameters", run(&["mark.yaml"]));
}

#[test]
fn tests_name_admission_policies() {
    let test = "\
apiVersion: cli.kyverno.io/v1alpha1
kind: Test
metadata: {name: few}
policies: [policy.yaml]
resources: [pods.yaml]
paramResources: [limit.yaml]
results:
- {policy: few, isValidatingAdmissionPolicy: true, kind: Pod, resources: [bad], result: fail}
- {policy: few, isValidatingAdmissionPolicy: true, kind: Pod, resources: [bad], result: pass}
";
    let bench = Bench::new(&[
        ("policy.yaml", ADMISSION),
        ("limit.yaml", LIMIT),
        ("pods.yaml", PODS),
        ("kyverno-test.yaml", test),
    ]);
    assert_snapshot!(bench.run(&["policy", "test", ".", "--all"]));
}

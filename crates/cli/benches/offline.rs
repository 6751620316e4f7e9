//! `proofstream policy apply` and `policy test` as whole processes: how long they take from start to
//! end, and the most memory that they held.
//!
//! Most policies are the public library's, at ../shared/conformance or `PROOFSTREAM_CONFORMANCE`; without
//! them that part is left out. Pods and requests are made here: every third breaks something.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark prints its figures, and ends where it cannot measure"
)]

#[path = "offline/kept.rs"]
mod kept;

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4 as _;

const ROUNDS: usize = 5;
/// Requests that a replay goes through.
const REQUESTS: usize = 1_000_000;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let thousand = folder.path().join("1000.yaml");
    std::fs::write(&thousand, pods(1_000)).unwrap();
    measure("policy apply, 19 constraints, 1000 pods", || {
        let mut command = proofstream();
        command.args(["policy", "apply"]).arg(here.join("benches/gatekeeper"));
        command.arg("--resource").arg(&thousand);
        command
    });
    let article = here.join("../../examples/article");
    measure("policy holes, the article's two policies", || {
        let mut command = proofstream();
        command.args(["policy", "holes"]);
        for name in ["require-hardened-securitycontext.yaml", "disallow-secret-env-vars.yaml"] {
            command.arg(article.join(name));
        }
        command
    });
    let data = folder.path().join("data");
    kept::ledger(&data, REQUESTS);
    measure(&format!("policy replay, {REQUESTS} requests"), || {
        let mut command = proofstream();
        command.args(["policy", "replay", "--since", "30d"]).arg("--data").arg(&data);
        command.arg(article.join("require-hardened-securitycontext.yaml"));
        command
    });
    let Some(library) = library() else {
        println!("the rest is not measured: there is no policy library at ../shared/conformance");
        return;
    };
    let mut policies = Vec::new();
    policy_files(&library.join("pod-security"), &mut policies);
    policies.sort();
    println!("{} policies of the Pod Security Standards", policies.len());
    for count in [1_000, 10_000] {
        let file = folder.path().join(format!("{count}.yaml"));
        std::fs::write(&file, pods(count)).unwrap();
        apply(&policies, &file, count);
    }
    measure("policy test, the whole library", || {
        let mut command = proofstream();
        command.args(["policy", "test"]).arg(&library);
        command
    });
}

fn apply(policies: &[PathBuf], pods: &Path, count: usize) {
    measure(&format!("policy apply, {count} pods in one file"), || {
        let mut command = proofstream();
        command.args(["policy", "apply"]).args(policies).arg("--resource").arg(pods);
        command
    });
    measure(&format!("policy apply, {count} pods from standard input"), || {
        let mut command = proofstream();
        command.args(["policy", "apply"]).args(policies).args(["--resource", "-"]);
        command.stdin(File::open(pods).unwrap());
        command
    });
}

fn proofstream() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proofstream"));
    command.stdin(Stdio::null());
    command
}

/// Runs what `command` makes a few times, and prints the median time and the most memory.
fn measure(what: &str, command: impl Fn() -> Command) {
    let mut taken: Vec<Duration> = Vec::new();
    let mut most = 0;
    for _ in 0..ROUNDS {
        let mut command = command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        let ended = command.spawn().unwrap().wait4().unwrap();
        taken.push(started.elapsed());
        most = most.max(ended.rusage.maxrss);
        // What the policies say of the pods, or of the library (some of whose files are missing), is no
        // matter here; that it ran to its end is.
        assert!(ended.status.code().is_some(), "{what}: ended by a signal");
    }
    taken.sort();
    println!("{what:<46} {:>8.3} s {:>6} MiB", taken[ROUNDS / 2].as_secs_f64(), most >> 20);
}

fn library() -> Option<PathBuf> {
    let root = std::env::var_os("PROOFSTREAM_CONFORMANCE")
        .map_or_else(|| PathBuf::from("../../../shared/conformance"), PathBuf::from);
    Some(root.join("kyverno-policies")).filter(|path| path.is_dir())
}

/// The files named like their folder: the library's way to tell policies from what they are tested with.
fn policy_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            policy_files(&path, found);
        } else if path.extension().is_some_and(|it| it == "yaml")
            && path.file_stem() == folder.file_name()
        {
            found.push(path);
        }
    }
}

fn pods(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        let broken = number % 3 == 0;
        let _ = write!(
            text,
            "---
apiVersion: v1
kind: Pod
metadata:
  name: web-{number}
  namespace: team-{team}
  labels: {{app: web, tier: t{tier}}}
spec:
  hostNetwork: {broken}
  securityContext:
    runAsNonRoot: true
    seccompProfile: {{type: RuntimeDefault}}
  initContainers:
  - name: migrate
    image: registry.example/migrate:{number}
    securityContext: {{allowPrivilegeEscalation: false, capabilities: {{drop: [ALL]}}}}
  containers:
  - name: main
    image: registry.example/web:{number}
    env:
    - {{name: LEVEL, value: info}}
    ports:
    - containerPort: 8080
    resources:
      requests: {{cpu: 100m, memory: 64Mi}}
    securityContext:
      privileged: {broken}
      allowPrivilegeEscalation: {broken}
      readOnlyRootFilesystem: true
      capabilities: {{drop: [ALL]}}
  volumes:
  - name: data
    emptyDir: {{}}
",
            team = number % 20,
            tier = number % 4,
        );
    }
    text
}

//! Policies over restarts: what broke while nothing ran, or broke before, is still enforced in its last
//! usable text.

#![allow(clippy::unwrap_used, reason = "a test's own helpers may end it")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use proofstream_ledger::storage::Directory as Storage;
use proofstream_ledger::writer::{Start, Writer, WriterOptions};
use proofstream_model::{ControlRef, Enforcer};
use proofstream_runtime::clock::Clock;
use proofstream_runtime::policies::directory::Directory;
use proofstream_runtime::policies::{ControlResolver, PolicyStore, Previous};
use proofstream_runtime::projection::{Projection, catch_up};
use proofstream_runtime::recorder::Recorder;

const GOOD: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: no-maps}
spec:
  validationFailureAction: Enforce
  rules:
    - name: none
      match: {any: [{resources: {kinds: [ConfigMap]}}]}
      validate: {message: "no maps", deny: {}}
"#;

struct NoControls;

impl ControlResolver for NoControls {
    fn controls(&self, _: &str, _: &BTreeMap<String, String>) -> ControlRef {
        ControlRef::default()
    }
    fn of_enforcer(&self, _: Enforcer) -> ControlRef {
        ControlRef::default()
    }
}

/// Starts on what is in `folder`, looks at its policies once and stops: the names in force, and the
/// messages of those that are not as they are written.
fn run(folder: &Path) -> (Vec<String>, Vec<String>) {
    let storage = |name: &str| Arc::new(Storage::private(folder.join(name)));
    let options = WriterOptions::new("test-cluster", storage("private"), storage("guard"));
    let (writer, _) = Writer::open(storage("ledger"), options).unwrap();
    let projection = Projection::open(&folder.join("projection.sqlite")).unwrap();
    catch_up(&projection, &writer).unwrap();
    let root = folder.join("policies");
    let store = PolicyStore::new(
        Arc::new(NoControls),
        Arc::new([("ClusterPolicy".to_owned(), "proofstream".to_owned())].into_iter().collect()),
        Recorder::new(writer.source("policies", Start::Resume).unwrap(), Clock::system()),
        vec![Directory::place(&root)],
        Previous {
            last: projection.policies().unwrap(),
            in_force: projection.last_in_force().unwrap(),
        },
    );
    Directory::new(root).refresh(&store);
    let in_force = store.current().all.infos.iter().map(|info| info.name.clone()).collect();
    let reports = store.reports().into_iter().filter(|report| !report.ready);
    let broken = reports.map(|report| report.message).collect();
    writer.close().unwrap();
    (in_force, broken)
}

#[test]
fn what_broke_is_enforced_in_its_last_usable_text_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let file = policies.join("maps.yaml");
    std::fs::write(&file, GOOD).unwrap();
    let good = (vec!["no-maps".to_owned()], vec![]);
    assert_eq!(run(folder.path()), good);

    for broken in [GOOD.replace("deny:", "dney:"), format!("{GOOD}  - [")] {
        std::fs::write(&file, broken).unwrap();
        // It is broken as we start, and was when we stopped.
        for _ in 0..2 {
            let (in_force, messages) = run(folder.path());
            assert_eq!(in_force, ["no-maps"]);
            assert!(messages[0].ends_with("the text before it stays in force"));
        }
    }
    std::fs::write(&file, GOOD).unwrap();
    assert_eq!(run(folder.path()), good);

    // What is taken away is gone, whatever it was before.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(run(folder.path()), (vec![], vec![]));
    std::fs::write(&file, GOOD.replace("deny:", "dney:")).unwrap();
    assert_eq!(run(folder.path()).0, Vec::<String>::new());
}

const TEMPLATE: &str = r#"
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: nomaps}
spec:
  crd: {spec: {names: {kind: NoMaps}}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package nomaps
        violation[{"msg": "no maps"}] { true }
"#;

const CONSTRAINT: &str = "
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: NoMaps
metadata: {name: none}
spec: {match: {kinds: [{apiGroups: [''], kinds: [ConfigMap]}]}}
";

#[test]
fn a_constraint_is_read_with_its_template_whichever_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let (template, constraint) = (policies.join("z.yaml"), policies.join("a.yaml"));
    std::fs::write(&constraint, CONSTRAINT).unwrap();
    let without = "no ConstraintTemplate that can be used makes the kind `NoMaps`".to_owned();
    assert_eq!(run(folder.path()), (vec![], vec![without.clone()]));

    std::fs::write(&template, TEMPLATE).unwrap();
    assert_eq!(run(folder.path()), (vec!["none".to_owned()], vec![]));

    // Broken, its last usable text is enforced, over restarts too; so is the template's.
    std::fs::write(&constraint, CONSTRAINT.replace("kinds: [Config", "knids: [Config")).unwrap();
    std::fs::write(&template, TEMPLATE.replace("{ true }", "{ true")).unwrap();
    for _ in 0..2 {
        let (in_force, broken) = run(folder.path());
        assert_eq!((in_force, broken.len()), (vec!["none".to_owned()], 2), "{broken:?}");
    }

    std::fs::write(&constraint, format!("{CONSTRAINT}- [")).unwrap();
    let (in_force, broken) = run(folder.path());
    assert_eq!((in_force, broken.len()), (vec!["none".to_owned()], 2), "{broken:?}");

    // Without a template it says nothing, whatever it said before.
    std::fs::write(&constraint, CONSTRAINT).unwrap();
    std::fs::remove_file(&template).unwrap();
    assert_eq!(run(folder.path()), (vec![], vec![without]));
}

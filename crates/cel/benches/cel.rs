//! Compiling and evaluating a policy's typical expressions on a pod.

use divan::{Bencher, black_box};
use proofstream_cel::{Declarations, Fault, Host, Meter, Program, Type, Value};
use serde_json::{Value as Json, json};

fn main() {
    divan::main();
}

struct Pod(Json);

impl<'v> Host<'v> for &'v Pod {
    fn variable(&self, _: usize, _: &Meter) -> Result<Value<'v>, Fault> {
        Ok(Value::from_json(&self.0))
    }
}

const EXPRESSIONS: &[&str] = &[
    "!has(object.spec.hostNetwork) || object.spec.hostNetwork == false",
    "object.spec.containers.all(container, container.?securityContext.?privileged.orValue(false) == false)",
    "(object.spec.containers + object.spec.?initContainers.orValue([])).all(c, \
     c.image.startsWith('registry.example.com/') && c.name.matches('^[a-z0-9-]+$'))",
];

fn pod() -> Pod {
    let container = |name: &str| {
        json!({
            "name": name,
            "image": "registry.example.com/team/app:1.2.3",
            "securityContext": {"privileged": false, "runAsNonRoot": true},
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
        })
    };
    Pod(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "namespace": "default", "labels": {"app": "x"}},
        "spec": {"containers": [container("one"), container("two"), container("three")]},
    }))
}

fn declarations() -> Declarations {
    let mut declarations = Declarations::default();
    declarations.declare("object", 0, Type::Dyn);
    declarations
}

#[divan::bench(args = 0..3)]
fn compile(bencher: Bencher<'_, '_>, number: usize) {
    let declarations = declarations();
    let expression = EXPRESSIONS.get(number).copied().unwrap_or("true");
    bencher.bench(|| Program::compile(black_box(expression), &declarations).is_ok());
}

#[divan::bench(args = 0..3)]
fn evaluate(bencher: Bencher<'_, '_>, number: usize) {
    let declarations = declarations();
    let expression = EXPRESSIONS.get(number).copied().unwrap_or("true");
    let (pod, program) = (pod(), Program::compile(expression, &declarations));
    bencher.bench(|| {
        let meter = Meter::new(1_000_000);
        program
            .as_ref()
            .is_ok_and(|program| matches!(program.evaluate(&&pod, &meter), Ok(Value::Bool(true))))
    });
}

//! `proofstream up` and `proofstream webhooks` where there is no cluster to work with.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::ffi::OsString;
use std::io::Write;
use std::sync::{Arc, Mutex};

use proofstream_cli::{Console, ExitCode};

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn run(arguments: &[&str]) -> (ExitCode, String) {
    let error = Heard::default();
    let mut console = Console::new(Box::new(Heard::default()), Box::new(error.clone()));
    let words = std::iter::once("proofstream").chain(arguments.iter().copied());
    let code = proofstream_cli::run(words.map(OsString::from), &mut console);
    let said = String::from_utf8(error.0.lock().unwrap().clone()).unwrap();
    (code, said)
}

#[test]
fn a_kubeconfig_that_points_nowhere_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let kubeconfig = path.display().to_string();
    let (code, said) = run(&["webhooks", "status", "--kubeconfig", &kubeconfig]);
    assert_eq!(code, ExitCode::NotEvaluated);
    assert!(said.contains(&format!("cannot use the kubeconfig `{kubeconfig}`")), "{said}");

    std::fs::write(
        &path,
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n\
         contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n",
    )
    .unwrap();
    let data = folder.path().join("data").display().to_string();
    let (code, said) = run(&["up", "--data", &data, "--kubeconfig", &kubeconfig]);
    assert_eq!(code, ExitCode::NotEvaluated);
    assert!(
        said.contains("the API server at `https://127.0.0.1:1/` cannot be reached: "),
        "{said}"
    );
    assert!(said.to_lowercase().contains("refused"), "{said}");
}

#[test]
fn a_wrong_configuration_names_file_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proofstream.yaml");
    std::fs::write(&path, "webhook: {lissten: '127.0.0.1:1'}\n").unwrap();
    let (code, said) = run(&["up", "--config", &path.display().to_string()]);
    assert_eq!(code, ExitCode::BadInput);
    assert!(said.contains("proofstream.yaml") && said.contains("`lissten`"), "{said}");
}

//! The command lines of the cluster's components.

use anyhow::{Result, ensure};

use crate::layout::Layout;
use crate::options::{Audit, AuditLog, ClusterOptions, Data};

/// The loopback ports of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortNumbers {
    pub(crate) etcd: u16,
    pub(crate) etcd_peers: u16,
    pub(crate) api_server: u16,
}

/// Service addresses; nothing routes them, but the API server must hand some out.
const SERVICE_RANGE: &str = "10.96.0.0/16";

pub(crate) fn etcd(options: &ClusterOptions, layout: &Layout, ports: PortNumbers) -> Vec<String> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peers = format!("http://127.0.0.1:{}", ports.etcd_peers);
    let mut arguments = vec![
        "--name=default".to_owned(),
        format!("--data-dir={}", layout.etcd().display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
        "--logger=zap".to_owned(),
        "--log-level=warn".to_owned(),
        // A cluster that lives for weeks must not fill its 2 GiB with old revisions.
        "--auto-compaction-retention=1h".to_owned(),
    ];
    if options.data == Data::Temporary {
        arguments.push("--unsafe-no-fsync".to_owned());
    }
    arguments
}

pub(crate) fn api_server(
    options: &ClusterOptions,
    layout: &Layout,
    ports: PortNumbers,
) -> Result<Vec<String>> {
    let pki = |name: &str| layout.pki(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.api_server),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--service-account-key-file={}", pki("service-account.pub")),
        format!("--service-account-signing-key-file={}", pki("service-account.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        // Privileged pods must reach the policies, not be refused before them.
        "--allow-privileged=true".to_owned(),
        format!("--service-cluster-ip-range={SERVICE_RANGE}"),
        // Nothing reaches a loopback address through the `kubernetes` service.
        "--endpoint-reconciler-type=none".to_owned(),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!("--kubelet-client-certificate={}", pki("kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki("kubelet-client.key")),
    ];
    push_list(&mut arguments, "--enable-admission-plugins", &options.admission.enable);
    push_list(&mut arguments, "--disable-admission-plugins", &options.admission.disable);
    if let Some(document) = &options.admission.configuration {
        let path = layout.place("admission.yaml", document)?;
        arguments.push(format!("--admission-control-config-file={}", path.display()));
    }
    push_feature_gates(&mut arguments, options);
    if let Some(audit) = &options.audit {
        push_audit(&mut arguments, audit, layout)?;
    }
    arguments.extend(options.api_server_flags.iter().cloned());
    Ok(arguments)
}

pub(crate) fn controller_manager(
    options: &ClusterOptions,
    layout: &Layout,
    controllers: &[String],
) -> Vec<String> {
    let pki = |name: &str| layout.pki(name).display().to_string();
    let kubeconfig = layout.kubeconfig().display().to_string();
    let mut arguments = vec![
        format!("--kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--secure-port=0".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-account-private-key-file={}", pki("service-account.key")),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--controllers={}", controllers.join(",")),
    ];
    push_feature_gates(&mut arguments, options);
    arguments
}

pub(crate) fn scheduler(options: &ClusterOptions, layout: &Layout) -> Vec<String> {
    let mut arguments = vec![
        format!("--kubeconfig={}", layout.kubeconfig().display()),
        "--secure-port=0".to_owned(),
        "--leader-elect=false".to_owned(),
    ];
    push_feature_gates(&mut arguments, options);
    arguments
}

fn push_list(arguments: &mut Vec<String>, flag: &str, values: &[String]) {
    if !values.is_empty() {
        arguments.push(format!("{flag}={}", values.join(",")));
    }
}

fn push_feature_gates(arguments: &mut Vec<String>, options: &ClusterOptions) {
    let gates: Vec<String> =
        options.feature_gates.iter().map(|(name, on)| format!("{name}={on}")).collect();
    push_list(arguments, "--feature-gates", &gates);
}

fn push_audit(arguments: &mut Vec<String>, audit: &Audit, layout: &Layout) -> Result<()> {
    ensure!(
        audit.log.is_some() || audit.webhook.is_some(),
        "an audit policy with neither a log nor a webhook audits nothing"
    );
    let policy = layout.place("audit-policy.yaml", &audit.policy)?;
    arguments.push(format!("--audit-policy-file={}", policy.display()));
    if let Some(log) = &audit.log {
        arguments.push(format!("--audit-log-path={}", layout.audit_log().display()));
        push_rotation(arguments, log);
    }
    if let Some(webhook) = &audit.webhook {
        let kubeconfig = layout.place("audit-webhook.yaml", &webhook.kubeconfig)?;
        arguments.push(format!("--audit-webhook-config-file={}", kubeconfig.display()));
        if let Some(wait) = webhook.batch_max_wait {
            arguments.push(format!("--audit-webhook-batch-max-wait={}ms", wait.as_millis()));
        }
    }
    Ok(())
}

fn push_rotation(arguments: &mut Vec<String>, log: &AuditLog) {
    let flags = [
        ("--audit-log-maxsize", log.max_size_mib),
        ("--audit-log-maxbackup", log.max_backups),
        ("--audit-log-maxage", log.max_age_days),
    ];
    for (flag, value) in flags {
        if let Some(value) = value {
            arguments.push(format!("{flag}={value}"));
        }
    }
}

//! The cluster itself: that it is real, that it is ours alone, and that it leaves nothing behind.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Api;
use kube::api::{ListParams, PostParams};
use proofstream_e2e::foreground::CONTROLLERS;
use proofstream_e2e::{
    Admission, Audit, AuditLog, AuditWebhook, Cluster, ClusterOptions, Component, DEFAULT_MINOR,
    Data, Document, client_from_kubeconfig, create, wait_until,
};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(30);

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: plain, namespace: payments}
spec:
  containers: [{name: main, image: registry.example/app:1}]
";

const PRIVILEGED_POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: privileged, namespace: payments}
spec:
  containers:
  - {name: main, image: registry.example/app:1, securityContext: {privileged: true}}
";

#[tokio::test]
async fn boots_answers_and_knows_its_users() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    let version = cluster.client().await?.apiserver_version().await?;
    assert!(version.git_version.starts_with(&format!("v{DEFAULT_MINOR}.")), "{version:?}");

    cluster.create_namespace("payments").await?;
    cluster.apply(POD).await?;

    let groups = ["developers", "payments", "on call"];
    let alice = cluster.client_for("alice: ops", &groups).await?;
    let review = Api::<SelfSubjectReview>::all(alice.clone())
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await?;
    let user =
        review.status.and_then(|status| status.user_info).context("the review names no user")?;
    assert_eq!(user.username.as_deref(), Some("alice: ops"));
    let seen = user.groups.unwrap_or_default();
    assert!(groups.iter().all(|&group| seen.iter().any(|other| other == group)), "{seen:?}");
    let refused = Api::<Pod>::namespaced(alice, "payments").list(&ListParams::default()).await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.is_forbidden()),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn two_clusters_run_beside_each_other() -> Result<()> {
    let (left, right) = tokio::try_join!(
        Cluster::start(ClusterOptions::default()),
        Cluster::start(ClusterOptions::default())
    )?;
    assert_ne!(left.server(), right.server());
    left.create_namespace("only-left").await?;
    let namespaces: Api<Namespace> = Api::all(right.client().await?);
    assert!(namespaces.get_opt("only-left").await?.is_none());
    // One's certificates mean nothing to the other.
    let strangers = left.kubeconfig().replace(&left.server(), &right.server());
    let path = left.folder().join("strange");
    std::fs::write(&path, strangers)?;
    let path = path.display().to_string();
    assert!(right.kubectl(&["--kubeconfig", &path, "get", "namespaces"]).await.is_err());

    let (gone, pid) = (left.folder().to_owned(), left.pid(Component::ApiServer));
    drop(left);
    assert!(pid.is_some());
    assert!(!gone.exists());
    assert_eq!(processes_of(&gone)?, Vec::<String>::new());
    right.create_namespace("still-works").await
}

#[tokio::test]
async fn the_audit_log_receives_events() -> Result<()> {
    let policy = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  resources: [{group: '', resources: [configmaps]}]
- level: None
";
    let options = ClusterOptions {
        audit: Some(Audit::to_log(Document::text(policy))),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await?;
    let mut map = ConfigMap::default();
    map.metadata.name = Some("audited".to_owned());
    Api::<ConfigMap>::namespaced(cluster.client().await?, "default")
        .create(&PostParams::default(), &map)
        .await?;

    let log = cluster.audit_log().context("no audit log")?;
    let event = wait_until("the event", PATIENCE, || async {
        let text = std::fs::read_to_string(&log)?;
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find(|event| event["objectRef"]["name"] == "audited")
            .context("no such event")
    })
    .await?;
    assert_eq!(event["verb"], "create");
    assert_eq!(event["responseStatus"]["code"], 201);
    assert_eq!(event["user"]["username"], "kubernetes-admin");
    Ok(())
}

#[tokio::test]
async fn an_api_server_that_goes_away_and_comes_back_keeps_its_data() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    cluster.create_namespace("kept").await?;
    let namespaces: Api<Namespace> = Api::all(cluster.client().await?);
    let (server, first) = (cluster.server(), cluster.pid(Component::ApiServer));

    cluster.stop_api_server().await?;
    assert_eq!(cluster.pid(Component::ApiServer), None);
    assert!(namespaces.get("kept").await.is_err());

    cluster.start_api_server().await?;
    assert_eq!(cluster.server(), server);
    assert_ne!(cluster.pid(Component::ApiServer), first);
    // The same client, from before.
    namespaces.get("kept").await?;

    cluster.kill_api_server().await?;
    cluster.start_api_server().await?;
    namespaces.get("kept").await?;
    Ok(())
}

#[tokio::test]
async fn a_data_folder_outlives_its_cluster() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = ClusterOptions {
        data: Data::Folder(folder.path().join("cluster")),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options.clone()).await?;
    cluster.create_namespace("kept").await?;
    let kubeconfig = cluster.kubeconfig().to_owned();
    let server = cluster.server();
    drop(cluster);
    assert_eq!(processes_of(folder.path())?, Vec::<String>::new());

    let cluster = Cluster::start(options).await?;
    assert_eq!(cluster.server(), server);
    // A kubeconfig somebody kept is still right.
    let namespaces: Api<Namespace> = Api::all(client_from_kubeconfig(&kubeconfig).await?);
    namespaces.get("kept").await?;
    Ok(())
}

#[tokio::test]
async fn controllers_do_what_kubectl_users_expect() -> Result<()> {
    let controllers = CONTROLLERS.iter().map(|&name| name.to_owned()).collect();
    let options = ClusterOptions { controllers: Some(controllers), ..ClusterOptions::default() };
    let cluster = Cluster::start(options).await?;
    cluster.kubectl(&["create", "namespace", "shop"]).await?;
    let deployment = ["-n", "shop", "create", "deployment", "web", "--image=web:1"];
    cluster.kubectl(&deployment).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client().await?, "shop");
    wait_until("the deployment's pod", PATIENCE, || async {
        let list = pods.list(&ListParams::default()).await?;
        ensure!(list.items.len() == 1, "{} pods", list.items.len());
        Ok(())
    })
    .await?;

    cluster.kubectl(&["delete", "namespace", "shop", "--wait=false"]).await?;
    let namespaces: Api<Namespace> = Api::all(cluster.client().await?);
    wait_until("the namespace to be gone", PATIENCE, || async {
        let namespace = namespaces.get_opt("shop").await?;
        ensure!(namespace.is_none(), "it is there");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn options_reach_the_api_server() -> Result<()> {
    let receiver = TcpListener::bind("127.0.0.1:0").await?;
    let webhook = format!(
        "
apiVersion: v1
kind: Config
clusters: [{{name: receiver, cluster: {{server: 'http://{}/audit'}}}}]
contexts: [{{name: receiver, context: {{cluster: receiver, user: ''}}}}]
current-context: receiver
",
        receiver.local_addr()?
    );
    let admission = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline}
";
    let policy = "
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: Metadata, verbs: [create]}]
";
    let options = ClusterOptions {
        audit: Some(Audit {
            policy: Document::text(policy),
            log: Some(AuditLog {
                max_size_mib: Some(1),
                max_backups: Some(3),
                max_age_days: Some(1),
            }),
            webhook: Some(AuditWebhook {
                kubeconfig: Document::text(webhook),
                batch_max_wait: Some(Duration::from_millis(100)),
            }),
        }),
        admission: Admission {
            enable: vec!["AlwaysPullImages".to_owned()],
            disable: vec!["LimitRanger".to_owned()],
            configuration: Some(Document::text(admission)),
        },
        feature_gates: [("AllAlpha".to_owned(), false)].into(),
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(options).await?;
    let (mut connection, _) = tokio::time::timeout(PATIENCE, receiver.accept()).await??;
    let mut start = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, connection.read(&mut start)).await??;
    let start = String::from_utf8_lossy(&start[..read]).into_owned();
    assert!(start.starts_with("POST /audit"), "{start}");

    cluster.create_namespace("payments").await?;
    let refused = refusal(&cluster, PRIVILEGED_POD).await?;
    assert!(refused.contains("violates PodSecurity"), "{refused}");
    let stored = cluster.create(POD).await?;
    let pulled = &stored[0].data["spec"]["containers"][0]["imagePullPolicy"];
    assert_eq!(pulled, "Always");
    Ok(())
}

#[tokio::test]
async fn pod_security_and_an_admission_policy_refuse_a_pod() -> Result<()> {
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    cluster
        .create_labelled_namespace(
            "payments",
            &[("pod-security.kubernetes.io/enforce", "baseline")],
        )
        .await?;
    let refused = refusal(&cluster, PRIVILEGED_POD).await?;
    assert!(refused.contains("violates PodSecurity \"baseline"), "{refused}");

    cluster
        .apply(
            "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: pinned}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  validations:
  - expression: object.spec.containers.all(c, c.image.contains('@sha256:'))
    message: images are pinned by digest
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: pinned}
spec: {policyName: pinned, validationActions: [Deny]}
",
        )
        .await?;
    // The API server compiles the policy some moments after it has stored it.
    let refused = wait_until("the policy to be in force", PATIENCE, || async {
        refusal(&cluster, &POD.replace("name: plain", "generateName: plain-")).await
    })
    .await?;
    assert!(refused.contains("images are pinned by digest"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_component_that_does_not_start_is_explained() -> Result<()> {
    let options = ClusterOptions {
        api_server_flags: vec!["--no-such-flag=1".to_owned()],
        ..ClusterOptions::default()
    };
    let Err(error) = Cluster::start(options).await else {
        bail!("it started with an unknown flag");
    };
    let message = format!("{error:#}");
    assert!(message.contains("kube-apiserver does not run"), "{message}");
    assert!(message.contains("unknown flag: --no-such-flag"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_panic_leaves_nothing_behind() -> Result<()> {
    let (mut child, folder) = child_with_cluster("panic").await?;
    let status = child.wait().await?;
    assert_eq!(status.code(), Some(101));
    nothing_is_left(&folder).await
}

#[tokio::test]
async fn a_killed_test_leaves_nothing_behind() -> Result<()> {
    let (mut child, folder) = child_with_cluster("wait").await?;
    assert!(!processes_of(&folder)?.is_empty());
    child.kill().await?;
    nothing_is_left(&folder).await
}

#[tokio::test]
async fn the_program_runs_a_cluster_until_it_is_told_to_stop() -> Result<()> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_proofstream-cluster"))
        .arg("start")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let line = first_line_with(&mut child, "\"kubeconfig\"").await?;
    let description: serde_json::Value = serde_json::from_str(&line)?;
    let kubeconfig = description["kubeconfig"].as_str().context("no path")?;
    let folder = PathBuf::from(description["folder"].as_str().context("no folder")?);
    assert!(Path::new(kubeconfig).is_file());
    assert_eq!(description["audit_log"], serde_json::Value::Null);

    let pid = child.id().context("it ended")?.to_string();
    Command::new("kill").args(["-TERM", &pid]).status().await?;
    assert!(child.wait().await?.success());
    nothing_is_left(&folder).await
}

/// Not a test of its own: the process that the two tests above let die.
#[tokio::test]
async fn child() -> Result<()> {
    let Ok(end) = std::env::var("PROOFSTREAM_E2E_CHILD") else {
        return Ok(());
    };
    let cluster = Cluster::start(ClusterOptions::default()).await?;
    println!("\nfolder {}", cluster.folder().display());
    assert!(end == "wait", "the panic that was asked for");
    std::future::pending().await
}

async fn child_with_cluster(end: &str) -> Result<(Child, PathBuf)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["--exact", "child", "--nocapture"])
        .env("PROOFSTREAM_E2E_CHILD", end)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let line = first_line_with(&mut child, "folder ").await?;
    let folder = line.trim_start_matches("folder ").into();
    Ok((child, folder))
}

async fn first_line_with(child: &mut Child, start: &str) -> Result<String> {
    let output = child.stdout.take().context("no output")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        if line.contains(start) {
            return Ok(line);
        }
    }
    bail!("the child ended without a line with `{start}`")
}

async fn nothing_is_left(folder: &Path) -> Result<()> {
    wait_until("the cluster to be gone", PATIENCE, || async {
        let left = processes_of(folder)?;
        ensure!(left.is_empty(), "still there: {left:?}");
        ensure!(!folder.exists(), "`{}` is still there", folder.display());
        Ok(())
    })
    .await
}

/// The command lines of all processes that name the folder: guardian, etcd and API server.
fn processes_of(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path().join("cmdline");
        let Ok(line) = std::fs::read(path) else {
            continue;
        };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&folder) {
            found.push(line);
        }
    }
    Ok(found)
}

/// What the API server says when it refuses to create this.
async fn refusal(cluster: &Cluster, yaml: &str) -> Result<String> {
    let client = cluster.client().await?;
    let Err(error) = create(&client, yaml).await else {
        bail!("it was not refused");
    };
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => Ok(status.message.clone()),
        _ => Err(error),
    }
}

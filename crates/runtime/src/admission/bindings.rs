//! Which roles are bound to whom, kept at hand while some policy asks for it: names alone, no whole
//! objects.
//!
//! Subjects are matched as the API server's RBAC matches them:
//! <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding, RoleRef, Subject};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use proofstream_policy::UserInfo;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::policies::PolicyStore;

const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Bindings of roles and cluster roles.
pub struct Bindings {
    client: Client,
    books: RwLock<Books>,
    /// Whether both books have been read.
    read: watch::Sender<bool>,
}

/// Both kinds of bindings; `None` where they have not been read.
#[derive(Debug, Default)]
struct Books {
    of_namespaces: Option<Book>,
    of_cluster: Option<Book>,
}

/// The bindings of one kind.
#[derive(Debug, Default)]
struct Book {
    bindings: HashMap<Name, Binding>,
    held: HashMap<Holder, HashSet<Name>>,
}

/// Namespace (empty for the cluster) and name of a binding.
type Name = (String, String);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Binding {
    role: Role,
    holders: Vec<Holder>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    /// `NAMESPACE:NAME`.
    Namespaced(String),
    Cluster(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    User(String),
    Group(String),
    /// The user name of a service account.
    Account(String),
}

// === impl Bindings ===

impl Bindings {
    /// None yet; `client` asks for them.
    pub fn new(client: Client) -> Self {
        Self { client, books: RwLock::default(), read: watch::Sender::new(false) }
    }

    /// Fills in the roles of a user. Waits until the bindings are read; the caller bounds the time, and
    /// marks the user before, as what is left when it runs out.
    pub async fn fill(&self, user: &mut UserInfo) {
        let mut read = self.read.subscribe();
        if read.wait_for(|read| *read).await.is_err() {
            return;
        }
        let books = self.books.read().unwrap_or_else(PoisonError::into_inner);
        if let (Some(namespaces), Some(cluster)) = (&books.of_namespaces, &books.of_cluster) {
            let (mut roles, mut cluster_roles) = (BTreeSet::new(), BTreeSet::new());
            for role in namespaces.roles_of(user).chain(cluster.roles_of(user)) {
                match role {
                    Role::Namespaced(name) => roles.insert(name.clone()),
                    Role::Cluster(name) => cluster_roles.insert(name.clone()),
                };
            }
            user.roles = roles.into_iter().collect();
            user.cluster_roles = cluster_roles.into_iter().collect();
            user.roles_unknown = None;
        }
    }

    /// Says that the roles of a user are not known yet.
    pub fn mark_unknown(user: &mut UserInfo) {
        user.roles_unknown = Some("the cluster's role bindings are not read yet".to_owned());
    }

    /// Follows the bindings for as long as some policy asks for roles, and the task lives.
    pub async fn watch(self: Arc<Self>, policies: Arc<PolicyStore>) {
        let mut changes = policies.subscribe();
        loop {
            let asked = || policies.current().all.asks_roles;
            while !asked() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
            tracing::info!("a policy asks for roles: following the role bindings");
            let ended = async { while asked() && changes.changed().await.is_ok() {} };
            tokio::select! {
                () = self.follow::<RoleBinding>(|books| &mut books.of_namespaces) => {}
                () = self.follow::<ClusterRoleBinding>(|books| &mut books.of_cluster) => {}
                () = ended => {}
            }
            self.change(|books| *books = Books::default());
        }
    }

    async fn follow<K>(&self, slot: impl Fn(&mut Books) -> &mut Option<Book>)
    where
        K: Bound + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        let mut listed = Book::default();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => listed = Book::default(),
                Ok(watcher::Event::InitApply(found)) => listed.put(name(&found), found.project()),
                Ok(watcher::Event::InitDone) => {
                    let listed = std::mem::take(&mut listed);
                    self.change(|books| *slot(books) = Some(listed));
                }
                Ok(watcher::Event::Apply(found)) => self.change(|books| {
                    if let Some(book) = slot(books) {
                        book.put(name(&found), found.project());
                    }
                }),
                Ok(watcher::Event::Delete(found)) => self.change(|books| {
                    if let Some(book) = slot(books) {
                        book.remove(&name(&found));
                    }
                }),
                Err(error) => tracing::warn!(%error, "cannot watch role bindings; trying again"),
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Books)) {
        let mut books = self.books.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut books);
        let read = books.of_namespaces.is_some() && books.of_cluster.is_some();
        self.read.send_if_modified(|known| std::mem::replace(known, read) != read);
    }
}

// === impl Book ===

impl Book {
    fn put(&mut self, name: Name, binding: Option<Binding>) {
        self.remove(&name);
        let Some(binding) = binding else { return };
        for holder in &binding.holders {
            self.held.entry(holder.clone()).or_default().insert(name.clone());
        }
        self.bindings.insert(name, binding);
    }

    fn remove(&mut self, name: &Name) {
        let Some(binding) = self.bindings.remove(name) else { return };
        for holder in &binding.holders {
            if let Some(names) = self.held.get_mut(holder) {
                names.remove(name);
                if names.is_empty() {
                    self.held.remove(holder);
                }
            }
        }
    }

    fn roles_of<'b>(&'b self, user: &UserInfo) -> impl Iterator<Item = &'b Role> + use<'b> {
        let groups = user.groups.iter().cloned().map(Holder::Group);
        let holders: Vec<Holder> = groups
            .chain([Holder::User(user.username.clone()), Holder::Account(user.username.clone())])
            .collect();
        holders
            .into_iter()
            .filter_map(|holder| self.held.get(&holder))
            .flatten()
            .filter_map(|name| self.bindings.get(name))
            .map(|binding| &binding.role)
    }
}

/// A binding of roles.
trait Bound {
    /// What is kept of it; nothing where it binds no role that we know of.
    fn project(&self) -> Option<Binding>;
}

impl Bound for RoleBinding {
    fn project(&self) -> Option<Binding> {
        let namespace = self.metadata.namespace.as_deref().unwrap_or_default();
        binding(&self.role_ref, self.subjects.as_deref(), namespace)
    }
}

impl Bound for ClusterRoleBinding {
    fn project(&self) -> Option<Binding> {
        binding(&self.role_ref, self.subjects.as_deref(), "")
    }
}

fn name(found: &impl ResourceExt) -> Name {
    (found.namespace().unwrap_or_default(), found.name_any())
}

fn binding(role: &RoleRef, subjects: Option<&[Subject]>, namespace: &str) -> Option<Binding> {
    let role = match role.kind.as_str() {
        "Role" if !namespace.is_empty() => Role::Namespaced(format!("{namespace}:{}", role.name)),
        "ClusterRole" => Role::Cluster(role.name.clone()),
        _ => return None,
    };
    let holder = |subject: &Subject| match subject.kind.as_str() {
        "User" => Some(Holder::User(subject.name.clone())),
        "Group" => Some(Holder::Group(subject.name.clone())),
        "ServiceAccount" => {
            let home = subject.namespace.as_deref().filter(|home| !home.is_empty());
            let home = home.unwrap_or(namespace);
            Some(Holder::Account(format!("{SERVICE_ACCOUNT}{home}:{}", subject.name)))
        }
        _ => None,
    };
    let holders = subjects.unwrap_or_default().iter().filter_map(holder).collect();
    Some(Binding { role, holders })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn bound(role: &str, subject: &Value) -> Option<Binding> {
        let made = json!({"metadata": {"name": "b", "namespace": "payments"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": "r"},
            "subjects": [subject]});
        serde_json::from_value::<RoleBinding>(made).unwrap().project()
    }

    fn roles(book: &Book, username: &str, groups: &[&str]) -> Vec<Role> {
        let user = UserInfo {
            username: username.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..UserInfo::default()
        };
        book.roles_of(&user).cloned().collect()
    }

    #[test]
    fn each_kind_of_subject_holds_what_is_bound_to_it() {
        let mut book = Book::default();
        let mut put = |name: &str, binding| book.put((String::new(), name.to_owned()), binding);
        put("user", bound("Role", &json!({"kind": "User", "name": "alice"})));
        put("group", bound("ClusterRole", &json!({"kind": "Group", "name": "devs"})));
        put("here", bound("Role", &json!({"kind": "ServiceAccount", "name": "ci"})));
        let elsewhere = json!({"kind": "ServiceAccount", "name": "ci", "namespace": "build"});
        put("there", bound("ClusterRole", &elsewhere));
        let namespaced = || Role::Namespaced("payments:r".to_owned());
        let cluster = || Role::Cluster("r".to_owned());
        assert_eq!(roles(&book, "alice", &[]), [namespaced()]);
        assert_eq!(roles(&book, "devs", &[]), [], "a user is no group");
        assert_eq!(roles(&book, "bob", &["devs"]), [cluster()]);
        assert_eq!(roles(&book, "system:serviceaccount:payments:ci", &[]), [namespaced()]);
        assert_eq!(roles(&book, "system:serviceaccount:build:ci", &[]), [cluster()]);
    }

    #[test]
    fn what_is_unbound_is_not_held_any_more() {
        let mut book = Book::default();
        let name = ("payments".to_owned(), "b".to_owned());
        book.put(name.clone(), bound("Role", &json!({"kind": "User", "name": "alice"})));
        book.put(name.clone(), bound("Role", &json!({"kind": "User", "name": "bob"})));
        assert_eq!(roles(&book, "alice", &[]), []);
        assert_eq!(roles(&book, "bob", &[]).len(), 1);
        book.remove(&name);
        assert!(book.held.is_empty() && book.bindings.is_empty());
        assert_eq!(bound("Group", &json!({"kind": "User", "name": "alice"})), None);
    }
}

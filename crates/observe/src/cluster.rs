//! Watches one kind of objects of a cluster and hands each on as it arrives; nothing is kept.

mod object;

use std::pin::pin;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use kube::api::{Api, ApiResource};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt as _};
use object::Object;
use serde_json::Value;

/// What a watch says. After `Start` come all objects that exist, then `Listed`; a watch that had to
/// begin anew says `Start` again.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// A list begins.
    Start,
    /// An object is there, or changed.
    Object(Value),
    /// The list is complete: what was not in it is gone.
    Listed,
    /// An object went.
    Gone {
        /// Its `metadata.uid`.
        uid: String,
    },
}

/// The watch was interrupted. It goes on by itself, with a growing pause.
#[derive(Debug, thiserror::Error)]
#[error("the watch of {kind} was interrupted and is tried again")]
pub struct Interrupted {
    /// What is watched, such as `Pod`.
    pub kind: String,
    /// Why.
    #[source]
    pub cause: Box<watcher::Error>,
}

/// Watches all objects of one kind, in every namespace. The list comes in pages of 500, so memory
/// follows the size of a page and not of the cluster. The stream does not end.
pub fn watch(
    client: Client,
    resource: &ApiResource,
) -> impl Stream<Item = Result<Seen, Interrupted>> + Send + use<> {
    watch_in(client, resource, None)
}

/// The same in one namespace, or in every one.
pub fn watch_in(
    client: Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> impl Stream<Item = Result<Seen, Interrupted>> + Send + use<> {
    let kind = resource.kind.clone();
    let api: Api<Object> = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, resource),
        None => Api::all_with(client, resource),
    };
    let type_words = (resource.api_version.clone(), resource.kind.clone());
    let events = watcher(api, watcher::Config::default().page_size(500));
    kube::runtime::WatchStreamExt::default_backoff(events)
        .map_ok(move |event| seen(event, &type_words))
        .map_err(move |cause| Interrupted { kind: kind.clone(), cause: Box::new(cause) })
}

/// Everything of one kind, once, in pages.
pub async fn list_each(
    client: Client,
    resource: &ApiResource,
    mut each: impl FnMut(Value),
) -> Result<(), Interrupted> {
    let mut stream = pin!(watch(client, resource));
    while let Some(seen) = stream.next().await {
        match seen? {
            Seen::Object(object) => each(object),
            Seen::Listed => break,
            Seen::Start | Seen::Gone { .. } => {}
        }
    }
    Ok(())
}

fn seen(event: Event<Object>, (api_version, kind): &(String, String)) -> Seen {
    match event {
        Event::Init => Seen::Start,
        Event::InitDone => Seen::Listed,
        Event::Delete(object) => Seen::Gone { uid: object.uid().unwrap_or_default() },
        Event::Apply(object) | Event::InitApply(object) => {
            Seen::Object(whole(object, api_version, kind))
        }
    }
}

/// Items of a list carry no type of their own.
fn whole(object: Object, api_version: &str, kind: &str) -> Value {
    let mut fields = object.fields;
    fields.insert("apiVersion".to_owned(), api_version.into());
    fields.insert("kind".to_owned(), kind.into());
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_item_of_a_list_gets_its_type_and_loses_managed_fields() {
        let item = json!({
            "metadata": {"name": "a", "uid": "u", "managedFields": [{"manager": "kubectl"}]},
            "spec": {"containers": []}
        });
        let object: Object = serde_json::from_value(item).unwrap();
        let types = ("v1".to_owned(), "Pod".to_owned());
        let Seen::Object(value) = seen(Event::InitApply(object), &types) else {
            panic!("an applied object is an object");
        };
        assert_eq!(
            value,
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "uid": "u"},
                "spec": {"containers": []}
            })
        );
    }
}

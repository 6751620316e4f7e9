//! The way out in an emergency: our webhooks are taken away, by whom and why is kept where the
//! cluster keeps it, and a running Proofstream records the lapse and does not put them back.
//!
//! Needs nothing but the API server: it works while Proofstream is down or is what hurts.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use proofstream_model::Timestamp;

use super::desired::metadata;
use super::part::{Changing, Judging, OfPolicies, Part};

const BY: &str = "proofstream.dev/removed-by";
const AT: &str = "proofstream.dev/removed-at";
const REASON: &str = "proofstream.dev/removed-because";

/// Our webhooks were taken away on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Who did it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in their words.
    pub reason: String,
}

/// Where our webhooks stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is no configuration of ours.
    Absent,
    /// They were taken away.
    Removed(Removal),
    /// They are there: names, with how many rules each has.
    Installed(Vec<(String, usize)>),
}

// === impl Removal ===

impl Removal {
    /// The removal that a configuration tells of.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let annotations = metadata.annotations.as_ref()?;
        let at = annotations.get(AT)?;
        let text = |key: &str| annotations.get(key).cloned().unwrap_or_default();
        Some(Self {
            by: text(BY),
            at: at.parse().unwrap_or_else(|_| Timestamp::from_micros(0)),
            reason: text(REASON),
        })
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "webhooks were removed by {}", self.by)?;
        if !self.reason.is_empty() {
            write!(formatter, ": {}", self.reason)?;
        }
        Ok(())
    }
}

/// Where our webhooks stand.
pub async fn status(client: &Client) -> Result<Standing, kube::Error> {
    let judging = found::<Judging>(client).await?;
    if let Some(removal) = judging.as_ref().and_then(|(removal, _)| removal.clone()) {
        return Ok(Standing::Removed(removal));
    }
    let (changing, policies) =
        (found::<Changing>(client).await?, found::<OfPolicies>(client).await?);
    if judging.is_none() && changing.is_none() && policies.is_none() {
        return Ok(Standing::Absent);
    }
    let all = [judging, changing, policies].into_iter().flatten();
    Ok(Standing::Installed(all.flat_map(|(_, hooks)| hooks).collect()))
}

type Found = (Option<Removal>, Vec<(String, usize)>);

async fn found<P: Part>(client: &Client) -> Result<Option<Found>, kube::Error> {
    let api: Api<P::Configuration> = Api::all(client.clone());
    let found = api.get_opt(P::NAME).await?;
    Ok(found.map(|found| {
        let hooks = P::hooks_of(&found).into_iter();
        let counted = hooks.map(|hook| (hook.name, hook.rules.map_or(0, |rules| rules.len())));
        (Removal::of(found.meta()), counted.collect())
    }))
}

/// Takes our webhooks away. Nothing of ours is asked about any request from then on, until
/// [`install`].
pub async fn remove(client: &Client, removal: &Removal) -> Result<(), kube::Error> {
    // Whoever removes wants to be rid of what refuses first.
    empty::<Judging>(client, removal).await?;
    empty::<Changing>(client, removal).await?;
    empty::<OfPolicies>(client, removal).await
}

async fn empty<P: Part>(client: &Client, removal: &Removal) -> Result<(), kube::Error> {
    let api: Api<P::Configuration> = Api::all(client.clone());
    let mut empty = P::configuration(metadata(P::NAME), Vec::new());
    let annotations = empty.annotations_mut();
    annotations.insert(BY.to_owned(), removal.by.clone());
    annotations.insert(AT.to_owned(), removal.at.to_string());
    annotations.insert(REASON.to_owned(), removal.reason.clone());
    loop {
        let outcome = if let Some(there) = api.get_opt(P::NAME).await? {
            empty.meta_mut().resource_version = there.resource_version();
            api.replace(P::NAME, &PostParams::default(), &empty).await
        } else {
            empty.meta_mut().resource_version = None;
            api.create(&PostParams::default(), &empty).await
        };
        match outcome {
            Ok(_) => return Ok(()),
            // Somebody else wrote in between: look again.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error),
        }
    }
}

/// Ends a removal: a running Proofstream installs its webhooks at once, one that starts later does so
/// then. Says whether there was a removal to end.
pub async fn install(client: &Client) -> Result<bool, kube::Error> {
    let changing = restore::<Changing>(client).await?;
    let of_policies = restore::<OfPolicies>(client).await?;
    let judging = restore::<Judging>(client).await?;
    Ok(changing || of_policies || judging)
}

async fn restore<P: Part>(client: &Client) -> Result<bool, kube::Error> {
    let api: Api<P::Configuration> = Api::all(client.clone());
    let Some(found) = api.get_opt(P::NAME).await? else { return Ok(false) };
    if Removal::of(found.meta()).is_none() {
        return Ok(false);
    }
    // What is gone is seen by a running Proofstream as something to bring about.
    api.delete(P::NAME, &DeleteParams::default()).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_is_read_back() {
        let mut configuration = ObjectMeta::default();
        assert_eq!(Removal::of(&configuration), None);
        let annotations = configuration.annotations.get_or_insert_default();
        annotations.insert(BY.to_owned(), "alice".to_owned());
        annotations.insert(AT.to_owned(), "2026-07-01T00:00:00.000000Z".to_owned());
        annotations.insert(REASON.to_owned(), "it hurts".to_owned());
        let removal = Removal::of(&configuration).unwrap();
        assert_eq!(removal.at.to_string(), "2026-07-01T00:00:00.000000Z");
        assert_eq!(removal.to_string(), "webhooks were removed by alice: it hurts");
    }
}

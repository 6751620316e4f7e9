//! The object while patches are applied to it: `request.object`, or `target` for an existing object.

use std::cell::OnceCell;

use serde_json::{Map, Value};

use super::{Judgement, with_overlays};
use crate::jmespath::{Data, Document, Failure};

/// The object as the patches before have left it.
pub(crate) struct Patched<'s> {
    judgement: &'s Judgement<'s>,
    object: &'s Value,
    is_target: bool,
    merged: OnceCell<Value>,
}

impl<'s> Patched<'s> {
    /// Stands for `request.object`.
    pub(crate) fn of_request(judgement: &'s Judgement<'s>, object: &'s Value) -> Self {
        Self { judgement, object, is_target: false, merged: OnceCell::new() }
    }

    /// Stands for `target`.
    pub(crate) fn target(judgement: &'s Judgement<'s>, object: &'s Value) -> Self {
        Self { judgement, object, is_target: true, merged: OnceCell::new() }
    }

    pub(super) fn stands_for(&self, name: &str) -> bool {
        name == if self.is_target { "target" } else { "request" }
    }

    /// What the name means, with values of the caller laid over a request.
    pub(super) fn data(&self, overlays: &[&Map<String, Value>]) -> Result<Data<'_>, Failure> {
        if self.is_target {
            return Ok(Data::Borrowed(self.object));
        }
        if overlays.iter().all(|overlay| !overlay.contains_key("request")) {
            return Ok(Data::Lazy(self));
        }
        if self.merged.get().is_none() {
            let merged = with_overlays(self.whole()?, overlays);
            self.merged.get_or_init(|| merged);
        }
        Ok(self.merged.get().map_or(Data::NULL, Data::Borrowed))
    }
}

impl Document for Patched<'_> {
    fn member<'m>(&'m self, name: &str) -> Result<Option<Data<'m>>, Failure> {
        match name {
            "object" => Ok(Some(Data::Borrowed(self.object))),
            other => self.judgement.member(other),
        }
    }

    fn whole(&self) -> Result<Value, Failure> {
        let mut whole = self.judgement.whole()?;
        if let Some(members) = whole.as_object_mut() {
            members.insert("object".to_owned(), self.object.clone());
        }
        Ok(whole)
    }
}

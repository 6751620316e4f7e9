//! Functions that CEL policies have beside those of the language: lookups, hashes, time and so on.

use proofstream_cel::Declarations;

/// What a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    ResourceGet,
    ResourceList,
    ResourcePost,
    HttpGet,
    HttpPost,
    GlobalGet,
    ImageMetadata,
    TimeNow,
    TimeTruncate,
    TimeToCron,
    Sha256,
    Sha1,
    Md5,
    JsonUnmarshal,
    JsonMarshal,
    YamlParse,
    ParseServiceAccount,
    Round,
    ListToMap,
    EscapeKey,
    Generate,
}

/// In which policies a function is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Everywhere,
    /// In policies that are not confined to a namespace.
    InClusterPolicies,
    InNamespacedPolicies,
    /// In policies that make objects.
    InGeneratingPolicies,
}

use Function::{
    EscapeKey, Generate, GlobalGet, HttpGet, HttpPost, ImageMetadata, JsonMarshal, JsonUnmarshal,
    ListToMap, Md5, ParseServiceAccount, ResourceGet, ResourceList, ResourcePost, Round, Sha1,
    Sha256, TimeNow, TimeToCron, TimeTruncate, YamlParse,
};
use Known::{Everywhere, InClusterPolicies, InGeneratingPolicies, InNamespacedPolicies};

/// Names, signatures, where they are known, what they do. Names are the field's, old and new.
const FUNCTIONS: [(&[&str], &str, Known, Function); 29] = [
    (RESOURCE_GET, "(string,string,string,string)->dyn", InClusterPolicies, ResourceGet),
    (RESOURCE_GET, "(string,string,string)->dyn", InNamespacedPolicies, ResourceGet),
    (RESOURCE_LIST, "(string,string,string)->dyn", InClusterPolicies, ResourceList),
    (
        RESOURCE_LIST,
        "(string,string,string,map<string,string>)->dyn",
        InClusterPolicies,
        ResourceList,
    ),
    (RESOURCE_LIST, "(string,string)->dyn", InNamespacedPolicies, ResourceList),
    (RESOURCE_LIST, "(string,string,map<string,string>)->dyn", InNamespacedPolicies, ResourceList),
    (RESOURCE_POST, "(string,string,string,map<string,dyn>)->dyn", InClusterPolicies, ResourcePost),
    (RESOURCE_POST, "(string,string,map<string,dyn>)->dyn", Everywhere, ResourcePost),
    (&["http.Get", "http.get"], "(string)->dyn", Everywhere, HttpGet),
    (&["http.Get", "http.get"], "(string,map<string,string>)->dyn", Everywhere, HttpGet),
    (&["http.Post", "http.post"], "(string,dyn)->dyn", Everywhere, HttpPost),
    (&["http.Post", "http.post"], "(string,dyn,map<string,string>)->dyn", Everywhere, HttpPost),
    (&["globalContext.Get", "globalContext.get"], "(string)->dyn", Everywhere, GlobalGet),
    (&["globalContext.Get", "globalContext.get"], "(string,string)->dyn", Everywhere, GlobalGet),
    (&["image.GetMetadata", "image.getMetadata"], "(string)->dyn", Everywhere, ImageMetadata),
    (&["time.now"], "()->timestamp", Everywhere, TimeNow),
    (&["time.truncate"], "(timestamp,duration)->timestamp", Everywhere, TimeTruncate),
    (&["time.toCron"], "(timestamp)->string", Everywhere, TimeToCron),
    (&["sha256", "hash.sha256"], "(string)->string", Everywhere, Sha256),
    (&["sha1", "hash.sha1"], "(string)->string", Everywhere, Sha1),
    (&["md5", "hash.md5"], "(string)->string", Everywhere, Md5),
    (&["json.unmarshal"], "(string)->dyn", Everywhere, JsonUnmarshal),
    (&["json.marshal"], "(dyn)->string", Everywhere, JsonMarshal),
    (&["yaml.parse"], "(string)->dyn", Everywhere, YamlParse),
    (
        &["parseServiceAccount", "user.parseServiceAccount"],
        "(string)->map<string,string>",
        Everywhere,
        ParseServiceAccount,
    ),
    (&["math.round"], "(double,int)->double", Everywhere, Round),
    (
        &["listObjToMap", "transform.listObjToMap"],
        "(list<dyn>,list<dyn>,string,string)->map<dyn,dyn>",
        Everywhere,
        ListToMap,
    ),
    (&["jsonpatch.escapeKey"], "(string)->string", Everywhere, EscapeKey),
    (GENERATE, "(string,list<dyn>)->bool", InGeneratingPolicies, Generate),
];

const GENERATE: &[&str] = &["generator.Apply", "generator.apply"];
const RESOURCE_GET: &[&str] = &["resource.Get", "resource.get"];
const RESOURCE_LIST: &[&str] = &["resource.List", "resource.list"];
const RESOURCE_POST: &[&str] = &["resource.Post", "resource.post"];

impl Function {
    /// The function of a number that was declared.
    pub(crate) fn of(number: usize) -> Option<Self> {
        FUNCTIONS.get(number).map(|(.., function)| *function)
    }
}

/// Declares the functions that a policy knows.
pub(super) fn declare(declarations: &mut Declarations, namespaced: bool) {
    let own = if namespaced { InNamespacedPolicies } else { InClusterPolicies };
    declare_those(declarations, |known| known == Everywhere || known == own);
}

/// Declares what makes objects.
pub(super) fn declare_generator(declarations: &mut Declarations) {
    declare_those(declarations, |known| known == InGeneratingPolicies);
}

fn declare_those(declarations: &mut Declarations, wanted: impl Fn(Known) -> bool) {
    for (number, (names, signature, known, _)) in FUNCTIONS.iter().enumerate() {
        if !wanted(*known) {
            continue;
        }
        for name in *names {
            // INVARIANT: every signature of the table can be read; a test holds it.
            let _ = declarations.declare_function(name, signature, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_can_be_read() {
        let mut declarations = Declarations::default();
        for (number, (names, signature, ..)) in FUNCTIONS.iter().enumerate() {
            for name in *names {
                assert!(declarations.declare_function(name, signature, number).is_ok(), "{name}");
            }
        }
    }
}

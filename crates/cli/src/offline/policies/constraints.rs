//! Gatekeeper's constraints, which become policies when all templates are known.

use std::rc::Rc;

use proofstream_manifest::Document;
use proofstream_policy::{ConstraintTemplate, is_constraint, is_template};

use super::{Loaded, text};
use crate::exit::Failure;

/// Templates and constraints as they are read.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    /// Where each template stands, `FILE:LINE`, and what it says.
    templates: Vec<(String, ConstraintTemplate)>,
    /// Kinds of templates that cannot be used.
    broken: Vec<String>,
    /// Constraints, with the text that they stand in.
    waiting: Vec<(Document, Rc<Vec<u8>>)>,
}

impl Constraints {
    pub(super) fn count(&self) -> usize {
        self.templates.len() + self.waiting.len()
    }
}

impl Loaded {
    /// Takes a template or a constraint; any other document comes back.
    pub(super) fn take_constraint(
        &mut self,
        document: Document,
        source: &Rc<Vec<u8>>,
    ) -> Option<Document> {
        if is_constraint(&document.value) {
            self.constraints.waiting.push((document, Rc::clone(source)));
            return None;
        }
        if !is_template(&document.value) {
            return Some(document);
        }
        match ConstraintTemplate::parse(&document.value) {
            Ok(template) => {
                let place = format!("{}:{}", document.file, document.line);
                self.constraints.templates.push((place, template));
            }
            Err(error) => {
                let kind = text(&document.value, "/spec/crd/spec/names/kind");
                self.constraints.broken.push(kind.to_owned());
                self.tell(&document, source, &error);
            }
        }
        None
    }

    /// Makes a policy of each constraint, now that all templates are known.
    pub(super) fn constrain(&mut self) {
        let Constraints { templates, broken, waiting } = std::mem::take(&mut self.constraints);
        let mut used = vec![false; templates.len()];
        for (document, source) in &waiting {
            let kind = text(&document.value, "/kind");
            let place = templates.iter().position(|(_, template)| template.kind() == kind);
            let Some((place, (_, template))) =
                place.and_then(|place| Some((place, templates.get(place)?)))
            else {
                self.without_template(document, broken.iter().any(|own| own == kind));
                continue;
            };
            if let Some(used) = used.get_mut(place) {
                *used = true;
            }
            match template.constraint(&document.value) {
                Ok(policy) => {
                    self.asks_inventory |= template.asks_inventory();
                    self.policies.push(policy);
                }
                Err(error) => self.tell(document, source, &error),
            }
        }
        for ((place, template), _) in templates.iter().zip(used).filter(|(_, used)| !used) {
            let message = "has no constraint here: nothing is judged by it";
            let name = template.name();
            self.warnings.push(format!("{place}: ConstraintTemplate `{name}` {message}"));
        }
    }

    fn without_template(&mut self, document: &Document, is_broken: bool) {
        let (kind, name) =
            (text(&document.value, "/kind"), text(&document.value, "/metadata/name"));
        let why = if is_broken {
            "its template cannot be used"
        } else {
            "no ConstraintTemplate of this kind is here"
        };
        let (file, line) = (&document.file, document.line);
        let failure = Failure::input(format!("{file}:{line}: {kind} `{name}`: {why}"));
        let failure = failure.help("give the template's file beside the constraint's");
        self.broken.push((name.to_owned(), failure.message.clone()));
        self.failures.push(failure);
    }
}

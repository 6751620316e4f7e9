//! Earlier states of the log that the files must agree with: checkpoints that someone kept, ones
//! that witnesses cosigned, and those at which keys changed.

use super::keys::{KeyChain, numbered};
use super::{Options, Report, VerifyError};
use crate::checkpoint::SignedCheckpoint;
use crate::note::{Algorithm, NoteError, VerifierKey};
use crate::storage::Storage;
use crate::tree::Hash;

/// An earlier state whose root is still to be compared.
pub(crate) struct Point {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) place: String,
    /// Whether someone else than the log's operator vouches for it.
    pub(crate) anchors: bool,
}

/// All earlier states, by size.
pub(crate) struct Anchors<'a> {
    storage: &'a dyn Storage,
    chain: &'a KeyChain,
    witnesses: &'a [VerifierKey],
    points: Vec<Point>,
    /// Sizes whose `witnessed/` file is read only when the tree has grown so far.
    witnessed: Vec<(u64, String)>,
    anchored: Option<u64>,
    compared: u64,
    cosigned: u64,
}

impl<'a> Anchors<'a> {
    /// Collects what is known of earlier states, checking signatures but not yet roots.
    pub(crate) fn collect(
        storage: &'a dyn Storage,
        chain: &'a KeyChain,
        current: &SignedCheckpoint,
        options: &'a Options,
        report: &mut Report,
    ) -> Result<Self, VerifyError> {
        let mut anchors = Self {
            storage,
            chain,
            witnesses: &options.witnesses,
            points: Vec::new(),
            witnessed: numbered(report.list(storage, "witnessed/")?, "witnessed/", report),
            anchored: None,
            compared: 0,
            cosigned: 0,
        };
        for (path, signed) in chain.handovers() {
            anchors.add(path, signed, false);
        }
        for (name, signed) in &options.checkpoints {
            if chain.check_signed(name, signed, report) {
                anchors.add(name, signed, true);
            }
        }
        if anchors.cosigned("checkpoint", current, report) {
            anchors.add("checkpoint", current, true);
        }
        let size = current.checkpoint().size;
        for point in &anchors.points {
            if point.size > size {
                report.fail(
                    "checkpoint",
                    format!(
                        "is of size {size}, but {} is of size {}: segments were taken away",
                        point.place, point.size
                    ),
                );
            }
        }
        for (later, path) in &anchors.witnessed {
            if *later > size {
                report.fail(path.as_str(), format!("is beyond the checkpoint's size {size}"));
            }
        }
        anchors.points.retain(|point| point.size <= size);
        anchors.witnessed.retain(|(witnessed, _)| *witnessed <= size);
        anchors.points.sort_by_key(|point| std::cmp::Reverse(point.size));
        anchors.witnessed.reverse();
        Ok(anchors)
    }

    /// The smallest size that is still to be compared.
    pub(crate) fn next_size(&self) -> Option<u64> {
        let point = self.points.last().map(|point| point.size);
        let witnessed = self.witnessed.last().map(|(size, _)| *size);
        point.into_iter().chain(witnessed).min()
    }

    /// Every size at which a root will be asked for.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let witnessed = self.witnessed.iter().map(|(size, _)| *size);
        self.points.iter().map(|point| point.size).chain(witnessed).collect()
    }

    /// Compares every state of this size with the root the files give for it.
    pub(crate) fn reached(
        &mut self,
        size: u64,
        root: Hash,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        for point in self.take(size, report)? {
            if point.root == root {
                self.compared += 1;
                if point.anchors && size > 0 {
                    self.anchored = self.anchored.max(Some(size));
                }
            } else {
                report.fail(
                    point.place,
                    format!("its root at size {size} is not that of these files: a fork"),
                );
            }
        }
        Ok(())
    }

    /// Takes out every state of this size.
    pub(crate) fn take(
        &mut self,
        size: u64,
        report: &mut Report,
    ) -> Result<Vec<Point>, VerifyError> {
        while let Some((_, path)) = self.witnessed.pop_if(|(witnessed, _)| *witnessed == size) {
            let Some(bytes) = report.require(self.storage, &path)? else { continue };
            match SignedCheckpoint::parse(&bytes) {
                Ok(signed) if signed.checkpoint().size != size => {
                    report.fail(path, "its checkpoint is of another size than its name");
                }
                Ok(signed) => {
                    if self.chain.check_signed(&path, &signed, report) {
                        let anchors = self.cosigned(&path, &signed, report);
                        self.add(&path, &signed, anchors);
                    }
                }
                Err(error) => report.fail(path, error),
            }
        }
        let mut taken = Vec::new();
        while let Some(point) = self.points.pop_if(|point| point.size == size) {
            taken.push(point);
        }
        Ok(taken)
    }

    /// Says what was compared, and gives the greatest size that is anchored.
    pub(crate) fn finish(self, report: &mut Report) -> Option<u64> {
        report.checked("earlier checkpoints whose root these files reproduce", self.compared);
        if self.cosigned > 0 {
            report.checked("cosignatures of witnesses", self.cosigned);
        }
        if self.cosigned == 0 && !self.witnesses.is_empty() {
            report.unchecked("witnesses: no checkpoint here is cosigned by a key that was given");
        }
        self.anchored
    }

    fn add(&mut self, place: &str, signed: &SignedCheckpoint, anchors: bool) {
        let checkpoint = signed.checkpoint();
        self.points.push(Point {
            size: checkpoint.size,
            root: checkpoint.root,
            place: place.to_owned(),
            anchors,
        });
    }

    /// Whether a known witness cosigned it; a cosignature that does not hold is a failure.
    fn cosigned(&mut self, place: &str, signed: &SignedCheckpoint, report: &mut Report) -> bool {
        let mut any = false;
        for witness in self.witnesses {
            let outcome = match witness.algorithm() {
                Algorithm::Ed25519 => signed.note().verify(witness),
                Algorithm::Cosignature => signed.note().verify_cosignature(witness).map(|_| ()),
            };
            match outcome {
                Ok(()) => {
                    any = true;
                    self.cosigned += 1;
                }
                Err(NoteError::Unsigned { .. }) => {}
                Err(error) => report.fail(place, error),
            }
        }
        any
    }
}

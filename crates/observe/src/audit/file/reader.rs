//! The order in which the files of one audit log are read. No waiting, no tasks: [`Reader::poll`]
//! says what is new.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use super::folder::{self, Rotated};
use super::id::{FileId, Head};
use super::open::{End, Open};
use super::{Resume, TailError, TailOptions, Tailed};
use crate::audit::{AuditGap, GapCause};

/// Files held open while an older one is being read; more are found again later.
const HELD: usize = 32;

/// Files whose beginnings are remembered even when they are gone.
const REMEMBERED: usize = 65_536;

/// Reads one audit log and the files that its rotation leaves.
#[derive(Debug)]
pub struct Reader {
    options: TailOptions,
    /// The live file's path as text.
    path: String,
    resume: Option<Resume>,
    started: bool,
    /// The file that is being read.
    current: Option<Open>,
    /// The files after it, oldest first.
    queue: VecDeque<Open>,
    /// Beginnings of files that were read or are older than all that is to be read.
    done: HashSet<Head>,
    /// Names of rotated files as they were listed last.
    listed: HashSet<String>,
    /// Device and inode of the live file that was taken up last.
    live: Option<(u64, u64)>,
    /// The current file was already at its end when a newer one was known.
    settled: bool,
}

// === impl Reader ===

impl Reader {
    /// A reader that has not looked at anything yet. See [`super::Tail::new`].
    pub fn new(options: TailOptions, resume: Option<Resume>) -> Self {
        Self {
            path: options.path.to_string_lossy().into_owned(),
            options,
            resume,
            started: false,
            current: None,
            queue: VecDeque::new(),
            done: HashSet::new(),
            listed: HashSet::new(),
            live: None,
            settled: false,
        }
    }

    /// The lines and gaps since the last call, in order, within one batch's limits; empty where
    /// there is nothing new. An error loses nothing: the next call tries again.
    pub fn poll(&mut self) -> Result<Vec<Tailed>, TailError> {
        let mut items = Vec::new();
        let result = self.advance(&mut items);
        match result {
            Ok(()) => Ok(items),
            // What was read before the error has been counted as read: it goes out first. A start
            // that failed is made again as a whole.
            Err(_) if self.started && !items.is_empty() => Ok(items),
            Err(error) => Err(TailError::new(&self.options.path, error)),
        }
    }

    fn advance(&mut self, items: &mut Vec<Tailed>) -> io::Result<()> {
        if !self.started {
            self.start(items)?;
            self.started = true;
        }
        self.follow(items)?;
        // INVARIANT: each turn fills the batch, ends, or takes a file from the bounded queue.
        while items.len() < self.options.batch_lines {
            let Some(current) = &mut self.current else {
                if self.queue.is_empty() {
                    return Ok(());
                }
                self.take_up(items)?;
                continue;
            };
            if current.head.is_none() && current.learn()? && self.queue.is_empty() {
                // It had no line when it was opened: it may have been copied and cut since.
                let files = folder::rotated(&self.options.path)?;
                self.enlist(&files, items)?;
                self.queue.extend(self.current.take());
                continue;
            }
            match current.read(&self.path, &self.options, items)? {
                End::More => {
                    self.settled = false;
                    return Ok(());
                }
                End::Cut => return self.cut(items),
                End::Reached { .. } if self.queue.is_empty() => return Ok(()),
                // Whoever had the newest of the rotated files open may be about to finish a line.
                End::Reached { rest } if !self.settled && (rest > 0 || self.queue.len() == 1) => {
                    self.settled = true;
                    return Ok(());
                }
                End::Reached { .. } => {
                    items.extend(current.take_rest(&self.path, self.options.line_limit)?);
                    self.finish(items)?;
                }
            }
        }
        Ok(())
    }

    /// Goes on to the next file.
    fn finish(&mut self, items: &mut Vec<Tailed>) -> io::Result<()> {
        if let Some(head) = self.current.take().and_then(|file| file.head) {
            self.done.insert(head);
        }
        self.settled = false;
        self.take_up(items)
    }

    /// Takes the next file of the queue, and unpacks it if need be. One that cannot be is a gap.
    fn take_up(&mut self, items: &mut Vec<Tailed>) -> io::Result<()> {
        let Some(next) = self.queue.front_mut() else { return Ok(()) };
        let readable = next.unpack()?;
        let Some(next) = self.queue.pop_front() else { return Ok(()) };
        if readable {
            self.current = Some(next);
            return Ok(());
        }
        let head = next.head.map(|head| head.to_string()).unwrap_or_default();
        self.done.extend(next.head);
        items.push(Tailed::Gap(AuditGap {
            cause: GapCause::Compressed,
            file: format!("{}#{}-{head}", self.path, next.inode),
            offset: next.offset,
            bytes: None,
        }));
        Ok(())
    }

    /// Finds where to begin.
    fn start(&mut self, items: &mut Vec<Tailed>) -> io::Result<()> {
        let files = folder::rotated(&self.options.path)?;
        let Some(resume) = self.resume.clone() else {
            self.done.extend(files.iter().filter_map(|file| file.head));
            self.listed = files.into_iter().map(|file| file.name).collect();
            return Ok(());
        };
        let newer = match self.find(&resume, &files)? {
            Some(Found::Rotated(index)) => index + 1,
            Some(Found::Live) => files.len(),
            None => {
                items.push(Tailed::Gap(AuditGap {
                    cause: GapCause::Vanished,
                    file: resume.place.file.clone(),
                    offset: resume.place.offset + resume.place.length,
                    bytes: None,
                }));
                // What was rotated before the last known line was written is older than it.
                files.iter().filter(|file| file.until <= resume.written.micros()).count()
            }
        };
        let (older, newer) = files.split_at(newer.min(files.len()));
        self.done.extend(older.iter().filter_map(|file| file.head));
        self.listed = older.iter().map(|file| file.name.clone()).collect();
        self.enlist(newer, items)
    }

    /// Opens the file in which an earlier run stopped, whatever its name is now.
    fn find(&mut self, resume: &Resume, files: &[Rotated]) -> io::Result<Option<Found>> {
        let Ok(id) = resume.place.file.parse::<FileId>() else { return Ok(None) };
        let offset = resume.place.offset + resume.place.length;
        // A copy has the same head as its original: the inode decides first.
        for same_inode in [true, false] {
            let paths = files
                .iter()
                .enumerate()
                .map(|(index, file)| (Found::Rotated(index), file.path.as_path(), file.head));
            for (found, path, head) in paths.chain([(Found::Live, &*self.options.path, None)]) {
                if found != Found::Live && head != Some(id.head) {
                    continue;
                }
                let Some(mut open) = Open::at(path, offset)? else { continue };
                if open.head != Some(id.head) || (open.inode == id.inode) != same_inode {
                    continue;
                }
                if open.unpack()?
                    && open.holds(&resume.place, &resume.witness, self.options.line_limit)?
                {
                    if found == Found::Live {
                        self.live = Some((open.device, open.inode));
                    }
                    self.current = Some(open);
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    /// Notices that another file stands at the live path, and takes up all that came since.
    fn follow(&mut self, items: &mut Vec<Tailed>) -> io::Result<()> {
        if self.queue.len() >= HELD {
            return Ok(());
        }
        let Some(live) = self.look()? else { return Ok(()) };
        if self.live == Some(live) {
            return Ok(());
        }
        let files = folder::rotated(&self.options.path)?;
        self.enlist(&files, items)?;
        self.forget(&files);
        if self.queue.len() >= HELD {
            return Ok(());
        }
        let Some(open) = Open::at(&self.options.path, 0)? else { return Ok(()) };
        if !open.is(live.0, live.1) {
            // Rotated again while the folder was read: the list may lack the file in between.
            return Ok(());
        }
        self.live = Some(live);
        let known = open.head.is_some_and(|head| self.done.contains(&head));
        if !known && !self.holds(live.0, live.1) {
            self.queue.push_back(open);
        }
        Ok(())
    }

    /// Keeps what is remembered of rotated files within bounds.
    fn forget(&mut self, files: &[Rotated]) {
        let names: HashSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
        self.listed.retain(|name| names.contains(name.as_str()));
        if self.done.len() > REMEMBERED {
            let heads: HashSet<Head> = files.iter().filter_map(|file| file.head).collect();
            self.done.retain(|head| heads.contains(head));
        }
    }

    /// Queues those of `files` (oldest first) that are new.
    fn enlist(&mut self, files: &[Rotated], items: &mut Vec<Tailed>) -> io::Result<()> {
        for file in files {
            let gap = |cause| {
                let file = file.path.to_string_lossy().into_owned();
                Tailed::Gap(AuditGap { cause, file, offset: 0, bytes: None })
            };
            if self.queue.len() >= HELD {
                return Ok(());
            }
            let new = self.listed.insert(file.name.clone());
            let Some(head) = file.head else {
                if file.compressed && new {
                    items.push(gap(GapCause::Compressed));
                }
                continue;
            };
            if self.done.contains(&head) || self.reads(head) || self.holds(file.device, file.inode)
            {
                continue;
            }
            match Open::at(&file.path, 0)? {
                Some(open) if open.head == Some(head) => self.queue.push_back(open),
                _ => items.push(gap(GapCause::Vanished)),
            }
        }
        Ok(())
    }

    /// The current file was truncated: goes on in the copy, if somebody made one.
    fn cut(&mut self, items: &mut Vec<Tailed>) -> io::Result<()> {
        let Some(lost) = self.current.take() else { return Ok(()) };
        self.settled = false;
        let files = folder::rotated(&self.options.path)?;
        for file in files.iter().filter(|file| lost.head.is_some() && file.head == lost.head) {
            if lost.is(file.device, file.inode) {
                continue;
            }
            if let Some(mut copy) = Open::at(&file.path, lost.offset)?
                && copy.head == lost.head
                && copy.unpack()?
                && copy.length()? >= lost.offset
            {
                self.current = Some(copy);
                break;
            }
        }
        if self.current.is_none() {
            let head = lost.head.map(|head| head.to_string()).unwrap_or_default();
            items.push(Tailed::Gap(AuditGap {
                cause: GapCause::Truncated,
                file: format!("{}#{}-{head}", self.path, lost.inode),
                offset: lost.offset,
                bytes: None,
            }));
        }
        if self.live != Some((lost.device, lost.inode)) {
            self.done.extend(lost.head);
            return Ok(());
        }
        if let Some(live) = Open::at(&self.options.path, 0)?
            && live.is(lost.device, lost.inode)
            && live.head == lost.head
            && lost.head.is_some()
        {
            // Only its end was cut off: what is written from here on is new.
            let length = live.length()?;
            self.current = Open::at(&self.options.path, length)?;
            return Ok(());
        }
        // The same inode holds a new file now; what was copied away in between comes first.
        self.done.extend(lost.head);
        self.live = None;
        self.enlist(&files, items)
    }

    fn look(&self) -> io::Result<Option<(u64, u64)>> {
        match std::fs::metadata(&self.options.path) {
            Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn holds(&self, device: u64, inode: u64) -> bool {
        self.current.iter().chain(&self.queue).any(|file| file.is(device, inode))
    }

    fn reads(&self, head: Head) -> bool {
        self.current.iter().chain(&self.queue).any(|file| file.begins_with(head))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Rotated(usize),
    Live,
}

//! A disk in memory that forgets what was not synced, fails where it is told to, and dies.
//!
//! A crash keeps, of each file, what was synced and some of what was not, possibly torn; of each
//! folder, the changes that were synced and the first few of those that were not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use proofstream_ledger::storage::{Access, EntryKind, Files, RawFile};

#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The operation of this number fails, once; a write is half done, a sync loses its pages.
    FailAt(u64),
    /// This operation and all after it fail: the process is as good as dead.
    DieAt(u64),
    /// The next sync of a file whose path holds this fails.
    SyncOf(&'static str),
    /// Everything that would need room fails.
    Full,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    File(usize),
    Folder,
}

#[derive(Default, Clone)]
struct Inode {
    data: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

enum Change {
    Link(PathBuf, Node),
    Unlink(PathBuf),
}

struct State {
    inodes: Vec<Inode>,
    live: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    unsynced: BTreeMap<PathBuf, Vec<Change>>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    log: Vec<String>,
    fault: Option<Fault>,
    dead: bool,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Node::Folder)]);
        Self(Arc::new(Mutex::new(State {
            inodes: Vec::new(),
            live: root.clone(),
            durable: root,
            unsynced: BTreeMap::new(),
            locks: BTreeSet::new(),
            operations: 0,
            log: Vec::new(),
            fault: None,
            dead: false,
        })))
    }

    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        self.0.lock().unwrap().fault = fault;
    }

    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    pub(crate) fn operation(&self, number: u64) -> String {
        let state = self.0.lock().unwrap();
        state.log.get(number as usize).cloned().unwrap_or_default()
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().unwrap().dead
    }

    /// Power is lost and comes back. `seed` decides how much of what was not synced is there: 0 is
    /// nothing.
    pub(crate) fn crash(&self, seed: u64) {
        let mut state = self.0.lock().unwrap();
        let mut random = Random(seed);
        let changes = std::mem::take(&mut state.unsynced);
        for changes in changes.into_values() {
            let keep = if seed == 0 { 0 } else { random.below(changes.len() as u64 + 1) };
            for change in changes.into_iter().take(keep as usize) {
                change.apply(&mut state.durable);
            }
        }
        let mut reachable = BTreeMap::new();
        for (path, node) in &state.durable {
            if path.parent().is_none_or(|parent| reachable.get(parent) == Some(&Node::Folder)) {
                reachable.insert(path.clone(), *node);
            }
        }
        for inode in &mut state.inodes {
            inode.crash(seed, &mut random);
        }
        state.live = reachable.clone();
        state.durable = reachable;
        state.fault = None;
        state.dead = false;
        state.locks.clear();
    }

    /// A second disk with the same durable content: a backup.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        {
            let state = self.0.lock().unwrap();
            let mut other = copy.0.lock().unwrap();
            other.inodes.clone_from(&state.inodes);
            other.live.clone_from(&state.live);
            other.durable.clone_from(&state.live);
        }
        copy
    }

    /// Replaces the bytes of a file, as another program would.
    pub(crate) fn edit(&self, path: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock().unwrap();
        let Some(Node::File(inode)) = state.live.get(Path::new(path)).copied() else {
            panic!("no file {path}")
        };
        let inode = &mut state.inodes[inode];
        edit(&mut inode.data);
        inode.synced = inode.data.clone();
        inode.unsynced.clear();
    }

    pub(crate) fn paths(&self, below: &str) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let files = state.live.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        let paths = files.map(|(path, _)| path.display().to_string());
        paths.filter(|path| path.starts_with(below)).collect()
    }
}

impl State {
    fn operate(&mut self, what: impl FnOnce() -> String, needs_room: bool) -> io::Result<()> {
        let number = self.operations;
        self.operations += 1;
        if self.dead {
            return Err(io::Error::other("dead"));
        }
        let what = what();
        self.log.push(what.clone());
        match self.fault {
            Some(Fault::SyncOf(path)) if what.starts_with("sync /") && what.contains(path) => {
                self.fault = None;
                Err(io::Error::other("injected"))
            }
            Some(Fault::FailAt(at)) if at == number => {
                self.fault = None;
                Err(io::Error::other("injected"))
            }
            Some(Fault::DieAt(at)) if at <= number => {
                self.dead = true;
                Err(io::Error::other("dead"))
            }
            Some(Fault::Full) if needs_room => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn parent_exists(&self, path: &Path) -> io::Result<PathBuf> {
        let parent = path.parent().unwrap_or_else(|| Path::new("/")).to_path_buf();
        match self.live.get(&parent) {
            Some(Node::Folder) => Ok(parent),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn change(&mut self, parent: PathBuf, change: Change) {
        change.apply(&mut self.live);
        self.unsynced.entry(parent).or_default().push(change);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Link(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Unlink(path) => drop(names.remove(path)),
        }
    }
}

impl Inode {
    fn crash(&mut self, seed: u64, random: &mut Random) {
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            let kept = match random.below(3) {
                _ if seed == 0 => 0,
                0 => 0,
                1 => bytes.len(),
                _ => random.below(bytes.len() as u64 + 1) as usize,
            };
            write(&mut self.synced, offset, &bytes[..kept]);
        }
        self.data = self.synced.clone();
    }
}

fn write(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if !bytes.is_empty() {
        let end = offset + bytes.len();
        if data.len() < end {
            data.resize(end, 0);
        }
        data[offset..end].copy_from_slice(bytes);
    }
}

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.0.lock().unwrap();
        match state.live.get(path) {
            _ if state.dead => Err(io::Error::other("dead")),
            Some(Node::File(inode)) => Ok(state.inodes[*inode].data.clone()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn kind(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        let state = self.0.lock().unwrap();
        Ok(state.live.get(path).map(|node| match node {
            Node::File(_) => EntryKind::File,
            Node::Folder => EntryKind::Folder,
        }))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<(String, EntryKind)>> {
        let state = self.0.lock().unwrap();
        let below = state.live.iter().filter(|(path, _)| path.parent() == Some(folder));
        let entries = below.map(|(path, node)| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let kind = if *node == Node::Folder { EntryKind::Folder } else { EntryKind::File };
            (name, kind)
        });
        Ok(entries.collect())
    }

    fn create(&self, path: &Path, _: Access) -> io::Result<Box<dyn RawFile>> {
        let mut state = self.0.lock().unwrap();
        state.operate(|| format!("create {}", path.display()), true)?;
        let parent = state.parent_exists(path)?;
        // Truncating a file is modelled as another file under its name.
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change(parent, Change::Link(path.to_path_buf(), Node::File(inode)));
        Ok(Box::new(Open { disk: self.clone(), inode, path: path.to_path_buf() }))
    }

    fn create_folder(&self, path: &Path, _: Access) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operate(|| format!("mkdir {}", path.display()), true)?;
        let parent = state.parent_exists(path)?;
        if state.live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.change(parent, Change::Link(path.to_path_buf(), Node::Folder));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operate(|| format!("rename {}", to.display()), true)?;
        let parent = state.parent_exists(to)?;
        let node = *state.live.get(from).ok_or(io::ErrorKind::NotFound)?;
        if node == Node::Folder {
            // A whole folder is moved by the journal at once, with all that is in it.
            for names in 0..2 {
                let names = if names == 0 { &mut state.live } else { &mut state.durable };
                let moved: Vec<_> =
                    names.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in moved {
                    let node = names.remove(&path).unwrap();
                    names.insert(to.join(path.strip_prefix(from).unwrap()), node);
                }
            }
            return Ok(());
        }
        let old = from.parent().unwrap().to_path_buf();
        state.change(parent, Change::Link(to.to_path_buf(), node));
        state.change(old, Change::Unlink(from.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if !state.live.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.operate(|| format!("remove {}", path.display()), false)?;
        let parent = state.parent_exists(path)?;
        state.change(parent, Change::Unlink(path.to_path_buf()));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.operate(|| format!("sync folder {}", folder.display()), false)?;
        for change in state.unsynced.remove(folder).unwrap_or_default() {
            change.apply(&mut state.durable);
        }
        Ok(())
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Box<dyn Send>> {
        if !self.0.lock().unwrap().locks.insert(path.to_path_buf()) {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, holder.to_owned()));
        }
        Ok(Box::new(Held { disk: self.clone(), path: path.to_path_buf() }))
    }
}

struct Held {
    disk: Disk,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.disk.0.lock().unwrap().locks.remove(&self.path);
    }
}

struct Open {
    disk: Disk,
    inode: usize,
    path: PathBuf,
}

impl RawFile for Open {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let grows = offset + bytes.len() > state.inodes[self.inode].data.len();
        let outcome = state.operate(|| format!("write {} at {offset}", self.path.display()), grows);
        let written = match &outcome {
            Ok(()) => bytes,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => &[],
            Err(_) => &bytes[..bytes.len() / 2],
        };
        let inode = &mut state.inodes[self.inode];
        write(&mut inode.data, offset, written);
        inode.unsynced.push((offset, written.to_vec()));
        outcome
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let outcome = state.operate(|| format!("sync {}", self.path.display()), false);
        let inode = &mut state.inodes[self.inode];
        let unsynced = std::mem::take(&mut inode.unsynced);
        match outcome {
            Ok(()) => {
                for (at, bytes) in &unsynced {
                    write(&mut inode.synced, *at, bytes);
                }
                Ok(())
            }
            // The pages are marked clean though they never reached the disk: no later sync brings
            // them back, and whether they can still be read depends on the file system.
            Err(error) => {
                if state.operations.is_multiple_of(2) {
                    let inode = &mut state.inodes[self.inode];
                    inode.data = inode.synced.clone();
                }
                Err(error)
            }
        }
    }
}

/// Splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

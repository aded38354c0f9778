//! The state of the service, behind one lock.
//!
//! Each change is decided, written to the log and applied while the lock is held. A client that disconnects does not
//! interrupt it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::content::{Content, Digests};
use super::record::{Bundle, Migration, Part, Session, Upload};
use super::settings::Settings;
use super::tree::{Node, NodeId, ROOT, Tree};
use crate::blobs::{BlobId, Blobs, MISSING_CONTENT};
use crate::clock::Clock;
use crate::durable::{Damage, Log};

/// A change of the state, and an entry of the log. Replaying all changes restores the state.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Change {
    Node(Box<Node>),
    /// The removal of a node.
    NodeGone(NodeId),
    /// The new modification time of a folder, after a change below it.
    Touched(NodeId, Timestamp),
    Content(Content),
    Digests(String, Digests),
    Upload(Upload),
    UploadGone(String),
    Part(String, u32, Part),
    Session(Session),
    SessionGone(String),
    Bundle(Bundle),
    BundleGone(u64),
    Migration(Migration),
}

/// The shared handle of the state and of the blobs with the contents of files.
#[derive(Clone, Debug)]
pub(super) struct Store {
    state: Arc<Mutex<State>>,
    blobs: Arc<Blobs>,
    durable: bool,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) contents: HashMap<String, Content>,
    pub(super) uploads: HashMap<String, Upload>,
    pub(super) sessions: HashMap<String, Session>,
    pub(super) bundles: BTreeMap<u64, Bundle>,
    pub(super) migrations: BTreeMap<u64, Migration>,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    /// The number of files that refer to a content.
    reference_counts: HashMap<String, usize>,
    /// Contents that no file refers to, and since when. A download URL may still be valid.
    retired: HashMap<String, Timestamp>,
    log: Option<Log<Vec<Change>>>,
    blobs: Arc<Blobs>,
}

impl Store {
    pub(super) fn open(folder: &Path, kept: bool, clock: Clock, damage: &mut Damage) -> io::Result<Self> {
        let before = damage.0.len();
        let bodies = folder.join("bodies");
        let (blobs, log, history) = if kept {
            let (log, history) = Log::open(folder.join("log"), damage)?;
            (Blobs::durable(bodies)?, Some(log), history)
        } else {
            (Blobs::temporary(bodies)?, None, Vec::new())
        };
        let mut state = State::new(clock, log, Arc::clone(&blobs));
        history.into_iter().flatten().for_each(|change| state.apply(change));
        state.ensure_root()?;
        if kept {
            if damage.0.len() > before {
                state.blobs.keep_unknown();
            }
            state.remove_leftovers(damage)?;
        }
        Ok(Store { state: Arc::new(Mutex::new(state)), blobs, durable: kept })
    }

    pub(super) fn blobs(&self) -> &Arc<Blobs> {
        &self.blobs
    }

    /// Runs `step` under the lock, to its end even if the caller is dropped. Runs due migrations first.
    pub(super) async fn run<T, E>(&self, step: impl FnOnce(&mut State) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<io::Error> + Send + 'static,
    {
        let state = Arc::clone(&self.state);
        let locked = move || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.run_due_migrations()?;
            step(&mut state)
        };
        if self.durable {
            // Syncing a disk takes milliseconds and would block the other requests of this thread.
            tokio::task::spawn_blocking(locked).await.map_err(|error| E::from(io::Error::other(error)))?
        } else {
            locked()
        }
    }

    /// Returns the contents without digests, for example after a restart.
    pub(super) fn undigested(&self) -> Vec<Content> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.contents.values().filter(|content| content.digests.is_none()).cloned().collect()
    }

    /// Returns the number of files.
    pub(super) fn file_count(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).tree.file_count()
    }
}

impl State {
    fn new(clock: Clock, log: Option<Log<Vec<Change>>>, blobs: Arc<Blobs>) -> Self {
        State {
            tree: Tree::default(),
            contents: HashMap::new(),
            uploads: HashMap::new(),
            sessions: HashMap::new(),
            bundles: BTreeMap::new(),
            migrations: BTreeMap::new(),
            settings: Settings::default(),
            clock,
            reference_counts: HashMap::new(),
            retired: HashMap::new(),
            log,
            blobs,
        }
    }

    /// Writes changes to the log, then applies them. If writing fails, none is applied.
    pub(super) fn commit(&mut self, changes: Vec<Change>) -> io::Result<()> {
        if let Some(log) = &mut self.log {
            log.append(&changes)?;
        }
        changes.into_iter().for_each(|change| self.apply(change));
        if self.log.as_ref().is_some_and(Log::is_long)
            && let Err(error) = self.compact_log()
        {
            // Nothing is lost: the long log is still complete.
            tracing::warn!(%error, "the log could not be compacted");
        }
        Ok(())
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Node(node) => {
                if let Some(content) = &node.content {
                    *self.reference_counts.entry(content.clone()).or_default() += 1;
                    self.retired.remove(content);
                }
                let previous = self.tree.get(node.id).and_then(|previous| previous.content.clone());
                self.tree.put(*node);
                self.release(previous);
            }
            Change::NodeGone(id) => {
                let node = self.tree.remove(id);
                self.release(node.and_then(|node| node.content));
            }
            Change::Touched(id, at) => {
                if let Some(node) = self.tree.get_mut(id) {
                    node.mtime = at;
                }
            }
            Change::Content(content) => _ = self.contents.insert(content.id.clone(), content),
            Change::Digests(id, digests) => {
                if let Some(content) = self.contents.get_mut(&id) {
                    content.digests = Some(digests);
                }
            }
            Change::Upload(upload) => _ = self.uploads.insert(upload.id.clone(), upload),
            Change::UploadGone(id) => _ = self.uploads.remove(&id),
            Change::Part(id, number, part) => {
                if let Some(upload) = self.uploads.get_mut(&id) {
                    upload.parts.insert(number, part);
                }
            }
            Change::Session(session) => _ = self.sessions.insert(session.id.clone(), session),
            Change::SessionGone(id) => _ = self.sessions.remove(&id),
            Change::Bundle(bundle) => {
                self.tree.reserve_id(bundle.id);
                self.bundles.insert(bundle.id, bundle);
            }
            Change::BundleGone(id) => _ = self.bundles.remove(&id),
            Change::Migration(migration) => {
                self.tree.reserve_id(migration.id);
                self.migrations.insert(migration.id, migration);
            }
        }
    }

    /// Drops one reference to a content, and retires the content after the last one.
    fn release(&mut self, content: Option<String>) {
        let Some(id) = content else { return };
        let count = self.reference_counts.entry(id.clone()).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.reference_counts.remove(&id);
            self.retired.insert(id, self.clock.now());
        }
    }

    /// Returns the changes that set the modification time of a folder and its ancestors.
    pub(super) fn touch(&self, folder: NodeId, now: Timestamp) -> Vec<Change> {
        let folders = self.tree.get(folder).into_iter().chain(self.tree.ancestors(folder));
        folders.map(|folder| Change::Touched(folder.id, now)).collect()
    }

    /// Removes contents that no file has referred to since `before`. A content that is being read stays.
    pub(super) fn remove_retired(&mut self, before: Timestamp) {
        let State { retired, contents, blobs, .. } = self;
        retired.retain(|id, since| {
            if *since >= before || contents.get(id).is_some_and(Content::is_in_use) {
                return true;
            }
            for piece in contents.remove(id).into_iter().flat_map(|content| content.pieces) {
                blobs.remove(&piece.blob);
            }
            false
        });
    }

    pub(super) fn remove_blobs<'a>(&self, blobs: impl IntoIterator<Item = &'a BlobId>) {
        blobs.into_iter().for_each(|blob| self.blobs.remove(blob));
    }

    /// Resets the state to that of a new emulator.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        if let Some(log) = &mut self.log {
            log.rewrite(std::iter::empty())?;
        }
        *self = State::new(self.clock.clone(), self.log.take(), Arc::clone(&self.blobs));
        self.blobs.remove_all_but(&HashSet::new())?;
        self.ensure_root()
    }

    /// Removes what a crash or damage of the log left: files with missing blobs, nodes whose folder is unknown, contents
    /// that no file refers to, and blobs that nothing refers to.
    fn remove_leftovers(&mut self, damage: &mut Damage) -> io::Result<()> {
        let incomplete = self.tree.nodes().filter(|node| node.content.as_ref().is_some_and(|id| !self.is_complete(id)));
        let incomplete: Vec<_> = incomplete.map(|node| node.id).collect();
        if let Some(log) = self.log.as_ref().filter(|_| !incomplete.is_empty()) {
            // Only a disk failure can lose the blob of a content. The rest of it stays, for a repair.
            damage.add(log.keep_copy()?, MISSING_CONTENT);
            self.blobs.keep_unknown();
        }
        for id in incomplete {
            self.apply(Change::NodeGone(id));
        }
        for node in self.tree.shadowed() {
            let name = self.free_name(node.parent.unwrap_or(ROOT), &node.name);
            tracing::warn!(node.name, name, "two entries of a folder have equal names; one is renamed");
            self.apply(Change::Node(Box::new(Node { name, ..node })));
        }
        for id in self.tree.unreachable() {
            self.apply(Change::NodeGone(id));
        }
        self.retired.clear();
        let State { contents, reference_counts, uploads, .. } = self;
        contents.retain(|id, _| reference_counts.contains_key(id));
        let pieces = contents.values().flat_map(|content| content.pieces.iter().map(|piece| &piece.blob));
        let parts = uploads.values().flat_map(|upload| upload.parts.values().map(|part| &part.blob));
        self.blobs.remove_all_but(&pieces.chain(parts).collect())?;
        self.compact_log()
    }

    /// Returns `true` if all blobs of a content are on disk.
    fn is_complete(&self, content: &str) -> bool {
        let content = self.contents.get(content);
        content
            .is_some_and(|content| content.pieces.iter().all(|piece| self.blobs.size(&piece.blob) == Some(piece.size)))
    }

    fn ensure_root(&mut self) -> io::Result<()> {
        if self.tree.get(ROOT).is_some() {
            return Ok(());
        }
        let root = Node::folder(ROOT, None, "", 0, self.clock.now());
        self.commit(vec![Change::Node(Box::new(root))])
    }

    /// Replaces the log by the shortest one with the same state.
    fn compact_log(&mut self) -> io::Result<()> {
        let Some(mut log) = self.log.take() else {
            return Ok(());
        };
        let result = log.rewrite(self.changes().map(|change| vec![change]));
        self.log = Some(log);
        result
    }

    /// Returns the shortest list of changes that leads to this state.
    fn changes(&self) -> impl Iterator<Item = Change> {
        let parts = |upload: &Upload| {
            let id = upload.id.clone();
            let parts = upload.parts.clone().into_iter();
            parts.map(move |(number, part)| Change::Part(id.clone(), number, part))
        };
        let contents = self.contents.values().cloned().map(Change::Content);
        let nodes = self.tree.nodes().cloned().map(|node| Change::Node(Box::new(node)));
        let uploads = self
            .uploads
            .values()
            .flat_map(move |upload| std::iter::once(Change::Upload(upload.clone())).chain(parts(upload)));
        contents
            .chain(nodes)
            .chain(uploads)
            .chain(self.sessions.values().cloned().map(Change::Session))
            .chain(self.bundles.values().cloned().map(Change::Bundle))
            .chain(self.migrations.values().cloned().map(Change::Migration))
    }
}

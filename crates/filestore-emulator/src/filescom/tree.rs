//! The tree of folders and files: by id, by name, and in the order of lists.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::NameKey;
use super::path::RemotePath;

pub(super) type NodeId = u64;

pub(super) const ROOT: NodeId = 0;

/// A folder or a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) id: NodeId,
    /// `None`: the root.
    pub(super) parent: Option<NodeId>,
    /// In its first spelling.
    pub(super) name: String,
    pub(super) created_by: u64,
    pub(super) created_at: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) provided_mtime: Option<Timestamp>,
    pub(super) custom_metadata: BTreeMap<String, String>,
    pub(super) priority_color: Option<String>,
    /// The id of a file's content; `None`: a folder.
    pub(super) content: Option<String>,
}

impl Node {
    pub(super) fn folder(id: NodeId, parent: Option<NodeId>, name: &str, created_by: u64, now: Timestamp) -> Self {
        Node {
            id,
            parent,
            name: name.to_owned(),
            created_by,
            created_at: now,
            mtime: now,
            provided_mtime: None,
            custom_metadata: BTreeMap::new(),
            priority_color: None,
            content: None,
        }
    }

    pub(super) fn is_file(&self) -> bool {
        self.content.is_some()
    }

    pub(super) fn key(&self) -> NameKey {
        NameKey::of(&self.name)
    }

    pub(super) fn place(&self) -> Place {
        Place { is_file: self.is_file(), name: self.key() }
    }
}

/// Where a node is among its siblings: folders first, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    is_file: bool,
    name: NameKey,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: HashMap<NodeId, Node>,
    children: HashMap<NodeId, BTreeMap<Place, NodeId>>,
    last: NodeId,
}

impl Tree {
    /// An id that nothing else has.
    pub(super) fn next_id(&mut self) -> NodeId {
        self.last += 1;
        self.last
    }

    /// What has an id from here too, and is no node.
    pub(super) fn has_id(&mut self, id: NodeId) {
        self.last = self.last.max(id);
    }

    /// Puts a node where it says it is, and takes it from where it was.
    pub(super) fn put(&mut self, node: Node) {
        self.take(node.id);
        self.has_id(node.id);
        if let Some(parent) = node.parent {
            self.children.entry(parent).or_default().insert(node.place(), node.id);
        }
        self.nodes.insert(node.id, node);
    }

    /// What is below the node stays: it is moved, or removed on its own.
    pub(super) fn take(&mut self, id: NodeId) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        if let Some(siblings) = node.parent.and_then(|parent| self.children.get_mut(&parent)) {
            siblings.remove(&node.place());
        }
        Some(node)
    }

    pub(super) fn remove(&mut self, id: NodeId) -> Option<Node> {
        self.children.remove(&id);
        self.take(id)
    }

    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    pub(super) fn files(&self) -> usize {
        self.nodes.values().filter(|node| node.is_file()).count()
    }

    pub(super) fn child(&self, parent: NodeId, name: &NameKey) -> Option<&Node> {
        let siblings = self.children.get(&parent)?;
        let of = |is_file| siblings.get(&Place { is_file, name: name.clone() });
        self.get(*of(false).or_else(|| of(true))?)
    }

    pub(super) fn find(&self, path: &RemotePath) -> Option<&Node> {
        let root = self.get(ROOT)?;
        path.components().iter().try_fold(root, |node, component| self.child(node.id, &component.key))
    }

    /// The children in the order of lists, from behind a place on.
    pub(super) fn children<'t>(
        &'t self,
        id: NodeId,
        behind: Option<&Place>,
    ) -> impl DoubleEndedIterator<Item = &'t Node> + use<'t> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        self.between(id, from, Bound::Unbounded)
    }

    /// The children before a place and at it.
    pub(super) fn children_up_to<'t>(
        &'t self,
        id: NodeId,
        place: &Place,
    ) -> impl DoubleEndedIterator<Item = &'t Node> + use<'t> {
        self.between(id, Bound::Unbounded, Bound::Included(place))
    }

    fn between<'t>(
        &'t self,
        id: NodeId,
        from: Bound<&Place>,
        to: Bound<&Place>,
    ) -> impl DoubleEndedIterator<Item = &'t Node> + use<'t> {
        let range = self.children.get(&id).map(|children| children.range::<Place, _>((from, to)));
        range.into_iter().flatten().filter_map(|(_, id)| self.get(*id))
    }

    pub(super) fn is_empty(&self, id: NodeId) -> bool {
        self.children.get(&id).is_none_or(BTreeMap::is_empty)
    }

    /// A node and everything below it, parents first.
    pub(super) fn subtree(&self, id: NodeId) -> Vec<&Node> {
        let mut nodes: Vec<&Node> = self.get(id).into_iter().collect();
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let id = node.id;
            nodes.extend(self.children(id, None));
            at += 1;
        }
        nodes
    }

    /// A node's ancestors, the next first, the root last.
    pub(super) fn ancestors(&self, id: NodeId) -> impl Iterator<Item = &Node> {
        let parent = |node: &Node| node.parent.and_then(|parent| self.get(parent));
        std::iter::successors(self.get(id).and_then(parent), move |node| parent(node))
    }

    /// Names joined by slashes; the root's is empty.
    pub(super) fn path(&self, id: NodeId) -> String {
        let own = self.get(id).into_iter().chain(self.ancestors(id));
        let mut names: Vec<_> = own.filter(|node| node.parent.is_some()).map(|node| node.name.as_str()).collect();
        names.reverse();
        names.join("/")
    }
}

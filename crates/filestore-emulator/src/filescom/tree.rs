//! The tree of folders and files, with lookup by id and by name, and children in the order of lists.

use std::collections::{BTreeMap, HashMap, HashSet};
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
    /// The folder that it is in; `None` for the root.
    pub(super) parent: Option<NodeId>,
    /// The name, in the spelling in which the node was created or last moved.
    pub(super) name: String,
    pub(super) created_by: u64,
    pub(super) created_at: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) provided_mtime: Option<Timestamp>,
    pub(super) custom_metadata: BTreeMap<String, String>,
    pub(super) priority_color: Option<String>,
    /// The id of a file's content; `None` for a folder.
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

    /// Returns the name in the form that is compared.
    pub(super) fn key(&self) -> NameKey {
        NameKey::of(&self.name)
    }

    pub(super) fn position(&self) -> Position {
        Position { is_file: self.is_file(), name: self.key() }
    }
}

/// The position of a node among its siblings: folders first, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Position {
    is_file: bool,
    name: NameKey,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: HashMap<NodeId, Node>,
    children: HashMap<NodeId, BTreeMap<Position, NodeId>>,
    last: NodeId,
}

impl Tree {
    /// Returns a new id.
    pub(super) fn next_id(&mut self) -> NodeId {
        self.last += 1;
        self.last
    }

    /// Marks an id as used. Bundles and migrations share the ids of nodes.
    pub(super) fn reserve_id(&mut self, id: NodeId) {
        self.last = self.last.max(id);
    }

    /// Inserts a node under its parent, or moves it there.
    pub(super) fn put(&mut self, node: Node) {
        self.take(node.id);
        self.reserve_id(node.id);
        if let Some(parent) = node.parent {
            // A damaged log may lack the parent, whose id must not become that of another node.
            self.reserve_id(parent);
            self.children.entry(parent).or_default().insert(node.position(), node.id);
        }
        self.nodes.insert(node.id, node);
    }

    /// Takes a node out of the tree. Its list of children stays, for a node that is put back elsewhere.
    pub(super) fn take(&mut self, id: NodeId) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        let position = node.position();
        // Another node can have taken the position; see `shadowed`.
        if let Some(siblings) = node.parent.and_then(|parent| self.children.get_mut(&parent))
            && siblings.get(&position) == Some(&id)
        {
            siblings.remove(&position);
        }
        Some(node)
    }

    /// Removes a node and its list of children. The children themselves are removed one by one.
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

    pub(super) fn file_count(&self) -> usize {
        self.nodes.values().filter(|node| node.is_file()).count()
    }

    pub(super) fn child(&self, parent: NodeId, name: &NameKey) -> Option<&Node> {
        let siblings = self.children.get(&parent)?;
        let id = |is_file| siblings.get(&Position { is_file, name: name.clone() });
        self.get(*id(false).or_else(|| id(true))?)
    }

    /// Returns the nodes that cannot be found by their name, because a sibling has an equal one. A log can have them if it
    /// is damaged, or from a time when fewer names were equal.
    pub(super) fn shadowed(&self) -> Vec<Node> {
        let is_shadowed = |node: &Node| {
            node.parent.is_some_and(|parent| self.child(parent, &node.key()).is_none_or(|child| child.id != node.id))
        };
        let mut nodes: Vec<_> = self.nodes().filter(|node| is_shadowed(node)).cloned().collect();
        nodes.sort_by_key(|node| node.id);
        nodes
    }

    /// Returns the nodes that are not below the root, because a damaged log lacks a folder above them.
    pub(super) fn unreachable(&self) -> Vec<NodeId> {
        let reachable: HashSet<_> = self.subtree(ROOT).into_iter().map(|node| node.id).collect();
        self.nodes.keys().copied().filter(|id| !reachable.contains(id)).collect()
    }

    pub(super) fn find(&self, path: &RemotePath) -> Option<&Node> {
        let root = self.get(ROOT)?;
        path.components().iter().try_fold(root, |node, component| self.child(node.id, &component.key))
    }

    /// Returns the children after a position, in the order of lists.
    pub(super) fn children<'t>(
        &'t self,
        id: NodeId,
        after: Option<&Position>,
    ) -> impl DoubleEndedIterator<Item = &'t Node> + use<'t> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.between(id, from, Bound::Unbounded)
    }

    /// Returns the children up to a position, inclusive.
    pub(super) fn children_up_to<'t>(
        &'t self,
        id: NodeId,
        position: &Position,
    ) -> impl DoubleEndedIterator<Item = &'t Node> + use<'t> {
        self.between(id, Bound::Unbounded, Bound::Included(position))
    }

    fn between<'t>(
        &'t self,
        id: NodeId,
        from: Bound<&Position>,
        to: Bound<&Position>,
    ) -> impl DoubleEndedIterator<Item = &'t Node> + use<'t> {
        let range = self.children.get(&id).map(|children| children.range::<Position, _>((from, to)));
        range.into_iter().flatten().filter_map(|(_, id)| self.get(*id))
    }

    pub(super) fn is_empty(&self, id: NodeId) -> bool {
        self.children.get(&id).is_none_or(BTreeMap::is_empty)
    }

    /// Returns a node and everything below it, parents first.
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

    /// Returns the ancestors of a node, from its parent to the root.
    pub(super) fn ancestors(&self, id: NodeId) -> impl Iterator<Item = &Node> {
        let parent = |node: &Node| node.parent.and_then(|parent| self.get(parent));
        std::iter::successors(self.get(id).and_then(parent), move |node| parent(node))
    }

    /// Returns the path of a node. The root's is empty.
    pub(super) fn path(&self, id: NodeId) -> String {
        let nodes = self.get(id).into_iter().chain(self.ancestors(id));
        let mut names: Vec<_> = nodes.filter(|node| node.parent.is_some()).map(|node| node.name.as_str()).collect();
        names.reverse();
        names.join("/")
    }
}

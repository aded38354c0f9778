//! Operations on one file or folder: stat, update, delete, mkdir.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use super::access::{Caller, Right};
use super::entity::View;
use super::error::Rejection;
use super::path::{RemotePath, Trailing};
use super::store::{Change, State};
use super::tree::{Node, NodeId};
use super::{Call, FilesCom, metadata};
use crate::http::{Response, empty, json};

impl FilesCom {
    pub(super) async fn stat(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let path = RemotePath::from_url(raw, Trailing::AllowedInLast)?;
        caller.check(Right::List, &path)?;
        let view = View::new(&caller, call.params.flag("with_priority_color")?, call.now);
        self.store
            .run(move |state| {
                let node = state.node_at(&path)?;
                Ok(json(StatusCode::OK, &state.entity(node, state.tree.path(node.id), &view)))
            })
            .await
    }

    /// Changes the properties that are present in the parameters.
    pub(super) async fn update(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let params = &call.params;
        let provided_mtime = params.get("provided_mtime").map(|_| params.time("provided_mtime")).transpose()?;
        let custom_metadata = metadata::custom(params)?;
        let priority_color = match params.get("priority_color") {
            None => None,
            Some(Value::Null) => Some(None),
            Some(_) => Some(params.text("priority_color")?),
        };
        let path = non_root_path(raw, Trailing::AllowedInLast)?;
        caller.check(Right::Write, &path)?;
        let view = View::new(&caller, params.flag("with_priority_color")?, call.now);
        self.store
            .run(move |state| {
                let mut node = state.node_at(&path)?.clone();
                node.provided_mtime = provided_mtime.unwrap_or(node.provided_mtime);
                node.custom_metadata = custom_metadata.unwrap_or(node.custom_metadata);
                node.priority_color = priority_color.unwrap_or(node.priority_color);
                state.commit(vec![Change::Node(Box::new(node.clone()))])?;
                Ok(json(StatusCode::OK, &state.entity(&node, state.tree.path(node.id), &view)))
            })
            .await
    }

    pub(super) async fn delete(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let recursive = call.params.flag("recursive")?;
        let path = non_root_path(raw, Trailing::AllowedInLast)?;
        caller.check(Right::Delete, &path)?;
        let now = call.now;
        self.store
            .run(move |state| {
                let (changes, _) = state.plan_delete(&path, recursive, now)?;
                Ok::<_, Rejection>(state.commit(changes)?)
            })
            .await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn mkdir(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let params = &call.params;
        let create_parents = params.flag("mkdir_parents")?;
        let provided_mtime = params.time("provided_mtime")?;
        let path = RemotePath::from_url(raw, Trailing::RejectedEverywhere)?;
        caller.check(Right::Write, &path)?;
        let view = View::new(&caller, params.flag("with_priority_color")?, call.now);
        let (user, now) = (caller.id, call.now);
        self.store
            .run(move |state| {
                let id = state.mkdir(&path, create_parents, provided_mtime, user, now)?;
                let node = state.tree.get(id).ok_or(Rejection::NotFound)?;
                Ok(json(StatusCode::CREATED, &state.entity(node, state.tree.path(id), &view)))
            })
            .await
    }
}

impl State {
    /// Returns the node at a path.
    pub(super) fn node_at(&self, path: &RemotePath) -> Result<&Node, Rejection> {
        self.tree.find(path).ok_or(Rejection::NotFound)
    }

    fn mkdir(
        &mut self,
        path: &RemotePath,
        create_parents: bool,
        provided_mtime: Option<Timestamp>,
        user: u64,
        now: Timestamp,
    ) -> Result<NodeId, Rejection> {
        let (parents, last) = path.split_last().ok_or(Rejection::DestinationExists)?;
        let mut changes = Vec::new();
        let parent = self.ensure_folder(parents, create_parents, Rejection::NotFound, user, now, &mut changes)?;
        if self.tree.child(parent, &last.key).is_some() {
            return Err(Rejection::DestinationExists);
        }
        let id = self.tree.next_id();
        let folder = Node { provided_mtime, ..Node::folder(id, Some(parent), &last.name, user, now) };
        changes.push(Change::Node(Box::new(folder)));
        changes.extend(self.touch(parent, now));
        self.commit(changes)?;
        Ok(id)
    }

    /// Returns the changes that delete a node, and the number of deleted files.
    pub(super) fn plan_delete(
        &self,
        path: &RemotePath,
        recursive: bool,
        now: Timestamp,
    ) -> Result<(Vec<Change>, u64), Rejection> {
        let node = self.node_at(path)?;
        if !recursive && !self.tree.is_empty(node.id) {
            return Err(Rejection::FolderNotEmpty);
        }
        let nodes = self.tree.subtree(node.id);
        let files = nodes.iter().filter(|node| node.is_file()).count() as u64;
        let mut changes: Vec<_> = nodes.iter().rev().map(|node| Change::NodeGone(node.id)).collect();
        changes.extend(node.parent.into_iter().flat_map(|parent| self.touch(parent, now)));
        Ok((changes, files))
    }
}

/// Parses a path from a URL, and rejects the root.
pub(super) fn non_root_path(raw: &str, trailing: Trailing) -> Result<RemotePath, Rejection> {
    let path = RemotePath::from_url(raw, trailing)?;
    if path.is_root() { Err(Rejection::InvalidPath("the root cannot be changed")) } else { Ok(path) }
}

//! Copies, moves and deletes in the background: what they do, and how far they are.

use http::StatusCode;
use jiff::Timestamp;

use super::access::{Caller, Right};
use super::entries::below_root;
use super::error::Rejection;
use super::path::{RemotePath, Trailing};
use super::record::{Due, Migration, Operation, Outcome, Work};
use super::settings::Migrations;
use super::store::{Change, State};
use super::tree::{Node, NodeId};
use super::wire::{FileMigration, Started};
use super::{Call, FilesCom};
use crate::http::{Response, json};

impl FilesCom {
    /// `POST /file_actions/copy/PATH` and `move`.
    pub(super) async fn transfer(
        &self,
        operation: Operation,
        raw: &str,
        call: Call<'_>,
        caller: Caller,
    ) -> Result<Response, Rejection> {
        let destination = call.params.text("destination")?.ok_or(Rejection::Missing("destination"))?;
        let forced = call.params.flag("overwrite")?;
        let source = below_root(raw, Trailing::AllowedInLast)?;
        let target = RemotePath::of_text(&destination, Trailing::AllowedInLast)?;
        caller.may(if operation == Operation::Move { Right::Delete } else { Right::Read }, &source)?;
        caller.may(Right::Write, &target)?;
        let (path, destination) = (source.to_string(), Some(target.to_string()));
        self.start(Work { operation, path, destination, forced }, caller, call.now).await
    }

    /// `POST /file_actions/delete/PATH`.
    pub(super) async fn begin_delete(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let forced = call.params.flag("recursive")?;
        let path = below_root(raw, Trailing::AllowedInLast)?;
        caller.may(Right::Delete, &path)?;
        let work = Work { operation: Operation::Delete, path: path.to_string(), destination: None, forced };
        self.start(work, caller, call.now).await
    }

    /// What cannot work is rejected at once, whenever it is to be done.
    async fn start(&self, work: Work, caller: Caller, now: Timestamp) -> Result<Response, Rejection> {
        let user = caller.id;
        let started = self
            .store
            .run(move |state| {
                let (changes, _) = state.plan(&work, user, now)?;
                let due = match state.settings.migrations {
                    Migrations::Sync => {
                        state.commit(changes)?;
                        return Ok::<_, Rejection>(Started { status: "completed", file_migration_id: None });
                    }
                    Migrations::Polls(left) => Due::Polls { left, asked: 0 },
                    Migrations::Delay(delay) => Due::At(now.checked_add(delay).unwrap_or(Timestamp::MAX)),
                };
                let id = state.tree.next_id();
                state.commit(vec![Change::Migration(Migration { id, work, user, begun: now, due, outcome: None })])?;
                Ok(Started { status: "pending", file_migration_id: Some(id) })
            })
            .await?;
        Ok(json(StatusCode::CREATED, &started))
    }

    /// `GET /file_migrations/ID`.
    pub(super) async fn migration(&self, id: &str, now: Timestamp) -> Result<Response, Rejection> {
        let id: u64 = id.parse().map_err(|_| Rejection::NotFound)?;
        self.store
            .run(move |state| {
                state.count_poll(id)?;
                let migration = state.migrations.get(&id).ok_or(Rejection::NotFound)?;
                Ok(json(StatusCode::OK, &migration.shown(now)))
            })
            .await
    }
}

impl State {
    /// Does what has become due.
    pub(super) fn run_due_migrations(&mut self) -> std::io::Result<()> {
        let now = self.clock.now();
        let is_due =
            |migration: &&Migration| migration.outcome.is_none() && matches!(migration.due, Due::At(due) if now >= due);
        let due: Vec<_> = self.migrations.values().filter(is_due).cloned().collect();
        due.into_iter().try_for_each(|migration| self.run_migration(migration))
    }

    fn count_poll(&mut self, id: u64) -> std::io::Result<()> {
        let Some(mut migration) = self.migrations.get(&id).filter(|one| one.outcome.is_none()).cloned() else {
            return Ok(());
        };
        match &mut migration.due {
            Due::At(_) => Ok(()),
            Due::Polls { left: 0, .. } => self.run_migration(migration),
            Due::Polls { left, asked } => {
                (*left, *asked) = (*left - 1, *asked + 1);
                self.commit(vec![Change::Migration(migration)])
            }
        }
    }

    /// The work and its outcome at once: no crash can do it twice.
    fn run_migration(&mut self, mut migration: Migration) -> std::io::Result<()> {
        let planned = self.plan(&migration.work, migration.user, self.clock.now());
        let (mut changes, outcome) = match planned {
            Ok((changes, files)) => (changes, Outcome { files, failure: None }),
            Err(rejection) => (Vec::new(), Outcome { files: 0, failure: Some(rejection.to_string()) }),
        };
        migration.outcome = Some(outcome);
        changes.push(Change::Migration(migration));
        self.commit(changes)
    }

    /// The changes that are the work, and how many files it is about.
    fn plan(&mut self, work: &Work, user: u64, now: Timestamp) -> Result<(Vec<Change>, u64), Rejection> {
        let path = RemotePath::of_text(&work.path, Trailing::AllowedInLast)?;
        match &work.destination {
            None => self.plan_delete(&path, work.forced, now),
            Some(destination) => {
                let destination = RemotePath::of_text(destination, Trailing::AllowedInLast)?;
                self.plan_transfer(work, &path, &destination, user, now)
            }
        }
    }

    fn plan_transfer(
        &mut self,
        work: &Work,
        path: &RemotePath,
        destination: &RemotePath,
        user: u64,
        now: Timestamp,
    ) -> Result<(Vec<Change>, u64), Rejection> {
        let source = self.node_at(path)?.clone();
        let same = destination.is_same(path);
        // Another spelling of its own name is a place where a move can go.
        if same && (work.operation == Operation::Copy || self.tree.path(source.id) == destination.to_string()) {
            return Err(Rejection::DestinationSame);
        }
        if !same && (destination.is_within(path) || path.is_within(destination)) {
            return Err(Rejection::DestinationConflict);
        }
        let (parents, name) = destination.split_last().ok_or(Rejection::DestinationConflict)?;
        let mut changes = Vec::new();
        let missing = Rejection::DestinationParentMissing;
        let parent = self.folder_for(parents, false, missing, user, now, &mut changes)?;
        let present = self.tree.child(parent, &name.key).filter(|present| present.id != source.id).cloned();
        if present.is_some() && !work.forced {
            return Err(Rejection::DestinationExists);
        }
        let files = self.tree.subtree(source.id).iter().filter(|node| node.is_file()).count() as u64;
        let mut plan = Plan { operation: work.operation, now, changes };
        plan.put(self, &source, parent, &name.name, present.as_ref())?;
        let mut changes = plan.changes;
        changes.extend(self.touched(parent, now));
        if work.operation == Operation::Move {
            changes.extend(source.parent.into_iter().flat_map(|parent| self.touched(parent, now)));
        }
        Ok((changes, files))
    }
}

/// A copy or move on its way through a tree.
struct Plan {
    operation: Operation,
    now: Timestamp,
    changes: Vec<Change>,
}

impl Plan {
    /// Puts a node under a name. Files replace files, folders merge into folders.
    fn put(
        &mut self,
        state: &mut State,
        source: &Node,
        parent: NodeId,
        name: &str,
        present: Option<&Node>,
    ) -> Result<(), Rejection> {
        match present {
            Some(present) if present.is_file() != source.is_file() => return Err(Rejection::DestinationExists),
            Some(folder) if !source.is_file() => return self.merge(state, source, folder.id),
            Some(file) => self.changes.push(Change::NodeGone(file.id)),
            None => {}
        }
        let mut node = Node { parent: Some(parent), name: name.to_owned(), ..source.clone() };
        if self.operation == Operation::Copy {
            // Its times are new, what its owner said about it stays.
            node = Node { id: state.tree.next_id(), created_at: self.now, mtime: self.now, ..node };
        }
        let id = node.id;
        self.changes.push(Change::Node(Box::new(node)));
        if self.operation == Operation::Copy {
            self.put_children(state, source, id, None)?;
        }
        Ok(())
    }

    fn merge(&mut self, state: &mut State, source: &Node, into: NodeId) -> Result<(), Rejection> {
        self.put_children(state, source, into, Some(into))?;
        if self.operation == Operation::Move {
            self.changes.push(Change::NodeGone(source.id));
        }
        Ok(())
    }

    fn put_children(
        &mut self,
        state: &mut State,
        source: &Node,
        parent: NodeId,
        present_in: Option<NodeId>,
    ) -> Result<(), Rejection> {
        let children: Vec<_> = state.tree.children(source.id, None).cloned().collect();
        for child in children {
            let present = present_in.and_then(|folder| state.tree.child(folder, &child.key())).cloned();
            self.put(state, &child, parent, &child.name, present.as_ref())?;
        }
        Ok(())
    }
}

impl Migration {
    fn shown(&self, now: Timestamp) -> FileMigration<'_> {
        let outcome = self.outcome.as_ref();
        let failure_message = outcome.and_then(|outcome| outcome.failure.as_deref());
        let status = match (outcome, failure_message) {
            (Some(_), None) => "completed",
            (Some(_), Some(_)) => "failed",
            (None, _) if self.is_processing(now) => "processing",
            (None, _) => "pending",
        };
        FileMigration {
            id: self.id,
            path: &self.work.path,
            dest_path: self.work.destination.as_deref(),
            operation: match self.work.operation {
                Operation::Copy => "copy",
                Operation::Move => "move",
                Operation::Delete => "delete",
            },
            status,
            region: "us-east-1",
            files_moved: outcome.map_or(0, |outcome| outcome.files),
            files_total: 0,
            log_url: None,
            failure_message,
        }
    }

    /// From the second look, or from half of the time on.
    fn is_processing(&self, now: Timestamp) -> bool {
        match self.due {
            Due::Polls { asked, .. } => asked > 1,
            Due::At(due) => now.duration_since(self.begun) * 2 >= due.duration_since(self.begun),
        }
    }
}

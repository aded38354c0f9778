//! Copies, moves and background deletes. The API calls them file migrations.

use http::StatusCode;
use jiff::Timestamp;

use super::access::{Caller, Right};
use super::entries::non_root_path;
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
        let source = non_root_path(raw, Trailing::AllowedInLast)?;
        let target = RemotePath::from_text(&destination, Trailing::AllowedInLast)?;
        caller.check(if operation == Operation::Move { Right::Delete } else { Right::Read }, &source)?;
        caller.check(Right::Write, &target)?;
        let (path, destination) = (source.to_string(), Some(target.to_string()));
        self.start(Work { operation, path, destination, forced }, caller, call.now).await
    }

    /// `POST /file_actions/delete/PATH`.
    pub(super) async fn begin_delete(&self, raw: &str, call: Call<'_>, caller: Caller) -> Result<Response, Rejection> {
        let forced = call.params.flag("recursive")?;
        let path = non_root_path(raw, Trailing::AllowedInLast)?;
        caller.check(Right::Delete, &path)?;
        let work = Work { operation: Operation::Delete, path: path.to_string(), destination: None, forced };
        self.start(work, caller, call.now).await
    }

    /// Starts the work, or does it at once if [`Migrations::Sync`] is set. Rejects work that is impossible now, even if
    /// it is due later.
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
                    Migrations::Polls(left) => Due::Polls { left, answered: 0 },
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
                Ok(json(StatusCode::OK, &migration.entity(now)))
            })
            .await
    }
}

impl State {
    /// Runs the migrations that are due.
    pub(super) fn run_due_migrations(&mut self) -> std::io::Result<()> {
        let now = self.clock.now();
        let is_due =
            |migration: &&Migration| migration.outcome.is_none() && matches!(migration.due, Due::At(due) if now >= due);
        let due: Vec<_> = self.migrations.values().filter(is_due).cloned().collect();
        due.into_iter().try_for_each(|migration| self.run_migration(migration))
    }

    /// Counts a status request, or runs the migration if enough of them have been counted.
    fn count_poll(&mut self, id: u64) -> std::io::Result<()> {
        let Some(mut migration) = self.migrations.get(&id).filter(|migration| migration.outcome.is_none()).cloned()
        else {
            return Ok(());
        };
        match &mut migration.due {
            Due::At(_) => Ok(()),
            Due::Polls { left: 0, .. } => self.run_migration(migration),
            Due::Polls { left, answered } => {
                (*left, *answered) = (*left - 1, *answered + 1);
                self.commit(vec![Change::Migration(migration)])
            }
        }
    }

    /// Runs a migration. Its changes and its outcome are one commit, so it cannot run twice after a crash.
    fn run_migration(&mut self, mut migration: Migration) -> std::io::Result<()> {
        let plan = self.plan(&migration.work, migration.user, self.clock.now());
        let (mut changes, outcome) = match plan {
            Ok((changes, files)) => (changes, Outcome { files, failure: None }),
            Err(rejection) => (Vec::new(), Outcome { files: 0, failure: Some(rejection.to_string()) }),
        };
        migration.outcome = Some(outcome);
        changes.push(Change::Migration(migration));
        self.commit(changes)
    }

    /// Returns the changes of the work, and the number of files that it affects.
    fn plan(&mut self, work: &Work, user: u64, now: Timestamp) -> Result<(Vec<Change>, u64), Rejection> {
        let path = RemotePath::from_text(&work.path, Trailing::AllowedInLast)?;
        match &work.destination {
            None => self.plan_delete(&path, work.forced, now),
            Some(destination) => {
                let destination = RemotePath::from_text(destination, Trailing::AllowedInLast)?;
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
        let is_same = destination.is_same(path);
        // A move can change the spelling of a name.
        if is_same && (work.operation == Operation::Copy || self.tree.path(source.id) == destination.to_string()) {
            return Err(Rejection::DestinationSame);
        }
        if !is_same && (destination.is_within(path) || path.is_within(destination)) {
            return Err(Rejection::DestinationConflict);
        }
        let (parents, name) = destination.split_last().ok_or(Rejection::DestinationConflict)?;
        let mut changes = Vec::new();
        let missing = Rejection::DestinationParentMissing;
        let parent = self.ensure_folder(parents, false, missing, user, now, &mut changes)?;
        let existing = self.tree.child(parent, &name.key).filter(|existing| existing.id != source.id).cloned();
        if existing.is_some() && !work.forced {
            return Err(Rejection::DestinationExists);
        }
        let files = self.tree.subtree(source.id).iter().filter(|node| node.is_file()).count() as u64;
        let mut plan = Plan { operation: work.operation, now, changes };
        plan.put(self, &source, parent, &name.name, existing.as_ref())?;
        let mut changes = plan.changes;
        changes.extend(self.touch(parent, now));
        if work.operation == Operation::Move {
            changes.extend(source.parent.into_iter().flat_map(|parent| self.touch(parent, now)));
        }
        Ok((changes, files))
    }
}

/// The planned changes of a copy or move.
struct Plan {
    operation: Operation,
    now: Timestamp,
    changes: Vec<Change>,
}

impl Plan {
    /// Copies or moves a node to `name` in `parent`. A file replaces an existing file; a folder merges into an existing
    /// folder.
    fn put(
        &mut self,
        state: &mut State,
        source: &Node,
        parent: NodeId,
        name: &str,
        existing: Option<&Node>,
    ) -> Result<(), Rejection> {
        match existing {
            Some(existing) if existing.is_file() != source.is_file() => return Err(Rejection::DestinationExists),
            Some(folder) if !source.is_file() => return self.merge(state, source, folder.id),
            Some(file) => self.changes.push(Change::NodeGone(file.id)),
            None => {}
        }
        let mut node = Node { parent: Some(parent), name: name.to_owned(), ..source.clone() };
        if self.operation == Operation::Copy {
            // A copy keeps the properties that users set, but not the times.
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
        existing_in: Option<NodeId>,
    ) -> Result<(), Rejection> {
        let children: Vec<_> = state.tree.children(source.id, None).cloned().collect();
        for child in children {
            let existing = existing_in.and_then(|folder| state.tree.child(folder, &child.key())).cloned();
            self.put(state, &child, parent, &child.name, existing.as_ref())?;
        }
        Ok(())
    }
}

impl Migration {
    fn entity(&self, now: Timestamp) -> FileMigration<'_> {
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

    /// Returns `true` from the second status request on, or in the second half of the delay.
    fn is_processing(&self, now: Timestamp) -> bool {
        match self.due {
            Due::Polls { answered, .. } => answered > 1,
            Due::At(due) => now.duration_since(self.begun) * 2 >= due.duration_since(self.begun),
        }
    }
}

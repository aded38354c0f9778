//! `filestore migrate`: moves all files of a store to another one.

use filestore::{Error, Result, Store};
use filestore_transfer::{CopiedFile, Migration, MigrationPlan};
use serde_json::json;

use super::moving::{ConsumingReads, Shortcomings};
use super::note_failure;
use crate::args;
use crate::batch::{Batch, Inputs, pool};
use crate::context::{Context, Target, unannounced};
use crate::exit::Outcomes;
use crate::output;
use crate::tally::Action;

pub(crate) async fn run(context: &Context, args: &args::Migrate) -> Result<u8> {
    context.check_no_store()?;
    let (from, from_scope) = store(context, &args.from)?;
    let (to, to_scope) = store(context, &args.to)?;
    let to = unannounced(to);
    let reads = ConsumingReads::new(&context.reads);
    let observed = reads.clone();
    let mut migration = Migration::new(&from, &to, &args.journal, &args.map)
        .filter(args.filter.0.clone())
        .consume(args.consume)
        .read_back(args.moving.verify.is_some())
        .options(context.upload_options(context.config.store(to.name())?, &args.moving.options)?)
        .on_read(move |download| observed.observe(download));
    if let Some(scope) = from_scope {
        migration = migration.from_scope(scope);
    }
    if let Some(scope) = to_scope {
        migration = migration.to_scope(scope);
    }
    if let Some(shard) = args.shard {
        migration = migration.shard(shard);
    }
    let plan = migration.plan().await?;
    let mut outcomes = Outcomes::default();
    let mut summary = Summary::of(&plan);
    report(context, &plan, &mut outcomes, &from);
    if args.dry_run {
        summary.print(context, "would be copied")?;
        return Ok(outcomes.code());
    }
    let files = plan.files.clone();
    let (copied, end) = plan.run(&pool(args.moving.jobs.jobs))?;
    let mut shortcomings = Shortcomings::default();
    let inputs = Inputs {
        action: Action::Migrate,
        total: files.len(),
        name: &|number| from.subject_of(&files[number].0),
        summary: |_: &CopiedFile| None,
    };
    // Until they are copied.
    summary.failed += summary.files;
    (summary.files, summary.bytes) = (0, 0);
    let count = |number: usize, result: Result<CopiedFile>| {
        reads.ended(&files[number].0);
        match result {
            Ok(copied) => {
                summary.add(&copied);
                if !copied.was_stored {
                    shortcomings.add(&copied, to.name());
                    context.warn_of_skipped(&copied.file.name, &copied.file.skipped);
                }
            }
            Err(error) => note_failure(&mut outcomes, &error),
        }
        Ok(())
    };
    let has_ended = Batch::new(context, &from).run(inputs, copied, count).await;
    if let Err(error) = end.finish().await {
        note_failure(&mut outcomes, &error);
    }
    shortcomings.warn(context);
    summary.print(context, "are copied")?;
    if !has_ended && outcomes.code() == 0 {
        return Ok(1);
    }
    Ok(outcomes.code())
}

/// Opens `STORE`, or `STORE:SCOPE/`.
fn store(context: &Context, text: &str) -> Result<(Store, Option<String>)> {
    if !text.contains(':') {
        return Ok((context.open(context.config.store(text)?)?, None));
    }
    match context.open_target(text, true)? {
        (store, Target::Scope(scope)) => Ok((store, scope)),
        (_, Target::File(_)) => Err(Error::invalid(format!(
            "{text} is a file; name a store, or STORE:SCOPE/ for a folder or channel, and copy single files with `cp`"
        ))),
    }
}

/// Reports the files that are not moved, and what is lost or left.
fn report(context: &Context, plan: &MigrationPlan, outcomes: &mut Outcomes, from: &Store) {
    for (_, error) in &plan.left_out {
        note_failure(outcomes, error);
    }
    if plan.unaddressable > 0 {
        let message =
            format!("{} entries of the source are left out, because no reference can name them", plan.unaddressable);
        note_failure(outcomes, &Error::unsupported(message).with_store(from.name()));
    }
    for (file, copies) in &plan.sent_again {
        let copies: Vec<String> = copies.iter().map(ToString::to_string).collect();
        let may_be = match copies.as_slice() {
            [] => "and the destination, which cannot be listed, may have it twice".to_owned(),
            copies => {
                format!("and {} may be a second copy: delete it if no line of a map names it", copies.join(" or "))
            }
        };
        context.warn(&format!(
            "{} was interrupted, and is sent again; an earlier run may have stored it, {may_be}",
            from.subject_of(file)
        ));
    }
    if plan.without_folders > 0 {
        context.warn(&format!(
            "{} files lose the folders of their paths, because the destination has none; the map has the paths",
            plan.without_folders
        ));
    }
}

/// The number of files by their result.
struct Summary {
    files: u64,
    bytes: u64,
    already: u64,
    failed: u64,
}

impl Summary {
    fn of(plan: &MigrationPlan) -> Self {
        Self {
            files: plan.files.len() as u64,
            bytes: plan.files.iter().filter_map(|(_, size)| *size).sum(),
            already: plan.done,
            failed: plan.left_out.len() as u64,
        }
    }

    fn add(&mut self, copied: &CopiedFile) {
        self.failed -= 1;
        if copied.was_stored {
            self.already += 1;
        } else {
            self.files += 1;
            self.bytes += copied.bytes;
        }
    }

    fn print(&self, context: &Context, verb: &str) -> Result<()> {
        let Self { files, bytes, already, failed } = self;
        output::line(match context.json {
            true => output::json(&json!({ "copied": files, "bytes": bytes, "already": already, "failed": failed })),
            false => format!(
                "{files} files ({bytes} bytes) {verb}, {already} are at the destination already, {failed} are not copied"
            ),
        })
    }
}

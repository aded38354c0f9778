//! One kill for each system call of one file's transfer: the n-th run is killed before the n-th call, and resumed.

use std::collections::BTreeMap;

use filestore::fileio::MaxDownloads;
use filestore_testbed::{Result, failed, log};

use crate::environment::Environment;
use crate::files::{self, NewFile, SourceFile};
use crate::migration::Migration;
use crate::place::{Pair, StoreName};
use crate::runs::Runs;
use crate::single_use;
use crate::tracer::{self, Call, End};
use crate::verify::verify;

/// The least number of kills that proves something.
const LEAST: usize = 12;

/// The pairs whose calls are numbered, and whether reads consume.
const PAIRS: [(Pair, bool); 5] = [
    (Pair { from: StoreName::Fs, to: StoreName::Fs2 }, false),
    (Pair { from: StoreName::Fs, to: StoreName::Filescom }, false),
    (Pair { from: StoreName::Fs, to: StoreName::Pubnub }, false),
    (Pair { from: StoreName::Fs, to: StoreName::Fileio }, false),
    (Pair { from: StoreName::Fileio, to: StoreName::Fs }, true),
];

impl Runs {
    /// Kills migrations of one file, and of one file after another that is done, before each of their calls.
    pub(crate) async fn fault_points(&self) -> Result<()> {
        for (pair, consumes) in PAIRS {
            for has_earlier in [false, true] {
                let case = Case { runs: self, pair, consumes, has_earlier };
                let (mut points, mut lost, mut kinds) = (0, 0, BTreeMap::<&str, usize>::new());
                loop {
                    let name = format!("{pair}, kill {}", points + 1);
                    let killed = case.run(points + 1).await.map_err(|problem| format!("{name}: {problem}"))?;
                    let Some(killed) = killed else { break };
                    points += 1;
                    lost += usize::from(killed.loses_file);
                    *kinds.entry(killed.before.kind).or_default() += 1;
                }
                let name = if has_earlier { "one file after one that is done" } else { "one file" };
                let lost = consumes.then(|| format!("; {lost} of the kills lost the file, which was named"));
                let lost = lost.unwrap_or_default();
                log(&format!(
                    "migrations: {pair}: {name}: killed before each of {points} system calls {kinds:?}{lost}"
                ));
                if points < LEAST {
                    return Err(format!("{points} are too few: at least {LEAST} are needed"));
                }
            }
        }
        Ok(())
    }
}

/// A kill, after which the migration was resumed.
struct Killed {
    before: Call,
    loses_file: bool,
}

struct Case<'a> {
    runs: &'a Runs,
    pair: Pair,
    consumes: bool,
    /// An earlier run of the migration has moved another file.
    has_earlier: bool,
}

impl Case<'_> {
    /// Kills a migration before its n-th call and resumes it. Returns `None` if the migration had ended before.
    async fn run(&self, n: usize) -> Result<Option<Killed>> {
        let environment = Environment::start().await?;
        let (from, to) = (self.pair.source(), self.pair.target());
        let options: &[&str] = if self.consumes { &["--consume"] } else { &[] };
        let migration = self.runs.migration(&environment, "migration", &from, &to, options)?;
        let downloads = if self.consumes { MaxDownloads::Times(1) } else { MaxDownloads::Unlimited };
        let mut sources: Vec<SourceFile> = Vec::new();
        if self.has_earlier {
            sources.extend(files::store(&environment, &from, vec![small("earlier.txt", 1)], downloads).await?);
            migration.complete(1).await?;
        }
        sources.extend(files::store(&environment, &from, vec![small("file.txt", 2)], downloads).await?);
        environment.take_keys_read().await?;
        let end = trace(&migration, n).await?;
        environment.settle().await;
        let before = match end {
            End::Killed(call) => call,
            End::Exited(status, _) if status.success() => return Ok(None),
            End::Exited(status, errors) => return Err(format!("the traced migration failed: {status}: {errors}")),
        };
        match self.resume(&environment, &migration, &sources).await {
            Ok(loses_file) => Ok(Some(Killed { before, loses_file })),
            Err(problem) => Err(format!("before {before:?}: {problem}")),
        }
    }

    /// Resumes the migration, and returns `true` if the file is lost.
    async fn resume(&self, environment: &Environment, migration: &Migration, sources: &[SourceFile]) -> Result<bool> {
        if !self.consumes {
            migration.complete(sources.len()).await?;
            return verify(environment, sources, &migration.target, &[migration.map()]).await.map(|()| false);
        }
        let killed = environment.take_keys_read().await?;
        let lost = single_use::finish(environment, migration, sources, &killed).await?;
        Ok(lost > 0)
    }
}

fn small(name: &str, seed: u64) -> NewFile {
    NewFile { folder: Some("folder".to_owned()), name: name.to_owned(), size: 1000, seed }
}

/// Runs the migration in a thread of its own, which traces it.
async fn trace(migration: &Migration, n: usize) -> Result<End> {
    let (program, arguments) = migration.command_line();
    let (program, arguments) = (program.to_owned(), arguments.to_vec());
    let traced = tokio::task::spawn_blocking(move || tracer::run(&program, &arguments, n));
    traced.await.map_err(failed("trace the program"))?
}

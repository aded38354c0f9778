//! Kills a migration at random moments, and starts it again.

use std::fmt;
use std::time::Duration;

use filestore_testbed::{Result, failed};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use crate::environment::Environment;
use crate::migration::{Migration, ended};

/// The pause between two looks at the map.
const PAUSE: Duration = Duration::from_millis(1);

/// The longest time from the last of the files for which a kill waits to the kill: that of the transfer of some files.
const MOMENT: Duration = Duration::from_millis(5);

/// The number of kills of a migration, by the state in which each found it.
#[derive(Debug, Default)]
pub(crate) struct Hits {
    /// Kills of a running process.
    pub(crate) kills: usize,
    /// Kills of a process that had moved files.
    pub(crate) at_work: usize,
    /// Kills during a transfer: a request or a local file was under way, or the map lacked a file that was stored.
    pub(crate) in_transfer: usize,
    /// Kills after which the destination had files that the map lacked: the next run has to find them.
    pub(crate) unmapped: usize,
    /// The keys that the killed processes had requested from file.io, if their reads consume.
    pub(crate) keys_read: Vec<String>,
}

impl Hits {
    /// Fails if the kills met too little to prove anything. Few kills need not come during a transfer.
    pub(crate) fn check(&self, kills: usize) -> Result<()> {
        match self.kills * 4 >= kills * 3 && self.at_work * 4 >= kills && self.in_transfer >= kills / 20 {
            true => Ok(()),
            false => Err(format!("too few hits of {kills} kills: {self}")),
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.at_work += other.at_work;
        self.in_transfer += other.in_transfer;
        self.unmapped += other.unmapped;
        self.keys_read.extend(other.keys_read);
    }
}

impl fmt::Display for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, at_work, in_transfer, unmapped, .. } = self;
        write!(
            f,
            "{kills} kills, {at_work} of them after files had moved, {in_transfer} during transfers, {unmapped} with stored \
             files that the map lacked"
        )
    }
}

/// Starts the migration `all[number]`, which has `files` files, and kills it, `kills` times. The other ones run at the same
/// time, to the same destination.
///
/// A kill comes when some files have moved, so that the kills spread over the whole migration on each machine. Every second
/// kill comes earlier, at any moment from the start of the process on.
pub(crate) async fn interrupt(
    environment: &Environment,
    all: &[Migration],
    number: usize,
    files: usize,
    kills: usize,
    rng: &mut StdRng,
) -> Result<Hits> {
    let (mut hits, migration) = (Hits::default(), &all[number]);
    // The time from the start of a process to its first file.
    let mut until_first = Duration::from_millis(100);
    for kill in 0..kills {
        let temporary_files = || environment.temporary_files(migration.target.store);
        let (before, left_before) = (migration.mapped(), temporary_files());
        let share = files.saturating_sub(before) / (kills - kill);
        let enough = before + 1 + rng.random_range(0..=share / 2);
        let (mut child, began) = (migration.start()?, Instant::now());
        if kill % 2 == 0 {
            while migration.mapped() == before && !has_ended(&mut child)? {
                sleep(PAUSE).await;
            }
            until_first = began.elapsed();
            while migration.mapped() < enough && !has_ended(&mut child)? {
                sleep(PAUSE).await;
            }
            // Without it, the kill would always come just after the map was written.
            sleep(MOMENT.mul_f64(rng.random())).await;
        } else {
            let moment = until_first.mul_f64(rng.random_range(0.0..1.2));
            while began.elapsed() < moment && migration.mapped() < enough && !has_ended(&mut child)? {
                sleep(PAUSE).await;
            }
        }
        if has_ended(&mut child)? {
            let ended = ended(child).await?;
            if ended.code != Some(0) {
                return Err(format!("run {} of the migration failed: {ended:?}", kill + 1));
            }
            break;
        }
        let under_way = environment.requests_under_way() > 0 || !temporary_files().is_subset(&left_before);
        child.kill().await.map_err(failed("kill the program"))?;
        environment.settle().await;
        let stored = environment.list(&migration.target).await?.len();
        let is_unmapped = stored > all.iter().map(Migration::mapped).sum();
        hits.kills += 1;
        hits.at_work += usize::from(migration.mapped() > before);
        hits.in_transfer += usize::from(under_way || is_unmapped);
        hits.unmapped += usize::from(is_unmapped);
        if migration.consumes() {
            hits.keys_read.extend(environment.take_keys_read().await?);
        }
    }
    Ok(hits)
}

fn has_ended(child: &mut Child) -> Result<bool> {
    child.try_wait().map_err(failed("run the program")).map(|status| status.is_some())
}

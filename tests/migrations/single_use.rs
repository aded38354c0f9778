//! Migrations of files that the first read consumes. A kill may lose the file that file.io is sending, and no other one.

use std::collections::HashSet;
use std::slice;

use filestore::fileio::MaxDownloads;
use filestore_testbed::{Result, log};

use crate::environment::Environment;
use crate::files::{self, SourceFile};
use crate::kills::interrupt;
use crate::migration::Migration;
use crate::place::{Pair, StoreName};
use crate::runs::Runs;
use crate::verify::{read_maps, verify};

impl Runs {
    /// One migration of single-use files.
    pub(crate) async fn single_use(&self) -> Result<()> {
        let pair = Pair { from: StoreName::Fileio, to: StoreName::Fs };
        let environment = Environment::start().await?;
        let files = files::generate(self.seed, self.files, &environment, [pair.from, pair.to])?;
        let sources = files::store(&environment, &pair.source(), files, MaxDownloads::Times(1)).await?;
        let migration = self.migration(&environment, "migration", &pair.source(), &pair.target(), &["--consume"])?;
        let all = slice::from_ref(&migration);
        let hits = interrupt(&environment, all, 0, self.files, self.kills, &mut self.rng(0)).await?;
        log(&format!("migrations: {pair}, single use: {} files; {hits}", self.files));
        let lost = finish(&environment, &migration, &sources, &hits.keys_read).await?;
        log(&format!("migrations: {pair}, single use: {lost} files were lost in transfer, each of which was named"));
        hits.check(self.kills)
    }
}

/// Finishes a migration of single-use files, whose killed processes have read `killed`, and checks it. Returns the number of
/// files that are lost.
///
/// No file was read twice. A lost file was read by a killed process, none of the files in the spool has its content, and the
/// last run names it. The spool keeps no content that has arrived.
pub(crate) async fn finish(
    environment: &Environment,
    migration: &Migration,
    sources: &[SourceFile],
    killed: &[String],
) -> Result<usize> {
    let last_run = migration.finish().await?;
    let mut keys = HashSet::new();
    for key in killed.iter().chain(&environment.take_keys_read().await?) {
        if !keys.insert(key.clone()) {
            return Err(format!("the file {key} was read twice"));
        }
    }
    let mapped = read_maps(&[migration.map()])?;
    let (arrived, lost): (Vec<SourceFile>, Vec<SourceFile>) =
        sources.iter().cloned().partition(|file| mapped.contains_key(&file.reference.to_string()));
    verify(environment, &arrived, &migration.target, &[migration.map()]).await?;
    let spooled = migration.spooled()?;
    if let Some(file) = arrived.iter().find(|file| spooled.contains(&file.sum)) {
        return Err(format!("{} has arrived, and its content is still in the spool", file.name));
    }
    for file in &lost {
        let problem = match file.reference.components().first() {
            Some(key) if !killed.contains(key) => "no killed process had read it",
            _ if spooled.contains(&file.sum) => "its whole content is in the spool",
            _ if !last_run.errors.contains(&file.name) => "the last run does not name it",
            _ => continue,
        };
        return Err(format!("{} is lost, and {problem}: {last_run:?}", file.name));
    }
    match (last_run.code == Some(0)) == lost.is_empty() {
        true => Ok(lost.len()),
        false => Err(format!("{} files are lost, and the last run says {last_run:?}", lost.len())),
    }
}

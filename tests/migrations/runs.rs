//! The runs from which every file comes back: by one process for each pair of stores, and by several processes at once.

use std::path::{Path, PathBuf};
use std::slice;

use filestore::fileio::MaxDownloads;
use filestore_testbed::{Result, log};
use futures::future::try_join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::environment::Environment;
use crate::files::{self, NewFile, SourceFile};
use crate::kills::{Hits, interrupt};
use crate::migration::Migration;
use crate::place::{Pair, Place, StoreName};
use crate::verify::{verify, verify_source};

/// The number of processes that share a migration.
const SHARDS: usize = 4;

/// The parameters of all runs.
pub(crate) struct Runs {
    pub(crate) program: PathBuf,
    pub(crate) files: usize,
    pub(crate) kills: usize,
    pub(crate) jobs: usize,
    pub(crate) seed: u64,
}

impl Runs {
    /// One migration for each pair. All of them run, also after a failure.
    pub(crate) async fn pairs(&self, pairs: &[Pair]) -> Result<()> {
        let mut failed = Vec::new();
        for pair in pairs {
            if let Err(problem) = self.pair(*pair).await {
                log(&format!("migrations: {pair}: FAILED: {problem}"));
                failed.push(pair.to_string());
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
    }

    async fn pair(&self, pair: Pair) -> Result<()> {
        let environment = Environment::start().await?;
        let (from, to) = (pair.source(), pair.target());
        let files = files::generate(self.seed, self.files, &environment, [pair.from, pair.to])?;
        let sources = files::store(&environment, &from, files, MaxDownloads::Unlimited).await?;
        // The capabilities of file.io say that a read may consume a file, also if this one allows more of them.
        let options: &[&str] = if pair.from == StoreName::Fileio { &["--consume"] } else { &[] };
        let migration = self.migration(&environment, "migration", &from, &to, options)?;
        let hits =
            interrupt(&environment, slice::from_ref(&migration), 0, self.files, self.kills, &mut self.rng(0)).await?;
        log(&format!("migrations: {pair}: {} files; {hits}", self.files));
        migration.complete(self.files).await?;
        verify(&environment, &sources, &to, &[migration.map()]).await?;
        verify_source(&environment, &sources, &from).await?;
        hits.check(self.kills)
    }

    /// One migration by several processes, each with a shard of the files: to a store that keeps paths, to one that adds an
    /// id to each name, and to one that chooses a key.
    pub(crate) async fn shards(&self) -> Result<()> {
        for to in [StoreName::Filescom, StoreName::Pubnub, StoreName::Fileio] {
            let pair = Pair { from: StoreName::Fs, to };
            let environment = Environment::start().await?;
            let files = files::generate(self.seed, self.files, &environment, [pair.from, pair.to])?;
            let sources = files::store(&environment, &pair.source(), files, MaxDownloads::Unlimited).await?;
            let mut migrations = Vec::new();
            for number in 1..=SHARDS {
                let shard = format!("{number}/{SHARDS}");
                let name = format!("shard-{number}");
                let options = ["--shard", shard.as_str()];
                migrations.push(self.migration(&environment, &name, &pair.source(), &pair.target(), &options)?);
            }
            let name = format!("{pair}, {SHARDS} shards");
            self.together(&environment, &name, &migrations, &sources, &pair.target()).await?;
        }
        Ok(())
    }

    /// Two shards of one migration, whose files have the same few names and sizes, to one channel.
    pub(crate) async fn equal_names(&self) -> Result<()> {
        let pair = Pair { from: StoreName::Fs, to: StoreName::Pubnub };
        let environment = Environment::start().await?;
        let sources = files::store(&environment, &pair.source(), self.equal(), MaxDownloads::Unlimited).await?;
        let mut migrations = Vec::new();
        for (name, shard) in [("first", "1/2"), ("second", "2/2")] {
            let options = ["--shard", shard];
            migrations.push(self.migration(&environment, name, &pair.source(), &pair.target(), &options)?);
        }
        let name = format!("{pair}, 2 shards with equal names");
        self.together(&environment, &name, &migrations, &sources, &pair.target()).await
    }

    /// Two migrations from two sources, whose files have the same names, sizes and half of them the same content, to one
    /// channel.
    pub(crate) async fn two_sources(&self) -> Result<()> {
        let target = Place::new(StoreName::Pubnub, "target");
        let environment = Environment::start().await?;
        let (mut sources, mut migrations) = (Vec::new(), Vec::new());
        for scope in ["left", "right"] {
            let source = Place::new(StoreName::Fs, scope);
            let mut files = self.equal();
            files.truncate(self.files / 2);
            let other = files.iter_mut().filter(|file| scope == "right" && file.seed.is_multiple_of(2));
            other.for_each(|file| file.seed += 1_000_000);
            sources.extend(files::store(&environment, &source, files, MaxDownloads::Unlimited).await?);
            migrations.push(self.migration(&environment, scope, &source, &target, &[])?);
        }
        let name = "two sources -> pubnub, with equal names";
        self.together(&environment, name, &migrations, &sources, &target).await
    }

    /// Interrupts several migrations at the same time, completes them, and checks their common destination.
    async fn together(
        &self,
        environment: &Environment,
        name: &str,
        migrations: &[Migration],
        sources: &[SourceFile],
        target: &Place,
    ) -> Result<()> {
        let kills = self.kills.div_ceil(migrations.len());
        let files = sources.len() / migrations.len();
        let interrupted = (0..migrations.len()).map(|number| async move {
            interrupt(environment, migrations, number, files, kills, &mut self.rng(number as u64)).await
        });
        let mut hits = Hits::default();
        try_join_all(interrupted).await?.into_iter().for_each(|more| hits.add(more));
        log(&format!("migrations: {name}: {} files; {hits}", sources.len()));
        let ended = try_join_all(migrations.iter().map(Migration::finish)).await?;
        if let Some(ended) = ended.iter().find(|ended| ended.code != Some(0)) {
            return Err(format!("{name}: {ended:?}"));
        }
        let maps: Vec<&Path> = migrations.iter().map(Migration::map).collect();
        verify(environment, sources, target, &maps).await.map_err(|problem| format!("{name}: {problem}"))?;
        hits.check(kills * migrations.len())
    }

    /// Returns files of the same size and ten names, each in a folder of its own. Two files of one name have the same content.
    fn equal(&self) -> Vec<NewFile> {
        let file = |number: usize| NewFile {
            folder: Some(format!("folder-{number:05}")),
            name: format!("report-{}.pdf", number % 10),
            size: 2000,
            seed: number as u64 / 20,
        };
        (0..self.files).map(file).collect()
    }

    pub(crate) fn migration(
        &self,
        environment: &Environment,
        name: &str,
        from: &Place,
        to: &Place,
        options: &[&str],
    ) -> Result<Migration> {
        let jobs = self.jobs.to_string();
        let options: Vec<&str> = ["--jobs", jobs.as_str()].into_iter().chain(options.iter().copied()).collect();
        Migration::new(environment, &self.program, name, from, to, &options)
    }

    pub(crate) fn rng(&self, number: u64) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(number))
    }
}

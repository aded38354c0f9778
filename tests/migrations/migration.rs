//! One migration: the command line that starts and resumes it, and its map.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use filestore_testbed::{Result, failed};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::environment::Environment;
use crate::files::{Sum, sum};
use crate::place::{Place, StoreName};

/// The number of reads that a destination at file.io allows for each file: one by the check, and one that nothing may use.
pub(crate) const DOWNLOADS: u64 = 2;

pub(crate) struct Migration {
    /// The destination.
    pub(crate) target: Place,
    program: PathBuf,
    arguments: Vec<String>,
    journal: PathBuf,
    map: PathBuf,
}

/// A migration that ended by itself.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// The summary: an object.
    pub(crate) summary: Value,
    pub(crate) errors: String,
}

impl Migration {
    /// Prepares a migration whose journal and map are called `name`. The journals of all migrations are in one folder, where
    /// the shards of a migration to file.io find those of the others.
    pub(crate) fn new(
        environment: &Environment,
        program: &Path,
        name: &str,
        from: &Place,
        to: &Place,
        options: &[&str],
    ) -> Result<Self> {
        let folder = environment.path().join("journals");
        fs::create_dir_all(&folder).map_err(failed("create a folder"))?;
        let (journal, map) = (folder.join(format!("{name}.journal")), folder.join(format!("{name}.map")));
        let path = |path: PathBuf| path.display().to_string();
        let mut arguments = vec!["--config".to_owned(), path(environment.configuration())];
        arguments.extend(["--json", "--quiet", "migrate", &from.argument(), &to.argument()].map(str::to_owned));
        arguments.extend(["--journal".to_owned(), path(journal.clone())]);
        arguments.extend(["--map".to_owned(), path(map.clone())]);
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        if to.store == StoreName::Fileio {
            arguments.extend(["-O".to_owned(), format!("max_downloads={DOWNLOADS}")]);
        }
        Ok(Self { target: to.clone(), program: program.to_owned(), arguments, journal, map })
    }

    pub(crate) fn map(&self) -> &Path {
        &self.map
    }

    /// Returns the digests of the files in the spool, whole ones and parts. Empty ones prove nothing.
    pub(crate) fn spooled(&self) -> Result<Vec<Sum>> {
        let spool = format!("{}.spool", self.journal.display());
        let mut sums = Vec::new();
        for entry in fs::read_dir(spool).into_iter().flatten().flatten() {
            let content = fs::read(entry.path()).map_err(failed("read the spool"))?;
            if !content.is_empty() {
                sums.push(sum(&content));
            }
        }
        Ok(sums)
    }

    /// Returns `true` if the reads of the migration consume the source.
    pub(crate) fn consumes(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--consume")
    }

    /// Returns the program and its arguments.
    pub(crate) fn command_line(&self) -> (&Path, &[String]) {
        (&self.program, &self.arguments)
    }

    pub(crate) fn start(&self) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn().map_err(failed("start the program"))
    }

    /// Starts or resumes the migration, and waits until it ends by itself.
    pub(crate) async fn finish(&self) -> Result<Ended> {
        ended(self.start()?).await
    }

    /// Finishes the migration. Fails unless it reports that all `files` are at the destination.
    pub(crate) async fn complete(&self, files: usize) -> Result<()> {
        let ended = self.finish().await?;
        let count = |key: &str| ended.summary[key].as_u64().unwrap_or(u64::MAX);
        let is_complete = count("failed") == 0 && count("copied").checked_add(count("already")) == Some(files as u64);
        if ended.code != Some(0) || !is_complete || !ended.summary["bytes"].is_u64() {
            return Err(format!("the last run of the migration is not complete for {files} files: {ended:?}"));
        }
        match self.journal.exists() {
            true => Ok(()),
            false => Err("the migration has no journal".to_owned()),
        }
    }

    /// Returns the number of files in the map.
    pub(crate) fn mapped(&self) -> usize {
        let map = fs::read(&self.map).unwrap_or_default();
        map.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// Waits until a migration ends by itself.
pub(crate) async fn ended(child: Child) -> Result<Ended> {
    let output = child.wait_with_output().await.map_err(failed("run the program"))?;
    Ok(Ended {
        code: output.status.code(),
        summary: serde_json::from_slice(&output.stdout).unwrap_or_default(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

//! Kills the program with `kill -9` during uploads and downloads. Nothing incomplete may be at the final name, and the next
//! transfer to the same place leaves no temporary file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use filestore_testbed::{Result, failed, log};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::content;
use crate::environment::Environment;
use crate::history::{FileState, Owner, Snapshot, StoreName, place};
use crate::snapshot;

/// The size of the file, in bytes: S3 and Files.com take it in parts.
const SIZE: u32 = 20 << 20;

/// The owner of the folder at the stores.
const OWNER: Owner = Owner::Client(0);

/// Kills the program `kills` times during uploads to each store, and as often during downloads.
pub async fn run(program: PathBuf, s3: Option<String>, kills: u64) -> Result<()> {
    let environment = Environment::start(Some(program), s3).await?;
    let stores = [StoreName::Fs, StoreName::Filescom, StoreName::S3];
    for store in stores.into_iter().filter(|store| *store != StoreName::S3 || environment.bucket.is_some()) {
        let session = Session { environment: &environment, store };
        let uploads = session.uploads(kills).await?;
        let downloads = session.downloads(kills).await?;
        let line = format!(
            "chaos: {}: {kills} kills during uploads, {uploads} of them with a part sent; {kills} during downloads, \
             {downloads} of them with a part received",
            store.as_str()
        );
        log(&line);
        if uploads < kills / 4 || downloads < kills / 4 {
            return Err(format!("{line}: too few interrupted a transfer"));
        }
    }
    Ok(())
}

struct Session<'a> {
    environment: &'a Environment,
    store: StoreName,
}

impl Session<'_> {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let program = self.environment.program.as_ref().ok_or("there is no program")?;
        let mut command = Command::new(program);
        command.arg("--config").arg(self.environment.configuration()).args(["--quiet", "--store", self.store.as_str()]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        Ok(command)
    }

    async fn succeed(&self, arguments: &[&str]) -> Result<()> {
        let output =
            self.command(arguments)?.stderr(Stdio::piped()).output().await.map_err(failed("run the program"))?;
        let problem = || format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(()) } else { Err(problem()) }
    }

    /// Returns the files in the folder of the store.
    async fn files(&self) -> Result<Vec<FileState>> {
        self.environment.quiet().await?;
        let key = place(self.store, OWNER);
        let mut snapshot = snapshot::observe(self.environment, 1, &Snapshot::new(), |place| place == key).await?;
        let mut files = snapshot.remove(&key).unwrap_or_default();
        if self.store == StoreName::Fs {
            files.extend(snapshot.remove(&place(StoreName::Fs, Owner::Temporary)).unwrap_or_default());
        }
        Ok(files)
    }

    /// Kills uploads after a part of the content was written to the program. Returns how often the program had taken all
    /// of that part.
    async fn uploads(&self, kills: u64) -> Result<u64> {
        let mut hits = 0;
        for kill in 0..kills {
            let bytes = content::of(kill, OWNER, SIZE);
            let part = usize::try_from(u64::from(SIZE) * kill / kills).unwrap_or_default();
            let scope = OWNER.to_string();
            let arguments = ["upload", "-", "--name", "file", "--to", &scope, "--no-clobber"];
            let mut child =
                self.command(&arguments)?.stdin(Stdio::piped()).spawn().map_err(failed("run the program"))?;
            let mut stdin = child.stdin.take().ok_or("no standard input")?;
            hits += u64::from(stdin.write_all(&bytes[..part]).await.is_ok());
            child.kill().await.map_err(failed("kill the program"))?;
            drop(stdin);
            if let Some(file) = self.files().await?.iter().find(|file| file.name == "file") {
                return Err(format!("kill {kill} of an upload: {file:?} has the final name"));
            }
            // The next upload to the same place.
            let source = self.environment.path().join("source");
            fs::write(&source, &bytes).map_err(failed("write the source"))?;
            let path = source.display().to_string();
            self.succeed(&["upload", &path, "--name", "file", "--to", &scope]).await?;
            let files = self.files().await?;
            let is_whole = |file: &FileState| file.md5 == Some(content::digest(&bytes));
            match files.as_slice() {
                [file] if is_whole(file) => {}
                _ => return Err(format!("kill {kill} of an upload: the next one leaves {files:?}")),
            }
            for file in &files {
                self.succeed(&["delete", &file.reference]).await?;
            }
        }
        Ok(hits)
    }

    /// Kills downloads after a part has arrived. Returns how often a part, but not all, had arrived.
    async fn downloads(&self, kills: u64) -> Result<u64> {
        let bytes = content::of(kills, OWNER, SIZE);
        let source = self.environment.path().join("source");
        fs::write(&source, &bytes).map_err(failed("write the source"))?;
        let path = source.display().to_string();
        self.succeed(&["upload", &path, "--name", "file", "--to", &OWNER.to_string()]).await?;
        let reference = snapshot::reference(self.store, OWNER, "file");
        let folder = self.environment.path().join("target");
        fs::create_dir_all(&folder).map_err(failed("create a folder"))?;
        let target = folder.join("file").display().to_string();
        let mut hits = 0;
        for kill in 0..kills {
            let part = u64::from(SIZE) * kill / kills;
            let mut child =
                self.command(&["download", &reference, "-o", &target])?.spawn().map_err(failed("run the program"))?;
            while largest(&folder) <= part && child.try_wait().map_err(failed("run the program"))?.is_none() {
                tokio::task::yield_now().await;
            }
            child.kill().await.map_err(failed("kill the program"))?;
            let received = largest(&folder);
            hits += u64::from(received > 0 && received < u64::from(SIZE));
            match fs::read(&target) {
                Ok(found) if found != bytes => return Err(format!("kill {kill} of a download: {} bytes", found.len())),
                Ok(_) => fs::remove_file(&target).map_err(failed("remove a file"))?,
                Err(_) => {}
            }
            // The next download to the same place.
            self.succeed(&["download", &reference, "-o", &target]).await?;
            let found = fs::read(&target).map_err(failed("read a file"))?;
            let names = fs::read_dir(&folder).map_err(failed("read a folder"))?.count();
            if found != bytes || names != 1 {
                return Err(format!("kill {kill} of a download: the next one leaves {names} files"));
            }
            fs::remove_file(&target).map_err(failed("remove a file"))?;
        }
        self.succeed(&["delete", &reference]).await?;
        Ok(hits)
    }
}

/// Returns the size of the largest file in a folder.
fn largest(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).max().unwrap_or_default()
}

//! The crate `files-sdk` in a process of its own: this program, started once more.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use files_sdk::{FileHandler, FilesClient, FolderHandler};
use filestore_emulator::FILESCOM_API_KEY;
use futures::{TryStreamExt, stream};

use super::{Job, Scenario};

/// The first argument of the process.
pub(crate) const WORKER: &str = "files-sdk";

/// The number of files at the same time: the crate leaves it to its users.
const AT_ONCE: usize = 16;

type Error = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn command(job: &Job<'_>) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([WORKER, job.scenario.name(), &job.server.url(), job.scope]);
    command.arg(if job.scenario.is_download() { job.destination } else { &job.content.folder });
    command
}

/// Does the job of the arguments.
pub(crate) async fn run_worker(arguments: &[String]) -> Result<(), Error> {
    let [scenario, url, scope, folder] = arguments else { return Err("four arguments".into()) };
    let client = FilesClient::builder().api_key(FILESCOM_API_KEY).base_url(format!("{url}/api/rest/v1")).build()?;
    let files = &FileHandler::new(client.clone());
    let folder = Path::new(folder);
    let names = |paths: Vec<PathBuf>| paths.into_iter().filter_map(|path| Some(path.file_name()?.to_owned()));
    if scenario == Scenario::DeleteTree.name() {
        return Ok(files.delete_file(&format!("/{scope}"), true).await?);
    }
    let names: Vec<String> = if scenario == Scenario::Down.name() || scenario == Scenario::DownTree.name() {
        let entries = FolderHandler::new(client).list_folder_all(&format!("/{scope}")).await?;
        names(entries.into_iter().filter_map(|entry| entry.path.map(PathBuf::from)).collect()).collect::<Vec<_>>()
    } else {
        let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
        names(entries.collect::<Result<_, _>>()?).collect()
    }
    .into_iter()
    .map(|name| name.to_string_lossy().into_owned())
    .collect();
    let is_small = scenario == Scenario::DownTree.name();
    stream::iter(names.into_iter().map(Ok::<_, Error>))
        .try_for_each_concurrent(AT_ONCE, |name| async move {
            let (remote, local) = (format!("/{scope}/{name}"), folder.join(&name));
            if scenario == Scenario::DeleteList.name() {
                files.delete_file(&remote, false).await?;
            } else if is_small {
                files.download_to_file(&remote, &local).await?;
            } else if scenario == Scenario::Down.name() {
                let mut file = tokio::fs::File::create(&local).await?;
                files.download_stream(&remote, &mut file, None).await?;
                tokio::io::AsyncWriteExt::flush(&mut file).await?;
            } else {
                files.upload_file(&remote, &std::fs::read(&local)?).await?;
            }
            Ok(())
        })
        .await
}

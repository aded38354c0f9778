//! The crate `files-sdk` in a process of its own: this program, started once more.

use std::env;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use files_sdk::{FileHandler, FilesClient, FolderHandler};
use filestore_emulator::FILESCOM_API_KEY;
use futures::{TryStreamExt, stream};
use tokio::fs;
use tokio::io::AsyncWriteExt;

use crate::job::{Job, Scenario};

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
    let scenario = Scenario::from_str(scenario, false)?;
    let client = FilesClient::builder().api_key(FILESCOM_API_KEY).base_url(format!("{url}/api/rest/v1")).build()?;
    let files = &FileHandler::new(client.clone());
    let folder = Path::new(folder);
    if scenario == Scenario::DeleteTree {
        return Ok(files.delete_file(&format!("/{scope}"), true).await?);
    }
    let mut names = Vec::new();
    if scenario.is_download() {
        let entries = FolderHandler::new(client).list_folder_all(&format!("/{scope}")).await?;
        let paths = entries.into_iter().filter_map(|entry| entry.path);
        names.extend(paths.filter_map(|path| Some(path.rsplit('/').next()?.to_owned())));
    } else {
        for entry in std::fs::read_dir(folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
    }
    stream::iter(names.into_iter().map(Ok::<_, Error>))
        .try_for_each_concurrent(AT_ONCE, |name| async move {
            let (remote, local) = (format!("/{scope}/{name}"), folder.join(&name));
            match scenario {
                Scenario::Up | Scenario::UpTree | Scenario::Memory => {
                    files.upload_file(&remote, &fs::read(&local).await?).await?;
                }
                Scenario::Down => {
                    let mut file = fs::File::create(&local).await?;
                    files.download_stream(&remote, &mut file, None).await?;
                    file.flush().await?;
                }
                Scenario::DownTree => files.download_to_file(&remote, &local).await?,
                Scenario::DeleteTree | Scenario::DeleteList => files.delete_file(&remote, false).await?,
            }
            Ok(())
        })
        .await
}

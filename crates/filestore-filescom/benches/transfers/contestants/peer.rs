//! The crate `files-sdk`, with its fastest method for each job. It computes no digest.

use std::time::Duration;

use files_sdk::{FileHandler, FilesClient, FolderHandler};
use futures::{StreamExt, stream};

use super::{API_KEY, AT_ONCE, Job, Task, timed};
use crate::server::{SMALL, block};

pub(crate) async fn run(task: &Task) -> Duration {
    let base = format!("http://{}/api/rest/v1", task.address);
    let client = FilesClient::builder().api_key(API_KEY).base_url(base).build().unwrap();
    let files = FileHandler::new(client.clone());
    match task.job {
        Job::UpLarge => {
            timed(async {
                let content = std::fs::read(&task.source).unwrap();
                files.upload_file("/large", &content).await.unwrap();
            })
            .await
        }
        Job::DownLarge => {
            timed(async { files.download_stream("/large", &mut tokio::io::sink(), None).await.unwrap() }).await
        }
        Job::UpSmall => {
            let content = &block()[..SMALL as usize];
            timed(stream::iter(0..task.count).for_each_concurrent(AT_ONCE, |number| {
                let files = &files;
                async move { drop(files.upload_file(&format!("/small-{number}"), content).await.unwrap()) }
            }))
            .await
        }
        Job::DownSmall => {
            timed(stream::iter(0..task.count).for_each_concurrent(AT_ONCE, |number| {
                let files = &files;
                async move {
                    let content = files.download_content(&format!("/small-{number}")).await.unwrap();
                    assert_eq!(content.len() as u64, SMALL);
                }
            }))
            .await
        }
        Job::List => {
            timed(async {
                let entries = FolderHandler::new(client).list_folder_all("/many").await.unwrap();
                assert_eq!(entries.len(), task.count);
            })
            .await
        }
    }
}

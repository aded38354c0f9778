//! This crate, through the `Store` that applications use.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use filestore_core::{FileRef, List, Store, Upload};
use filestore_filescom::{FilesComConfig, FilesComStore};
use futures::{StreamExt, TryStreamExt, stream};

use super::{API_KEY, AT_ONCE, Job, Task, timed};
use crate::server::{SMALL, block};

pub(crate) async fn run(task: &Task) -> Duration {
    let config = FilesComConfig::new(format!("http://{}", task.address)).api_key(API_KEY);
    let store = Store::new("bench", Arc::new(FilesComStore::new(config).unwrap())).unwrap();
    let reference = |name: &str| format!("bench:filescom:{name}").parse::<FileRef>().unwrap();
    match task.job {
        Job::UpLarge => {
            timed(async {
                store.upload(Upload::from_path(&task.source).unwrap().name("large")).await.unwrap();
            })
            .await
        }
        Job::DownLarge => {
            timed(async {
                let mut stream = store.download(&reference("large")).await.unwrap().stream;
                while stream.try_next().await.unwrap().is_some() {}
            })
            .await
        }
        Job::UpSmall => {
            let content = Bytes::from(block()).slice(..SMALL as usize);
            timed(stream::iter(0..task.count).for_each_concurrent(AT_ONCE, |number| {
                let upload = Upload::new(format!("small-{number}"), content.clone());
                async { drop(store.upload(upload).await.unwrap()) }
            }))
            .await
        }
        Job::DownSmall => {
            timed(stream::iter(0..task.count).for_each_concurrent(AT_ONCE, |number| {
                let reference = reference(&format!("small-{number}"));
                let store = &store;
                async move {
                    let bytes = store.download(&reference).await.unwrap().bytes(1 << 20).await.unwrap();
                    assert_eq!(bytes.len() as u64, SMALL);
                }
            }))
            .await
        }
        Job::List => {
            timed(async {
                let files = store
                    .list_all(List::default().scope("many"))
                    .try_fold(0, async |count, _| Ok(count + 1))
                    .await
                    .unwrap();
                assert_eq!(files, task.count);
            })
            .await
        }
    }
}

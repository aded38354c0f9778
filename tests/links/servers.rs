//! The servers behind their links, and what a client finds and leaves there.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use files_sdk::{FileHandler, FilesClient, FilesError, FolderHandler};
use filestore_emulator::FILESCOM_API_KEY;
use filestore_links::{Link, LinkOptions};
use filestore_testbed::s3::{BUCKET, S3};
use futures::{StreamExt, stream};
use url::Url;

use crate::content::Stored;
use crate::measure::processor_time;

/// The number of files that are prepared at the same time: their content is sent over the link.
const PREPARED_AT_ONCE: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Service {
    S3,
    Filescom,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Filescom => "filescom",
        }
    }
}

/// A server, and the address of the link in front of it.
pub(crate) struct Server {
    pub(crate) service: Service,
    link: SocketAddr,
    connections: Arc<AtomicUsize>,
    backend: Backend,
}

/// The connections, the requests and the processor time that one run of a client has caused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) connections: usize,
    /// The number of requests, and the largest number at the same time. Only S3 counts them.
    pub(crate) requests: Option<(usize, usize)>,
    /// The processor time of the servers and the link.
    pub(crate) processor: Duration,
}

enum Backend {
    S3(Arc<S3>),
    FilesCom(Emulator),
}

/// The emulator of the program in a process of its own, and a client that reaches it without the link.
struct Emulator {
    process: Child,
    address: SocketAddr,
    client: FilesClient,
}

impl Server {
    /// Starts the server and its link. `program` is the program that contains the emulator; `folder` is for its files.
    pub(crate) async fn start(service: Service, options: LinkOptions, program: &Path, folder: &Path) -> Self {
        let link = Link::bind(options).unwrap();
        let address = link.address().unwrap();
        let (backend, server) = match service {
            Service::S3 => {
                let (s3, server) = S3::start().await.unwrap();
                (Backend::S3(s3), server)
            }
            Service::Filescom => {
                let emulator = Emulator::start(program, address, folder).await;
                let server = emulator.address;
                (Backend::FilesCom(emulator), server)
            }
        };
        let connections = link.connections();
        tokio::spawn(link.forward_to(server));
        Self { service, link: address, connections, backend }
    }

    /// Returns the URL of the link.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.link)
    }

    /// Writes the configuration of the program: the store `bench`.
    pub(crate) fn write_config(&self, path: &Path) {
        let url = self.url();
        let text = match self.service {
            Service::S3 => format!(
                "[stores.bench]\nbackend = \"opendal\"\nservice = \"s3\"\n[stores.bench.options]\nbucket = \"{BUCKET}\"\n\
                 region = \"us-east-1\"\nendpoint = \"{url}\"\naccess_key_id = \"key\"\nsecret_access_key = \"secret\"\n"
            ),
            Service::Filescom => format!(
                "[stores.bench]\nbackend = \"filescom\"\nbase_url = \"{url}\"\napi_key = \"{FILESCOM_API_KEY}\"\n"
            ),
        };
        fs::write(path, text).unwrap();
    }

    /// Stores files for the clients.
    pub(crate) async fn insert(&self, scope: &str, files: &[(String, Bytes)]) {
        match &self.backend {
            Backend::S3(s3) => files.iter().for_each(|(name, content)| {
                s3.insert(format!("{scope}/{name}"), content.clone());
            }),
            Backend::FilesCom(emulator) => {
                FolderHandler::new(emulator.client.clone()).create_folder(&format!("/{scope}"), true).await.unwrap();
                let handler = &FileHandler::new(emulator.client.clone());
                stream::iter(files)
                    .for_each_concurrent(PREPARED_AT_ONCE, |(name, content)| async move {
                        handler.upload_file(&format!("/{scope}/{name}"), content).await.unwrap();
                    })
                    .await;
            }
        }
    }

    /// Returns the files below a scope, sorted by name.
    pub(crate) async fn files(&self, scope: &str) -> Vec<Stored> {
        let mut files: Vec<Stored> = match &self.backend {
            Backend::S3(s3) => {
                let objects = s3.below(&format!("{scope}/"));
                objects.into_iter().map(|(name, content)| Stored::of(name, &content)).collect()
            }
            Backend::FilesCom(emulator) => {
                let entries = FolderHandler::new(emulator.client.clone()).list_folder_all(&format!("/{scope}")).await;
                let entries = if is_not_found(&entries) { Vec::new() } else { entries.unwrap() };
                let mut files = Vec::new();
                for entry in entries {
                    let path = entry.path.unwrap();
                    let name = path.rsplit('/').next().unwrap().to_owned();
                    files.push(match entry.crc32 {
                        Some(crc32) => Stored {
                            name,
                            size: entry.size.unwrap() as u64,
                            crc32: u32::from_str_radix(&crc32, 16).unwrap(),
                        },
                        // A file of several parts has none.
                        None => Stored::of(name, &[emulator.content(&path).await]),
                    });
                }
                files
            }
        };
        files.sort();
        files
    }

    /// Removes a scope without the link.
    pub(crate) async fn clear(&self, scope: &str) {
        match &self.backend {
            Backend::S3(s3) => s3.clear(),
            Backend::FilesCom(emulator) => {
                let deleted = FileHandler::new(emulator.client.clone()).delete_file(&format!("/{scope}"), true).await;
                if !is_not_found(&deleted) {
                    deleted.unwrap();
                }
            }
        }
    }

    /// Does `work`, and returns the load that it caused.
    pub(crate) async fn observe<T>(&self, work: impl Future<Output = T>) -> (T, Load) {
        self.connections.store(0, Ordering::Relaxed);
        self.take_requests();
        let before = self.processor();
        let result = work.await;
        let load = Load {
            connections: self.connections.load(Ordering::Relaxed),
            requests: self.take_requests(),
            processor: self.processor().saturating_sub(before),
        };
        (result, load)
    }

    fn take_requests(&self) -> Option<(usize, usize)> {
        match &self.backend {
            Backend::S3(s3) => Some(s3.take_requests()),
            Backend::FilesCom(_) => None,
        }
    }

    fn processor(&self) -> Duration {
        let emulator = match &self.backend {
            Backend::S3(_) => None,
            Backend::FilesCom(emulator) => processor_time(&format!("/proc/{}", emulator.process.id())),
        };
        processor_time("/proc/self").unwrap_or_default() + emulator.unwrap_or_default()
    }
}

impl Emulator {
    /// Starts the emulator with URLs of the link.
    async fn start(program: &Path, link: SocketAddr, folder: &Path) -> Self {
        let ready = folder.join("ready");
        let process = Command::new(program)
            .args(["--quiet", "emulator", "--listen", "127.0.0.1:0", "--public-url", &format!("http://{link}")])
            .arg("--ready-file")
            .arg(&ready)
            .env("TMPDIR", folder)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        while url.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            url = fs::read_to_string(&ready).unwrap_or_default();
        }
        let address: SocketAddr = url.trim().trim_start_matches("http://").parse().unwrap();
        // The URLs of content name the link; all other requests of this client go directly to the emulator.
        let base = format!("http://{address}/api/rest/v1");
        let client = FilesClient::builder().api_key(FILESCOM_API_KEY).base_url(base).build().unwrap();
        Self { process, address, client }
    }

    /// Returns the content of a file, without the link.
    async fn content(&self, path: &str) -> Bytes {
        let entry = FileHandler::new(self.client.clone()).download_file(&format!("/{path}")).await.unwrap();
        // The signature is valid for each host.
        let mut url = Url::parse(&entry.download_uri.unwrap()).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        reqwest::get(url).await.unwrap().error_for_status().unwrap().bytes().await.unwrap()
    }
}

fn is_not_found<T>(result: &Result<T, FilesError>) -> bool {
    matches!(result, Err(FilesError::NotFound { .. } | FilesError::ApiError { code: 404, .. }))
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

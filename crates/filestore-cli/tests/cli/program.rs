//! Runs the program in a separate folder, without the machine's configuration.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A temporary home folder for the commands of one test.
pub(crate) struct Home {
    folder: TempDir,
}

/// The exit code and the output of a command.
#[derive(Debug)]
pub(crate) struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
    pub bytes: Vec<u8>,
}

impl Done {
    /// Returns the first line of standard output. Panics if the command failed.
    pub(crate) fn line(&self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out.lines().next().unwrap_or_default().to_owned()
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the current folder of the commands.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.isolate(Command::new(env!("CARGO_BIN_EXE_filestore")), args)
    }

    /// Returns the same command with the default action of every signal. `nohup` and a shell's background jobs ignore
    /// some signals, and the program inherits that.
    pub(crate) fn interruptible_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("env");
        command.args(["--default-signal", env!("CARGO_BIN_EXE_filestore")]);
        self.isolate(command, args)
    }

    /// Starts the same command. Its outputs are read when it has ended.
    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.interruptible_command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a shell script whose `$0` is the program.
    #[cfg(unix)]
    pub(crate) fn shell(&self, script: &str) -> Done {
        done(self.shell_command(script).output().unwrap())
    }

    pub(crate) fn shell_command(&self, script: &str) -> Command {
        self.isolate(Command::new("sh"), &["-c", script, env!("CARGO_BIN_EXE_filestore")])
    }

    fn isolate(&self, mut command: Command, args: &[&str]) -> Command {
        command
            .args(args)
            .current_dir(self.path())
            .env_remove("FILESTORE_CONFIG")
            .env("HOME", self.path())
            .env("XDG_DATA_HOME", self.path().join("data"))
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            // The temporary files of a killed process are removed with the home folder.
            .env("TMPDIR", self.path())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        done(self.command(args).output().unwrap())
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Done {
        let mut child =
            self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The write may fail: a program that rejects its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        done(child.wait_with_output().unwrap())
    }

    /// Returns the paths of all files below `folder`, including temporary files.
    pub(crate) fn files_below(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

/// Sends the signal of this name, such as `TERM`.
pub(crate) fn kill(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

pub(crate) fn done(output: std::process::Output) -> Done {
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}

//! Running the program in a folder of its own, with nothing of the machine's configuration.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A home of its own for a run of commands.
pub(crate) struct Home {
    folder: TempDir,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
    pub bytes: Vec<u8>,
}

impl Done {
    /// The first line of standard output, of a command that worked.
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
        self.alone(Command::new(env!("CARGO_BIN_EXE_filestore")), args)
    }

    /// The same with the default action of every signal: `nohup` and a shell's background jobs ignore some of them, and
    /// the program keeps that.
    pub(crate) fn interruptible_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("env");
        command.args(["--default-signal", env!("CARGO_BIN_EXE_filestore")]);
        self.alone(command, args)
    }

    /// Runs a script of the shell, whose `$0` is the program.
    #[cfg(unix)]
    pub(crate) fn shell(&self, script: &str) -> Done {
        done(self.shell_command(script).output().unwrap())
    }

    pub(crate) fn shell_command(&self, script: &str) -> Command {
        self.alone(Command::new("sh"), &["-c", script, env!("CARGO_BIN_EXE_filestore")])
    }

    fn alone(&self, mut command: Command, args: &[&str]) -> Command {
        command
            .args(args)
            .current_dir(self.path())
            .env_remove("FILESTORE_CONFIG")
            .env("HOME", self.path())
            .env("XDG_DATA_HOME", self.path().join("data"))
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            // What a killed process leaves there goes with the home.
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
        // A program that rejects early does not read: that is no failure of the test.
        let _ = child.stdin.take().unwrap().write_all(input);
        done(child.wait_with_output().unwrap())
    }

    /// The paths of all files below `folder`, temporary ones too.
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

pub(crate) fn done(output: std::process::Output) -> Done {
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}

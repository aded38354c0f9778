//! What the command line looks like: one definition for parsing, `--help`, completions and man page.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use filestore::fileio::MaxDownloads;
use filestore::{Expiry, Period};

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  2  wrong usage, configuration or input (such as a garbage reference)
  3  not found
  4  no permission, or wrong credentials
  5  rejected by a limit, a capability or an existing file
  6  temporary and not applied: safe to retry
  7  integrity: bytes are missing or differ
  8  effect unknown, or stored but incomplete
  1  anything else

Without a configuration, the store `local` keeps files in your data folder.
The configuration is --config, else $FILESTORE_CONFIG, else ./filestore.toml,
else filestore/filestore.toml in your configuration folder.";

/// The heading of the options that every command has.
const GLOBAL: &str = "Global options";

/// Store, list, read, share and delete files, the same way on every service.
#[derive(Debug, Parser)]
#[command(name = "filestore", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", help_heading = GLOBAL)]
    pub config: Option<PathBuf>,
    /// The store to use, instead of the default one
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    pub store: Option<String>,
    /// Print JSON, one object a line
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Print no progress and no warnings
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store files; prints one reference a line
    Upload(Upload),
    /// List the files of a store; a table cuts names after 120 columns, --json does not
    List(List),
    /// Print what is known of a file, without reading it
    Stat(Reference),
    /// Fetch a file; prints the path written
    Download(Download),
    /// Print a URL that others can read the file at
    Url(Url),
    /// Delete files; one that is not there is deleted already
    Delete(Delete),
    /// List the stores of the configuration
    Stores,
    /// Print what stores can do, and why not
    Caps(Caps),
    /// Look at the configuration
    #[command(subcommand)]
    Config(Config),
    /// Run the same code against every backend with a real file, and check every byte
    Demo(Demo),
    /// Serve an emulator of the hosted services
    Emulator(Emulator),
    /// What only PubNub has
    #[command(subcommand)]
    Pubnub(Pubnub),
    /// What only Files.com has
    #[command(subcommand)]
    Filescom(Filescom),
    /// What only file.io has
    #[command(subcommand)]
    Fileio(Fileio),
    /// Print a completion script
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, of the program or of one command
    Man {
        /// The command
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Upload {
    /// The files; `-` is standard input and wants --name
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Store it under this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Store it in this folder or channel
    #[arg(long = "to", value_name = "SCOPE")]
    pub scope: Option<String>,
    /// When it goes away: 14d (units y Q M w d h m s), 2027-01-31T12:00:00Z, never, default
    #[arg(long, value_name = "D", default_value = "default")]
    pub expires: Expiry,
    /// Reject to replace a file of the same name
    #[arg(long)]
    pub no_clobber: bool,
    /// An option of the store's backend; `filestore caps` names them
    #[arg(short = 'O', value_name = "KEY=VALUE")]
    pub options: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The folder or channel, instead of the store's default
    pub scope: Option<String>,
    /// At most so many files
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Go on where an earlier page ended
    #[arg(long, value_name = "TOKEN")]
    pub page: Option<String>,
    /// All pages
    #[arg(long)]
    pub all: bool,
    /// With all folders below
    #[arg(long)]
    pub recursive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// The reference that `upload` or `list` printed
    #[arg(value_name = "REF")]
    pub reference: String,
}

#[derive(Debug, Args)]
pub(crate) struct Download {
    #[command(flatten)]
    pub of: Reference,
    /// Write to this file or into this folder; `-` is standard output
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Url {
    #[command(flatten)]
    pub of: Reference,
    /// How long it must work at least, such as 2h
    #[arg(long, value_name = "D")]
    pub expires: Option<Period>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The references
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// Delete folders with everything in them
    #[arg(long)]
    pub recursive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Caps {
    /// The store; all of them when none is given
    pub name: Option<String>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Config {
    /// Open every store and report what is wrong
    Check,
    /// Print every value, secrets masked, and where it came from
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pubnub {
    /// Announce a stored file on its channel; prints the timetoken of the message
    Publish(PubnubPublish),
}

#[derive(Debug, Args)]
pub(crate) struct PubnubPublish {
    #[command(flatten)]
    pub of: Reference,
    /// What the message says besides the file: any JSON
    #[arg(long, value_name = "JSON")]
    pub message: Option<String>,
    /// Another option of an upload, such as ttl=24 or should_store=false; `filestore caps` names them
    #[arg(short = 'O', value_name = "KEY=VALUE")]
    pub options: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Filescom {
    /// Log in; prints the id of the session, for `session_id = "file:PATH"` in the configuration
    Login(FilescomLogin),
    /// End the session of the configuration
    Logout,
    /// Make folders, with those above them; prints their references
    Mkdir {
        /// Paths below the root of the store
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
    },
    /// Copy a file or folder inside the service; prints the new reference
    Cp(FilescomRelocate),
    /// Move or rename a file or folder inside the service; prints the new reference
    Mv(FilescomRelocate),
    /// Make a share link: a web page that shows these files; prints its URL
    Share(FilescomShare),
    /// End a share link
    Unshare {
        /// Its URL, or its id
        link: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct FilescomLogin {
    /// The name of the user
    pub user: String,
    /// Where the password is: `env:NAME` or `file:PATH`; else it is read from standard input
    #[arg(long, value_name = "WHERE")]
    pub password: Option<String>,
    /// The one-time password, where the account has a second factor
    #[arg(long, value_name = "CODE")]
    pub otp: Option<String>,
    /// Write the id into this new file, readable by you alone, instead of printing it
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FilescomRelocate {
    #[command(flatten)]
    pub of: Reference,
    /// The whole new path below the root of the store, name included
    #[arg(value_name = "PATH")]
    pub to: String,
    /// Replace a file that is there, merge into a folder
    #[arg(long)]
    pub overwrite: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FilescomShare {
    /// What it shows
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// When it ends: 14d, 2027-01-31T12:00:00Z
    #[arg(long, value_name = "D", default_value = "default")]
    pub expires: Expiry,
    /// Where a password is that people need: `env:NAME` or `file:PATH`
    #[arg(long, value_name = "WHERE")]
    pub password: Option<String>,
    /// How often it may be used
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_uses: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Fileio {
    /// Print the facts of the account
    Me,
    /// Change a stored file; what is not given is kept
    Update(FileioUpdate),
}

#[derive(Debug, Args)]
pub(crate) struct FileioUpdate {
    #[command(flatten)]
    pub of: Reference,
    /// When it goes away, counted from now: 14d, 2027-01-31T12:00:00Z, never
    #[arg(long, value_name = "D")]
    pub expires: Option<Expiry>,
    /// How many downloads it allows in all: a number, or unlimited
    #[arg(long, value_name = "N")]
    pub max_downloads: Option<MaxDownloads>,
    /// Whether it is deleted when it is used up or expired
    #[arg(long, value_name = "true|false")]
    pub auto_delete: Option<bool>,
    /// A title, besides the name
    #[arg(long)]
    pub title: Option<String>,
    /// A description
    #[arg(long)]
    pub description: Option<String>,
    /// Replace the whole file by this one: what is not given goes back to its default
    #[arg(long, value_name = "FILE", conflicts_with = "description")]
    pub replace_with: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The file to send around; README.md when none is given
    pub file: Option<PathBuf>,
    /// Rules of faults for the emulator
    #[arg(long, value_name = "F")]
    pub faults: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Emulator {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    pub listen: SocketAddr,
    /// Write `http://ADDR` here when requests are answered
    #[arg(long, value_name = "F")]
    pub ready_file: Option<PathBuf>,
    /// Write a configuration with a store for each service here
    #[arg(long, value_name = "F")]
    pub write_config: Option<PathBuf>,
    /// Keep files here, to survive restarts; in memory otherwise
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Rules of faults that are in force from the start
    #[arg(long, value_name = "F")]
    pub faults: Option<PathBuf>,
    /// Users and keys, instead of the fixed ones
    #[arg(long, value_name = "F")]
    pub credentials: Option<PathBuf>,
    /// What links begin with, when clients reach it by another address
    #[arg(long, value_name = "U")]
    pub public_url: Option<String>,
    /// What the control API asks for; `env:NAME` keeps it out of the process list
    #[arg(long, value_name = "T")]
    pub control_token: Option<String>,
    /// Reject PubNub requests without a signature
    #[arg(long)]
    pub pubnub_require_signature: bool,
    /// Accept only signatures over the path as it was sent
    #[arg(long)]
    pub strict_signature: bool,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    /// README.md and everything in docs.
    fn documents() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = vec![root.join("README.md")];
        for folder in [root.join("docs"), root.join("docs/backends")] {
            found
                .extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
        }
        found
    }

    #[test]
    fn every_command_in_the_documents_is_one() {
        let mut checked = 0;
        for document in documents() {
            for line in fs::read_to_string(&document).unwrap().lines() {
                let line = line.strip_prefix("$ ").unwrap_or(line);
                let Some(command) = line.strip_prefix("cargo run -- ").or_else(|| line.strip_prefix("filestore "))
                else {
                    continue;
                };
                let command = command.split([';', '|', '>', '<', '#', '&']).next().unwrap_or_default();
                let words = command.split_whitespace().map(|word| word.trim_matches(['\'', '"']));
                if let Err(error) = Cli::try_parse_from(std::iter::once("filestore").chain(words)) {
                    assert!(!error.use_stderr(), "{}: {line}: {error}", document.display());
                }
                checked += 1;
            }
        }
        assert!(checked > 5, "{checked} commands were found");
    }
}

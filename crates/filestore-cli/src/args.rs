//! The definition of the command line, from which parsing, `--help`, completions and the man page come.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use filestore::fileio::MaxDownloads;
use filestore::{Expiry, Period};
use filestore_transfer::{Filter, Shard};

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
  129, 130, 143  ended by the signal 1 (HUP), 2 (INT) or 15 (TERM)
  141  the reader of standard output closed it, as `head` does

Without a configuration, the store `local` keeps files in your data folder.
The configuration is --config, else $FILESTORE_CONFIG, else ./filestore.toml,
else filestore/filestore.toml in your configuration folder. The variables
$FILESTORE_DEFAULT and $FILESTORE_STORES__NAME__KEY override it.";

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
    /// Print JSON, one object per line
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
    /// Store files and folders; prints one reference per line
    Upload(Upload),
    /// List the files of a store; the table cuts names after 120 columns, --json does not
    ///
    /// With --json, each line is an object: {"folder": SCOPE} for each folder, then one for each file with at least
    /// `ref`, `name`, `size` and `store`. Then {"left_out": N} if N of the entries are left out, because no reference
    /// can name them or their size or time is invalid, and {"next": TOKEN} if there is another page.
    List(List),
    /// Print the metadata of a file, without reading its content
    Stat(Reference),
    /// Download files; prints the path of each local file
    Download(Download),
    /// Print a URL from which others can read the file
    Url(Url),
    /// Delete files; a file that does not exist counts as deleted
    ///
    /// With --json, each line is an object: {"deleted": REF} for each file that is deleted.
    Delete(Delete),
    /// Copy files to another store; prints the new references
    ///
    /// The content is streamed. Name, media type, modification time, expiry and metadata are carried where both stores
    /// have them. On PubNub, no message is published unless `-O publish=true` says so.
    #[command(override_usage = "filestore cp [OPTIONS] <REF>... <STORE>")]
    Cp(Cp),
    /// Move all files of a store to another one, over interruptions, with a map of the references
    ///
    /// The files of FROM stay, except with --consume. The same command, with the same journal, goes on after an
    /// interruption. The map has a line {"from": REF, "to": REF} for each file.
    Migrate(Migrate),
    /// List the stores of the configuration
    Stores,
    /// Print the capabilities of stores, and why a feature is missing
    Caps(StoreName),
    /// Check that stores can be used: configuration, access, clock, limits, writing; says what to do
    ///
    /// Lists one file, and stores and deletes a small file named filestore-doctor-... It reads no file. With --json, each
    /// line is an object: `store`, `check`, `result` (ok, unchecked or found), `detail`, and `kind` if a problem is found.
    Doctor(StoreName),
    /// Check that stores keep the rules of docs/conformance.md, with files of its own that it deletes
    ///
    /// Stores, reads and deletes some hundred files of at most 17 MiB, in folders or channels with random names. With
    /// --json, each line is an object: `store`, `id`, `title`, `outcome`, `milliseconds`, and the reason of the outcome.
    Conformance(StoreName),
    /// Check or print the configuration
    #[command(subcommand)]
    Config(Config),
    /// Run the same code against every backend with a real file, and check every byte
    Demo(Demo),
    /// Run an emulator of the hosted services
    Emulator(Emulator),
    /// Commands specific to PubNub
    #[command(subcommand)]
    Pubnub(Pubnub),
    /// Commands specific to Files.com
    #[command(subcommand)]
    Filescom(Filescom),
    /// Commands specific to file.io
    #[command(subcommand)]
    Fileio(Fileio),
    /// Print a completion script
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of the program or of one command
    Man {
        /// The command; the whole program by default
        command: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Upload {
    /// The files and, with -r, folders; `-` is standard input and needs --name
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Upload folders with everything in them
    ///
    /// The files of a folder go below a folder of its name, or straight to SCOPE if PATH ends with `/`. Symbolic links
    /// are left out.
    #[arg(long, short)]
    pub recursive: bool,
    /// Store the file under this name
    #[arg(long, value_name = "NAME", conflicts_with = "recursive")]
    pub name: Option<String>,
    /// Store the files in this folder or channel
    #[arg(long = "to", value_name = "SCOPE")]
    pub scope: Option<String>,
    /// The expiry of the files: 14d (units y Q M w d h m s), 2027-01-31T12:00:00Z, never, default
    #[arg(long, value_name = "D", default_value = "default")]
    pub expires: Expiry,
    /// The media type of the files, such as text/plain; by default, it is guessed from the name
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Fail if a file of the same name exists: short for --if-exists fail
    #[arg(long, conflicts_with = "if_exists")]
    pub no_clobber: bool,
    /// The action if a file of the same name exists
    #[arg(long, value_name = "ACTION")]
    pub if_exists: Option<Existing>,
    /// Give the stored files the time of the upload, instead of that of the local files
    #[arg(long)]
    pub no_times: bool,
    /// With -r, follow symbolic links
    #[arg(long, requires = "recursive")]
    pub follow_links: bool,
    #[command(flatten)]
    pub filter: Globs<true>,
    #[command(flatten)]
    pub jobs: Jobs,
    /// An option of the store's backend; `filestore caps` lists them
    #[arg(short = 'O', value_name = "KEY=VALUE")]
    pub options: Vec<String>,
}

/// The action of a transfer whose target exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Existing {
    /// Replace it
    Replace,
    /// Fail with exit code 5
    Fail,
    /// Replace it unless it has the same size and the same digest, or else the same time
    Skip,
}

/// The number of transfers at once.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Jobs {
    /// Transfer N files at once; by default, the number adapts to the link and to the service
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub jobs: Option<u16>,
}

/// The globs of `--include` and `--exclude`, in the order in which they are given: the last one that matches decides.
/// `WITH_R`: they have a meaning only with `-r`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Globs<const WITH_R: bool>(pub Filter);

impl<const WITH_R: bool> Args for Globs<WITH_R> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let glob = |name: &'static str, help: &'static str| {
            let arg = Arg::new(name).long(name).value_name("GLOB").action(ArgAction::Append);
            let arg = arg.value_parser(NonEmptyStringValueParser::new());
            if WITH_R {
                arg.requires("recursive").help(format!("With -r, {help}"))
            } else {
                arg.help(capitalized(help))
            }
        };
        let include = "transfer only the files that a glob matches: `*.pdf`, `docs/**`";
        let exclude = "leave out the files and folders that a glob matches; of all globs, the last decides";
        command.arg(glob("include", include)).arg(glob("exclude", exclude))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<const WITH_R: bool> FromArgMatches for Globs<WITH_R> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |name: &'static str| {
            let indices = matches.indices_of(name).into_iter().flatten();
            let globs = matches.get_many::<String>(name).into_iter().flatten();
            indices.zip(globs).map(move |(index, glob)| (index, name == "include", glob))
        };
        let mut globs: Vec<_> = given("include").chain(given("exclude")).collect();
        globs.sort_unstable();
        let add = |filter: Filter, (_, is_included, glob): (usize, bool, &String)| {
            if is_included { filter.include(glob) } else { filter.exclude(glob) }
        };
        Ok(Self(globs.into_iter().fold(Filter::new(), add)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn capitalized(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}

#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// The references of the files, and the name of the store to which they are copied
    #[arg(required = true, num_args = 2.., value_name = "REF... STORE")]
    pub arguments: Vec<String>,
    /// Store the files in this folder or channel
    #[arg(long = "to", value_name = "SCOPE")]
    pub scope: Option<String>,
    /// Store the file under this name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Copy files whose read may consume them; their content is kept until the copy is confirmed
    #[arg(long)]
    pub consume: bool,
    #[command(flatten)]
    pub moving: Moving,
}

#[derive(Debug, Args)]
pub(crate) struct Migrate {
    /// The store to read, or STORE:SCOPE/ for a folder or channel of it
    pub from: String,
    /// The store to write to, or STORE:SCOPE/
    pub to: String,
    /// The file that records what is done; it is created, or the migration in it goes on
    #[arg(long, value_name = "F")]
    pub journal: PathBuf,
    /// The file with the new reference of each file
    #[arg(long, value_name = "F")]
    pub map: PathBuf,
    /// Print what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Move files whose read may consume them; each content is kept in JOURNAL.spool until it is confirmed
    #[arg(long)]
    pub consume: bool,
    /// Move the part I of N of the files, I from 1 to N; each part has a journal and a map of its own
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    #[command(flatten)]
    pub filter: Globs<false>,
    #[command(flatten)]
    pub moving: Moving,
}

/// The options of `cp` and `migrate`.
#[derive(Debug, Args)]
pub(crate) struct Moving {
    /// Read each new file again, and compare its content
    #[arg(long, value_name = "HOW")]
    pub verify: Option<Verify>,
    #[command(flatten)]
    pub jobs: Jobs,
    /// An option of the backend of the new files; `filestore caps` lists them
    #[arg(short = 'O', value_name = "KEY=VALUE")]
    pub options: Vec<String>,
}

/// The check of a new file, beyond those that cost no read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verify {
    /// Download the new file, and compare its SHA-256
    ReadBack,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The folder or channel, instead of the store's default
    pub scope: Option<String>,
    /// List at most N files; with --all, fetch at most N files per page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// List the page with this token, which the page before it printed
    #[arg(long, value_name = "TOKEN")]
    pub page: Option<String>,
    /// List all pages
    #[arg(long)]
    pub all: bool,
    /// Include the files of all subfolders
    #[arg(long)]
    pub recursive: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Reference {
    /// The reference that `upload` or `list` printed; also a link of the store's own server or, with --store, a key
    #[arg(value_name = "REF")]
    pub reference: String,
}

#[derive(Debug, Args)]
pub(crate) struct Download {
    /// The references that `upload` or `list` printed; also links of the store's own server or, with --store, keys
    ///
    /// With -r, also STORE:SCOPE/ for all files of a scope and of the folders below it, such as team:invoices/2026/, and
    /// STORE:/ for the whole store.
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// Download whole scopes, which are written STORE:SCOPE/
    #[arg(long, short)]
    pub recursive: bool,
    /// Write to this file or into this folder; `-` is standard output
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Replace an existing file: short for --if-exists replace
    #[arg(long, conflicts_with = "if_exists")]
    pub force: bool,
    /// The action if the local file exists
    #[arg(long, value_name = "ACTION")]
    pub if_exists: Option<Existing>,
    /// With -r, keep names such as .env and CON as they are; by default, they become _env and _CON
    #[arg(long, requires = "recursive")]
    pub exact_names: bool,
    /// Give the local file the modification time of the stored file; always with -r and with --if-exists skip
    #[arg(long)]
    pub times: bool,
    #[command(flatten)]
    pub filter: Globs<true>,
    #[command(flatten)]
    pub jobs: Jobs,
}

#[derive(Debug, Args)]
pub(crate) struct Url {
    #[command(flatten)]
    pub target: Reference,
    /// The shortest time for which the URL must be valid, such as 2h
    #[arg(long, value_name = "D")]
    pub expires: Option<Period>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The references of the files
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// Delete folders and everything in them
    #[arg(long, short)]
    pub recursive: bool,
    #[command(flatten)]
    pub jobs: Jobs,
}

#[derive(Debug, Args)]
pub(crate) struct StoreName {
    /// The store; all stores by default
    pub name: Option<String>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Config {
    /// Open every store and report the problems
    Check,
    /// Print every value and its origin; secrets are masked
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pubnub {
    /// Publish the message of a stored file on its channel; prints the timetoken of the message
    Publish(PubnubPublish),
}

#[derive(Debug, Args)]
pub(crate) struct PubnubPublish {
    #[command(flatten)]
    pub target: Reference,
    /// The content of the message besides the file: any JSON
    #[arg(long, value_name = "JSON")]
    pub message: Option<String>,
    /// Another option of an upload, such as ttl=24 or should_store=false; `filestore caps` lists them
    #[arg(short = 'O', value_name = "KEY=VALUE")]
    pub options: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Filescom {
    /// Log in; prints the id of the session, for `session_id = "file:PATH"` in the configuration
    Login(FilescomLogin),
    /// End the session of the configuration
    Logout,
    /// Create folders and their missing parents; prints the references of the folders
    Mkdir {
        /// Paths below the root of the store
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<String>,
    },
    /// Copy a file or folder inside the service; prints the new reference
    Cp(FilescomCopyMove),
    /// Move or rename a file or folder inside the service; prints the new reference
    Mv(FilescomCopyMove),
    /// Create a share link, a web page that shows these files; prints its URL
    Share(FilescomShare),
    /// End a share link
    Unshare {
        /// The URL or the id of the link
        link: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct FilescomLogin {
    /// The name of the user
    pub user: String,
    /// The source of the password, `env:NAME` or `file:PATH`; standard input by default
    #[arg(long, value_name = "SOURCE")]
    pub password: Option<String>,
    /// The one-time password, for an account with a second factor
    #[arg(long, value_name = "CODE")]
    pub otp: Option<String>,
    /// Write the id to this new file, which only you can read, instead of printing the id
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FilescomCopyMove {
    #[command(flatten)]
    pub target: Reference,
    /// The new path below the root of the store, including the name
    #[arg(value_name = "PATH")]
    pub to: String,
    /// Replace an existing file; merge into an existing folder
    #[arg(long)]
    pub overwrite: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FilescomShare {
    /// The files and folders that the link shows
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// The expiry of the link: 14d, 2027-01-31T12:00:00Z, never, default
    #[arg(long, value_name = "D", default_value = "default")]
    pub expires: Expiry,
    /// Protect the link with the password from this source: `env:NAME` or `file:PATH`
    #[arg(long, value_name = "SOURCE")]
    pub password: Option<String>,
    /// The largest number of times that the link can be used
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_uses: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Fileio {
    /// Print the plan, the limits and the used storage of the account
    Me,
    /// Change the properties of a stored file; properties that are not given keep their values
    Update(FileioUpdate),
}

#[derive(Debug, Args)]
pub(crate) struct FileioUpdate {
    #[command(flatten)]
    pub target: Reference,
    /// The new expiry, counted from now: 14d, 2027-01-31T12:00:00Z, never
    #[arg(long, value_name = "D")]
    pub expires: Option<Expiry>,
    /// The total number of downloads of the file: a number, or unlimited
    #[arg(long, value_name = "N")]
    pub max_downloads: Option<MaxDownloads>,
    /// Delete the file when no downloads remain or the file expires
    #[arg(long, value_name = "true|false")]
    pub auto_delete: Option<bool>,
    /// A title, in addition to the name
    #[arg(long)]
    pub title: Option<String>,
    /// A description
    #[arg(long)]
    pub description: Option<String>,
    /// Replace the stored file by this file; properties that are not given return to their defaults
    #[arg(long, value_name = "FILE", conflicts_with = "description")]
    pub replace_with: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The file to send through every store; README.md by default
    pub file: Option<PathBuf>,
    /// A file of fault rules for the emulator
    #[arg(long, value_name = "F")]
    pub faults: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Emulator {
    /// The address to listen on: an IP address or a host name, and a port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    pub listen: String,
    /// Write `http://ADDR` to this file once the emulator accepts requests
    #[arg(long, value_name = "F")]
    pub ready_file: Option<PathBuf>,
    /// Write a configuration with a store for each service to this file
    #[arg(long, value_name = "F")]
    pub write_config: Option<PathBuf>,
    /// Keep files in this folder across restarts; in memory by default
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// A file of fault rules that apply from the start
    #[arg(long, value_name = "F")]
    pub faults: Option<PathBuf>,
    /// A file of users and keys that replace the built-in ones
    #[arg(long, value_name = "F")]
    pub credentials: Option<PathBuf>,
    /// The beginning of all links, for clients that reach the emulator at another address
    #[arg(long, value_name = "U")]
    pub public_url: Option<String>,
    /// The token that the control API requires; `env:NAME` keeps it out of the process list
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
    fn the_order_of_the_globs_is_that_of_the_command_line() {
        let globs = |args: &[&str]| match Cli::parse_from([&["filestore", "upload", "-r", "."], args].concat()).command
        {
            Command::Upload(upload) => format!("{:?}", upload.filter.0),
            other => panic!("{other:?}"),
        };
        let filter = |filter: Filter| format!("{filter:?}");
        assert_eq!(
            globs(&["--exclude", "*.pdf", "--include=a.pdf", "--exclude", "b"]),
            filter(Filter::new().exclude("*.pdf").include("a.pdf").exclude("b"))
        );
        assert_eq!(
            globs(&["--include", "a.pdf", "--exclude", "*.pdf"]),
            filter(Filter::new().include("a.pdf").exclude("*.pdf"))
        );
        assert!(Cli::try_parse_from(["filestore", "upload", "a", "--include", "*"]).is_err());
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The paths of README.md of this crate, and, in the repository, of its README.md and of every file in docs.
    fn documents() -> Vec<PathBuf> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = vec![here.join("README.md")];
        let root = here.join("../..");
        // The package has no other documents.
        if root.join("docs").is_dir() {
            found.push(root.join("README.md"));
            for folder in [root.join("docs"), root.join("docs/backends")] {
                found.extend(
                    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()),
                );
            }
        }
        found
    }

    #[test]
    fn every_command_in_the_documents_is_valid() {
        let mut checked = 0;
        for document in documents() {
            for line in fs::read_to_string(&document).unwrap().lines() {
                let line = line.strip_prefix("$ ").unwrap_or(line);
                let Some(command) = line.strip_prefix("cargo run -- ").or_else(|| line.strip_prefix("filestore "))
                else {
                    continue;
                };
                // A dependency line of a Cargo.toml.
                if command.starts_with('=') {
                    continue;
                }
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

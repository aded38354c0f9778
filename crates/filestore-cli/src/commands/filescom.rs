//! `filestore filescom`: sessions, folders, copies and moves inside the service, share links.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use filestore::filescom::{Destination, FilesCom, FilesComStore, Login, SecondFactor, Share};
use filestore::{
    BlockingThread, Cleanup, CursorLoopGuard, Effect, Error, ErrorKind, Expiry, FileRef, Operation, Result, Store,
    StoreConfig,
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use crate::args::{self, FilescomCopyMove, FilescomLogin, FilescomShare};
use crate::context::{self, Context};
use crate::output;
use crate::standard_streams;

pub(crate) async fn run(context: &Context, command: &args::Filescom) -> Result<u8> {
    match command {
        args::Filescom::Login(args) => login(context, args).await,
        args::Filescom::Logout => logout(context).await,
        args::Filescom::Mkdir { paths } => mkdir(context, paths).await,
        args::Filescom::Cp(args) => copy_or_move(context, args, Operation::Copy).await,
        args::Filescom::Mv(args) => copy_or_move(context, args, Operation::Move).await,
        args::Filescom::Share(args) => share(context, args).await,
        args::Filescom::Unshare { link } => unshare(context, link).await,
    }
    .map(|()| 0)
}

async fn login(context: &Context, args: &FilescomLogin) -> Result<()> {
    let (site, named) = open_site(context, context.selected_store()?)?;
    let password = match &args.password {
        Some(source) => secret("--password", source)?,
        None => password_from_standard_input()?,
    };
    // Before the session begins: there must be an output that keeps its id.
    if args.output.is_none() {
        standard_streams::check_output_keeps("the id of the session")?;
    }
    let file = args.output.as_deref().map(PrivateFile::create).transpose()?;
    let thread = BlockingThread::start()?;
    let mut login = Login::new(&args.user, password.expose_secret());
    if let Some(otp) = &args.otp {
        login = login.one_time_password(otp);
    }
    let begin = async |login: &Login| context.reads.changing(site.login(login)).await;
    let session = match (begin(&login).await, &args.otp) {
        // The service accepts a one-time password only with the partial session that its challenge names.
        (Err(error), Some(otp)) if let Some(challenge) = SecondFactor::of(&error) => {
            begin(&login.answer(&challenge, otp)).await
        }
        (Err(error), None) if let Some(challenge) = SecondFactor::of(&error) => {
            let methods = match challenge.methods() {
                [] => String::new(),
                methods => format!(" ({})", methods.join(", ")),
            };
            Err(error.with_note(&format!("the account has a second factor{methods}; log in again with --otp CODE")))
        }
        (outcome, _) => outcome,
    };
    let session = session.map_err(&named)?;
    let id = session.id.expose_secret();
    let delivered = match file {
        Some(file) => file.fill(id),
        None => {
            // Standard output may not be read, and a signal must end the session then.
            let unprinted = UnprintedSession::begin(site.with_session(&session)?);
            let id = id.to_owned();
            let printed = thread.call(move || Ok(output::line(id))).await;
            unprinted.end();
            printed.unwrap_or_else(|error| Err(output::lost_bytes(error)))
        }
    };
    let Err(error) = delivered else { return Ok(()) };
    // The id of the session is lost, so the session is of no use.
    let logout = async { site.with_session(&session)?.logout().await };
    Err(match context.reads.changing(logout).await {
        Ok(()) => error.with_note("the new session was ended"),
        Err(logout) => {
            let message = format!(
                "{}; the new session stays valid until it expires, because it could not be ended: {}",
                error.message(),
                logout.message()
            );
            named(Error::new(ErrorKind::Incomplete, Effect::Applied, message).with_source(logout))
        }
    })
}

/// A session whose id standard output has not accepted yet. If the command is dropped, as after a signal, the session is
/// ended.
struct UnprintedSession(Option<(FilesComStore, Cleanup)>);

impl UnprintedSession {
    fn begin(session: FilesComStore) -> Self {
        output::set_unprinted(Some("the new session stays valid until it expires, and its id is lost".to_owned()));
        Self(Some((session, Cleanup::begin())))
    }

    /// Records that the id is printed, or that it cannot be.
    fn end(mut self) {
        output::set_unprinted(None);
        self.0 = None;
    }
}

impl Drop for UnprintedSession {
    fn drop(&mut self) {
        let Some((session, cleanup)) = self.0.take() else { return };
        tokio::spawn(async move {
            if session.logout().await.is_ok() {
                output::set_unprinted(None);
                output::report("interrupted before the id of the new session was printed; the session was ended");
            }
            drop(cleanup);
        });
    }
}

async fn logout(context: &Context) -> Result<()> {
    let (site, named) = open_site(context, context.selected_store()?)?;
    context.reads.changing(site.logout()).await.map_err(named)
}

async fn mkdir(context: &Context, paths: &[String]) -> Result<()> {
    let config = context.selected_store()?;
    let (site, named) = open_site(context, config)?;
    for path in paths {
        let created = context.reads.changing(site.create_folder(path, true)).await;
        created.map_err(|error| named(error.with_operation(Operation::CreateFolder).with_subject(path)))?;
        print(context, &config.name, &stored_spelling(&site, site.reference(path)?).await, "the folder is")?;
    }
    Ok(())
}

async fn copy_or_move(context: &Context, args: &FilescomCopyMove, operation: Operation) -> Result<()> {
    let (store, reference) = context.open_reference(&args.target.reference)?;
    let site = site_of(context, &store, &reference)?;
    let to = Destination::to(&args.to).overwrite(args.overwrite);
    let (new_reference, summary) = match operation {
        Operation::Move => (context.reads.changing(site.move_to(&reference, to)).await, "moved to"),
        _ => (context.reads.changing(site.copy(&reference, to)).await, "copied to"),
    };
    let new_reference = new_reference.map_err(|error| store.context_of(error, operation, &reference))?;
    print(context, store.name(), &stored_spelling(site, new_reference).await, summary)
}

async fn share(context: &Context, args: &FilescomShare) -> Result<()> {
    let references: Vec<(Store, FileRef)> =
        args.references.iter().map(|text| context.open_reference(text)).collect::<Result<_>>()?;
    let Some((store, first)) = references.first() else { return Ok(()) };
    if let Some((other, _)) = references.iter().find(|(other, _)| other.name() != store.name()) {
        let (store, other) = (store.name(), other.name());
        return Err(Error::invalid(format!(
            "a share link shows files of one store, but these files are in {store} and {other}; share them separately"
        )));
    }
    references.iter().try_for_each(|(store, reference)| store.check_reference(reference))?;
    let site = site_of(context, store, first)?;
    let mut share = Share::new();
    share.expires = args.expires.instant(Timestamp::now())?;
    share.max_uses = args.max_uses;
    share.password = args.password.as_deref().map(|source| secret("--password", source)).transpose()?;
    let created = site.share(references.iter().map(|(_, reference)| reference), share);
    let link = context.reads.changing(created).await.map_err(|error| {
        let error = match references.len() {
            1 => error,
            count => error.with_subject(format!("{first} and {} more", count - 1)),
        };
        store.context_of(error, Operation::Share, first)
    })?;
    context.warn_of_skipped("the share link", &link.skipped);
    if args.expires == Expiry::Never && link.url.expires().is_some() {
        // The service has no value for *never*: it chooses the expiry if the request has none.
        context.warn_of_skipped("the share link", &["expires"]);
    }
    let printed = if context.json {
        let expires = match link.url.expires() {
            Some(end) => Expiry::At(end).to_string(),
            None => Expiry::Never.to_string(),
        };
        output::json(&json!({ "id": link.id, "url": link.url.as_str(), "expires": expires, "store": store.name() }))
    } else {
        link.url.as_str().to_owned()
    };
    output::result(printed, &format!("shared by the link {}: {}", link.id, link.url.as_str()))
}

async fn unshare(context: &Context, link: &str) -> Result<()> {
    let (site, named) = open_site(context, context.selected_store()?)?;
    let unshared = async {
        let id = match link.parse() {
            Ok(id) => id,
            Err(_) => id_of(&site, link).await?,
        };
        // The URL of a share link gives access to the files, so the subject is the id.
        site.unshare(id).await.map_err(|error| error.with_subject(id.to_string()))
    };
    let unshared = context.reads.changing(unshared).await;
    unshared.map_err(|error| named(error.with_operation(Operation::Unshare)))
}

/// Returns the id of the share link with this URL.
async fn id_of(site: &FilesComStore, url: &str) -> Result<u64> {
    let mut page = None;
    let mut guard = CursorLoopGuard::new();
    let mut unreadable = 0;
    loop {
        let links = site.shares(page.as_ref()).await?;
        unreadable += links.unreadable;
        if let Some(found) = links.links.iter().find(|link| link.url.as_str() == url) {
            return Ok(found.id);
        }
        let Some(next) = links.next else {
            if unreadable > 0 {
                let message =
                    format!("{unreadable} share links cannot be read, and this one may be among them; give its id");
                return Err(Error::new(ErrorKind::Protocol, Effect::Rejected, message));
            }
            let message = "there is no share link with this URL; it has expired or belongs to another user";
            return Err(Error::not_found(message));
        };
        links.links.iter().for_each(|link| guard.entry(&link.id));
        guard.next_page(&next)?;
        page = Some(next);
    }
}

/// Returns the Files.com site of a store, and a function that adds the name of the store to errors.
fn open_site(context: &Context, config: &StoreConfig) -> Result<(FilesComStore, impl Fn(Error) -> Error)> {
    context.check_backend(config, &FilesCom)?;
    let site = context.open(config)?.backend::<FilesComStore>()?.clone();
    let name = config.name.clone();
    Ok((site, move |error: Error| error.with_store(&name)))
}

/// Returns the Files.com site of the store of a reference, after a check that the reference belongs to it.
fn site_of<'a>(context: &Context, store: &'a Store, reference: &FileRef) -> Result<&'a FilesComStore> {
    store.check_reference(reference)?;
    context.check_backend(context.config.store(store.name())?, &FilesCom)?;
    store.backend()
}

/// Returns `reference` in the spelling that the service has stored, if the service tells it: folders that exist keep
/// their spelling.
async fn stored_spelling(site: &FilesComStore, reference: FileRef) -> FileRef {
    site.stored_reference(&reference).await.unwrap_or(reference)
}

fn print(context: &Context, store: &str, reference: &FileRef, summary: &str) -> Result<()> {
    let reference = reference.stamped(&Arc::from(store)).to_string();
    let summary = format!("{summary} {reference}");
    let json = || output::json(&json!({ "ref": reference, "store": store }));
    output::result(if context.json { json() } else { reference }, &summary)
}

/// Returns the secret at `env:NAME` or `file:PATH`. A literal secret would be visible in the process list and in
/// the shell's history.
fn secret(option: &str, source: &str) -> Result<SecretString> {
    if !["env:", "file:"].iter().any(|start| source.starts_with(start)) {
        return Err(Error::invalid(format!(
            "{option} needs env:NAME or file:PATH: others can read a password on the command line"
        )));
    }
    context::secret(option, source).map(SecretString::from)
}

fn password_from_standard_input() -> Result<SecretString> {
    if io::IsTerminal::is_terminal(&io::stdin()) {
        return Err(Error::invalid(
            "there is no password; give --password env:NAME or --password file:PATH, or pipe it into standard input",
        ));
    }
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Error::invalid(format!("cannot read the password from standard input: {error}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

/// A new file that only this user can read. It is deleted when it is dropped without its content.
struct PrivateFile {
    file: File,
    path: PathBuf,
    filled: bool,
}

impl PrivateFile {
    fn create(path: &Path) -> Result<Self> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let message = format!("{} already exists; delete it first, or name another file", path.display());
                Error::new(ErrorKind::AlreadyExists, Effect::NotSent, message).with_source(error)
            }
            _ => Error::local(error, "create", path),
        })?;
        Ok(Self { file, path: path.to_owned(), filled: false })
    }

    /// Writes the content, and prints the path.
    fn fill(mut self, text: &str) -> Result<()> {
        let written = writeln!(self.file, "{text}").and_then(|()| self.file.sync_all());
        written.map_err(|error| Error::local(error, "write", &self.path))?;
        output::line(self.path.as_os_str().as_encoded_bytes())?;
        self.filled = true;
        Ok(())
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if !self.filled {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

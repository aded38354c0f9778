//! One listing: is the service reached, does it accept the credentials, and is there a root?

use filestore::local::FsStore;
use filestore::{Error, ErrorKind, Feature, List, Origin, Result, Setting, Store, StoreConfig};
use jiff::Timestamp;

use super::Finding;

pub(super) struct Access {
    pub(super) finding: Finding,
    /// The time of the response, if there was one that tells it.
    pub(super) date: Option<ServiceTime>,
    /// `true` if the other checks make sense.
    pub(super) is_usable: bool,
}

/// The service's time, and the local times before the request and after the response.
pub(super) struct ServiceTime {
    pub(super) date: Timestamp,
    pub(super) sent: Timestamp,
    pub(super) received: Timestamp,
}

pub(super) async fn check(config: &StoreConfig, store: &Store) -> Access {
    if let Err(finding) = check_root(config, store) {
        return Access { finding, date: None, is_usable: false };
    }
    let sent = Timestamp::now();
    let listed = list(store).await;
    let received = Timestamp::now();
    match listed {
        Ok(date) => Access {
            finding: Finding::Fine("a listing succeeds".to_owned()),
            date: date.map(|date| ServiceTime { date, sent, received }),
            is_usable: true,
        },
        Err(error) => {
            let is_forbidden = error.kind() == ErrorKind::Permission;
            let finding = Finding::of(Err(named_root(config, error)));
            // Credentials that only allow uploads are usable, and so is a store without listings.
            let is_usable = is_forbidden || matches!(finding, Finding::Unchecked(_));
            Access { finding, date: None, is_usable }
        }
    }
}

async fn list(store: &Store) -> Result<Option<Timestamp>> {
    store.capabilities().check(Feature::List)?;
    Ok(store.list(List::new().limit(1)).await?.date)
}

/// Checks that the root of a local directory exists. A listing succeeds without it, and the first upload creates it:
/// also one that is mounted later, or misspelled.
fn check_root(config: &StoreConfig, store: &Store) -> Result<(), Finding> {
    let Ok(local) = store.backend::<FsStore>() else { return Ok(()) };
    if local.root().exists() {
        return Ok(());
    }
    let root = local.root().display();
    if config.backend.origin == Origin::BuiltIn {
        return Err(Finding::Unchecked(format!("the first upload creates {root}")));
    }
    Err(Finding::Problem(Error::not_found(format!(
        "there is no folder {root}, which is the root of the store; create it, mount it, or correct the key \"root\""
    ))))
}

/// Names the root in the error of a listing whose folder does not exist.
fn named_root(config: &StoreConfig, error: Error) -> Error {
    match config.settings.get("root").and_then(Setting::as_str) {
        Some(root) if error.kind() == ErrorKind::NotFound => {
            error.with_note(&format!("the root of the store is {root}; create it, or correct the key \"root\""))
        }
        _ => error,
    }
}

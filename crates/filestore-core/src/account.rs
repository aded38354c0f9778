//! [`Account`]: tells whether two stores are places of one account, between which the service copies files itself.

use std::fmt;
use std::sync::Arc;

/// The account of a store at its service. Between two stores with equal accounts, the service can copy a file itself.
///
/// `Debug` hides the credentials. A layer that changes contents or paths removes the account from the capabilities, because
/// then a file inside of the service is not the file of the store.
#[derive(Clone, PartialEq, Eq)]
pub struct Account(Arc<str>);

impl Account {
    /// Creates an account from what distinguishes it from others: the URL of the service and the credentials. Backends
    /// that have the same parts must be able to read each other's references.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let parts: Vec<&str> = parts.into_iter().collect();
        Self(parts.join("\0").into())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_equal_if_all_their_parts_are_and_are_not_shown() {
        let account = Account::new(["https://a", "key"]);
        assert_eq!(account, Account::new(["https://a", "key"]));
        assert_ne!(account, Account::new(["https://a", "other"]));
        assert_ne!(account, Account::new(["https://ak", "ey"]));
        assert!(!format!("{account:?}").contains("key"));
    }
}

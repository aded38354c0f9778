//! Checks whether other machines can reach an emulator, and whether its options are safe then.
//!
//! The fixed credentials are public, and the control API shows and deletes everything.

use url::{Host, Url};

use crate::options::Options;
use crate::start_error::StartError;

/// Checks the options.
///
/// A listen address that other machines can reach requires a credentials file and a control token.
pub(crate) fn check(options: &Options) -> Result<(), StartError> {
    if let Some(token) = &options.control_token
        && (token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(StartError::ControlToken);
    }
    let has_secrets = options.credentials.is_some() && options.control_token.is_some();
    if options.listen.ip().is_loopback() || has_secrets { Ok(()) } else { Err(StartError::Exposed(options.listen)) }
}

/// Returns warnings about options that are allowed but probably a mistake, one sentence each.
pub(crate) fn warnings(options: &Options, base: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if options.credentials.is_none() && Url::parse(base).is_ok_and(|url| is_off_loopback(&url)) {
        warnings.push(format!(
            "{base} can be reached from other machines, and the fixed credentials are public; set your own with \
             --credentials"
        ));
    }
    warnings
}

/// Returns `true` if the host of `url` is not this machine's loopback interface.
///
/// Behind a reverse proxy this can hold although the emulator listens on loopback.
pub(crate) fn is_off_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name != "localhost",
        Some(Host::Ipv4(ip)) => !ip.is_loopback(),
        Some(Host::Ipv6(ip)) => !ip.is_loopback(),
        None => true,
    }
}

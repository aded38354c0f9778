//! Who can reach an emulator, and what that forbids: the fixed credentials are on a page that
//! everybody can read, and the control API shows and forgets everything.

use url::{Host, Url};

use crate::options::Options;
use crate::start_error::StartError;

/// Rejects to listen for other machines without secrets of its own.
pub(crate) fn reject(options: &Options) -> Result<(), StartError> {
    if let Some(token) = &options.control_token
        && (token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(StartError::ControlToken);
    }
    let guarded = options.credentials.is_some() && options.control_token.is_some();
    if options.listen.ip().is_loopback() || guarded { Ok(()) } else { Err(StartError::Exposed(options.listen)) }
}

/// What is allowed, but hardly meant.
pub(crate) fn warnings(options: &Options, base: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if options.credentials.is_none() && Url::parse(base).is_ok_and(|url| is_off_loopback(&url)) {
        warnings.push(format!(
            "{base} can be reached from other machines, and everybody knows the fixed keys: give users of your own with --credentials"
        ));
    }
    warnings
}

/// Whether a URL leads to this emulator from other machines, whatever it listens on itself.
pub(crate) fn is_off_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name != "localhost",
        Some(Host::Ipv4(ip)) => !ip.is_loopback(),
        Some(Host::Ipv6(ip)) => !ip.is_loopback(),
        None => true,
    }
}

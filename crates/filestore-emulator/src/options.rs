//! How an emulator is started.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// What [`Emulator::start`](crate::Emulator::start) is told. The default is what tests want: any
/// free port of this machine, everything in memory, the fixed credentials.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "written out with `..Options::default()`")]
pub struct Options {
    /// Where to listen; port 0 is any free one. Off loopback, `credentials` and `control_token`
    /// are required: the fixed ones are known to everybody.
    pub listen: SocketAddr,
    /// Written when requests are answered: one line, `http://ADDR`.
    pub ready_file: Option<PathBuf>,
    /// Written before that: a configuration with one store for each service.
    pub write_config: Option<PathBuf>,
    /// Where files are kept, to survive restarts. One emulator at a time can use it.
    pub data_dir: Option<PathBuf>,
    /// A file of fault rules that are in force from the start.
    pub faults: Option<PathBuf>,
    /// A file of users, which replaces the fixed credentials.
    pub credentials: Option<PathBuf>,
    /// What links begin with, when clients reach the emulator by another address than it has. Off
    /// loopback, the control API is closed without `control_token`.
    pub public_url: Option<String>,
    /// What the control API asks for, as Bearer token or Basic password.
    pub control_token: Option<String>,
    /// Reject PubNub requests without a signature. One that is there is always checked.
    pub pubnub_require_signature: bool,
    /// Accept only PubNub signatures over the path as it was sent.
    pub strict_signature: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            ready_file: None,
            write_config: None,
            data_dir: None,
            faults: None,
            credentials: None,
            public_url: None,
            control_token: None,
            pubnub_require_signature: false,
            strict_signature: false,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("ready_file", &self.ready_file)
            .field("write_config", &self.write_config)
            .field("data_dir", &self.data_dir)
            .field("faults", &self.faults)
            .field("credentials", &self.credentials)
            .field("public_url", &self.public_url)
            .field("control_token", &self.control_token.as_ref().map(|_| "***"))
            .field("pubnub_require_signature", &self.pubnub_require_signature)
            .field("strict_signature", &self.strict_signature)
            .finish()
    }
}

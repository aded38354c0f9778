//! The options of an emulator.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The options of [`Emulator::start`](crate::Emulator::start).
///
/// The default suits tests: any free port on 127.0.0.1, no data directory, the fixed credentials.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "written out with `..Options::default()`")]
pub struct Options {
    /// The address to listen on; port 0 is any free port. An address other than loopback requires `credentials` and
    /// `control_token`, because the fixed credentials are public.
    pub listen: SocketAddr,
    /// A file to write once the emulator accepts requests: one line, `http://ADDR`.
    pub ready_file: Option<PathBuf>,
    /// A configuration file to write before the ready file: one store for each service.
    pub write_config: Option<PathBuf>,
    /// The directory for stored files, which then survive restarts. One emulator at a time can use it.
    pub data_dir: Option<PathBuf>,
    /// A file of fault rules that apply from the start.
    pub faults: Option<PathBuf>,
    /// A file of users that replaces the fixed credentials.
    pub credentials: Option<PathBuf>,
    /// The base URL of links, if clients reach the emulator by another address than `listen`. If its host is not
    /// loopback, the control API is closed without `control_token`.
    pub public_url: Option<String>,
    /// The token that the control API requires, as Bearer token or as Basic password.
    pub control_token: Option<String>,
    /// Rejects PubNub requests without a signature. A signature that is present is always checked.
    pub pubnub_require_signature: bool,
    /// Accepts only PubNub signatures over the path as it was sent.
    pub strict_signature: bool,
    /// The largest number of open connections, fewer if the process may have only few open files. More clients wait
    /// until a connection ends.
    pub max_connections: usize,
    /// The longest pause of a request's body. After it, the request gets 408 and the connection ends.
    pub body_timeout: Duration,
    /// The longest time in which a client reads nothing of a response that is being sent. After it, the connection ends.
    pub response_timeout: Duration,
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
            max_connections: 16_384,
            body_timeout: Duration::from_secs(60),
            response_timeout: Duration::from_secs(300),
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
            .field("max_connections", &self.max_connections)
            .field("body_timeout", &self.body_timeout)
            .field("response_timeout", &self.response_timeout)
            .finish()
    }
}

//! `filestore doctor`: checks that stores can be used, and says what to do.

mod access;
mod account;
mod clock;
mod write;

use filestore::{Effect, Error, ErrorKind, Result, StoreConfig};
use serde_json::json;

use super::config::unencrypted_urls;
use crate::args;
use crate::context::Context;
use crate::exit::Outcomes;
use crate::output;

/// The result of one check.
enum Finding {
    Fine(String),
    /// The check was not made, for this reason.
    Unchecked(String),
    /// A problem. The message says what was found, on what, and what to do.
    Problem(Error),
}

pub(crate) async fn run(context: &Context, args: &args::StoreName) -> Result<u8> {
    let mut outcomes = Outcomes::default();
    let mut rows = Vec::new();
    for config in context.named_stores(args.name.as_deref())? {
        for (check, finding) in examine(context, config).await {
            if let Finding::Problem(error) = &finding {
                outcomes.failed(error);
            }
            if context.json {
                output::line(output::json(&json_of(&config.name, check, &finding)))?;
            } else {
                rows.push(vec![config.name.clone(), check.to_owned(), finding.result().to_owned(), finding.detail()]);
            }
        }
    }
    if !context.json {
        output::write_all(output::table(&["STORE", "CHECK", "RESULT", "DETAIL"], &rows).as_bytes())?;
    }
    Ok(outcomes.code())
}

/// Makes all checks of one store, the later ones only if the earlier ones do not make them pointless.
async fn examine(context: &Context, config: &StoreConfig) -> Vec<(&'static str, Finding)> {
    // 1. The configuration, without a request.
    let store = match context.open_unannounced(config) {
        Ok(store) => store,
        Err(error) => return vec![("configuration", Finding::Problem(advised(error)))],
    };
    let mut findings = vec![("configuration", Finding::Fine(format!("backend {}", config.backend_name())))];
    findings.extend(unencrypted_urls(context, config).into_iter().map(|key| ("encryption", unencrypted(&key))));
    // 2. One listing, which also tells the service's time.
    let accessed = access::check(config, &store).await;
    findings.push(("access", accessed.finding));
    findings.push(("clock", clock::check(accessed.date)));
    if !accessed.is_usable {
        return findings;
    }
    // 3. The limits of the account, and a file that is stored and deleted.
    let limits = account::check(&store).await;
    let is_full = matches!(&limits, Finding::Problem(error) if error.kind() == ErrorKind::Quota);
    findings.push(("limits", limits));
    findings.push(("write", if is_full { full() } else { write::check(&store).await }));
    findings
}

fn full() -> Finding {
    Finding::Unchecked("the account has no room for a test file".to_owned())
}

fn unencrypted(key: &str) -> Finding {
    Finding::Problem(Error::config(format!(
        "{key:?} is an http:// URL of another machine, so others on the network can read the credentials and the \
         files; use https://"
    )))
}

impl Finding {
    /// Returns the finding of a check that `result` ends. A store that states that it lacks the feature is not checked.
    fn of(result: Result<String>) -> Self {
        match result {
            Ok(detail) => Self::Fine(detail),
            Err(error) if error.kind() == ErrorKind::Unsupported && error.effect() == Effect::NotSent => {
                Self::Unchecked(error.message().to_owned())
            }
            Err(error) => Self::Problem(advised(error)),
        }
    }

    fn result(&self) -> &'static str {
        match self {
            Self::Fine(_) => "ok",
            Self::Unchecked(_) => "unchecked",
            Self::Problem(_) => "FOUND",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Fine(detail) | Self::Unchecked(detail) => detail.clone(),
            Self::Problem(error) => error.message().to_owned(),
        }
    }
}

/// Adds what to do to an error whose message does not say it.
fn advised(error: Error) -> Error {
    let advice = match error.kind() {
        // The other kinds say what is wrong with the request, and what to do follows `;` in a message.
        _ if error.message().contains("; ") => return error,
        ErrorKind::Permission => "give the store's credentials this permission, or configure other ones",
        ErrorKind::Unauthenticated => "correct the credentials; `filestore config show` tells where each is set",
        ErrorKind::Quota => "delete files that are no longer needed, or choose a larger plan",
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited => {
            "try again later; if it lasts, check the network and the state of the service"
        }
        ErrorKind::Protocol => "check base_url and the proxy",
        _ => return error,
    };
    error.with_note(advice)
}

fn json_of(store: &str, check: &str, finding: &Finding) -> serde_json::Value {
    let mut object = json!({
        "store": store,
        "check": check,
        "result": finding.result().to_ascii_lowercase(),
        "detail": finding.detail(),
    });
    if let Finding::Problem(error) = finding {
        object["kind"] = json!(error.kind().as_str());
    }
    object
}

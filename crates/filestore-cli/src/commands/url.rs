//! `filestore url`: prints a URL of a file.

use filestore::{Result, UrlRequest};
use jiff::Timestamp;
use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::output;

pub(crate) async fn run(context: &Context, args: &args::Url) -> Result<u8> {
    let (store, reference) = context.open_reference(&args.target.reference)?;
    let mut request = UrlRequest::from(reference.clone());
    request.lifetime = args.expires.map(|period| period.duration(Timestamp::now())).transpose()?;
    let url = store.url(request).await?;
    if context.json {
        let object = json!({
            "ref": reference.to_string(),
            "url": url.as_str(),
            "kind": url.kind().as_str(),
            "expires": url.expires().map(|time| time.to_string()),
        });
        output::line(output::json(&object))?;
    } else {
        output::line(url.as_str())?;
    }
    Ok(0)
}

//! `filestore pubnub`: publishes the message of a file that is stored already.

use filestore::pubnub::{PubNub, PubNubSend, PubNubStore};
use filestore::{Backend, Error, Operation, Result};
use serde_json::json;

use crate::args;
use crate::context::{self, Context};
use crate::output;

pub(crate) async fn run(context: &Context, command: &args::Pubnub) -> Result<u8> {
    match command {
        args::Pubnub::Publish(args) => publish(context, args).await,
    }
}

async fn publish(context: &Context, args: &args::PubnubPublish) -> Result<u8> {
    let (store, reference) = context.open_reference(&args.target.reference)?;
    store.check_reference(&reference)?;
    let config = context.config.store(store.name())?;
    context.check_backend(config, &PubNub)?;

    // The command line overrides the upload options of the store.
    let mut settings = config.resolve(&context.registry)?.upload;
    let options = context::options(&args.options, PubNub.option_keys())?;
    for (key, setting) in options.iter() {
        settings.insert(key, setting.clone());
    }
    if let Some(message) = &args.message {
        if options.get("message").is_some() {
            return Err(Error::invalid("--message and -O message are the same option; give one of them"));
        }
        settings.insert("message", context::text_setting(message));
    }
    let options = PubNub.options(&settings).map_err(|error| Error::invalid(error.message().to_owned()))?;
    let send = options.get::<PubNubSend>().unwrap_or_default();

    let pubnub = store.backend::<PubNubStore>()?;
    let published = context.reads.changing(pubnub.publish_file_message(&reference, &send)).await;
    let published = published.map_err(|error| store.context_of(error, Operation::Publish, &reference))?;
    let summary = format!("published with the timetoken {}", published.timetoken);
    let printed = if context.json {
        output::json(&json!({ "ref": reference.to_string(), "store": store.name(), "timetoken": published.timetoken }))
    } else {
        published.timetoken
    };
    output::result(printed, &summary)?;
    Ok(0)
}

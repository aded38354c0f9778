//! S3, opened through settings.

use filestore_core::{Origin, Registry, Result, Setting, StoreSettings, Value};
use filestore_opendal::Opendal;

fn text(value: &str) -> Setting {
    Setting::new(Value::Text(value.to_owned()), Origin::BuiltIn)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = [
        ("bucket", "bucket"),
        ("region", "us-east-1"),
        ("endpoint", &outside::first_argument()),
        ("access_key_id", "key"),
        ("secret_access_key", "secret"),
    ];
    let options = options.map(|(key, value)| (key.to_owned(), text(value)));

    let mut settings = StoreSettings::new("archive", "opendal");
    settings.settings.insert("service", text("s3"));
    settings.settings.insert("options", Setting::new(Value::Table(options.into()), Origin::BuiltIn));
    let store = Registry::new().with(Opendal).open(&settings)?;
    outside::share(&store).await
}

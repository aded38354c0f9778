//! The backend `opendal`: its configuration keys, and the stores that it opens.

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(feature = "sftp")]
use filestore_core::components;
use filestore_core::{Backend, Error, FileStore, Key, KeyKind, Result, Setting, Settings, Value, suggestion};
#[cfg(feature = "remote")]
use opendal::layers::CapabilityOverrideLayer;
use opendal::{Configurator, Operator};
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};

use crate::OpendalStore;
#[cfg(feature = "http")]
use crate::protocol::Service;
#[cfg(feature = "remote")]
use crate::remote;

/// The backend `opendal`, which opens a service of OpenDAL as [`OpendalStore`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its name")]
pub struct Opendal;

const STORE_KEYS: [Key; 5] = [
    Key::new("service", KeyKind::Text, "OpenDAL's name of the service, such as s3").required(),
    Key::new("options", KeyKind::Table, "OpenDAL's options of the service, such as bucket and region").entries(ENTRIES),
    Key::new("root", KeyKind::Text, "the folder of the service that holds the store").default("all of it"),
    Key::new(
        "parallel",
        KeyKind::Integer,
        "the maximum number of parts or ranges of one file that are transferred at once, for S3, GCS and Azure Blob",
    )
    .default("8"),
    Key::new(
        "verify",
        KeyKind::Text,
        "etag: compares content with the digests of S3, GCS and Azure Blob; none: compares only lengths",
    )
    .default("etag"),
];

/// The keys of [`STORE_KEYS`] that only S3, GCS and Azure Blob have.
const TRANSFER_KEYS: [&str; 2] = ["parallel", "verify"];

#[cfg(feature = "http")]
static OPENDAL_KEYS: [Key; 5 + filestore_http::KEYS.len()] = filestore_http::with_http_keys(STORE_KEYS);
#[cfg(not(feature = "http"))]
static OPENDAL_KEYS: [Key; 5] = STORE_KEYS;

const fn visible(name: &'static str) -> Key {
    Key::new(name, KeyKind::Text, "")
}

const fn path(name: &'static str) -> Key {
    Key::new(name, KeyKind::Path, "")
}

/// The options of all services that hold no secret. Every other option counts as a secret, so that an option that is
/// new in OpenDAL or misspelled is not shown.
const ENTRIES: &[Key] = &[
    visible("account_name"),
    visible("allow_anonymous"),
    visible("assume_role_duration_seconds"),
    visible("batch_max_operations"),
    visible("bucket"),
    visible("bucket_name"),
    visible("checksum_algorithm"),
    visible("container"),
    visible("container_name"),
    path("credential_path"),
    visible("default_acl"),
    visible("default_storage_class"),
    visible("delete_max_size"),
    visible("disable_config_load"),
    visible("disable_copy"),
    visible("disable_create_dir"),
    visible("disable_ec2_metadata"),
    visible("disable_list_objects_v2"),
    visible("disable_stat_with_override"),
    visible("disable_vm_metadata"),
    visible("disable_write_with_if_match"),
    visible("enable_conditional_read"),
    visible("enable_copy"),
    visible("enable_request_payer"),
    visible("enable_user_metadata"),
    visible("enable_versioning"),
    visible("enable_virtual_host_style"),
    visible("enable_write_with_append"),
    visible("encryption_algorithm"),
    visible("endpoint"),
    visible("endpoint_url"),
    path("google_application_credentials"),
    // The file of the private key, for SFTP.
    path("key"),
    visible("known_hosts_strategy"),
    visible("predefined_acl"),
    visible("profile"),
    visible("region"),
    visible("role_arn"),
    visible("role_session_name"),
    visible("root"),
    visible("scope"),
    visible("server_side_encryption"),
    visible("server_side_encryption_aws_kms_key_id"),
    visible("server_side_encryption_customer_algorithm"),
    visible("service_account"),
    visible("skip_signature"),
    visible("user"),
    visible("user_metadata_prefix"),
    visible("user_metadata_uri"),
    visible("username"),
];

impl Backend for Opendal {
    fn name(&self) -> &'static str {
        "opendal"
    }

    fn about(&self) -> &'static str {
        "a service of OpenDAL: S3, GCS, Azure Blob, WebDAV, SFTP, as compiled in"
    }

    fn keys(&self) -> &'static [Key] {
        &OPENDAL_KEYS
    }

    fn open(&self, settings: &Settings) -> Result<Arc<dyn FileStore>> {
        #[derive(serde::Deserialize)]
        struct Config {
            service: String,
        }
        let config: Config = settings.read(&OPENDAL_KEYS)?;
        let mut options = Settings::new();
        if let Some(table) = settings.get("options") {
            for (key, option) in entries(table)? {
                options.insert(key, option.clone());
            }
        }
        if let Some(root) = settings.get("root") {
            if options.get("root").is_some() {
                return Err(Error::config(format!(
                    "{}: the root is given twice, here and in the options; remove one of them",
                    root.origin
                )));
            }
            options.insert("root", root.clone());
        }
        open_service(&config.service, &options, settings)
    }
}

/// Opens `service` with its `options`. The other `settings` of the store are those of HTTP.
fn open_service(service: &str, options: &Settings, settings: &Settings) -> Result<Arc<dyn FileStore>> {
    // A service without HTTP has no settings of HTTP.
    if let (true, Some((key, setting))) =
        (matches!(service, "memory" | "sftp"), settings.iter().find(|(key, _)| !is_store_key(key)))
    {
        let origin = &setting.origin;
        return Err(Error::config(format!(
            "{origin}: {key:?} is a setting of HTTP, which the service {service:?} does not use; remove it"
        )));
    }
    if let (false, Some((key, setting))) =
        (matches!(service, "s3" | "gcs" | "azblob"), settings.iter().find(|(key, _)| TRANSFER_KEYS.contains(key)))
    {
        let origin = &setting.origin;
        return Err(Error::config(format!(
            "{origin}: the service {service:?} does not use {key:?}, which is a setting of s3, gcs and azblob; remove it"
        )));
    }
    let store = match service {
        "memory" => OpendalStore::new(operator::<opendal::services::MemoryConfig>(options)?)?,
        #[cfg(feature = "s3")]
        "s3" => {
            check_needs(options, S3_NEEDS)?;
            over_http::<opendal::services::S3Config>(Service::S3, options, settings)?
        }
        #[cfg(feature = "gcs")]
        "gcs" => over_http::<opendal::services::GcsConfig>(Service::Other, options, settings)?,
        #[cfg(feature = "azblob")]
        "azblob" => {
            check_needs(options, AZBLOB_NEEDS)?;
            let config = options.read(&keys_of::<opendal::services::AzblobConfig>())?;
            over_http::<opendal::services::AzblobConfig>(Service::Other, options, settings)?.signed_by(&config)
        }
        #[cfg(feature = "webdav")]
        "webdav" => {
            check_needs(options, &[(&["password"], &["username"])])?;
            over_http::<opendal::services::WebdavConfig>(Service::Webdav, options, settings)?
        }
        #[cfg(feature = "sftp")]
        "sftp" => sftp(options)?,
        _ if SERVICES.contains(&service) => {
            return Err(Error::config(format!(
                "the service {service:?} is not compiled in; build with the cargo feature {service:?} of filestore-opendal"
            )));
        }
        "fs" => {
            return Err(Error::config(
                "OpenDAL's local files are neither synced nor safe from links; set backend = \"fs\" instead",
            ));
        }
        _ => {
            let suggestion = suggestion(service, SERVICES.iter().copied());
            return Err(Error::config(format!("there is no service {service:?}; {suggestion}")));
        }
    };
    Ok(Arc::new(store))
}

fn is_store_key(key: &str) -> bool {
    STORE_KEYS.iter().any(|known| known.name == key)
}

/// The limit and the check of transfers to S3, GCS and Azure Blob.
#[cfg(feature = "http")]
#[derive(Debug, serde::Deserialize)]
#[serde(default)]
struct Transfers {
    parallel: std::num::NonZeroU32,
    verify: Verify,
}

#[cfg(feature = "http")]
impl Default for Transfers {
    fn default() -> Self {
        Self { parallel: std::num::NonZeroU32::MIN.saturating_add(7), verify: Verify::Etag }
    }
}

/// The check of transferred content.
#[cfg(feature = "http")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verify {
    Etag,
    None,
}

/// Creates an operator of the service with the configuration `C`, and with the `settings` of HTTP.
#[cfg(feature = "http")]
fn over_http<C: Configurator>(service: Service, options: &Settings, settings: &Settings) -> Result<OpendalStore> {
    let config: filestore_http::HttpConfig = settings.read(&OPENDAL_KEYS)?;
    let Transfers { parallel, verify } = settings.read(&OPENDAL_KEYS)?;
    #[derive(serde::Deserialize)]
    struct Endpoint {
        endpoint: Option<String>,
    }
    let Endpoint { endpoint } = options.read(&keys_of::<C>())?;
    if let Some(endpoint) = &endpoint {
        check_endpoint(endpoint)?;
    }
    let verify = verify == Verify::Etag;
    let with_digest = with_content_md5(service, options, verify);
    let operator = operator::<C>(&with_digest.without)?;
    let context = remote::over_http(&operator, service, endpoint.as_deref(), &config, verify)?;
    let finish = |operator: Operator| {
        let operator = operator.layer(real_capabilities(options)).with_context(context.clone());
        remote::retried(operator, config.max_retries, config.initial_retry_delay, config.max_retry_delay)
    };
    let store = OpendalStore::with(finish(operator), "", true)?;
    let whole = with_digest.with.map(|options| self::operator::<C>(&options).map(finish)).transpose()?;
    Ok(store.transfers(parallel, verify, whole))
}

/// The options of operators with and without `Content-MD5`.
#[cfg(feature = "http")]
struct WithDigest {
    without: Settings,
    with: Option<Settings>,
}

/// Returns the options of an operator that sends `Content-MD5` with a file in one request, if S3 is to check it. OpenDAL
/// does not support this for multipart uploads, which have an operator of their own.
#[cfg(feature = "http")]
fn with_content_md5(service: Service, options: &Settings, verify: bool) -> WithDigest {
    const NAMES: [&str; 2] = ["checksum_algorithm", "aws_checksum_algorithm"];
    let set = NAMES.iter().find_map(|name| options.get(name));
    let is_md5 = set.is_some_and(|setting| setting.as_str() == Some("md5"));
    let mut without = options.clone();
    if is_md5 {
        NAMES.iter().for_each(|name| drop(without.remove(name)));
    }
    let is_needed = service == Service::S3 && (is_md5 || (verify && set.is_none()));
    let with = is_needed.then(|| {
        let mut with = without.clone();
        with.insert(NAMES[0], Setting::new(Value::Text("md5".to_owned()), filestore_core::Origin::BuiltIn));
        with
    });
    WithDigest { without, with }
}

/// Rejects an endpoint that OpenDAL would misread or of which it would ignore a part. Without a scheme, it is `https`.
#[cfg(feature = "http")]
fn check_endpoint(endpoint: &str) -> Result<()> {
    let invalid = |problem: &str| {
        Err(Error::config(format!("the option \"endpoint\" {problem}; write it like https://HOST:PORT")))
    };
    let is_http = endpoint.starts_with("http://") || endpoint.starts_with("https://");
    if !is_http && endpoint.contains("://") {
        return invalid("begins neither with http:// nor with https://");
    }
    let whole = if is_http { endpoint.to_owned() } else { format!("https://{endpoint}") };
    let Ok(url) = filestore_http::Url::parse(&whole) else { return invalid("is not a URL") };
    if !url.username().is_empty() || url.password().is_some() {
        return invalid("contains a user or a password; set the credentials with their own options");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return invalid("contains a query or a fragment");
    }
    Ok(())
}

/// Corrects the capabilities that OpenDAL states, by the `options` of a service.
#[cfg(feature = "http")]
fn real_capabilities(options: &Settings) -> CapabilityOverrideLayer {
    let is = |key: &str, flag: bool| {
        let is_text = |text: &str| text == if flag { "true" } else { "false" };
        options.get(key).is_some_and(|set| set.value == Value::Flag(flag) || set.as_str().is_some_and(is_text))
    };
    let (is_anonymous, lacks_metadata) =
        (is("skip_signature", true) || is("google_skip_signature", true), is("enable_user_metadata", false));
    CapabilityOverrideLayer::new(move |mut capability| {
        capability.presign_read &= !is_anonymous;
        capability.write_with_user_metadata &= !lacks_metadata;
        capability
    })
}

/// Opens an SFTP service. A `root` that is no absolute path is a folder of the login folder, which OpenDAL cannot
/// express.
#[cfg(feature = "sftp")]
fn sftp(options: &Settings) -> Result<OpendalStore> {
    let mut options = options.clone();
    let root = options.text("root").filter(|root| !root.starts_with('/')).unwrap_or_default().to_owned();
    if !root.is_empty() {
        if !components::of_scope(Some(root.trim_end_matches('/'))).is_ok_and(|components| !components.is_empty()) {
            return Err(Error::config(format!(
                "root: {root:?} is not a folder of the login folder; write it like files/in, or like /files/in"
            )));
        }
        options.remove("root");
    }
    let operator = operator::<opendal::services::SftpConfig>(&options)?;
    let stores_empty = CapabilityOverrideLayer::new(|mut capability| {
        capability.write_can_empty = true;
        capability
    });
    Ok(OpendalStore::with(remote::with_limits(operator.layer(stores_empty)), &root, false)?.timed_by(&options))
}

/// An option with its aliases, and the one without which it has no effect.
#[cfg(any(feature = "s3", feature = "azblob", feature = "webdav"))]
type Needs = (&'static [&'static str], &'static [&'static str]);

#[cfg(feature = "s3")]
const ACCESS_KEY_ID: &[&str] = &["access_key_id", "aws_access_key_id"];
#[cfg(feature = "s3")]
const SECRET_ACCESS_KEY: &[&str] = &["secret_access_key", "aws_secret_access_key"];
#[cfg(feature = "s3")]
const CUSTOMER_KEY: &[&str] = &["server_side_encryption_customer_key", "aws_sse_customer_key_base64"];
#[cfg(feature = "s3")]
const CUSTOMER_ALGORITHM: &[&str] = &["server_side_encryption_customer_algorithm"];
#[cfg(feature = "s3")]
const CUSTOMER_KEY_MD5: &[&str] = &["server_side_encryption_customer_key_md5"];

/// OpenDAL ignores half of a key pair and searches for other credentials. With a part of the options of encryption,
/// nothing confirms the encryption.
#[cfg(feature = "s3")]
const S3_NEEDS: &[Needs] = &[
    (ACCESS_KEY_ID, SECRET_ACCESS_KEY),
    (SECRET_ACCESS_KEY, ACCESS_KEY_ID),
    (&["session_token", "aws_session_token", "aws_token", "token"], ACCESS_KEY_ID),
    (&["external_id"], &["role_arn"]),
    (&["role_session_name"], &["role_arn"]),
    (&["assume_role_duration_seconds"], &["role_arn"]),
    (&["assume_role_session_tags"], &["role_arn"]),
    (CUSTOMER_KEY, CUSTOMER_ALGORITHM),
    (CUSTOMER_ALGORITHM, CUSTOMER_KEY_MD5),
    (CUSTOMER_KEY_MD5, CUSTOMER_KEY),
    (
        &["server_side_encryption_aws_kms_key_id", "aws_sse_kms_key_id"],
        &["server_side_encryption", "aws_server_side_encryption"],
    ),
];

#[cfg(feature = "azblob")]
const AZBLOB_NEEDS: &[Needs] = &[
    (&["encryption_key"], &["encryption_key_sha256"]),
    (&["encryption_key_sha256"], &["encryption_algorithm"]),
    (&["encryption_algorithm"], &["encryption_key"]),
];

/// Rejects an option without the one that it needs.
#[cfg(any(feature = "s3", feature = "azblob", feature = "webdav"))]
fn check_needs(options: &Settings, all: &[Needs]) -> Result<()> {
    let given = |names: &'static [&'static str]| names.iter().find(|name| options.get(name).is_some());
    for (names, needed) in all {
        if let (Some(name), None) = (given(names), given(needed)) {
            return Err(Error::config(format!("the option {:?} is missing; {name:?} needs it", needed[0])));
        }
    }
    Ok(())
}

/// The services that can be compiled in.
const SERVICES: &[&str] = &["memory", "s3", "gcs", "azblob", "webdav", "sftp"];

/// Creates an operator of the service with the configuration `C`.
///
/// `options` are read here and not by OpenDAL, which ignores a misspelled key, and repeats an invalid value in its
/// message even if it is a secret.
fn operator<C: Configurator>(options: &Settings) -> Result<Operator> {
    let config: C = options.read(&keys_of::<C>())?;
    Operator::from_config(config)
        .map_err(|error| Error::config(format!("OpenDAL rejects the options: {}", error.message())))
}

/// Returns the keys of the configuration `C`.
fn keys_of<C: DeserializeOwned>() -> Vec<Key> {
    field_names::<C>().iter().map(|name| Key::new(name, KeyKind::Text, "")).collect()
}

fn entries(table: &Setting) -> Result<&BTreeMap<String, Setting>> {
    match &table.value {
        Value::Table(entries) => Ok(entries),
        _ => Err(Error::config(format!("{}: \"options\" is not a table; write [stores.NAME.options]", table.origin))),
    }
}

/// Returns the names of the fields of `T`, aliases included, as its `Deserialize` requests them.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // Always fails: `FieldNames` has no value for the request.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(de::Error::custom("only the names of the fields are needed"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not a struct"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
